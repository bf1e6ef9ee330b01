""":class:`tune_seg.study.bayes.search.BayesianSearch` as a sampler of Optuna."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from tune_seg.study.bayes.foresight import Tried
from tune_seg.study.bayes.search import BayesianSearch
from tune_seg.study.bayes.several import scalarised
from tune_seg.study.marks import ASSIGNMENT, DUPLICATE
from tune_seg.study.samplers._optuna_private import storage_of, trial_id
from tune_seg.study.search_space.space import Space
from tune_seg.study.search_space.varied_key import Choice, VariedKey, stored

_FIXED: Final = "fixed_params"
"""Where Optuna keeps what :meth:`optuna.Study.enqueue_trial` was given."""


class BayesSampler(BaseSampler):
    """Chooses all values of a trial at once, by what is believed of the scores of the space's assignments.

    With several objectives each suggestion maximises another mixture of them (Knowles 2006, "ParEGO"). An instance serves
    one study, whose objectives are maximised.

    Args:
        space: the space that the trials are of.
        seed: of the suggestions.
    """

    def __init__(self, space: Space, *, seed: int | None = None) -> None:
        self._space = space
        self._rng = random.Random(seed)
        self._search = BayesianSearch(space, seed=self._rng.getrandbits(32))
        self._random = optuna.samplers.RandomSampler(seed=self._rng.getrandbits(32))
        self._tried: dict[int, Tried] = {}  # by the number of the trial, in their order
        self._values: dict[int, Sequence[float]] = {}
        self._open: dict[int, int] = {}  # the numbers of trials that run, with their names in the storage
        self._loaded = False

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {varied.key: _kind(varied) for varied in self._space.varied}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        fixed = self._space.from_stored(trial.system_attrs.get(_FIXED, {}))
        if fixed and self._space.is_complete(fixed):
            return {}
        chosen = self._search.choose(self._known(study, trial), fixed)
        return {key: stored(value) for key, value in chosen.items()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        # what a trial is given without being asked, such as a baseline that leaves something open
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if not self._loaded:
            self._loaded = True
            for known in study.get_trials(deepcopy=False):
                self._take(known)
        self._take(trial)

    def _take(self, trial: FrozenTrial) -> None:
        """Take note of a trial; of one that runs again when it has ended."""
        if trial.state is TrialState.WAITING:
            return
        if trial.state.is_finished():
            self._open.pop(trial.number, None)
        else:
            self._open[trial.number] = trial_id(trial)
        if DUPLICATE in trial.user_attrs:  # the one that it is the same as says all that there is to learn
            self._tried.pop(trial.number, None)
            return
        if trial.state is TrialState.COMPLETE:
            self._values[trial.number] = trial.values
        self._tried[trial.number] = Tried(
            trial.user_attrs.get(ASSIGNMENT, trial.params),
            _scores(trial),
            whole=trial.state is TrialState.COMPLETE,
            failed=trial.state is TrialState.FAIL,
        )

    def _known(self, study: optuna.Study, asking: FrozenTrial) -> list[Tried]:
        """What is known of the trials before the one that asks."""
        storage = storage_of(study)
        for number, name in list(self._open.items()):
            if number != asking.number:
                self._take(storage.get_trial(name))
        tried = {number: each for number, each in sorted(self._tried.items()) if number != asking.number}
        if len(study.directions) == 1:
            return list(tried.values())
        # one score for each, in proportions that are drawn anew each time, so that all of the front is looked for
        mixed = scalarised(np.array([*self._values.values()]).reshape(-1, len(study.directions)), self._rng)
        scores = dict(zip(self._values, mixed.tolist(), strict=True))
        return [replace(each, scores=[scores[number]] if number in scores else []) for number, each in tried.items()]


def _kind(varied: VariedKey) -> BaseDistribution:
    """What Optuna holds against the distribution that is asked for later, of which only the ends may be others."""
    domain = varied.domain
    if isinstance(domain, Choice):
        return CategoricalDistribution([stored(value) for value in domain.values])
    return IntDistribution(1, 1, log=domain.log) if domain.integer else FloatDistribution(1.0, 1.0, log=domain.log)


def _scores(trial: FrozenTrial) -> list[float]:
    """The scores after each epoch; of a trial that ran to its end the last one at least."""
    scores = [score for _, score in sorted(trial.intermediate_values.items())]
    return scores or (list(trial.values) if trial.state is TrialState.COMPLETE and len(trial.values) == 1 else [])
