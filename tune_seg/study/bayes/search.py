"""Which assignment to try next, and which of those tried is the best, where scores are noisy and many trainings run at once.

The next assignment is the one of many candidates that is expected to improve most on the best (Mockus 1975; Jones et al.
1998, "Efficient Global Optimization"). What is best is a belief too: the largest mean of those tried, not the largest
score, which is in part luck. A training that was stopped counts as what it would probably have scored: its newest score
and what whole trainings gained from there on. One of which no score is known yet counts as what is believed of it.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy.special import ndtr

from tune_seg.study.bayes.candidates import neighbour, random_assignment
from tune_seg.study.bayes.encoding import Encoding
from tune_seg.study.bayes.foresight import Foreseen, Foresight, Tried
from tune_seg.study.bayes.surrogate import Belief, Surrogate
from tune_seg.study.search_space.space import Space
from tune_seg.study.search_space.varied_key import stored

_POOL: Final = 500
"""Candidates from all over the space."""
_NEIGHBOURS: Final = 64
"""Candidates near good ones."""
_GOOD: Final = 6
"""How many are good."""
_BOUND: Final = 300
"""Trainings that are learnt from at most: the time of a suggestion grows with their number."""
_BOUND_OF_OTHERS: Final = 100
"""The newest of those that failed, and of those of which nothing is known yet, that count."""
_TUNED_AFTER: Final = 1.1
"""The scales are adapted again when there are so many times as many trainings."""
_AHEAD: Final = 0.5
"""How far ahead of the best a candidate is to come, in standard deviations of all scores: with 0 a search does not move."""
_LEAST: Final = 4
"""Trainings of which something must be known before anything is believed."""


class BayesianSearch:
    """Chooses assignments of a space, see the module.

    Args:
        space: the space.
        seed: of what is drawn.
        startup: how many trainings there are before anything but chance decides.
        cost: the share in (0, 1] of a training that is still to be computed, by its assignment; None: it is all the same.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        startup: int = 8,
        cost: Callable[[Mapping[str, Any]], float] | None = None,
    ) -> None:
        self._space = space
        self._encoding = Encoding(space)
        self._surrogate = Surrogate(self._encoding.of_choices)
        self._startup = startup
        self._cost = cost
        self._rng = random.Random(seed)
        self._pools: dict[str, tuple[list[dict[str, Any]], np.ndarray]] = {}
        self._rows = np.empty((0, len(self._encoding.keys)))
        self._seen: set[str] = set()
        self._tuned = 0

    def choose(self, tried: Sequence[Tried], fixed: Mapping[str, Any]) -> dict[str, Any]:
        """The next assignment.

        Args:
            tried: all trainings so far, in their order.
            fixed: values that it must have.
        """
        places = self._learn(tried) if self._space.varied and len(tried) >= self._startup else None
        if places is None:
            return random_assignment(self._space, self._rng, fixed)
        alike = [place for place in places if all(tried[place].assignment.get(key) == value for key, value in fixed.items())]
        if alike:  # another value of a grid may be better or worse whatever is chosen here
            places = np.array(alike)
        means = self._surrogate.believe(self._rows[places]).mean
        good = [tried[places[place]].assignment for place in np.argsort(-means)[:_GOOD]]
        candidates, rows = self._candidates(good, fixed)
        gain = expected_improvement(self._surrogate.believe(rows), float(means.max()) + _AHEAD * self._surrogate.spread)
        if self._cost is not None:
            promising = np.argsort(-gain)[:32]
            for place in promising:
                gain[place] /= self._cost(candidates[place])
            gain[np.setdiff1d(np.arange(len(gain)), promising)] = -1.0
        order = np.argsort(-gain)
        fresh = (candidates[place] for place in order if _text(candidates[place]) not in self._seen)
        return next(fresh, candidates[order[0]])

    def means(self, tried: Sequence[Tried]) -> list[float]:
        """What each of the trainings would score on average over seeds, as far as that can be believed."""
        if self._learn(tried) is None:
            return [each.scores[-1] if each.scores else float("-inf") for each in tried]
        return self._surrogate.believe(self._encoded(tried)).mean.tolist()

    def _encoded(self, tried: Sequence[Tried]) -> np.ndarray:
        """The rows of trainings, which are those of before and more."""
        if new := [each.assignment for each in tried[len(self._rows) :]]:
            self._rows = np.concatenate([self._rows, self._encoding(new)])
            self._seen.update(map(_text, new))
        return self._rows[: len(tried)]

    def _learn(self, tried: Sequence[Tried]) -> np.ndarray | None:
        """Learn from the trainings.

        Returns:
            the places of those that were learnt from; None where too little is known.
        """
        foresight = Foresight(tried)
        foreseen = [None if each.failed else foresight.of(each) for each in tried]
        known = self._bounded({place: each for place, each in enumerate(foreseen) if each is not None})
        if len(known) < _LEAST:
            return None
        worst = min(each.score for each in known.values())
        # a failed one counts as no worse than the worst, or the others would hardly be told apart
        failed = [place for place, each in enumerate(tried) if each.failed][-_BOUND_OF_OTHERS:]
        known |= {place: Foreseen(worst) for place in failed}
        rows, places = self._encoded(tried), np.array(list(known))
        scores = np.array([each.score for each in known.values()])
        variances = np.array([each.variance for each in known.values()])
        tune = len(known) >= _TUNED_AFTER * self._tuned
        self._surrogate.learn(rows[places], scores, variances, tune=tune)
        if tune:
            self._tuned = len(known)
        unknown = [place for place, each in enumerate(tried) if foreseen[place] is None and not each.failed]
        unknown = unknown[-_BOUND_OF_OTHERS:]
        if unknown:  # take them to come out as is believed now, so that trainings that run at once keep apart
            believed = self._surrogate.believe(rows[unknown]).mean
            every = np.concatenate([places, unknown])
            more = np.zeros(len(unknown))
            self._surrogate.learn(
                rows[every], np.concatenate([scores, believed]), np.concatenate([variances, more]), tune=False
            )
        return places

    def _bounded(self, known: dict[int, Foreseen]) -> dict[int, Foreseen]:
        if len(known) <= _BOUND:
            return known
        best = sorted(known, key=lambda place: -known[place].score)[: _BOUND // 2]
        rest = sorted(set(known) - set(best))
        return {place: known[place] for place in sorted([*best, *random.Random(0).sample(rest, _BOUND - len(best))])}

    def _candidates(
        self, good: Sequence[Mapping[str, Any]], fixed: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Assignments to choose from, and their rows."""
        name = _text(fixed)
        if name not in self._pools:
            drawn = [random_assignment(self._space, self._rng, fixed) for _ in range(_POOL)]
            self._pools[name] = drawn, self._encoding(drawn)
        pool, rows_of_pool = self._pools[name]
        near = [neighbour(self._space, self._rng, fixed, self._rng.choice(good)) for _ in range(_NEIGHBOURS)]
        return [*pool, *near], np.concatenate([rows_of_pool, self._encoding(near)])


def expected_improvement(belief: Belief, best: float) -> np.ndarray:
    """By how much each is expected to exceed `best`, nothing where it does not, shape (N,)."""
    ahead = belief.mean - best
    z = ahead / belief.deviation
    gain: np.ndarray = ahead * ndtr(z) + belief.deviation * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return gain


def _text(assignment: Mapping[str, Any]) -> str:
    return json.dumps({key: stored(value) for key, value in assignment.items()}, sort_keys=True)
