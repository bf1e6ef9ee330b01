"""Optuna's TPE as the documentation of Ray Tune and of Optuna teaches it, with Ray's ASHA and without."""

from typing import Any, Final

import optuna
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from replays.clock import Asked
from replays.plain import Best, space

optuna.logging.set_verbosity(optuna.logging.ERROR)

SCORE: Final = "score"


def suggest(trial: optuna.Trial) -> None:
    """The space, defined by run."""
    space().sample(trial)


class RayOptuna(Best):
    """Ray Tune's `OptunaSearch` with a define-by-run space, as tune/examples/optuna_define_by_run_example.

    Args:
        seed: of the sampler.
        epochs: of a whole training.
        asha: with `ASHAScheduler`, as tune/examples/tune-pytorch-cifar: one epoch of grace, a half goes on.
        sampler: which of Optuna's samplers; None: the one that `OptunaSearch` takes by itself, TPE.
    """

    def __init__(self, seed: int, epochs: int, *, asha: bool, sampler: optuna.samplers.BaseSampler | None = None) -> None:
        super().__init__()
        options: dict[str, Any] = {"seed": seed} if sampler is None else {"sampler": sampler}
        self._search = OptunaSearch(suggest, metric=SCORE, mode="max", **options)
        self._asha = (
            ASHAScheduler(metric=SCORE, mode="max", max_t=epochs, grace_period=1, reduction_factor=2) if asha else None
        )
        self._trials: dict[int, _Trial] = {}

    def ask(self, number: int) -> Asked | None:
        trial = self._trials[number] = _Trial(str(number))
        config = self._search.suggest(trial.trial_id)
        if self._asha is not None:
            self._asha.on_trial_add(None, trial)
        return Asked(config)

    def report(self, number: int, epoch: int, score: float) -> bool:
        result = {SCORE: score, "training_iteration": epoch}
        trial = self._trials[number]
        trial.last_result = result
        self._search.on_trial_result(trial.trial_id, result)
        return self._asha is not None and self._asha.on_trial_result(None, trial, result) == TrialScheduler.STOP

    def ended(self, number: int, score: float, *, whole: bool) -> None:
        trial = self._trials[number]
        self._search.on_trial_complete(trial.trial_id, trial.last_result)
        if self._asha is not None:
            self._asha.on_trial_complete(None, trial, trial.last_result)
        super().ended(number, score, whole=whole)


class _Trial:
    """What a scheduler of Ray asks of a trial."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id
        self.last_result: dict[str, Any] = {}


def tpe(seed: int, **options: Any) -> optuna.samplers.TPESampler:
    """Optuna's TPE with other options than its own."""
    return optuna.samplers.TPESampler(seed=seed, **options)
