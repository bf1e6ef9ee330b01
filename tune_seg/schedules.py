"""How the weight of a loss moves as the training goes on: keyframes, and a way to travel from each to the next.

A scheduled loss of Taubert is ``(1 - w(i)) * start loss + w(i) * end loss`` at iteration i; :func:`build_schedule` gives w.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from tune_seg.errors import InputError

DEFAULT_FRACTIONS: Mapping[str, tuple[float, float]] = MappingProxyType({"naive": (0.3, 0.9), "alternating": (0.5, 0.9)})
"""Start and end of each schedule as fractions of all iterations (Taubert, section 5)."""

Move = Literal["hold", "linear", "cosine", "oscillating"]
"""How a weight travels from a keyframe to the next; :class:`WeightCurve` gives the formulas."""


_SHARES: Mapping[Move, Callable[[float, float, int], float]] = MappingProxyType(
    {
        "hold": lambda passed, length, cycles: 0.0,
        "linear": lambda passed, length, cycles: passed / length,
        "cosine": lambda passed, length, cycles: 1.0 - math.cos(math.pi / 2 * passed / length),
        "oscillating": lambda passed, length, cycles: (1.0 - math.cos(math.pi * (2 * cycles - 1) * passed / length)) / 2.0,
    }
)
"""The share of the way to the next weight, given how far the next keyframe is and how much of that is passed."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """The weight at one moment, and how it travels to the next keyframe.

    Attributes:
        at: The moment, in iterations or as a fraction of them, as long as all keyframes of a curve agree.
        weight: The weight at that moment, finite and at least 0.
        move: How the weight travels to that of the next keyframe.
        cycles: How often an oscillating weight swings to the next keyframe's weight, at least once.
    """

    at: float
    weight: float
    move: Move = "linear"
    cycles: int = 1


@dataclass(frozen=True, slots=True)
class WeightCurve:
    """The weight at any moment. It holds before the first keyframe and after the last.

    From a keyframe with weight a to the next with weight b, at the share t of the way:

    - ``hold``: a, then it jumps to b;
    - ``linear``: a + (b - a) t;
    - ``cosine``: a + (b - a) (1 - cos(pi/2 t)), the quarter cosine of Taubert eq. (6);
    - ``oscillating``: a + (b - a) (1 - cos(pi (2 cycles - 1) t)) / 2.

    Attributes:
        keyframes: At least one, each later than the one before.

    Raises:
        InputError: A keyframe is not possible, or not later than the one before; the message names it.

    Example:
        >>> weight = WeightCurve((Keyframe(0, 1.0, "hold"), Keyframe(10, 0.0, "linear"), Keyframe(20, 0.5)))
        >>> [weight(i) for i in (0, 9, 10, 15, 20, 30)]
        [1.0, 1.0, 0.0, 0.25, 0.5, 0.5]
    """

    keyframes: tuple[Keyframe, ...]

    def __post_init__(self) -> None:
        if not self.keyframes:
            raise InputError("give at least one keyframe")
        for index, keyframe in enumerate(self.keyframes):
            _check(keyframe, f"keyframes.{index}")
            before = self.keyframes[index - 1] if index else None
            if before is not None and keyframe.at <= before.at:
                raise InputError(
                    f"keyframes.{index}.at = {keyframe.at!r} does not lie after keyframes.{index - 1}.at = {before.at!r}"
                )

    def __call__(self, position: float) -> float:
        """The weight at `position`, in the unit of the keyframes' `at`."""
        here, there = self._around(position)
        if here is None or there is None:
            return self.keyframes[0 if here is None else -1].weight
        return here.weight + (there.weight - here.weight) * _SHARES[here.move](
            position - here.at, there.at - here.at, here.cycles
        )

    def over(self, first: int, last: int) -> list[float]:
        """The weights at the positions `first`, `first` + 1, ..., `last`, as :meth:`__call__` gives them."""
        values: list[float] = []
        while (position := first + len(values)) <= last:
            here, there = self._around(position)
            stop = last + 1 if there is None else min(last + 1, math.ceil(there.at))
            if here is None or there is None or here.weight == there.weight:
                values += [self(position)] * (stop - position)
            else:
                share, change = _SHARES[here.move], there.weight - here.weight
                at, length, cycles = here.at, there.at - here.at, here.cycles
                values += [here.weight + change * share(i - at, length, cycles) for i in range(position, stop)]
        return values

    def silent(self, position: float) -> bool:
        """Whether the weight is 0 all the way between the two keyframes around `position`, or on its side of them all."""
        here, there = self._around(position)
        if here is None or there is None:
            return self(position) == 0.0
        return here.weight == 0.0 and (there.weight == 0.0 or here.move == "hold")

    def _around(self, position: float) -> tuple[Keyframe | None, Keyframe | None]:
        following = bisect_right(self.keyframes, position, key=lambda keyframe: keyframe.at)
        here = self.keyframes[following - 1] if following else None
        return here, self.keyframes[following] if following < len(self.keyframes) else None


