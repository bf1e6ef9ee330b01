"""Assignments of a space as numbers: one column a varied key."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tune_seg.study.search_space.space import Space
from tune_seg.study.search_space.varied_key import Bound, Choice, Range, finite_number, stored

INACTIVE = -1.0
"""What stands for a key that an assignment does not have."""


class Encoding:
    """Turns assignments into rows of numbers: of a choice the place of its value, of a range where in [0, 1] it lies.

    A range whose ends depend on another key counts from its smallest to its largest possible value, so that equal values are
    equal numbers.

    Args:
        space: the space.

    Attributes:
        keys: the varied keys, K of them, in the order of the columns.
        of_choices: which of the columns are choices, shape (K,).
    """

    def __init__(self, space: Space) -> None:
        self._ends: dict[str, tuple[float, float]] = {}
        self._places: dict[str, dict[Any, int]] = {}
        self._ranges: dict[str, Range] = {}
        self._space = space
        for varied in space.varied:
            if isinstance(varied.domain, Choice):
                self._places[varied.key] = {stored(value): place for place, value in enumerate(varied.domain.values)}
            else:
                self._ends[varied.key] = self._widest(varied.domain)
                self._ranges[varied.key] = varied.domain
        self.keys = tuple(varied.key for varied in space.varied)
        self.of_choices = np.array([key in self._places for key in self.keys])

    def __call__(self, assignments: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The rows of assignments, shape (N, K); :data:`INACTIVE` where one does not have the key."""
        rows = [[self._number(key, each[key]) if key in each else INACTIVE for key in self.keys] for each in assignments]
        return np.array(rows, dtype=float).reshape(len(assignments), len(self.keys))

    def _number(self, key: str, value: Any) -> float:
        if key in self._places:
            return self._places[key].get(stored(value), len(self._places[key]))  # a baseline may have a value of its own
        low, high = self._ends[key]
        # a study whose space has grown may have a value of before that is not of the range
        return self._ranges[key].place(min(max(value, low), high), (low, high))

    def _widest(self, domain: Range) -> tuple[float, float]:
        return self._outer(domain.low, 0), self._outer(domain.high, 1)

    def _outer(self, bound: Bound, end: int) -> float:
        """The farthest that a bound can be."""
        if bound.key is None:
            return bound.offset
        return (min, max)[end](self._possible(bound.key)) + bound.offset

    def _possible(self, key: str) -> Sequence[float]:
        """The numbers that a key can be: both ends of a range, which comes before those that depend on it, or all values."""
        if key in self._ends:
            return self._ends[key]
        listed = [
            varied.domain.values for varied in self._space.varied if varied.key == key and isinstance(varied.domain, Choice)
        ]
        values = (
            listed[0]
            if listed
            else [self._space.defaults.get(key), *(row.get(key) for row in self._space.config.rows.values())]
        )
        return [number for value in values if (number := finite_number(value)) is not None]
