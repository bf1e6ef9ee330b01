"""A label file of YOLO: a line `class x1 y1 x2 y2 ...` for each object, in shares of the width and the height."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tune_seg.data.splitting import text
from tune_seg.errors import InputError

_BOX = 4
_FEWEST = 6  # three points
_OUTSIDE = 0.1
"""By how much of the image an outline may lie outside of it; tools let people draw a little beyond the border."""


@dataclass
class LabelFile:
    """What a label file says.

    Attributes:
        outlines: the class number of each object, and its points, (n, 2): x and y, in shares.
        boxes: the number of objects that have a box alone.
        outside: the number of objects that are partly outside of the image.
    """

    outlines: list[tuple[int, npt.NDArray[np.float64]]] = field(default_factory=list)
    boxes: int = 0
    outside: int = 0


def read_labels(path: Path, names: Mapping[int, str]) -> LabelFile:
    """What a label file says.

    Raises:
        InputError: a line is no object; the message names the first such line.
    """
    found = LabelFile()
    for number, line in enumerate(text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            raise InputError(f"{path}: line {number} is no list of numbers: {line.strip()[:60]}") from None
        label, numbers = values[0], np.array(values[1:])
        if label not in names:
            known = f"{min(names)} to {max(names)}"
            raise InputError(f"{path}: line {number}: class {label:g}, but data.yaml names {known}; mend one of them")
        if len(numbers) == _BOX:
            found.boxes += 1
            continue
        if len(numbers) % 2 or len(numbers) < _FEWEST:
            raise InputError(
                f"{path}: line {number}: {len(numbers)} numbers after the class; an outline has x and y of three or more "
                "points"
            )
        if not (np.isfinite(numbers).all() and numbers.min() >= -_OUTSIDE and numbers.max() <= 1 + _OUTSIDE):
            worst = numbers[np.argmax(np.abs(np.nan_to_num(numbers, nan=np.inf) - 0.5))]
            raise InputError(
                f"{path}: line {number}: the coordinate {worst:g} lies outside of the image; coordinates are shares of its "
                "width and height, from 0 to 1"
            )
        found.outside += bool(numbers.min() < 0.0 or numbers.max() > 1.0)
        found.outlines.append((int(label), numbers.reshape(-1, 2)))
    return found
