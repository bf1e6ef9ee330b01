"""Data sets whose images and masks are files with equal names in two folders."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from tune_seg.data.dataset import Dataset, Image, Mask, Sample, SplitName, problems_error
from tune_seg.data.labels import Labels, found
from tune_seg.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

Raw = npt.NDArray[np.uint8 | np.uint16]
Decoded = TypeVar("Decoded")


@dataclass(frozen=True)
class FileDataset(Dataset):
    """Pairs of an image file and a PNG mask.

    Arguments:
        samples: the pairs; an image or a mask without its partner is a sample too, and :meth:`load` refuses it.
        declared: what the raw values mean; None: every distinct value of the masks is a class.
        ignore_label: the raw value to ignore where the classes are not declared.
        masks: the folder of the masks, for messages.
    """

    declared: Labels | None
    ignore_label: int
    masks: Path

    @cached_property
    def labels(self) -> Labels:
        """What the raw values mean; where nobody declared it, every mask is read once to find out.

        Raises:
            InputError: the masks hold too many or too few distinct values, or none can be read.
        """
        if self.declared is not None:
            return self.declared
        values: set[int] = set()
        unreadable: list[str] = []
        with ThreadPoolExecutor() as pool:
            for answer in pool.map(_distinct, [sample.mask for sample in self.samples if sample.mask is not None]):
                if isinstance(answer, InputError):
                    unreadable.append(str(answer))
                else:
                    values |= answer
        if unreadable and len(values) < 2:
            raise problems_error("the masks do not tell which classes there are:", unreadable)
        return found(values, self.ignore_label, str(self.masks))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.labels.class_names

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        if sample.image is None:
            raise InputError(f"{sample.mask}: a mask without an image (no image has its name)")
        if sample.mask is None:
            raise InputError(f"{sample.image}: an image without a mask (no PNG has its name)")
        problems: list[str] = []
        image = _try(read_image, sample.image, problems)
        raw = _try(read_mask, sample.mask, problems)
        if image is not None and raw is not None and image.shape[:2] != raw.shape:
            problems.append(f"{sample.mask}: {_size(raw)}, but its image {sample.image.name} is {_size(image)}")
        if raw is not None:
            try:
                mask = self.labels.translate(raw)
            except InputError as error:
                problems.append(f"{sample.mask}: {error}")
        if image is None or problems:
            raise InputError("\n".join(problems))
        return image, mask

    def source(self) -> dict[str, Any]:
        return {
            "labels": None if self.declared is None else self.declared.describe(),
            "ignore_label": self.ignore_label,
            "samples": [(sample.id, sample.split, _stamp(sample.image), _stamp(sample.mask)) for sample in self.samples],
        }


def match(images: Path, masks: Path, split: SplitName) -> list[Sample]:
    """The images and masks of two folders matched by file name without extension, sorted by it.

    Raises:
        InputError: a folder is missing or empty, two images share a name, or masks are not PNG.
    """
    image_files = _list(images, IMAGE_SUFFIXES, "image")
    mask_files = _list(masks, (".png",), "PNG mask")
    return [Sample(name, split, image_files.get(name), mask_files.get(name)) for name in sorted(image_files | mask_files)]


def read_image(path: Path) -> Image:
    """An image file as uint8 (H, W, 3) RGB; transparency is dropped.

    Raises:
        InputError: it cannot be decoded, or it has more than 8 bits a channel.
    """
    image = _decode(path)
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{path}: an image of more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    return np.asarray(image.convert("RGB"))


def read_mask(path: Path) -> Raw:
    """A PNG mask as its raw values, uint8 or uint16 (H, W): of a palette image the indices, not the colours.

    Raises:
        InputError: it cannot be decoded, or it holds colours.
    """
    image = _decode(path)
    if image.mode == "1":
        return np.asarray(image, np.uint8)
    if image.mode in ("L", "P"):
        return np.asarray(image)
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    raise InputError(
        f"{path}: a mask in colour (mode {image.mode}); a mask has one channel with a class number in each pixel "
        "(PNG, grey or palette): convert the colours to class numbers"
    )


def _decode(path: Path) -> pillow.Image:
    try:
        image = pillow.open(path)
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises whatever its decoder met in the damaged bytes, not only OSError
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read as an image ({reason}); is it damaged or truncated?") from error
    return image


def _try(read: Callable[[Path], Decoded], path: Path, problems: list[str]) -> Decoded | None:
    try:
        return read(path)
    except InputError as error:
        problems.append(str(error))
        return None


def _distinct(path: Path) -> set[int] | InputError:
    try:
        return set(np.flatnonzero(np.bincount(read_mask(path).ravel())).tolist())
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


def _stamp(path: Path | None) -> tuple[str, int, int] | None:
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
