"""Data sets whose images and masks are files with equal names in two folders."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import Dataset, Image, ImageType, Mask, Sample, SplitName, printable, problems_error
from tune_seg.data.images.parts import PartMasks
from tune_seg.data.images.pictures import CLASS_NUMBERS, IMAGE_SUFFIXES, RGB, MaskFiles, Pictures, page_numbers, read_mask
from tune_seg.data.labels import Labels, Occurrence, found
from tune_seg.errors import InputError

Decoded = TypeVar("Decoded")

LOSSLESS_SUFFIXES = (".png", ".tif", ".tiff")
"""Suffixes of the formats that a mask may have; lossy formats change class numbers."""

_PNG = (".png",)


class Scan:
    """Finds the classes by reading every mask of a data set: each distinct value is one.

    All masks are read, even where few samples are used, so that a class has the same index whatever `data.max_train` and
    `data.max_val` are. They are read once, when the labels are first needed.

    Args:
        masks: the masks.
        ignore_label: the raw value that is no class.
        folder: where the masks lie, for messages.
        distinct: gives the distinct raw values of a mask, or says why it cannot be read; a PNG's by default.
        names: of values that are not called `class VALUE`.
    """

    def __init__(
        self,
        masks: tuple[Path, ...],
        ignore_label: int,
        folder: Path,
        *,
        distinct: Callable[[Path], set[int] | InputError] | None = None,
        names: Mapping[int, str] | None = None,
    ) -> None:
        self._masks, self._ignore_label, self._folder = masks, ignore_label, folder
        self._distinct, self._names = distinct or _distinct, names or {}
        self._labels: Labels | None = None
        self._failure: str | None = None

    @property
    def masks_to_read(self) -> int:
        """The number of masks that must be read before the labels are known."""
        return len(self._masks) if self._labels is None and self._failure is None else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken for granted to find the labels, once they are known."""
        return ()

    def labels(self, progress: Callable[[int], None] | None = None) -> Labels:
        """The meaning of the raw values.

        Raises:
            InputError: the masks hold too many or too few distinct values.
        """
        if self._labels is None and self._failure is None:
            try:
                self._labels = self._read(progress)
            except InputError as error:
                self._failure = printable(str(error))
        if self._labels is None:
            raise InputError(self._failure)
        return self._labels

    def describe(self) -> dict[str, Any]:
        """Everything that determines the labels, as a JSON value."""
        return {"masks": [stamp(mask) for mask in self._masks], "ignored": self._ignore_label}

    def _read(self, progress: Callable[[int], None] | None) -> Labels:
        values: dict[int, Occurrence] = {}
        unreadable: list[str] = []
        pool = ThreadPoolExecutor()
        try:
            answers = zip(self._masks, pool.map(self._distinct, self._masks), strict=True)
            for done, (path, answer) in enumerate(answers, start=1):
                if isinstance(answer, InputError):
                    unreadable.append(str(answer))
                else:
                    for value in answer:
                        values.setdefault(value, Occurrence(0, path)).masks += 1
                if progress is not None:
                    progress(done)
        finally:
            pool.shutdown(cancel_futures=True)
        if unreadable and len(values.keys() - {self._ignore_label}) < 2:
            raise InputError("\n".join([*unreadable, f"{self._folder}: the masks do not tell which classes there are"]))
        return found(values, self._ignore_label, self._folder, self._names)


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
        return self._labels().class_names

    @property
    def notes(self) -> tuple[str, ...]:
        return self.classes.notes if isinstance(self.classes, Scan) else ()

    @property
    def masks_to_scan(self) -> int:
        return self.classes.masks_to_read if isinstance(self.classes, Scan) else 0

    def find_classes(self, progress: Callable[[int], None]) -> tuple[str, ...]:
        return self._labels(progress).class_names

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
        layout: what was taken for granted about where the files lie and how they are called.
        blank: whether an image without a mask is background throughout.
    """

    pictures: Pictures = RGB
    masks: MaskFiles = CLASS_NUMBERS
    layout: tuple[str, ...] = ()
    blank: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.layout, *super().notes)

    @property
    def channels(self) -> int:
        return self.pictures.channels

    @property
    def dtype(self) -> ImageType:
        return self.pictures.dtype

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
        image = None if sample.image is None else _try(partial(self.pictures.read, sample.image, sample.part), problems)
        raw = None if sample.mask is None else _try(partial(self.masks.read, sample.mask, sample.part), problems)
        if sample.image is not None and image is not None and raw is not None and image.shape[:2] != raw.shape:
            problems.append(f"{sample.mask}: {_size(raw)}, but its image {sample.image.name} is {_size(image)}")
        labels = _try(self._labels, problems)
        mask = None
        if raw is not None and labels is not None:
            try:
                mask = labels.translate(raw)
            except InputError as error:
                problems.append(f"{sample.mask}: {error}")
        if image is None or mask is None or problems:
            raise InputError(printable("\n".join(problems)))
        return image, mask

    def _background(self, path: Path, part: int | None) -> tuple[Image, Mask]:
        image = self.pictures.read(path, part)
        try:
            return image, self._labels().translate(np.zeros(image.shape[:2], np.uint8))
        except InputError as error:
            raise InputError(f"{path}: no mask, so background throughout, which is the value 0: {error}") from error

    def source(self) -> dict[str, Any]:
        parts = [stamp(path) for path in self.masks.files] if isinstance(self.masks, PartMasks) else None
        return {
            **({} if parts is None else {"parts": parts}),
            **({"blank": True} if self.blank else {}),
            "labels": self.classes.describe(),
            "readers": [repr(self.pictures), repr(self.masks)],  # dataclasses, so this is all that they depend on
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


def _distinct(path: Path) -> set[int] | InputError:
    try:
        pages = (read_mask(path, page) for page in page_numbers(path))
        return {value for page in pages for value in np.flatnonzero(np.bincount(page.ravel())).tolist()}
    except InputError as error:
        return error


def _list(folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    """The files of `folder` by name without extension."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    pictures = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    wrong = [str(path) for path in pictures if path.suffix.lower() not in suffixes]
    if wrong:
        formats = "PNG or TIFF" if ".tif" in suffixes else "PNG"
        raise problems_error(f"masks must be {formats} files, because lossy formats change class numbers:", wrong)
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


def stamp(path: Path | None) -> tuple[str, int, int] | None:
    """The path, size and modification time of a file, which change when its content does; None where it is missing."""
    if path is None:
        return None
    try:
        stat = path.stat()
    except OSError:  # `load` says what is wrong with it
        return None
    return (str(path), stat.st_size, stat.st_mtime_ns)


def _size(array: npt.NDArray[Any]) -> str:
    height, width = array.shape[:2]
    return f"{width} x {height} pixels"
