"""When a difference decides, and when it never will."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tune_seg.study.verdict.contender import Contender
from tune_seg.study.verdict.looks import FIRST, share_of_a_look
from tune_seg.study.verdict.paired import ROUNDING, Difference, compare, spread_of_others

MOST_SEEDS: Final = 200
"""More further seeds than this are not worth naming."""
_SHOWN: Final = 0.6
"""The interval that is shown has this part of the error probability. At all of it, it has the truth in 92 to 96 per cent of
simulated studies, as the pair is chosen for its large lead and a study ends when it is large; at this part in 93 to 97. The
interval that decides has it in 95 to 99.8."""
_FEWEST_CLAIMS: Final = 3
"""A single finalist is one of many that were screened on the same validation images, whose luck stays with it."""
_FEWEST_FACTOR: Final = 2 / _SHOWN
"""By so much one of several claims is adjusted at least, or the interval that decides would be shorter than that shown."""


class Kind(StrEnum):
    """What a study may end with."""

    BETTER = "better"
    INDISTINGUISHABLE = "indistinguishable"
    UNDECIDED = "not decided"


@dataclass(frozen=True)
class Rule:
    """What is asked of a difference between two of the contenders before it counts.

    Attributes:
        contenders: the finalists and the reference.
        reference: the reference's id.
        metric: the objective.
        margin: a smaller difference does not matter.
        alpha: the error probability.
        test_share: with folds, the share of the images that a fold validates.
    """

    contenders: Sequence[Contender]
    reference: str
    metric: str
    margin: float
    alpha: float
    test_share: float | None = None

    @property
    def claims(self) -> int:
        """How many things a verdict might claim: that one of the finalists is better, or that the reference is."""
        return max(len(self.contenders), _FEWEST_CLAIMS)

    @property
    def shown(self) -> float:
        """The error probability of an interval that is shown."""
        return _SHOWN * self.alpha

    def difference(self, a: Contender, b: Contender, metric: str | None = None) -> Difference:
        """a - b with the interval that is shown."""
        metric = metric or self.metric
        finalist, other = (b, a) if a.id == self.reference else (a, b)
        spread = spread_of_others(self.contenders, finalist, other, metric)
        return compare(a, b, metric, level=1 - self.shown, test_share=self.test_share, spread=spread)

    def decisive(self, difference: Difference, factor: float) -> Difference:
        """The same with the interval that decides, for one of `factor` claims and one of any number of looks.

        A claim has a direction: only one end of the interval is used, so each end may err with alpha / factor. It is never
        shorter than the one that is shown.
        """
        return difference.at(1 - 2 * self.alpha / max(factor, _FEWEST_FACTOR), share_of_a_look(difference.n))

    def adjusted(self, p: float, factor: float) -> float:
        """A one-sided p value that is below alpha where the interval that decides leaves out 0."""
        return min(1.0, p * max(factor, _FEWEST_FACTOR))

    def kind(self, decisive: Difference) -> Kind:
        """The verdict on one pair; BETTER for either direction.

        A difference that is shown to be smaller than the margin does not matter, even where it is shown to be there.
        """
        if decisive.n < FIRST:
            return Kind.UNDECIDED
        if self.within_margin(decisive):
            return Kind.INDISTINGUISHABLE
        half = decisive.half_width(1 - decisive.level, share_of_a_look(decisive.n))
        return Kind.BETTER if abs(decisive.mean) > max(half, ROUNDING) else Kind.UNDECIDED

    def within_margin(self, difference: Difference) -> bool:
        """Whether the difference is shown to be smaller than the margin, or is none but for rounding."""
        return difference.n >= FIRST and self.bound(difference) <= max(self.margin, ROUNDING)

    def bound(self, difference: Difference) -> float:
        """The smallest margin that the difference is shown to be within, after any number of looks; nan with one repeat.

        These are two one-sided tests, at the level of the interval that is shown, so that it lies within the margin as well.
        """
        return abs(difference.mean) + difference.half_width(self.shown, share_of_a_look(difference.n))

    def more_seeds(self, decisive: Difference) -> int | None:
        """How many further seeds decide, mean and scatter being as they are; None: more than MOST_SEEDS."""
        if math.isnan(decisive.se_seeds):
            return FIRST - decisive.n
        # one after the other: beyond 20 seeds each look costs more, and where folds overlap more seeds may undo a decision
        numbers = range(1, MOST_SEEDS + 1)
        return next((more for more in numbers if self.kind(decisive.with_more(more)) is not Kind.UNDECIDED), None)

    def limited(self, decisive: Difference) -> bool:
        """Whether no number of seeds decides, wherever in its 95 % interval of the seeds alone the mean may end up.

        What is left is what the choice of the images does, and with folds that the training sets overlap.
        """
        if math.isnan(decisive.se_seeds):
            return False
        doubt = 2 * decisive.se_seeds
        settled = decisive.with_more(10**9)
        farthest, nearest = abs(decisive.mean) + doubt, max(0.0, abs(decisive.mean) - doubt)
        better = farthest > settled.half_width(1 - decisive.level)
        return not better and nearest + settled.half_width(self.shown) > self.margin
