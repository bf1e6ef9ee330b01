"""A data set as readers give it: samples, class names, and a way to load one sample."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from tune_seg.config import Resize
from tune_seg.errors import InputError

IGNORE_INDEX = 255
"""The class index of ignored pixels, which count nowhere, in every mask inside the project."""

MAX_CLASSES = 254
"""Class indices are uint8: 255 is ignored, 254 marks an unknown raw value while a mask is translated."""

NOT_OF_FILE = MAX_CLASSES
"""Marks pixels of a mask that are counted elsewhere, or are none of the file, where the pixels of files are counted."""

_Any = TypeVar("_Any")
_Value = TypeVar("_Value", bound=np.integer[Any])

_MAX_OF_A_KIND: Final = 3
_DIFFERENT = re.compile(r"^\S+(?= is )|\S*[/\\]\S*|\S+\.\w+|\d+")

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, SplitName] = ("train", "val")
"""Those that trials see."""

TEST: Final = "test"
"""The images that are held out: no trial sees them."""

Image = npt.NDArray[np.uint8 | np.uint16]
"""(H, W, C), C at least 1: the same C and the same type throughout a data set."""

ImageType = Literal["uint8", "uint16"]

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One image with its mask.

    Attributes:
        id: its name, unique within its split.
        split: whether it trains, validates, or is held out.
        image, mask: the files it comes from; None where there is none, because the sample is generated or
            because the file is missing; :meth:`Dataset.load` says so then.
        group: the patient or the volume that it comes from; all samples of a group are in one split. Empty: the sample is a
            group by itself.
        part: the number of the slice, frame or page, from 0, where a file holds several samples.
        tile: of a tile, (row, column) of its first pixel in its image; None of a whole image.
        fold: in data that are divided into folds, the fold in which the sample validates; None: it trains in all of them.
            `split` is then that of fold 0.
        drawn_from: the subsets from which its own was drawn, so that it may as well be in another one of them; empty: its
            subset was published or listed.
    """

    id: str
    split: SplitName
    image: Path | None = None
    mask: Path | None = None
    group: str = ""
    part: int | None = None
    tile: tuple[int, int] | None = field(default=None, compare=False)
    fold: int | None = None
    drawn_from: tuple[str, ...] = field(default=(), compare=False)

    @property
    def subset(self) -> str:
        """`train`, `val`, `test`, or the number of its fold."""
        return self.split if self.fold is None else str(self.fold)

    @property
    def place(self) -> tuple[int, int, str]:
        """The order in which samples are packed: one subset after another."""
        return (-1 if self.fold is None else self.fold, (*SPLITS, TEST).index(self.split), self.id)


@dataclass(frozen=True)
class Dataset(ABC):
    """A data set as it was published: its samples, and how to load one.

    Attributes:
        samples: all of them.
        resize: how images of another shape come to the size of a pack, as `data.resize` says.
        blank: whether an image without a mask is background throughout.
        split_notes: what was taken for granted to divide them, as :attr:`notes` are of the files.
    """

    samples: tuple[Sample, ...]
    resize: Resize = field(default="stretch", kw_only=True)
    blank: bool = field(default=False, kw_only=True)
    split_notes: tuple[str, ...] = field(default=(), kw_only=True, compare=False)

    holds_lock: ClassVar[bool] = False
    """Whether :meth:`load` keeps the interpreter lock most of the time, so that only processes can share its work."""

    @property
    def channels(self) -> int:
        """C of every image.

        Raises:
            InputError: an image must be read to find out, and it cannot be read.
        """
        return 3

    @property
    def dtype(self) -> ImageType:
        """The type of every image.

        Raises:
            InputError: as :attr:`channels` does.
        """
        return "uint8"

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """The name of each class, by class index.

        Raises:
            InputError: the classes are not declared, and the masks do not show them.
        """

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken for granted about the files, a sentence each, such as which value is ignored.

        Complete once :meth:`find_classes` has returned.
        """
        return ()

    def notes_at(self, size: tuple[int, int]) -> list[str]:
        """What is done to the images to pack them at `size` (H, W), beside what `resize` does, a sentence each."""
        return []

    @property
    def intensity_rule(self) -> dict[str, Any] | None:
        """What the training images tell of how numbers become levels, as a JSON value, for other images; None: nothing."""
        return None

    @property
    def masks_to_scan(self) -> int:
        """The number of masks that must be read before it is known what their values mean."""
        return 0

    @property
    def names_known(self) -> bool:
        """Whether :attr:`class_names` reads no mask."""
        return True

    def find_classes(self, progress: Callable[[int], None]) -> tuple[str, ...]:
        """The class names; where masks must be read for them, `progress` gets the number of masks read so far.

        Raises:
            InputError: as :attr:`class_names` does.
        """
        return self.class_names

    def shape(self, sample: Sample) -> tuple[int, int] | None:
        """(H, W) of a sample's image in its file, found without decoding it; None where that is not possible."""
        return None

    @abstractmethod
    def load(self, sample: Sample) -> tuple[Image, Mask]:
        """The image, (H, W, C) of :attr:`dtype`, and the mask, uint8 (H, W) of class indices with 255 = ignored.

        Safe to call from several threads.

        Raises:
            InputError: one line for each thing that is wrong with the sample, naming the file.
        """

    def decoded_as(self, sample: Sample) -> Hashable:
        """What is decoded for a sample, once for all samples of which it is the same."""
        return sample

    def of_file(self, sample: Sample, mask: Mask) -> Mask:
        """The mask that :meth:`load` gave, with :data:`NOT_OF_FILE` for pixels that are none of the file, or another's."""
        return mask

    def classes_in(self, samples: Sequence[Sample]) -> list[frozenset[int]]:
        """The class indices in the masks of samples that come from one file; nothing for a mask that cannot be used.

        Safe to call from several threads, once :meth:`find_classes` has returned.
        """
        return [_occurring(self, sample) for sample in samples]

    def redivided(self, samples: tuple[Sample, ...]) -> Self:
        """The same samples, some on another side of the split."""
        return replace(self, samples=samples)

    def of_some(self, samples: tuple[Sample, ...]) -> Self:
        """Some of its samples, for a first look: the classes are those of their masks alone where nobody declared them."""
        return replace(self, samples=samples)

    @abstractmethod
    def source(self) -> dict[str, Any]:
        """Everything that determines the content, as a JSON value; no image is decoded for it."""


