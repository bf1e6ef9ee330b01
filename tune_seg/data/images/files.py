"""Data sets whose images and masks are files with equal names in two folders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import (
    IGNORE_INDEX,
    Dataset,
    Image,
    ImageType,
    Mask,
    Sample,
    SplitName,
    printable,
    problems_error,
    values_of,
)
from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.images.intensities import Intensities, Unmeasured, training_images
from tune_seg.data.images.parts import PartMasks
from tune_seg.data.images.pictures import (
    CLASS_NUMBERS,
    IMAGE_SUFFIXES,
    RGB,
    LossyMask,
    MaskFiles,
    Pictures,
    shape_of,
)
from tune_seg.data.images.scan import Scan, stamp
from tune_seg.data.labels import Labels
from tune_seg.errors import InputError

Decoded = TypeVar("Decoded")

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jpg", ".jpeg")
"""Suffixes of the formats that a mask in a folder may have; of those compressed with loss the scan says what to do."""

_PNG = (".png",)


@dataclass(frozen=True)
class LabelledDataset(Dataset):
    """A data set whose masks hold raw values.

    Attributes:
        samples: all of them.
        classes: the meaning of the raw values, or the scan that finds it.
    """

    classes: Labels | Scan

    @property
    def class_names(self) -> tuple[str, ...]:
        names = self.classes.names if isinstance(self.classes, Scan) else None
        return names or self._labels().class_names

    @property
    def names_known(self) -> bool:
        return not isinstance(self.classes, Scan) or self.classes.names is not None

    @property
    def notes(self) -> tuple[str, ...]:
        return self.classes.notes if isinstance(self.classes, Scan) else ()

    @property
    def masks_to_scan(self) -> int:
        return self.classes.masks_to_read if isinstance(self.classes, Scan) else 0

    def of_some(self, samples: tuple[Sample, ...]) -> Self:
        classes = self.classes
        if isinstance(classes, Scan):
            classes = classes.of_some({sample.mask for sample in samples if sample.mask is not None})
        return replace(self, samples=samples, classes=classes)

    def find_classes(self, progress: Callable[[int], None]) -> tuple[str, ...]:
        return self._labels(progress).class_names

    def _translated(self, raw: Raw) -> frozenset[int]:
        """The classes in raw values."""
        return values_of(self._labels().translate(raw)) - {IGNORE_INDEX}

    def _labels(self, progress: Callable[[int], None] | None = None) -> Labels:
        return self.classes.labels(progress) if isinstance(self.classes, Scan) else self.classes


@dataclass(frozen=True)
class FileDataset(LabelledDataset):
    """Pairs of an image file and a mask file.

    Attributes:
        samples: the pairs; an image or a mask without its partner is a sample too, and :meth:`load` rejects it.
        classes: the meaning of the raw values, or the scan that finds it.
        pictures: reads the images.
        masks: reads the masks.
        intensities: how the numbers in the images become levels; None: the levels are in the files.
        layout: what was taken for granted about where the files lie and how they are called.
    """

    pictures: Pictures = RGB
    masks: MaskFiles = CLASS_NUMBERS
    intensities: Intensities | None = None
    layout: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        return self.pictures.channels

    @property
    def dtype(self) -> ImageType:
        return self.pictures.dtype

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.layout, *super().notes, *(() if self.intensities is None else self.intensities.notes))

    @property
    def intensity_rule(self) -> dict[str, Any] | None:
        return None if self.intensities is None else self.intensities.rule

    def find_classes(self, progress: Callable[[int], None]) -> tuple[str, ...]:
        names = super().find_classes(progress)
        if self.intensities is not None:
            self.intensities.find()
        return names

    def redivided(self, samples: tuple[Sample, ...]) -> Self:
        intensities = None if self.intensities is None else self.intensities.of_other(training_images(samples))
        return replace(self, samples=samples, intensities=intensities)

    def of_some(self, samples: tuple[Sample, ...]) -> Self:
        some = super().of_some(samples)
        if self.intensities is None:
            return some
        return replace(some, intensities=self.intensities.of_other(training_images(samples)))

    def shape(self, sample: Sample) -> tuple[int, int] | None:
        return None if sample.image is None else shape_of(sample.image, sample.part)

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        if self.blank and sample.mask is None and sample.image is not None:
            return self._background(sample.image, sample.part)
        problems: list[str] = []
        if printable(sample.id) != sample.id:
            problems.append(f"{sample.image or sample.mask}: the file name is not UTF-8; rename the file")
        if sample.image is None:
            problems.append(f"{sample.mask}: a mask without an image (no image has its name)")
        if sample.mask is None:
            problems.append(f"{sample.image}: an image without a mask (no mask has its name)")
        seen = None if sample.image is None else _try(partial(self._seen, sample.image, sample.part), problems)
        image, unmeasured = seen or (None, None)
        labels = _try(self._labels, problems)
        raw = None
        if sample.mask is not None:
            try:
                raw = self.masks.read(sample.mask, sample.part)
            except LossyMask as error:
                if labels is not None:  # else what is said of all masks says this of them too
                    problems.append(str(error))
            except InputError as error:
                problems.append(str(error))
        if sample.image is not None and image is not None and raw is not None and image.shape[:2] != raw.shape:
            problems.append(f"{sample.mask}: {_size(raw)}, but its image {sample.image.name} is {_size(image)}")
        mask = None
        if raw is not None and labels is not None:
            try:
                mask = labels.translate(raw)
            except InputError as error:
                problems.append(f"{sample.mask}: {error}")
        if image is None or mask is None or problems:
            raise InputError(printable("\n".join(problems)))
        if unmeasured is not None:
            mask[unmeasured] = IGNORE_INDEX
        return image, mask

    def classes_in(self, samples: Sequence[Sample]) -> list[frozenset[int]]:
        return [self._values(sample) for sample in samples]

    def _values(self, sample: Sample) -> frozenset[int]:
        try:
            if sample.mask is None:
                return self._translated(np.zeros((1, 1), np.uint8)) if self.blank else frozenset()
            known = self.classes.values_in(sample.mask) if isinstance(self.classes, Scan) and sample.part is None else None
            if known is not None:
                return self._translated(np.array([sorted(known)], np.int32))
            return self._translated(self.masks.read(sample.mask, sample.part))
        except InputError:
            return frozenset()

    def _source_of_levels(self) -> dict[str, Any]:
        if self.intensities is None:
            return {}
        seen = [stamp(path) for path, _ in self.intensities.training]
        return {"intensities": [self.intensities.given, self.intensities.nodata, seen]}

    def _seen(self, path: Path, part: int | None) -> tuple[Image, Unmeasured | None]:
        return (self.pictures.read(path, part), None) if self.intensities is None else self.intensities.read(path, part)

    def _background(self, path: Path, part: int | None) -> tuple[Image, Mask]:
        image, unmeasured = self._seen(path, part)
        try:
            mask = self._labels().translate(np.zeros(image.shape[:2], np.uint8))
        except InputError as error:
            raise InputError(f"{path}: no mask, so background throughout, which is the value 0: {error}") from error
        if unmeasured is not None:
            mask[unmeasured] = IGNORE_INDEX
        return image, mask

    def source(self) -> dict[str, Any]:
        parts = [stamp(path) for path in self.masks.files] if isinstance(self.masks, PartMasks) else None
        return {
            **({} if parts is None else {"parts": parts}),
            **({"blank": True} if self.blank else {}),
            "labels": self.classes.describe(),
            "readers": [repr(self.pictures), repr(self.masks)],  # dataclasses, so this is all that they depend on
            **self._source_of_levels(),
            "samples": [
                (sample.id, sample.split, sample.part, stamp(sample.image), stamp(sample.mask)) for sample in self.samples
            ],
        }


def match(
    images: Path,
    masks: Path,
    split: SplitName,
    *,
    mask_ending: str = "",
    mask_suffixes: tuple[str, ...] = _PNG,
) -> list[Sample]:
    """The images and masks of two folders matched by file name without extension, sorted by it.

    Args:
        images, masks: the folders.
        split: that of all of them.
        mask_ending: the text that the name of a mask has after that of its image.
        mask_suffixes: the formats of masks.

    Raises:
        InputError: a folder is missing or empty, two files share a name, or masks have another format.
    """
    image_files = _list(images, IMAGE_SUFFIXES, "image")
    mask_files = {name.removesuffix(mask_ending): path for name, path in _list(masks, mask_suffixes, "mask").items()}
    return [Sample(name, split, image_files.get(name), mask_files.get(name)) for name in sorted(image_files | mask_files)]


def _try(read: Callable[[], Decoded], problems: list[str]) -> Decoded | None:
    try:
        return read()
    except InputError as error:
        problems.append(str(error))
        return None


def _list(folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    """The files of `folder` by name without extension."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    pictures = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in {*IMAGE_SUFFIXES, *suffixes} and not path.name.startswith(".")
    )
    wrong = [str(path) for path in pictures if path.suffix.lower() not in suffixes]
    if wrong:
        raise problems_error("masks must be PNG files, because lossy formats change class numbers:", wrong)
    if not pictures:
        raise InputError(f"{folder}: no {what} here (looked for {', '.join(suffixes)})")
    files: dict[str, Path] = {}
    twice: list[str] = []
    for path in pictures:
        if path.stem in files:
            twice.append(f"{path} and {files[path.stem].name}")
        files[path.stem] = path
    if twice:
        raise problems_error("two files share one name, so it is not clear which belongs to the mask:", twice)
    return files


def _size(array: npt.NDArray[Any]) -> str:
    height, width = array.shape[:2]
    return f"{width} x {height} pixels"
