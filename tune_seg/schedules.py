"""Schedules: how the weight moves from a start loss to an end loss as the training goes on.

At iteration i a scheduled loss is ``(1 - w(i)) * start loss + w(i) * end loss``; a schedule is the function w.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tune_seg.errors import InputError

DEFAULT_FRACTIONS: Mapping[str, tuple[float, float]] = MappingProxyType({"naive": (0.3, 0.9), "alternating": (0.5, 0.9)})
"""Start and end of each schedule as fractions of all iterations (Taubert, section 5)."""


@dataclass(frozen=True, slots=True)
class StaticSchedule:
    """The end loss alone, at every iteration."""

    def __call__(self, iteration: float) -> float:
        return 1.0


@dataclass(frozen=True, slots=True)
class NaiveSchedule:
    """The start loss alone until ``start``, then a straight line to the end loss alone from ``end`` on.

    Taubert eq. (5): w = clip((i - s) / (e - s), 0, 1).
    """

    start: float
    end: float

    def __call__(self, iteration: float) -> float:
        return min(1.0, max(0.0, (iteration - self.start) / (self.end - self.start)))


@dataclass(frozen=True, slots=True)
class AlternatingSchedule:
    """A straight line from the end loss alone to the start loss alone at ``start``, then back by ``end`` along a
    cosine.

    Taubert eq. (6): w = clip(1 - i/s, 0, 1) + 1 - cos(clip(pi (i - s) / (2 (e - s)), 0, pi/2)).
    """

    start: float
    end: float

    def __call__(self, iteration: float) -> float:
        if iteration <= self.start:
            return min(1.0, 1.0 - iteration / self.start)
        if iteration >= self.end:
            return 1.0  # 1 - cos(pi/2) is a rounding error short of it
        return 1.0 - math.cos(math.pi / 2 * (iteration - self.start) / (self.end - self.start))


def build_schedule(kind: str, start: float, end: float) -> Callable[[float], float]:
    """Build a schedule by its kind.

    Args:
        kind: ``"static"`` (the end loss alone), ``"naive"`` (Taubert eq. (5)) or ``"alternating"`` (eq. (6)).
        start: s in iterations, at least 0, for ``"alternating"`` above 0; ``"static"`` ignores it.
        end: e in iterations, above ``start``; ``"static"`` ignores it.

    Returns:
        A function, which can be pickled, from the iteration to the weight of the end loss in [0, 1].

    Raises:
        InputError: The kind is unknown, or ``start`` and ``end`` are not possible for it.

    Example:
        >>> weight = build_schedule("naive", start=300, end=900)
        >>> [weight(i) for i in (0, 300, 600, 900, 1000)]
        [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    if kind == "static":
        return StaticSchedule()
    schedules: dict[str, type[NaiveSchedule | AlternatingSchedule]] = {
        "naive": NaiveSchedule,
        "alternating": AlternatingSchedule,
    }
    if kind not in schedules:
        raise InputError(f"unknown schedule kind {kind!r}; the kinds: static, {', '.join(schedules)}")
    for key, value in (("start", start), ("end", end)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise InputError(
                f"schedule {kind!r}: {key} = {value!r} is not possible; allowed: a finite number of iterations >= 0"
            )
    if kind == "alternating" and start <= 0:
        raise InputError(f"schedule {kind!r}: start = {start!r} is not possible; allowed: a number of iterations > 0")
    if start >= end:
        raise InputError(f"schedule {kind!r}: start = {start!r} is not below end = {end!r}; give start < end")
    return schedules[kind](start, end)
