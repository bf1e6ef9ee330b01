"""Masks that are kept in several files: one for each class, or one for each object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import IGNORE_INDEX
from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.images.pictures import CLASS_NUMBERS, MaskFiles, MaskPixels
from tune_seg.errors import InputError

_MAX_SHARE_HIDDEN = 0.5
_MOST = 0.5


@dataclass(frozen=True)
class PartMasks:
    """Reads the mask of an image from several files, in each of which one value beside 0 marks what is there.

    Attributes:
        parts: by the first of the files: the class number of each file, and the file.
        names: the name of each class number.
        ordered: whether a class covers those of smaller numbers; otherwise pixels of several classes are ignored.
        reader: of each file.
        ignored: the value of pixels that count nowhere; None: none.
    """

    parts: Mapping[Path, Sequence[tuple[int, Path]]]
    names: Mapping[int, str]
    ordered: bool
    reader: MaskFiles = CLASS_NUMBERS
    ignored: int | None = None

    @property
    def files(self) -> list[Path]:
        """All files."""
        return [file for each in self.parts.values() for _, file in each]

    def read(self, path: Path, part: int | None = None) -> Raw:
        """The class numbers, uint8 (H, W): 0 where none of the files has anything.

        Raises:
            InputError: a file cannot be read, has more values or another size, most of a class lies in another one and
                which is on top was not said, or two objects of one class each fill most of the image.
        """
        shape: tuple[int, ...] | None = None
        covered: dict[int, npt.NDArray[np.bool_]] = {}
        unknown: list[npt.NDArray[np.bool_]] = []
        large: dict[int, Path] = {}
        for number, file in self.parts[path]:
            there, ignored = self._object(file)
            if shape is not None and there.shape != shape:
                raise InputError(f"{file}: {there.shape[1]} x {there.shape[0]} pixels, unlike the other masks of its image")
            if there.mean() > _MOST and large.setdefault(number, file) != file:
                raise InputError(
                    f"{file}: its object fills more than half of the image, as that of {large[number].name} does, so both "
                    "seem inverted; an object is another value than 0, the rest is 0"
                )
            shape = there.shape
            covered[number] = there | covered[number] if number in covered else there
            if ignored is not None:
                unknown.append(ignored)
        assert shape is not None
        mask = np.zeros(shape, np.uint8)
        for number in sorted(covered):
            mask[covered[number]] = number
        if not self.ordered and len(covered) > 1:
            contested = np.sum([*covered.values()], axis=0) > 1
            self._reject_hidden(path, covered, contested)
            mask[contested] = IGNORE_INDEX
        for ignored in unknown:
            mask[ignored] = IGNORE_INDEX
        return mask

    def pixels(self, path: Path, part: int | None = None) -> MaskPixels:
        """One of the files as a mask of 0 and 1, and -1 where pixels count nowhere.

        Raises:
            InputError: it cannot be read or has more values.
        """
        there, ignored = self._object(path)
        values = there.astype(np.int32)
        if ignored is not None:
            values[ignored] = -1
        return MaskPixels(values)

    def _object(self, path: Path) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_] | None]:
        """Where the object of a file is, and which pixels count nowhere, if there may be some."""
        values = self.reader.read(path)
        ignored = values < 0 if self.ignored is None else (values < 0) | (values == self.ignored)
        if not ignored.any():
            ignored = None
        else:
            values = np.where(ignored, 0, values)
        present = np.unique(values)
        if len(present) > 2 or (len(present) == 2 and present[0] != 0):
            shown = ", ".join(map(str, present[:5])) + (", ..." if len(present) > 5 else "")
            raise InputError(
                f"{path}: the values {shown}; a mask of one class or of one object is 0 and one other value. One to leave "
                "out is named by data.ignore_label; if it holds class numbers, keep one mask an image"
            )
        return values != 0, ignored

    def _reject_hidden(
        self, path: Path, covered: Mapping[int, npt.NDArray[np.bool_]], contested: npt.NDArray[np.bool_]
    ) -> None:
        for number, there in covered.items():
            if there.any() and contested[there].mean() > _MAX_SHARE_HIDDEN:
                raise InputError(
                    f"{path}: {contested[there].mean():.0%} of {self.names[number]} lies in other classes; say which lies "
                    "on top with data.classes, which lists the background first, then each class after those that it covers"
                )
