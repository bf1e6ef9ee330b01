"""When a difference decides, and when it never will."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tune_seg.study.verdict.contender import Contender
from tune_seg.study.verdict.looks import FIRST, share_of_a_look
from tune_seg.study.verdict.paired import Difference, compare, spread_of_others

MOST_SEEDS: Final = 200
"""More further seeds than this are not worth naming."""
_SELECTED: Final = 0.75
"""The interval of the best of k finalists is one at the error probability alpha / k^0.75. At alpha it covers the truth in
87 to 93 per cent of studies, as the best one owes part of its lead to luck. At alpha / k, which suffices for any choice
(Benjamini and Yekutieli 2005, doi 10.1198/016214504000001907), it does in up to 98.5: the finalists share the reference and
are alike."""


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
        metric: the objective.
        margin: a smaller difference does not matter.
        alpha: the error probability.
        test_share: with folds, the share of the images that a fold validates.
    """

    contenders: Sequence[Contender]
    metric: str
    margin: float
    alpha: float
    test_share: float | None = None

    @property
    def finalists(self) -> int:
        return len(self.contenders) - 1

    @property
    def shown(self) -> float:
        """The error probability of an interval that is shown."""
        return self.alpha / self.finalists**_SELECTED

    def difference(self, a: Contender, b: Contender, metric: str | None = None) -> Difference:
        """a - b with the interval that is shown."""
        metric = metric or self.metric
        spread = spread_of_others(self.contenders, a, b, metric)
        return compare(a, b, metric, level=1 - self.shown, test_share=self.test_share, spread=spread)

    def decisive(self, difference: Difference, factor: float) -> Difference:
        """The same with the interval that decides: for one of `factor` comparisons and one of any number of looks."""
        return difference.at(1 - min(self.alpha / factor, self.shown), share_of_a_look(difference.n))

    def kind(self, decisive: Difference) -> Kind:
        """The verdict on one pair; BETTER for either direction."""
        half = decisive.half_width(1 - decisive.level, share_of_a_look(decisive.n))
        if abs(decisive.mean) > half:
            return Kind.BETTER
        return Kind.INDISTINGUISHABLE if self.within_margin(decisive) else Kind.UNDECIDED

    def within_margin(self, difference: Difference) -> bool:
        """Whether the difference is shown to be smaller than the margin (two one-sided tests), after any number of looks."""
        half = difference.half_width(self.shown, share_of_a_look(difference.n))
        return abs(difference.mean) + half <= self.margin

    def more_seeds(self, decisive: Difference) -> int | None:
        """How many further seeds decide, mean and scatter being as they are; None: more than MOST_SEEDS."""
        if math.isnan(decisive.se_seeds):
            return FIRST - decisive.n
        numbers = range(1, MOST_SEEDS + 1)
        return next((more for more in numbers if self.kind(decisive.with_more(more)) is not Kind.UNDECIDED), None)

    def limited_by_images(self, decisive: Difference) -> bool:
        """Whether no number of seeds decides, wherever in its 95 % interval of the seeds alone the mean may end up."""
        if math.isnan(decisive.se_seeds):
            return False
        doubt = 2 * decisive.se_seeds
        settled = decisive.with_more(10**9)
        farthest, nearest = abs(decisive.mean) + doubt, max(0.0, abs(decisive.mean) - doubt)
        better = farthest > settled.half_width(1 - decisive.level)
        return not better and nearest + settled.half_width(self.shown) > self.margin
