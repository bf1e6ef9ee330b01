"""What is drawn: the true class of each pixel."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.int16]
"""(H, W): the number of the class of each pixel, :data:`IGNORED` where it is none."""

IGNORED = -1
NOT_MEASURED = -2
"""Where the image has no value, whatever the mask says."""

NAMES = ("background", "crack", "spall", "rust", "moss")

_Any = TypeVar("_Any")
Hole = npt.NDArray[np.bool_]
"""(H, W): where an image has no value."""

_MARGIN = 3


def pick(rng: np.random.Generator, choices: Sequence[_Any], weights: Sequence[float] | None = None) -> _Any:
    """One of the choices."""
    shares = None if weights is None else np.array(weights) / sum(weights)
    return choices[int(rng.choice(len(choices), p=shares))]


def chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def scene(rng: np.random.Generator, shape: tuple[int, int], classes: int, ignored: str) -> Map:
    """Rectangles and discs of some of the classes on background, none of which touches the edge.

    Args:
        rng: draws them.
        shape: (H, W).
        classes: their number, with the background.
        ignored: `none`, `band` (around objects, as VOC has it) or `block`.
    """
    height, width = shape
    drawn = np.zeros(shape, np.int16)
    rows, columns = np.mgrid[:height, :width]
    for number in range(1, classes):
        for _ in range(int(rng.integers(0, 3))):
            middle = rng.integers(_MARGIN + 4, height - _MARGIN - 4), rng.integers(_MARGIN + 4, width - _MARGIN - 4)
            reach = rng.integers(2, 9, 2)
            if chance(rng, 0.5):
                there = ((rows - middle[0]) / reach[0]) ** 2 + ((columns - middle[1]) / reach[1]) ** 2 <= 1
            else:
                there = (abs(rows - middle[0]) <= reach[0]) & (abs(columns - middle[1]) <= reach[1])
            drawn[there] = number
    for edge in (np.s_[:_MARGIN], np.s_[-_MARGIN:], np.s_[:, :_MARGIN], np.s_[:, -_MARGIN:]):
        drawn[edge] = 0
    if ignored == "band":
        away = np.zeros(shape, bool)
        for axis in (0, 1):
            away |= np.roll(drawn, 1, axis) != drawn
        drawn[away] = IGNORED
    elif ignored == "block" and chance(rng, 0.6):
        top, left = int(rng.integers(0, height - 8)), int(rng.integers(0, width - 8))
        drawn[top : top + int(rng.integers(2, 8)), left : left + int(rng.integers(2, 8))] = IGNORED
    return drawn
