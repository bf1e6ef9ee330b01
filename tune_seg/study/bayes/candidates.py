"""Assignments that a search may choose next: some from all over the space, some near those that are good."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tune_seg.study.search_space.space import Space
from tune_seg.study.search_space.varied_key import Choice, Range, VariedKey

_STEP: Final = 0.15
"""The standard deviation of a step from a good value of a range, as a share of the range."""


def random_assignment(space: Space, rng: random.Random, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """An assignment drawn from the space, in which the keys of `fixed` have their values."""
    return space.walk(lambda varied, values: fixed[varied.key] if varied.key in fixed else _drawn(varied, values, rng))


def neighbour(space: Space, rng: random.Random, fixed: Mapping[str, Any], good: Mapping[str, Any]) -> dict[str, Any]:
    """An assignment that differs from `good` in a key or two, and in those that follow from them."""
    moved = rng.sample([varied.key for varied in space.varied if varied.key in good] or [""], 1)
    if rng.random() < 0.3:
        moved.append(rng.choice(space.varied).key)

    def choose(varied: VariedKey, values: Mapping[str, Any]) -> Any:
        if varied.key in fixed:
            return fixed[varied.key]
        kept = good.get(varied.key)
        if varied.key not in moved and kept is not None and varied.allows(kept, values):
            return kept
        if kept is None or isinstance(varied.domain, Choice):
            return _drawn(varied, values, rng)
        return _stepped(varied.domain, varied.ends(values), float(kept), rng)

    return space.walk(choose)


def _drawn(varied: VariedKey, values: Mapping[str, Any], rng: random.Random) -> Any:
    domain = varied.domain
    return rng.choice(domain.values) if isinstance(domain, Choice) else domain.at(rng.random(), varied.ends(values))


def _stepped(domain: Range, ends: Sequence[float], value: float, rng: random.Random) -> float:
    low, high = ends
    place = domain.place(min(max(value, low), high), (low, high)) + rng.gauss(0.0, _STEP)
    return domain.at(min(max(place, 0.0), 1.0), (low, high))
