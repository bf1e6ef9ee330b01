"""A data set whose large images are cut into tiles, each a sample; those of one image are one group."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Self

import numpy as np

from tune_seg.config import DataConfig
from tune_seg.data.cores import available_cores
from tune_seg.data.dataset import IGNORE_INDEX, NOT_OF_FILE, Dataset, Image, ImageType, Mask, Sample
from tune_seg.data.once import DecodedOnce, decoded_ahead, following
from tune_seg.data.tiles import Tile, tile_id, tiles_of
from tune_seg.errors import InputError


@dataclass(frozen=True)
class TiledDataset(Dataset):
    """The tiles of the images of another data set.

    Of a tile that validates, or is held out, all but its own cell is ignored; one that only trains has all of its mask.

    Attributes:
        samples: the tiles.
        whole: the images.
        places: of each tile its image, and where it lies there; None where the image cannot be read.
        size: (H, W) of every tile. What a smaller image does not fill repeats its outermost pixels, and is ignored.
        overlapping: whether some of them overlap.
        cache: of the images in work.
    """

    whole: Dataset
    places: Mapping[Sample, tuple[Sample, Tile | None]]
    size: tuple[int, int]
    overlapping: bool
    cache: DecodedOnce[Sample, tuple[Image, Mask]] = field(compare=False)

    @property
    def channels(self) -> int:
        return self.whole.channels

    @property
    def dtype(self) -> ImageType:
        return self.whole.dtype

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.whole.class_names

    @property
    def notes(self) -> tuple[str, ...]:
        return self.whole.notes

    def notes_at(self, size: tuple[int, int]) -> list[str]:
        height, width = self.size
        said = (
            f"{len(self.whole.samples)} images are cut into {len(self.samples)} tiles of {width} x {height} pixels "
            "(data.tiles). Where they validate, each pixel of an image counts once"
        )
        if size == self.size:
            return [said + ", with the outputs of its tiles blended" * self.overlapping]
        return [
            said,
            f"Tiles of {width} x {height} pixels are scaled to data.size {list(size)}"
            + ", and their outputs are not blended" * self.overlapping
            + f"; --set 'data.size=[{height},{width}]' leaves them as they are",
        ]

    @property
    def intensity_rule(self) -> dict[str, Any] | None:
        return self.whole.intensity_rule

    @property
    def masks_to_scan(self) -> int:
        return self.whole.masks_to_scan

    @property
    def names_known(self) -> bool:
        return self.whole.names_known

    def find_classes(self, progress: Callable[[int], None]) -> tuple[str, ...]:
        return self.whole.find_classes(progress)

    def of_some(self, samples: tuple[Sample, ...]) -> Self:
        images = tuple(dict.fromkeys(self.places[sample][0] for sample in samples))
        return replace(self, samples=samples, whole=self.whole.of_some(images), cache=DecodedOnce(self.cache.ahead))

    def shape(self, sample: Sample) -> tuple[int, int] | None:
        return self.size

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        image_of, tile = self.places[sample]
        for other in self._following.get(sample, ()):
            self.cache.expect(other, partial(self.whole.load, other))
        image, mask = self.cache.get(image_of, self._times[image_of], partial(self.whole.load, image_of))
        if tile is None:  # it became readable after it was listed
            raise InputError(f"{sample.image}: changed while it was read; run the same command again")
        judges = sample.subset != "train"
        return _cut(image, mask, tile, self.size, own_only=judges)

    def decoded_as(self, sample: Sample) -> Hashable:
        return self.whole.decoded_as(self.places[sample][0])

    def of_file(self, sample: Sample, mask: Mask) -> Mask:
        _, tile = self.places[sample]
        assert tile is not None  # else there is no mask
        return _only(mask, tile.cell, NOT_OF_FILE)

    def source(self) -> dict[str, Any]:
        return {
            "whole": self.whole.source(),
            "tiles": [(sample.id, str(self.places[sample][1])) for sample in self.samples],
            "size": self.size,
        }

    @cached_property
    def _times(self) -> Counter[Sample]:
        """The number of tiles of each image."""
        return Counter(self.places[sample][0] for sample in self.samples)

    @cached_property
    def _following(self) -> dict[Sample, tuple[Sample, ...]]:
        return following(self.samples, lambda sample: self.places[sample][0], self.cache.ahead)


def tiled(whole: Dataset, config: DataConfig) -> Dataset:
    """The tiles of `whole`, in its order; `whole` itself where `config` asks for none."""
    size, overlap = config.tiles.size, config.tiles.overlap
    if size is None:
        return whole
    places: dict[Sample, tuple[Sample, Tile | None]] = {}
    largest = 1
    for sample in whole.samples:
        shape = whole.shape(sample)
        if shape is None:  # loading it says what is wrong with it
            places[sample] = sample, None
            continue
        largest = max(largest, shape[0] * shape[1] * whole.channels)
        tiles = tiles_of(shape, size, overlap)
        for number, tile in enumerate(tiles):
            name = tile_id(sample.id, number, len(tiles))
            places[replace(sample, id=name, group=sample.group or sample.id, tile=tile.corner)] = sample, tile
    overlapping = any(tile is not None and tile.overlaps for _, tile in places.values())
    cache: DecodedOnce[Sample, tuple[Image, Mask]] = DecodedOnce(decoded_ahead(largest, available_cores()))
    return TiledDataset(
        tuple(places),
        whole,
        places,
        size,
        overlapping,
        cache,
        resize=whole.resize,
        blank=whole.blank,
        split_notes=whole.split_notes,
    )


def _cut(image: Image, mask: Mask, tile: Tile, size: tuple[int, int], *, own_only: bool) -> tuple[Image, Mask]:
    image, labels = image[tile.window], mask[tile.window]
    if own_only:
        labels = _only(labels, tile.cell, IGNORE_INDEX)
    missing = [(0, length - there) for length, there in zip(size, labels.shape, strict=True)]
    return padded(image, size), np.pad(labels, missing, constant_values=IGNORE_INDEX)


def padded(image: Image, size: tuple[int, int]) -> Image:
    """A part of an image (H, W, C) at the `size` (H, W) of a tile: its last pixels are repeated where the image ends."""
    missing = [(0, length - there) for length, there in zip(size, image.shape[:2], strict=True)]
    return np.pad(image, [*missing, (0, 0)], mode="edge")


def _only(mask: Mask, part: tuple[slice, slice], elsewhere: int) -> Mask:
    """The `part` of a mask, and `elsewhere` around it."""
    only = np.full_like(mask, elsewhere)
    only[part] = mask[part]
    return only
