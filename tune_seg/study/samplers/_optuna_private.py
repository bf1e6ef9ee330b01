"""What this project uses of Optuna that Optuna does not document, and why. A test holds each to the installed version.

No other module uses a private name of Optuna.
"""

from collections.abc import Container, Sequence
from copy import deepcopy as copy_of

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState


def trial_id(trial: optuna.trial.Trial | FrozenTrial) -> int:
    """The number by which the storage knows a trial: one trial is read without going through all of the study."""
    return trial._trial_id


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage of a study."""
    return study._storage


def open_trial(study: optuna.Study, trial: FrozenTrial) -> optuna.trial.Trial:
    """A handle of a trial that another process left open: `study.ask` gives handles of new trials alone."""
    return optuna.trial.Trial(study, trial._trial_id)


class StudyView(optuna.Study):
    """A study that seems to have no trials but `trials`: samplers ask a study for its trials.

    Args:
        study: the study.
        trials: some of its trials.
    """

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        self.__dict__.update(study.__dict__)
        self._shown = trials

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = [trial for trial in self._shown if states is None or trial.state in states]
        return copy_of(trials) if deepcopy else trials
