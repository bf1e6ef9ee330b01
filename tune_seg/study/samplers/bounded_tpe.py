"""TPE whose suggestions cost the same after any number of trials.

For every parameter that it suggests, Optuna's TPE reads all finished trials. It divides them into the best (with
one objective a tenth, at most 25) and the others, models the density of either group, and takes the value with the
largest ratio of the two densities (Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"). Of the many
others, then, only the density counts, and a uniform sample of them has the same density. So beyond a bound TPE is shown
every trial that it would count among the best, and a uniform sample of all.
"""

import heapq
import math
import random
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tune_seg.study.samplers._optuna_private import StudyView, storage_of, trial_id

_BEST = 25
"""Trials that Optuna's TPE counts among the best at the most, where there is one objective."""

_Entry = tuple[Any, int, FrozenTrial]
"""What a trial is chosen by, its number, and the trial."""


class BoundedTPESampler(TPESampler):
    """Optuna's TPE, shown a sample of `bound` finished trials, the best ones, and all that run.

    Up to `bound` finished trials its suggestions are those of :class:`optuna.samplers.TPESampler`. With several
    objectives, for which TPE counts a tenth of the trials among the best, the best ones shown are the Pareto front, of
    which at most a tenth of `bound`. An instance serves one study.

    Args:
        bound: the size of the sample, with which the time of a suggestion grows. Below 250, a tenth of which are 25, TPE
            would count fewer trials among the best than it does without the bound, and the others of them among the rest.
        seed: of the suggestions and of the sample.
        options: as for :class:`optuna.samplers.TPESampler`.
    """

    def __init__(self, *, bound: int = 500, seed: int | None = None, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self._bound = bound
        self._sample_seed = seed
        self._shown: _Shown | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return super().infer_relative_search_space(self._view(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(self._view(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return super().sample_independent(self._view(study), trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._of(study).take(trial)
        super().before_trial(study, trial)

    def _of(self, study: optuna.Study) -> "_Shown":
        if self._shown is None:
            self._shown = _Shown(study, self._bound, self._sample_seed)
        return self._shown

    def _view(self, study: optuna.Study) -> StudyView:
        return StudyView(study, self._of(study).trials())


class _Shown:
    """Which trials of a study TPE is shown.

    Every finished trial is given a random number, and those with the smallest numbers are the sample: at any time a
    uniform one of all that have finished.
    """

    def __init__(self, study: optuna.Study, bound: int, seed: int | None) -> None:
        self._storage = storage_of(study)
        self._signs = [1.0 if direction is StudyDirection.MAXIMIZE else -1.0 for direction in study.directions]
        self._bound = bound
        self._rng = random.Random(seed)
        self._open: set[int] = set()
        self._sample: list[_Entry] = []  # a heap: the largest random number first, negated
        self._best: list[_Entry] = []  # a heap: the worst of the best first
        self._front: list[_Entry] = []
        for trial in study.get_trials(deepcopy=False):
            self.take(trial)

    def take(self, trial: FrozenTrial) -> bool:
        """Take note of a trial, once while it is open and once when it has finished; whether it is open."""
        if not trial.state.is_finished():
            self._open.add(trial_id(trial))
            return True
        if trial.state is not TrialState.FAIL:
            number = self._rng.random()
            _push(self._sample, (-number, trial.number, trial), self._bound)
            if len(self._signs) == 1:
                # of two equally good ones TPE takes the older
                _push(self._best, ((*_rank(trial, self._signs[0]), -trial.number), trial.number, trial), _BEST)
            elif trial.state is TrialState.COMPLETE:
                self._add_to_front(number, trial)
        return False

    def trials(self) -> list[FrozenTrial]:
        """The trials to show, by their numbers."""
        before, self._open = self._open, set()
        found = [self._storage.get_trial(number) for number in sorted(before)]
        chosen = {trial.number: trial for trial in found if self.take(trial)}
        for kept in (self._sample, self._best, self._front):
            chosen |= {number: trial for _, number, trial in kept}
        return [chosen[number] for number in sorted(chosen)]

    def _add_to_front(self, number: float, trial: FrozenTrial) -> None:
        values = self._values(trial)
        others = [(self._values(entry[2]), entry) for entry in self._front]
        if any(_dominates(other, values) for other, _ in others):
            return
        self._front = [entry for other, entry in others if not _dominates(values, other)]
        self._front.append((number, trial.number, trial))
        if len(self._front) > self._bound // 10:
            self._front.remove(max(self._front, key=lambda entry: entry[0]))

    def _values(self, trial: FrozenTrial) -> list[float]:
        return [sign * value for sign, value in zip(self._signs, trial.values or (), strict=True)]


def _rank(trial: FrozenTrial, sign: float) -> tuple[float, ...]:
    """Larger is better, in the order in which TPE fills its best trials: complete ones, then those that came farthest."""
    if trial.state is TrialState.COMPLETE:
        return 1.0, sign * trial.values[0]
    if not trial.intermediate_values:
        return 0.0, -1.0
    step, value = max(trial.intermediate_values.items())
    return 0.0, float(step), -math.inf if math.isnan(value) else sign * value


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def _push(heap: list[_Entry], entry: _Entry, size: int) -> None:
    if len(heap) < size:
        heapq.heappush(heap, entry)
    else:
        heapq.heappushpop(heap, entry)
