"""A key of the configuration that a study varies: over what, and when."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tune_seg.errors import InputError

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Bound:
    """An end of a range: `offset`, or the value of the varied key `key` plus `offset`."""

    offset: float
    key: str | None = None

    def value(self, values: Mapping[str, Any]) -> float:
        """The bound, given the values of the keys before it."""
        return self.offset if self.key is None else float(values[self.key]) + self.offset

    def __str__(self) -> str:
        if self.key is None:
            return f"{self.offset:g}"
        return self.key if not self.offset else f"{self.key} {'+' if self.offset > 0 else '-'} {abs(self.offset):g}"


@dataclass(frozen=True)
class Range:
    """A float or an int between two bounds, both included; `log`: uniform in the logarithm."""

    low: Bound
    high: Bound
    integer: bool
    log: bool

    def rounded(self, value: float) -> float:
        """`value` as the range has it."""
        return round(value) if self.integer else value

    def place(self, value: float, ends: tuple[float, float]) -> float:
        """Where `value` lies between two ends: 0 at the first, 1 at the second."""
        low, high = ends
        if high <= low:
            return 0.0
        return math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)

    def at(self, place: float, ends: tuple[float, float]) -> float:
        """The value at a place between two ends, see :meth:`place`."""
        low, high = ends
        value = low * (high / low) ** place if self.log else low + place * (high - low)
        return self.rounded(min(max(value, low), high))

    def __str__(self) -> str:
        return f"{'int' if self.integer else 'float'} [{self.low}, {self.high}]{' log' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """One of `values`; every sampler tries the values of a `grid` equally often, instead of choosing among them."""

    values: tuple[Any, ...]
    grid: bool

    def __str__(self) -> str:
        return f"{'grid' if self.grid else 'choice'} [{', '.join(map(_plain, self.values))}]"


@dataclass(frozen=True)
class VariedKey:
    """One varied key: its domain, and the alternatives of conditions under which it is sampled (none: always)."""

    key: str
    domain: Range | Choice
    when: tuple[Mapping[str, tuple[Any, ...]], ...]

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether the key is sampled, given the value of every key that its conditions name."""
        return not self.when or any(
            all(values.get(key) in allowed for key, allowed in alternative.items()) for alternative in self.when
        )

    @property
    def bounded_by(self) -> set[str]:
        """The keys on which the ends of its range depend."""
        if not isinstance(self.domain, Range):
            return set()
        return {bound.key for bound in (self.domain.low, self.domain.high) if bound.key is not None}

    @property
    def depends_on(self) -> list[str]:
        """The keys that must have a value before this one can be sampled."""
        keys = {key for alternative in self.when for key in alternative}
        keys |= self.bounded_by
        return sorted(keys)  # the order of a set differs from process to process, and the sampler's draws with it

    def ends(self, values: Mapping[str, Any]) -> tuple[float, float]:
        """Both ends of its range, given the values of the keys before it.

        Raises:
            InputError: an end depends on a key that has no value, or the range is empty.
        """
        assert isinstance(self.domain, Range)
        bounds = self.domain.low, self.domain.high
        for bound in bounds:
            if bound.key is not None and finite_number(values.get(bound.key)) is None:
                raise InputError(
                    f"space.{self.key}: its bound {bound} has no value where {bound.key} is {values.get(bound.key)}"
                )
        low, high = (bound.value(values) for bound in bounds)
        if low > high or (self.domain.log and low <= 0):
            other = bounds[0].key or bounds[1].key
            detail = f" where {other} is {values[other]:g}" if other else ""
            raise InputError(f"space.{self.key}: the range {self.domain} is empty: [{low:g}, {high:g}]{detail}")
        return low, high

    def possible(self, values: Mapping[str, Any]) -> Sequence[Any]:
        """All that it can be, which is a finite number unless it is a float."""
        if isinstance(self.domain, Choice):
            return self.domain.values
        low, high = self.ends(values)
        return range(round(low), round(high) + 1)

    def allows(self, value: Any, values: Mapping[str, Any]) -> bool:
        """Whether it can be `value`, given the values of the keys before it."""
        if isinstance(self.domain, Choice):
            return value in self.domain.values
        low, high = self.ends(values)
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    def first(self, values: Mapping[str, Any]) -> Any:
        """One of its values, the same each time."""
        return self.domain.values[0] if isinstance(self.domain, Choice) else self.domain.rounded(self.ends(values)[0])

    def from_stored(self, value: Any) -> Any:
        """A value of the key, as Optuna stores it (:func:`stored`)."""
        if not isinstance(self.domain, Choice):
            return value
        return next((each for each in self.domain.values if stored(each) == value), value)

    def distribution(self, values: Mapping[str, Any]) -> "BaseDistribution":
        """What it is to Optuna, given the values of the keys before it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if isinstance(self.domain, Choice):
            return CategoricalDistribution([stored(value) for value in self.domain.values])
        low, high = self.ends(values)
        if self.domain.integer:
            return IntDistribution(round(low), round(high), log=self.domain.log)
        return FloatDistribution(low, high, log=self.domain.log)

    def suggest(self, trial: "optuna.trial.BaseTrial", values: Mapping[str, Any]) -> Any:
        """Let `trial` suggest a value."""
        if isinstance(self.domain, Choice):
            kept = [stored(value) for value in self.domain.values]
            return self.domain.values[kept.index(trial.suggest_categorical(self.key, kept))]
        low, high = self.ends(values)
        if self.domain.integer:
            return trial.suggest_int(self.key, round(low), round(high), log=self.domain.log)
        return trial.suggest_float(self.key, low, high, log=self.domain.log)

    def __str__(self) -> str:
        conditions = " or ".join(
            " and ".join(f"{key} in [{', '.join(map(_plain, allowed))}]" for key, allowed in alternative.items())
            for alternative in self.when
        )
        return f"{self.key}: {self.domain}" + (f" when {conditions}" if conditions else "")


Choose = Callable[[VariedKey, Mapping[str, Any]], Any]
"""Gives a varied key its value, given what is known of the keys before it."""


def stored(value: Any) -> Any:
    """`value` as Optuna stores it: it takes scalars alone, so a list or a mapping travels as text."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def finite_number(value: Any) -> float | None:
    """A finite number, also as text, as which YAML reads 1e-3; None for anything else."""
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
