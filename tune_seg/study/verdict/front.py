"""How sure it is that a configuration is on the front of a study with several objectives."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tune_seg.study.verdict.contender import RESAMPLES, Contender, Floats, common_keys

_SEED: Final = 0


def front_probabilities(contenders: Sequence[Contender], metrics: Sequence[str]) -> dict[str, float]:
    """The probability that no other contender is at least as good in all metrics and better in one, by id.

    Seeds are given random weights (the Bayesian bootstrap of Rubin 1981, doi 10.1214/aos/1176345338, widened to the variance
    of a mean), the same weights in every contender that has the seed; images are drawn with replacement, the same ones for
    all. A contender with a single repeat varies with the images alone, so its probability is too sure.

    Args:
        contenders: the configurations; one that lacks a metric is on no front.
        metrics: the objectives; larger is better.

    Example:
        >>> from tune_seg.study.verdict import Repeat
        >>> def contender(name, *scores):
        ...     return Contender(name, name, (), {(0, None): Repeat(0, None, dict(zip(("recall", "accuracy"), scores)))})
        >>> front_probabilities([contender("ce", 0.6, 0.9), contender("wce", 0.8, 0.8)], ["recall", "accuracy"])
        {'ce': 1.0, 'wce': 1.0}
    """
    generator = np.random.default_rng(_SEED)
    keys = sorted({key for each in contenders for key in each.repeats}, key=str)
    weights = dict(zip(keys, generator.exponential(size=(len(keys), RESAMPLES)), strict=True))
    scores = np.array([[_draws(each, metric, weights) for metric in metrics] for each in contenders])
    return {each.id: float(share) for each, share in zip(contenders, _on_front(scores).mean(axis=1), strict=True)}


def _draws(contender: Contender, metric: str, weights: dict[tuple[int, int | None], Floats]) -> Floats:
    """The contender's mean score in each draw: float64 (RESAMPLES,); nan where it has none."""
    keys = common_keys([contender], metric)
    if not keys:
        return np.full(RESAMPLES, math.nan)
    scores = np.array([contender.repeats[key].scores[metric] for key in keys])
    drawn = np.array([weights[key] for key in keys])
    mean, n = scores.mean(), len(keys)
    moved = (scores - mean) @ drawn / drawn.sum(axis=0)
    if n > 1:
        moved *= math.sqrt((n + 1) / (n - 1))
    images = [samples for samples in (contender.repeats[key].resampled(metric) for key in keys) if samples is not None]
    if images:
        errors = np.mean(images, axis=0)
        moved += np.nan_to_num(errors - np.nanmean(errors))
    return np.asarray(mean + moved)


def _on_front(scores: Floats) -> npt.NDArray[np.bool_]:
    """Whether each contender is on the front in each draw (contenders, draws), of scores (contenders, metrics, draws)."""
    one, other = scores[:, None], scores[None]
    with np.errstate(invalid="ignore"):
        no_worse, better = np.all(other >= one, axis=2), np.any(other > one, axis=2)
    return ~np.any(no_worse & better, axis=1) & np.all(np.isfinite(scores), axis=1)