@dataclass(frozen=True, slots=True)
class Complement:
    """1 minus another curve, so that two weights sum to 1 to the last bit."""

    curve: WeightCurve

    def __call__(self, position: float) -> float:
        return 1.0 - self.curve(position)

    def over(self, first: int, last: int) -> list[float]:
        """As :meth:`WeightCurve.over`."""
        return [1.0 - value for value in self.curve.over(first, last)]


def schedule_keyframes(kind: str, start: float, end: float) -> tuple[Keyframe, ...]:
    """The weight of the end loss as keyframes; arguments and errors are those of :func:`build_schedule`."""
    if kind == "static":
        return (Keyframe(0.0, 1.0),)
    if kind not in DEFAULT_FRACTIONS:
        raise InputError(f"unknown schedule kind {kind!r}; the kinds: static, {', '.join(DEFAULT_FRACTIONS)}")
    for key, value in (("start", start), ("end", end)):
        if not _finite(value) or value < 0:
            raise InputError(
                f"schedule {kind!r}: {key} = {value!r} is not possible; allowed: a finite number of iterations >= 0"
            )
    if kind == "alternating" and start <= 0:
        raise InputError(f"schedule {kind!r}: start = {start!r} is not possible; allowed: a number of iterations > 0")
    if start >= end:
        raise InputError(f"schedule {kind!r}: start = {start!r} is not below end = {end!r}; give start < end")
    if kind == "naive":
        return (Keyframe(start, 0.0, "linear"), Keyframe(end, 1.0))
    return (Keyframe(0.0, 1.0, "linear"), Keyframe(start, 0.0, "cosine"), Keyframe(end, 1.0))


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
    return WeightCurve(schedule_keyframes(kind, start, end))


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """The number of training steps in an epoch: as many as there are whole batches, and at least one.

    Args:
        samples: the number of training samples.
        batch_size: the number of samples in a batch.

    Example:
        >>> steps_per_epoch(25, 12), steps_per_epoch(5, 12)
        (2, 1)
    """
    return max(1, samples // batch_size)


def _check(keyframe: Keyframe, name: str) -> None:
    if not _finite(keyframe.at):
        raise InputError(f"{name}.at = {keyframe.at!r} is not possible; allowed: a finite number")
    if not _finite(keyframe.weight) or keyframe.weight < 0:
        raise InputError(f"{name}.weight = {keyframe.weight!r} is not possible; allowed: a finite number >= 0")
    if keyframe.move not in get_args(Move):
        raise InputError(f"{name}.move = {keyframe.move!r} is not possible; allowed: {', '.join(get_args(Move))}")
    if isinstance(keyframe.cycles, bool) or not isinstance(keyframe.cycles, int) or keyframe.cycles < 1:
        raise InputError(f"{name}.cycles = {keyframe.cycles!r} is not possible; allowed: a whole number >= 1")


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
