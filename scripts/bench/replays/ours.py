"""The Bayesian search of this project with a rule that stops by what it foresees, and the same with each part taken away.

The rule is tried here first: studies stop by :mod:`tune_seg.study.early_stopping`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replays.clock import Asked
from replays.plain import space
from tune_seg.study.bayes.foresight import Foresight, Tried
from tune_seg.study.bayes.search import BayesianSearch


@dataclass(frozen=True)
class Ingredients:
    """What the search is made of.

    Attributes:
        portfolio: what is tried first.
        model: whether a model chooses, rather than chance.
        stop: how many standard deviations short of the best a training must be to be stopped; None: none is.
        believed: whether the largest belief is recommended, rather than the largest score.
        grace: epochs before anybody is stopped.
    """

    portfolio: Sequence[Mapping[str, Any]] = ()
    model: bool = True
    stop: float | None = 1.0
    believed: bool = True
    grace: int = 3
    startup: int = 8


class Ours:
    """See the module.

    Args:
        seed: of what is drawn.
        epochs: of a whole training.
        made_of: its ingredients.
    """

    def __init__(self, seed: int, epochs: int, made_of: Ingredients) -> None:
        self._made_of = made_of
        self._epochs = epochs
        startup = made_of.startup if made_of.model else 10**9
        self._search = BayesianSearch(space(), seed=seed, startup=startup)
        self._planned = list(made_of.portfolio)
        self._trainings: dict[int, _Own] = {}
        self._foresight: Foresight | None = None
        self._best = -math.inf
        self._recommended: int | None = None

    def ask(self, number: int) -> Asked | None:
        assignment = self._planned.pop(0) if self._planned else self._search.choose(self._tried, {})
        self._trainings[number] = _Own(assignment)
        return Asked(assignment)

    def report(self, number: int, epoch: int, score: float) -> bool:
        own = self._trainings[number]
        own.scores.append(score)
        if self._made_of.stop is None or epoch < self._made_of.grace or epoch == self._epochs or self._foresight is None:
            return False
        foreseen = self._foresight.of(own.tried)
        if foreseen is None:
            return False
        return foreseen.score + self._made_of.stop * math.sqrt(foreseen.variance) < self._best

    def ended(self, number: int, score: float, *, whole: bool) -> None:
        own = self._trainings[number]
        own.whole = whole
        tried = self._tried
        self._foresight = Foresight(tried)
        done = [(number, each) for number, each in self._trainings.items() if each.whole]
        if not done:
            return
        if self._made_of.believed:
            means = self._search.means(tried)
            places = {number: place for place, number in enumerate(self._trainings)}
            found = {number: means[places[number]] for number, _ in done}
        else:
            found = {number: each.scores[-1] for number, each in done}
        self._recommended = max(found, key=found.__getitem__)
        self._best = found[self._recommended]

    def recommended(self) -> int | None:
        return self._recommended

    @property
    def _tried(self) -> list[Tried]:
        return [each.tried for each in self._trainings.values()]


class _Own:
    def __init__(self, assignment: Mapping[str, Any]) -> None:
        self.assignment = assignment
        self.scores: list[float] = []
        self.whole = False

    @property
    def tried(self) -> Tried:
        return Tried(self.assignment, self.scores, self.whole)
