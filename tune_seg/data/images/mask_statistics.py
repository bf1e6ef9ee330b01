"""What one mask shows of the meaning of its values, found in one pass over its pixels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import histogram, known
from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.images.pictures import MaskPixels, mask_pixels, page_numbers
from tune_seg.errors import InputError

WHITE = 255
"""The largest value of 8 bits: white, or what many sets mark as ignored."""

_DISTANCES = (1, 2)  # one after the other three pixels: half of the bands that VOC draws around objects
_FRAMED = 0.95
_FEW_VALUES = 3
_ENOUGH_PIXELS = 2**16
_ENOUGH_FOR_RECTANGLES = 2**14
_FILLED = 0.4


@dataclass
class MaskStatistics:
    """What is counted of a mask file.

    Attributes:
        pixels: of each value that occurs.
        negative: of negative values, and nan, which are ignored.
        solid: of each value, the pixels that are a corner of four equal ones; empty where at most three values occur.
        looked_at: of each value, the pixels that `solid` was looked for among: of a large mask some rows are enough.
        borders: the pixels of value 255 that are within three pixels of another value, where there are two other values.
        frame: the value that the outermost pixels have, where two values occur.
        compact: whether each value but 0 fills much of the rectangle around it, as a single object does.
        palette: the colour of each value that occurs, where a palette says so.
        lossy: whether the file was compressed with loss.
    """

    pixels: dict[int, int] = field(default_factory=dict)
    negative: int = 0
    solid: dict[int, int] = field(default_factory=dict)
    looked_at: dict[int, int] = field(default_factory=dict)
    borders: int = 0
    frame: int | None = None
    compact: bool = False
    palette: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    lossy: bool = False


Reader = Callable[[Path, int], MaskPixels]


def statistics(path: Path, read: Reader = mask_pixels) -> MaskStatistics | InputError:
    """Those of all pages of a mask, each as `read` gives it, or why it cannot be read."""
    try:
        found = MaskStatistics()
        for page in page_numbers(path):
            _look(found, read(path, page))
        return found
    except InputError as error:
        return error


def count(found: MaskStatistics, values: Raw) -> npt.NDArray[np.int64]:
    """Add a page or a slice: its pixels, and those of value 255 at borders. Returns how often each value occurs."""
    counts = histogram(values)
    present = np.flatnonzero(counts).tolist()
    for value in present:
        found.pixels[value] = found.pixels.get(value, 0) + int(counts[value])
    found.negative += values.size - int(counts.sum())
    if WHITE in present and len(present) > 2:
        found.borders += int(counts[WHITE]) - int(_inside(values == WHITE).sum())
    return counts


def _look(found: MaskStatistics, mask: MaskPixels) -> None:
    values = mask.values
    counts = count(found, values)
    present = np.flatnonzero(counts).tolist()
    found.lossy |= mask.lossy
    if mask.palette is not None:
        for value in present:
            red, green, blue = mask.palette[value].tolist()
            found.palette[value] = (red, green, blue)
    if len(present) == 2:
        found.frame = _frame(values)
    if len(present) > _FEW_VALUES:
        _add_solid(found, values)
        if present[-1] <= len(present):
            found.compact = _compact(values)


def _frame(values: Raw) -> int | None:
    around = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    middle = int(np.median(around))
    return middle if (around == middle).mean() >= _FRAMED else None


def _add_solid(found: MaskStatistics, values: Raw) -> None:
    step = 1 + values.size // _ENOUGH_PIXELS
    rows, below = values[:-1:step], values[1::step]
    corner = rows[:, :-1]
    other = (corner != below[:, :-1]) | (corner != rows[:, 1:]) | (corner != below[:, 1:])
    looked_at = np.bincount(known(corner))
    solid = looked_at - np.bincount(known(corner[other]), minlength=len(looked_at))  # few differ, where there are objects
    for value in np.flatnonzero(looked_at).tolist():
        found.solid[value] = found.solid.get(value, 0) + int(solid[value])
        found.looked_at[value] = found.looked_at.get(value, 0) + int(looked_at[value])


def _compact(values: Raw) -> bool:
    step = 1 + int((values.size / _ENOUGH_FOR_RECTANGLES) ** 0.5)
    some = np.maximum(values[::step, ::step], 0).astype(np.intp)  # 0, which is no object, where nothing is known
    counts = np.bincount(some.ravel())
    area = np.ones(len(counts), np.intp)
    for axis, length in enumerate(some.shape):
        of_row = some + len(counts) * np.expand_dims(np.arange(length), 1 - axis)
        there = np.bincount(of_row.ravel(), minlength=length * len(counts)).reshape(length, -1) > 0
        area *= length - there.argmax(axis=0) - there[::-1].argmax(axis=0)
    of_objects = np.flatnonzero(counts)[1 if counts[0] else 0 :]
    return bool((counts[of_objects] / area[of_objects]).mean() >= _FILLED) if len(of_objects) else False


def _inside(white: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels that have no other one within three rows and columns; what is beyond the edge counts as alike."""
    for distance in _DISTANCES:
        inner = white.copy()
        inner[distance:] &= white[:-distance]
        inner[:-distance] &= white[distance:]
        white = inner.copy()
        white[:, distance:] &= inner[:, :-distance]
        white[:, :-distance] &= inner[:, distance:]
    return white
