"""A packed data set as every trial sees it: a file mapped into memory, shared by all processes that map it."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import SPLITS, TEST, Image, ImageType, Mask, SplitName
from tune_seg.data.packing.file_format import open_pack
from tune_seg.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


Pixels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainingPixels:
    """How the training pixels that are not ignored divide among the classes: all that class weights depend on.

    Where some images are drawn more often than others, those of an epoch on average:
    :func:`tune_seg.data.loading.sampling.trained_on`.

    Attributes:
        class_names: by class index.
        pixels: (C,), of each class.
        image_pixels: (C,), of any class, in the images in which each class occurs. Of images cut into tiles, each tile is an
            image.
        images: how many there are.
    """

    class_names: tuple[str, ...]
    pixels: Pixels | npt.NDArray[np.float64]
    image_pixels: Pixels | npt.NDArray[np.float64]
    images: int

    @property
    def frequencies(self) -> npt.NDArray[np.float64]:
        """(C,), the share of each class."""
        shares: npt.NDArray[np.float64] = self.pixels / max(self.pixels.sum(), 1)
        return shares


class PackedData:
    """A data set that :func:`tune_seg.data.pack` wrote.

    Nothing is read before it is needed. The file is mapped, so that all processes of a machine share its pages. Compressed
    images are decompressed on each access. A pickle holds the path alone.

    Args:
        path: what `pack` returned.
        fold: the fold that validates, where the data are divided into folds; None: the first. See :meth:`of_fold`.

    Attributes:
        class_names: by class index.
        size: (H, W) in pixels.
        channels, dtype: of the images.
        content_id: the same for equal content, wherever it came from, and for all of its folds.
        folds: the number of folds; 0 where the data are divided into a training and a validation split.
        fold: the one that validates; None where there are none.
        train_images: the number of training images, for each fold; one number where there are no folds.
        train_pixels, val_pixels: int64 (C,), the number of pixels of each class in each split that are not ignored.
        frequencies: float64 (C,), the share of each class in the training pixels that are not ignored.
        trained_on: both, and what else class weights are made of, where each image is seen as often as the others.
        train, val: the two splits.
        val_groups: int64 (len(val),), the number of each validation image's group (patient, volume, sequence), from 0 in the
            order of first appearance. An image without a group is one by itself.
        val_tiles: where each validation image was cut out; None of those that are no tiles, or were scaled.

    Raises:
        InputError: there is no such file, it is an incomplete pack, there is no such fold, or its images are held out.
    """

    _held_out: ClassVar[bool] = False

    def __init__(self, path: Path | str, fold: int | None = None) -> None:
        self.path = Path(path)
        form, summary, self._batches = open_pack(self.path)
        self.class_names = summary.class_names
        self.size = form.size
        self.channels = form.channels
        self.dtype: ImageType = form.dtype
        self.content_id = summary.content_id
        self._ends = list(accumulate(map(len, self._batches)))
        if (TEST in summary.samples) != self._held_out:
            raise InputError(
                f"{self.path}: a pack of images "
                + ("to train and validate with, not of a test split" if self._held_out else "that are held out for a test")
            )
        names = [row for batch in self._batches for row in batch.names()]
        subsets = np.array([row.subset for row in names])
        if len(subsets) != sum(summary.samples.values()):
            raise InputError(f"{self.path}: a pack that lacks samples; delete it and pack the data set again")
        self.folds = sum(subset.isdecimal() for subset in summary.samples)
        self.fold = _checked(fold, self.folds)
        validating = TEST if self._held_out else "val" if self.fold is None else str(self.fold)
        self.train_images = tuple(
            len(subsets) - summary.samples[subset] for subset in summary.samples if subset == "val" or subset.isdecimal()
        )
        self.val_pixels: Pixels = np.array(summary.pixels[validating], np.int64)
        self.train = Split(self, "train", np.flatnonzero(subsets != validating))
        self.train_pixels = _but(validating, summary.pixels)
        self.trained_on = TrainingPixels(
            self.class_names,
            self.train_pixels,
            _but(validating, summary.image_pixels),
            len(self.train),
        )
        self.frequencies = self.trained_on.frequencies
        self.val = Split(self, "val", np.flatnonzero(subsets == validating))
        self.val_groups = _numbered([names[row].group for row in self.val.rows])
        self.val_tiles = tuple(names[row].tile for row in self.val.rows)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def __len__(self) -> int:
        return self._ends[-1]

    def __reduce__(self) -> tuple[Callable[[Path, int | None], "PackedData"], tuple[Path, int | None]]:
        return (type(self), (self.path, self.fold))

    def of_fold(self, fold: int | None) -> "PackedData":
        """The same data with another fold to validate, None: the first; no image is read or copied.

        Raises:
            InputError: there is no such fold.

        Example:
            >>> data = PackedData(path)  # doctest: +SKIP
            >>> [len(data.of_fold(fold).val) for fold in range(data.folds)]  # doctest: +SKIP
            [36, 36, 36]
        """
        return self if _checked(fold, self.folds) == self.fold else PackedData(self.path, fold)

    def twins(self, other: "PackedData | None" = None) -> list[tuple[str, str]]:
        """Equal images in two subsets, or in this pack and in another one, each as `subset/id`; none of one colour.

        Example:
            >>> PackedData(path).twins()  # doctest: +SKIP
            [('train/frame 7', 'val/frame 7 again')]
        """
        first: dict[bytes, tuple[str, str]] = {}
        found: list[tuple[str, str]] = []
        for subset, name, picture in self._pictures():
            where = first.setdefault(picture, (subset, f"{subset}/{name}"))
            if other is None and where[0] != subset:
                found.append((where[1], f"{subset}/{name}"))
        for subset, name, picture in () if other is None else other._pictures():
            if picture in first:
                found.append((first[picture][1], f"{subset}/{name}"))
        return found

    def _pictures(self) -> Iterator[tuple[str, str, bytes]]:
        for batch in self._batches:
            for row, picture in zip(batch.names(), batch.pictures(), strict=True):
                if picture:
                    yield row.subset if not row.subset.isdecimal() else f"fold {row.subset}", row.id, picture

    def image(self, number: int) -> Image:
        """A read-only view (H, W, C) in the mapped file, by the number of the row, or a decompressed copy."""
        batch, row = self._at(number)
        return self._batches[batch].images[row]

    def mask(self, number: int) -> Mask:
        """As :meth:`image`, (H, W)."""
        batch, row = self._at(number)
        return self._batches[batch].masks[row]

    def class_pixels(self, rows: npt.NDArray[np.int64]) -> Pixels:
        """The number of pixels of each class in the masks of `rows`, int64 (rows, C)."""
        return np.concatenate([batch.pixels(self.num_classes) for batch in self._batches])[rows]

    def _at(self, number: int) -> tuple[int, int]:
        batch = bisect_right(self._ends, number)
        return batch, number - (self._ends[batch - 1] if batch else 0)


class PackedTest(PackedData):
    """The images of a test split: what :func:`tune_seg.data.pack` made of :func:`tune_seg.data.read_test`.

    They are `val`, so that whatever evaluates a model on validation images evaluates it on these; `train` is empty. A trial
    cannot train on such a pack, nor validate with it: :class:`PackedData` refuses the file.

    Raises:
        InputError: as :class:`PackedData`, or it is a pack of other images.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tune_seg.config import DataConfig
        >>> from tune_seg.data import PackedTest, pack, read_test
        >>> config = DataConfig.model_validate({"size": (16, 24), "split": {"test": "published"}})
        >>> with TemporaryDirectory() as packs:
        ...     test = PackedTest(pack(read_test(config), packs, config.size))
        ...     print(len(test.val), len(test.train))
        48 0
    """

    _held_out: ClassVar[bool] = True


class Split:
    """The training or the validation samples of a :class:`PackedData`, numbered from 0.

    Attributes:
        data: the pack.
        name: `train` or `val`.
        rows: int64 (samples,), the numbers of their rows in the pack.
    """

    def __init__(self, data: PackedData, name: SplitName, rows: npt.NDArray[np.int64]) -> None:
        self.data, self.name, self.rows = data, name, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __reduce__(self) -> tuple[Callable[[PackedData, SplitName], "Split"], tuple[PackedData, SplitName]]:
        return (_split_of, (self.data, self.name))

    @cached_property
    def class_pixels(self) -> Pixels:
        """The number of pixels of each class in each mask, int64 (samples, C)."""
        return self.data.class_pixels(self.rows)

    def gather(self, indices: Sequence[int] | npt.NDArray[np.integer]) -> "tuple[Tensor, Tensor]":
        """Copies of the samples `indices`: images (B, H, W, C) of the data's type and masks uint8 (B, H, W).

        Raises:
            IndexError: an index below 0, or not below `len(self)`.
        """
        data = self.data
        return self._copies(indices, data.image, (*data.size, data.channels), data.dtype), self.masks(indices)

    def masks(self, indices: Sequence[int] | npt.NDArray[np.integer]) -> "Tensor":
        """Copies of the masks alone, uint8 (B, H, W)."""
        return self._copies(indices, self.data.mask, self.data.size, "uint8")

    def _copies(
        self,
        indices: Sequence[int] | npt.NDArray[np.integer],
        view: Callable[[int], npt.NDArray[np.uint8 | np.uint16]],
        shape: tuple[int, ...],
        dtype: ImageType,
    ) -> "Tensor":
        import torch  # here, because a process that only asks what a pack holds need not wait for it

        copies = torch.empty((len(indices), *shape), dtype=getattr(torch, dtype))
        values = copies.numpy()
        for place, index in enumerate(indices):
            if not 0 <= index < len(self):
                raise IndexError(f"sample {index} of a {self.name} split of {len(self)}")
            values[place] = view(int(self.rows[index]))
        return copies


def _checked(fold: int | None, folds: int) -> int | None:
    """The number of the fold that validates."""
    if not folds and fold is None:
        return None
    if not 0 <= (fold or 0) < folds:
        raise InputError(
            f"fold: there is no fold {fold}; "
            + (f"there are 0 to {folds - 1}" if folds else "the data are not divided into folds (data.split.folds)")
        )
    return fold or 0


def _but(validating: str, counts: Mapping[str, tuple[int, ...]]) -> Pixels:
    """The sum of the counts (C,) of all subsets that do not validate."""
    of_training = [each for subset, each in counts.items() if subset != validating]
    return np.array(of_training, np.int64).reshape(-1, len(counts[validating])).sum(axis=0)


def _numbered(groups: Sequence[str]) -> npt.NDArray[np.int64]:
    """The number of each group, from 0 in the order of first appearance; an empty name is a group by itself."""
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(group or place, len(numbers)) for place, group in enumerate(groups)], np.int64)


def _split_of(data: PackedData, name: SplitName) -> Split:
    return dict(zip(SPLITS, (data.train, data.val), strict=True))[name]
