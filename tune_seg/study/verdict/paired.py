"""The difference between two configurations, from repeats on the same seeds, folds and images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from tune_seg.errors import InputError
from tune_seg.study.verdict.contender import Contender, Floats, Key, Repeat, common_keys

ROUNDING: Final = 1e-9
"""Scores that differ by less are the same score."""
_LOG_SMALLEST_P: Final = -60.0
_BORROWED: Final = 4.0
"""At most so many degrees of freedom are taken from other contenders. More would give more power with three seeds; with
four, false claims stay at 5 per cent even where plain ce scatters 2.5 times as much as all others, or where the finalists
are nearly the same (scripts/bench/README.md)."""


@dataclass(frozen=True)
class Spread:
    """What the other contenders say about the scatter of a difference between repeats.

    Attributes:
        variance: of the difference of two configurations on one seed.
        df: how many degrees of freedom it is worth.
    """

    variance: float
    df: float


@dataclass(frozen=True)
class Difference:
    """How much better one configuration is than another, as a mean over their common repeats, and how sure that is.

    Attributes:
        mean: nan without common repeats.
        low, high: the interval at `level`; nan with a single repeat.
        sd: of the difference over the repeats; nan with a single one.
        n: the repeats in common.
        se_seeds: the standard error from the repeats; nan with a single one.
        se_images: the standard error from the choice of the validation images; 0 where it is unknown.
        df_seeds, df_images: their degrees of freedom.
        p_fresh: the probability that the first is better with one more seed, on the same images.
        level: of the interval, such as 0.95.
        images_known: whether any repeat had counts of the images; without, the interval is over the seeds alone.
        overlap: the part of the variance on one seed that more repeats do not remove, as training sets overlap.
    """

    mean: float
    low: float
    high: float
    sd: float
    n: int
    se_seeds: float
    se_images: float
    df_seeds: float
    df_images: float
    p_fresh: float
    level: float
    images_known: bool
    overlap: float

    def half_width(self, alpha: float, look: float = 1.0) -> float:
        """Half of the interval that misses the truth with probability `alpha`; nan with a single repeat.

        Each standard error is multiplied by its own quantile of t, and the two are added as they are independent
        (Cochran's way; that of Satterthwaite is too short where three seeds happen to agree). Of the two, only the seeds
        are drawn anew from look to look, so only their part pays for the looks.

        Args:
            alpha: the error probability.
            look: the share of it that one look may spend (:func:`tune_seg.study.verdict.looks.share_of_a_look`).
        """
        seeds = _quantile(self.df_seeds, alpha * look) * self.se_seeds if self.se_seeds else 0.0
        images = _quantile(self.df_images, alpha) * self.se_images if self.se_images else 0.0
        return math.hypot(seeds, images)

    def at(self, level: float, look: float = 1.0) -> Self:
        """The same with the interval at another level."""
        half = self.half_width(1 - level, look)
        return replace(self, low=self.mean - half, high=self.mean + half, level=level)

    def p_value(self, look: float = 1.0) -> float:
        """The smallest error probability at which the interval leaves out 0; nan with a single repeat."""
        if math.isnan(self.se_seeds):
            return math.nan
        distance = abs(self.mean)
        if distance < ROUNDING:
            return 1.0
        if self.half_width(math.exp(_LOG_SMALLEST_P), look) <= distance:
            return 0.0
        if self.half_width(1.0, look) >= distance:
            return 1.0
        return math.exp(brentq(lambda log: self.half_width(math.exp(log), look) - distance, _LOG_SMALLEST_P, 0.0, xtol=1e-9))

    def reversed(self) -> Self:
        """The same seen from the other configuration."""
        return replace(self, mean=-self.mean, low=-self.high, high=-self.low, p_fresh=1 - self.p_fresh)

    def with_more(self, repeats: int) -> Self:
        """What so many further repeats would give if mean and scatter stayed; the interval is not that."""
        n = self.n + repeats
        shrink = math.sqrt((1 / n + self.overlap) / (1 / self.n + self.overlap))
        return replace(self, n=n, se_seeds=self.se_seeds * shrink, df_seeds=self.df_seeds + repeats)


def compare(
    a: Contender,
    b: Contender,
    metric: str,
    *,
    level: float = 0.95,
    test_share: float | None = None,
    spread: Spread | None = None,
) -> Difference:
    """The mean of a's score minus b's on the repeats that they have in common.

    The variance of the mean is ``sd^2 (1/n + overlap) + v``. The first part is that of the seeds. With folds ``overlap`` is
    the test images over the training images, as training sets that overlap give scores that are not independent (Nadeau
    and Bengio 2003, doi 10.1023/A:1024068626366). ``v`` is that of the images: a bootstrap draws them with replacement,
    the same ones for both and for all repeats of a fold. This is the hierarchical bootstrap (seeds, then images) with the
    closed form in place of drawing seeds: drawing from three seeds gives intervals that are far too short.

    What the choice of the images does to one seed and not to another is in the scatter over the repeats already, and is
    taken out of ``v``; that is all of it where each repeat has a fold of its own. A bootstrap variance is too small by the
    factor (m - 1)/m for m images, which is put right. Where the counts of some repeats are missing, ``v`` is that of the
    others; where all are, the interval is over the seeds alone, and ``images_known`` is False.

    Args:
        a, b: the configurations.
        metric: a key of the repeats' scores; larger is better.
        level: of the interval.
        test_share: with folds, the share of the images that a fold validates.
        spread: what other contenders say about the scatter (:func:`spread_of_others`).

    Raises:
        InputError: repeats on several folds, and no `test_share`.

    Example:
        >>> def contender(name, scores):
        ...     return Contender(name, name, (), {(s, None): Repeat(s, None, {"recall": x}) for s, x in enumerate(scores)})
        >>> difference = compare(contender("wce", [0.75, 0.77, 0.73]), contender("ce", [0.65, 0.64, 0.66]), "recall")
        >>> f"{difference.mean:.3f} [{difference.low:.3f}, {difference.high:.3f}]"
        '0.100 [0.025, 0.175]'
    """
    keys = common_keys([a, b], metric)
    values = np.array([a.repeats[key].scores[metric] - b.repeats[key].scores[metric] for key in keys])
    drawn = {key: _minus(a.repeats[key].resampled(metric), b.repeats[key].resampled(metric)) for key in keys}
    return _measure(values, keys, _image_variance(a, drawn), level, test_share, spread)


def spread_of_others(contenders: Sequence[Contender], a: Contender, b: Contender, metric: str) -> Spread | None:
    """What the other contenders' differences from `b` say about the scatter of a - b; None where they say nothing.

    With three seeds the scatter of one pair is hardly known: its two degrees of freedom ask for 4.3 standard errors at
    95 per cent. The differences of the others from `b` on the same seeds are taken as further ones, for at most 4 degrees of
    freedom, as contenders may scatter differently. The way is that of moderated t statistics (Smyth 2004, doi
    10.2202/1544-6115.1027) with the prior's weight fixed.

    All of these have the scatter of `b` in them. Where the others and `a` go up and down together, they repeat what a - b
    says; so they count by what they scatter among themselves, as a part of what they scatter around `b`. A contender that
    has diverged says nothing about the scatter of those that have not.

    Args:
        contenders: all, `a` and `b` among them.
        a: of a pair with the reference, the finalist.
        b: of a pair with the reference, the reference.
        metric: a key of the repeats' scores.
    """
    alike = [each for each in contenders if not any(repeat.diverged for repeat in each.repeats.values())]
    others = [each for each in alike if each is not a and each is not b]
    if not others or a not in alike or b not in alike:
        return None
    keys = common_keys([a, b, *others], metric)
    n = len(keys)
    if n < 2:
        return None
    scores = np.array([[each.repeats[key].scores[metric] for key in keys] for each in (b, a, *others)])
    around = _centred(scores[1:] - scores[0])
    variances = (around**2).sum(axis=1) / (n - 1)
    if not variances.any():
        return None
    df = len(others) * (n - 1)
    among = 2 * float(((around - around.mean(axis=0)) ** 2).sum()) / df
    of_their_own = min(1.0, among / float(variances.mean()))
    return Spread(float(variances[1:].mean()), of_their_own * min(_BORROWED, df))


def _centred(rows: Floats) -> Floats:
    return np.asarray(rows - rows.mean(axis=1, keepdims=True))


def _measure(
    values: Floats,
    keys: Sequence[Key],
    of_images: tuple[float, int] | None,
    level: float,
    test_share: float | None,
    spread: Spread | None,
) -> Difference:
    """The mean of `values` (one a key), given the variance of that mean from the images, and its degrees of freedom."""
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    own = float(values.var(ddof=1)) if n > 1 else math.nan
    variance, df = own, n - 1.0
    if n > 1 and spread is not None:
        variance, df = (df * own + spread.df * spread.variance) / (df + spread.df), df + spread.df
    overlap = _overlap(keys, test_share)
    image_variance, df_images = (0.0, 0) if of_images is None else of_images
    found = Difference(
        mean=mean,
        low=math.nan,
        high=math.nan,
        sd=math.sqrt(own),
        n=n,
        se_seeds=math.sqrt(variance * (1 / n + overlap)) if n else math.nan,
        se_images=math.sqrt(image_variance),
        df_seeds=df,
        df_images=df_images,
        p_fresh=_chance(mean, math.sqrt(variance * (1 + 1 / n)), df) if n else math.nan,
        level=level,
        images_known=of_images is not None,
        overlap=overlap,
    )
    return found.at(level)


def _minus(a: Floats | None, b: Floats | None) -> Floats | None:
    return None if a is None or b is None else a - b


def _image_variance(contender: Contender, drawn: Mapping[Key, Floats | None]) -> tuple[float, int] | None:
    """The variance of the mean from the choice of the images, with its degrees of freedom; None where it is unknown.

    Args:
        contender: whose repeats tell how many images each fold has.
        drawn: for each repeat the bootstrap samples of the images; those that are None are left out.
    """
    known = {key: samples for key, samples in drawn.items() if samples is not None}
    if not known:
        return None
    errors = np.array(list(known.values()))
    errors = errors[:, np.isfinite(errors).all(axis=0)]
    if errors.shape[1] < 2:
        return None
    errors -= errors.mean(axis=1, keepdims=True)
    variance = float(errors.mean(axis=0).var(ddof=1))
    if len(errors) > 1:
        variance -= float(errors.var(axis=0, ddof=1).mean()) / len(errors)
    images = _images(contender, list(known))
    factor = float(np.mean([each / (each - 1) for each in images]))
    return max(0.0, factor * variance), sum(images) - len(images)


def _images(contender: Contender, keys: Sequence[Key]) -> list[int]:
    """The number of images, or of groups of them, of each fold."""
    repeats: list[Repeat] = [contender.repeats[key] for key in keys]
    return list({repeat.fold: len(repeat.images) for repeat in repeats if repeat.images is not None}.values())


def _overlap(keys: Sequence[Key], test_share: float | None) -> float:
    if len({fold for _, fold in keys}) < 2:
        return 0.0
    if test_share is None:
        raise InputError("repeats on several folds need test_share, the share of the images that a fold validates")
    return test_share / (1 - test_share)


def _quantile(df: float, alpha: float) -> float:
    """What the absolute value of Student's t exceeds with probability `alpha`."""
    return float(-stdtrit(df, alpha / 2))


def _chance(mean: float, sd: float, df: float) -> float:
    """The probability of a value above 0."""
    if math.isnan(sd):
        return math.nan
    if sd < ROUNDING:
        return 0.5 if abs(mean) < ROUNDING else float(mean > 0)
    return float(stdtr(df, mean / sd))
