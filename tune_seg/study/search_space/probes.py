"""Configurations from all over a space: each must be valid, so that no trial fails for its values when the study runs."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tune_seg.config import ROW, StudyConfig, TrialConfig
from tune_seg.errors import InputError
from tune_seg.study.search_space.no_effect import check_base, check_encoder, check_rows, check_sampled, check_sections
from tune_seg.study.search_space.varied_key import Choice, Choose, VariedKey

Walk = Callable[[Choose], dict[str, Any]]
"""Makes an assignment, asking for each key that the values before it make active."""

_PROBES = 512
"""Random assignments that are tried."""

_TRIES = 64
"""Draws of the other keys, one of which must let a conditional key be sampled."""


def probe(
    config: StudyConfig, defaults: Mapping[str, Any], varied_keys: Sequence[VariedKey], walk: Walk
) -> tuple[TrialConfig, ...]:
    """Try the ends of every range, every choice, and random points between.

    Args:
        config: the study.
        defaults: the configuration of its trials with dotted keys.
        varied_keys: the keys of its space.
        walk: makes an assignment of them.

    Raises:
        InputError: a combination of values that the space allows and the configuration rejects, a value that has no effect,
            or a baseline that is not in the space.
    """
    rng = random.Random(0)
    keys = [varied.key for varied in varied_keys]
    # each value once by itself, as far as conditions let it, then values together
    assignments = [assignment for varied in varied_keys for assignment in _each_value(walk, varied, rng)]
    assignments += [walk(_chooser(rng)) for _ in range(_PROBES if varied_keys else 1)]
    assignments += [_completed(walk, keys, baseline, rng) for baseline in config.baselines]
    check_rows(defaults, config.rows, assignments)
    # first, because a component's parameter that its loss lacks is rejected below, and that message names no condition
    full = [config.in_full(assignment) for assignment in assignments]
    check_sampled(defaults, full, prefix="loss.components.")
    probes = tuple(_trial(config, assignment) for assignment in assignments)
    check_sampled(defaults, full)
    check_sections(defaults, full)
    check_base(defaults, full)
    check_encoder(full, probes)
    return probes


def _trial(config: StudyConfig, assignment: Mapping[str, Any]) -> TrialConfig:
    try:
        return config.trial(assignment)
    except InputError as error:
        raise InputError(f"rows.{assignment[ROW]}: {error}" if ROW in assignment else str(error)) from None


def _each_value(walk: Walk, varied: VariedKey, rng: random.Random) -> Iterator[dict[str, Any]]:
    """An assignment for every choice, or both ends, of `varied`; what conditions never let be sampled is left out."""
    for pick in varied.domain.values if isinstance(varied.domain, Choice) else (0, 1):
        choose = _chooser(rng, forced=varied.key, pick=pick)
        assignments = (walk(choose) for _ in range(_TRIES))
        yield next((assignment for assignment in assignments if varied.key in assignment), {})


def _completed(walk: Walk, keys: Sequence[str], baseline: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """An assignment that begins with `baseline`."""
    for key in baseline:
        if key not in keys:
            raise InputError(f"baselines: {key} does not vary; the keys of the space are {', '.join(keys)}")

    def choose(varied: VariedKey, values: Mapping[str, Any]) -> Any:
        if varied.key not in baseline:
            return _random_value(varied, values, rng)
        _check_value(varied, baseline[varied.key], values)
        return baseline[varied.key]

    chosen = walk(choose)
    if unused := [key for key in baseline if key not in chosen]:
        raise InputError(f"baselines: {unused[0]} is not sampled in {dict(baseline)}: its condition does not hold")
    return chosen


def _check_value(varied: VariedKey, value: Any, values: Mapping[str, Any]) -> None:
    if not varied.allows(value, values):
        raise InputError(f"baselines: {varied.key} cannot be {value!r} in the space: {varied.domain}")


def _chooser(rng: random.Random, forced: str | None = None, pick: Any = None) -> Choose:
    """Chooses random values; for the key `forced` the choice `pick`, or the end number `pick` of its range."""

    def choose(varied: VariedKey, values: Mapping[str, Any]) -> Any:
        if varied.key != forced:
            return _random_value(varied, values, rng)
        if isinstance(varied.domain, Choice):
            return pick
        return varied.domain.rounded(varied.ends(values)[pick])

    return choose


def _random_value(varied: VariedKey, values: Mapping[str, Any], rng: random.Random) -> Any:
    if isinstance(varied.domain, Choice):
        return rng.choice(varied.domain.values)
    low, high = varied.ends(values)
    return varied.domain.rounded(rng.choice((low, high, rng.uniform(low, high))))