def _occurring(dataset: Dataset, sample: Sample) -> frozenset[int]:
    try:
        return values_of(dataset.load(sample)[1]) - {IGNORE_INDEX}
    except InputError:
        return frozenset()


def values_of(mask: npt.NDArray[np.uint8 | np.uint16 | np.int32]) -> frozenset[int]:
    """The distinct values of an array, without negative ones, which are ignored in every mask."""
    return frozenset(np.flatnonzero(histogram(mask)).tolist())


def histogram(mask: npt.NDArray[np.uint8 | np.uint16 | np.int32]) -> npt.NDArray[np.int64]:
    """How often each value from 0 on occurs in an array (H, W); of one of bytes, of all 256."""
    if mask.dtype == np.uint8:  # which Pillow counts in a third of the time of NumPy
        return np.array(pillow.fromarray(np.ascontiguousarray(mask)).histogram(), np.int64)
    return np.bincount(known(mask))


def known(mask: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
    """The values of a mask as one row, without negative ones."""
    return mask[mask >= 0] if mask.dtype.kind == "i" else mask.ravel()


def spread(samples: Sequence[_Any], most: int | None) -> tuple[_Any, ...]:
    """At most `most` of `samples`, spread evenly over them, because neighbouring frames of a video are alike."""
    if most is None or most >= len(samples):
        return tuple(samples)
    return tuple(samples[i * len(samples) // most] for i in range(most))


def problems_error(what: str, problems: Sequence[str]) -> InputError:
    """One error that names `problems`, a line for each or for each kind of which there are many."""
    return InputError(printable("\n".join([what, *(f"  {problem}" for problem in summarised(problems))])))


def summarised(problems: Sequence[str]) -> list[str]:
    """The problems, those of a kind of which there are more than three as one line with their number and three examples.

    A problem is `FILE: what is wrong with it`; those that differ in file names and numbers alone are of one kind.

    Example:
        >>> summarised([f"{name}.png: 4 bits too many" for name in "abcde"])
        ['a.png: 4 bits too many (5 such, also b.png, c.png)']
        >>> summarised([f"val.txt: {name} is no image" for name in "abcde"])
        ['val.txt: a is no image (5 such, also b, c)']
    """
    kinds: dict[str, list[tuple[str, str]]] = {}
    for problem in problems:
        where, _, what = problem.partition(": ")
        kinds.setdefault(_DIFFERENT.sub("", what), []).append((where, problem))
    lines: list[str] = []
    for found in kinds.values():
        (_, first), *others = found
        if len(found) <= _MAX_OF_A_KIND:
            lines += [problem for _, problem in found]
        else:
            shown = others[: _MAX_OF_A_KIND - 1]
            also = [where for where, _ in shown]
            if len({where for where, _ in found}) == 1:  # lines of one list
                words = (_DIFFERENT.search(problem.partition(": ")[2]) for _, problem in shown)
                also = [word[0] for word in words if word is not None]
            lines.append(f"{first} ({len(found)} such, also {', '.join(also)})")
    return lines


def printable(text: str) -> str:
    """`text` with the bytes of file names that are not UTF-8, which no terminal or log takes, as backslash escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
