"""Every trial of a study, as the study directory keeps them.

One append-only file (Optuna's journal) is the truth about a study: which trials there are, with which values, how each
epoch went, and how each ended. The results table and MLflow are views of it. A trial that was running when the process
ended is simply still open in the journal; it is handed out again before any new one.
"""

import json
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from tune_seg.config import StudyConfig, TrialConfig
from tune_seg.samplers import build_sampler, planned_points
from tune_seg.space import Space


class State(StrEnum):
    """How a trial stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the trial is over for good; a failed one is tried again when the study is continued."""
        return self in (State.COMPLETED, State.PRUNED, State.DIVERGED)


_OPTUNA_STATES = {
    State.COMPLETED: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.DIVERGED: TrialState.FAIL,
}

_STUDY = "tune_seg"
"""The study's name in its own journal: a directory that is renamed keeps its study."""

_HOPELESS = 3
"""So many trials may fail before any has finished an epoch."""


@dataclass
class Record:
    """One trial: its number, the values of its varied keys, its configuration, and the result of each epoch."""

    number: int
    assignment: Mapping[str, Any]
    config: TrialConfig
    baseline: bool = False
    state: State = State.RUNNING
    history: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""

    @property
    def last(self) -> Mapping[str, Any]:
        """The result of the newest epoch; empty before the first."""
        return self.history[-1] if self.history else {}

    def best(self, objective: str) -> Mapping[str, Any]:
        """The result of the epoch with the largest `objective`; empty before the first."""
        return max(self.history, key=lambda result: sortable(result[objective]), default={})

    @property
    def reason(self) -> str:
        """Why it failed, in one line."""
        return self.error.split("\n", 1)[0]

    @property
    def params(self) -> dict[str, Any]:
        """What tells this trial from the others: its loss in full, and every key that the study varies."""
        return {**self.config.loss_params, **self.assignment}

    @property
    def seconds(self) -> float:
        """The time that its epochs took to train and to evaluate."""
        return sum(float(result["train_seconds"] + result["eval_seconds"]) for result in self.history)


def sortable(score: float) -> float:
    """`score`, with nan as the smallest value."""
    return score if score == score else float("-inf")


class Records:
    """The trials of one study directory, handed out by :meth:`ask` and closed by :meth:`close`.

    Args:
        directory: the study directory; its `trials.journal` is made where it is missing.
        config: the study.
        space: its search space.
    """

    def __init__(self, directory: Path, config: StudyConfig, space: Space) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.config = config
        self._space = space
        journal = directory / "trials.journal"
        _drop_torn_line(journal)
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name=_STUDY,
            directions=["maximize"] * len(config.objectives),
            load_if_exists=True,
        )
        if "id" not in self._study.user_attrs:
            self._study.set_user_attr("id", uuid.uuid4().hex)
        existing = self._study.get_trials(deepcopy=False)
        # a fresh seed a session: a continued random search must not draw the same values again
        self._study.sampler = build_sampler(config.search, session=len(existing))
        self._points = planned_points(config, space)
        self._once = config.search.sampler == "grid"  # each point once, instead of again and again
        self.observers: list[Callable[[Record], None]] = []
        self.trials: dict[int, Record] = {}
        self._handles: dict[int, optuna.trial.Trial] = {}
        self._open: list[Record] = []
        for trial in existing:
            self._load(trial)

    @property
    def study_id(self) -> str:
        """An identifier of this study that no other has, for views of it kept elsewhere."""
        return str(self._study.user_attrs["id"])

    @property
    def target(self) -> int:
        """How many trials the study has when it is finished."""
        wanted = self.config.search.trials
        if not self._once:
            return wanted
        baselines = max(0, len(self.config.baselines) - len(self.trials))
        return min(wanted, len(self.trials) + baselines + len(self._left()))

    def ask(self) -> Record | None:
        """The next trial to run: one that an earlier session left open, else a new one; None when all are handed out.

        Also None once several trials have failed and none has finished an epoch: what ails them ails all the others.
        """
        failed = sum(record.state is State.FAILED for record in self.trials.values())
        if failed >= _HOPELESS and not any(record.history for record in self.trials.values()):
            return None
        if self._open:
            record = self._open.pop(0)
        elif len(self.trials) < self.target:
            record = self._new()
        else:
            return None
        self._notify(record)
        return record

    def report(self, number: int, result: Mapping[str, Any]) -> Record:
        """Add the result of an epoch; a trial that began again after a failure replaces what it had."""
        record = self.trials[number]
        record.state = State.RUNNING
        record.history = [*record.history[: int(result["epoch"]) - 1], dict(result)]
        self._notify(record)
        return record

    def close(self, number: int, state: State, error: str = "") -> Record:
        """End a trial. A failed one stays open in the journal, so that continuing the study runs it again."""
        record = self.trials[number]
        record.state, record.error = state, error
        trial = self._handles[number]
        trial.set_user_attr("outcome", {"state": state.value, "history": record.history, "error": error})
        if state.ended:
            if len(self.config.objectives) == 1:
                told = self._study.get_trials(deepcopy=False)[number].intermediate_values
                for result in record.history:
                    if result["epoch"] not in told:  # by a process that ended before it had told all
                        trial.report(self._scores(result)[0], step=int(result["epoch"]))
            values = self._scores(record.last) if state is State.COMPLETED else None
            self._study.tell(number, values, state=_OPTUNA_STATES[state])
        self._notify(record)
        return record

    def _scores(self, result: Mapping[str, Any]) -> list[float]:
        # Optuna refuses nan. Of a trial that has not diverged only f1 can be undefined (a class is never predicted), and 0
        # is the least that it can be.
        scores = (float(result[name]) for name in self.config.objectives)
        return [0.0 if math.isnan(score) else score for score in scores]

    def _new(self) -> Record:
        number = len(self.trials)
        fixed = self._fixed(number)
        if fixed and len(self._study.get_trials(deepcopy=False)) == number:
            self._study.enqueue_trial(self._space.stored(fixed))
        return self._adopt(self._study.ask())

    def _fixed(self, number: int) -> Mapping[str, Any]:
        """What is not left to the sampler: a baseline first, then the points of the grid in turn."""
        baselines = self.config.baselines
        if number < len(baselines):
            return baselines[number]
        if self._once:
            return self._left()[0]
        return self._points[(number - len(baselines)) % len(self._points)]

    def _left(self) -> list[dict[str, Any]]:
        """The points of the grid that neither a trial nor a baseline to come has."""
        taken = {_key(record.assignment) for record in self.trials.values()}
        taken |= {_key(baseline) for baseline in self.config.baselines}
        return [point for point in self._points if _key(point) not in taken]

    def _adopt(self, trial: optuna.trial.Trial) -> Record:
        assignment = self._space.sample(trial)
        record = Record(trial.number, assignment, self.config.trial(assignment), trial.number < len(self.config.baselines))
        trial.set_user_attr("assignment", assignment)
        self.trials[trial.number] = record
        self._handles[trial.number] = trial
        return record

    def _load(self, frozen: FrozenTrial) -> None:
        """Take over a trial of an earlier session; a waiting one was never handed out, and the next ask returns it."""
        if frozen.state is TrialState.WAITING:
            return
        if "assignment" in frozen.user_attrs:
            assignment = frozen.user_attrs["assignment"]
            outcome = frozen.user_attrs.get("outcome", {"state": State.RUNNING, "history": [], "error": ""})
            self.trials[frozen.number] = record = Record(
                frozen.number,
                assignment,
                self.config.trial(assignment),
                frozen.number < len(self.config.baselines),
                State(outcome["state"]),
                outcome["history"],
                outcome["error"],
            )
            self._handles[frozen.number] = optuna.trial.Trial(self._study, frozen._trial_id)
        else:  # the process ended between Optuna's ask and the first suggestion
            record = self._adopt(optuna.trial.Trial(self._study, frozen._trial_id))
        if not frozen.state.is_finished():
            self._finish_or_reopen(record)

    def _finish_or_reopen(self, record: Record) -> None:
        if record.state.ended:  # the process ended after the outcome was written and before Optuna was told
            self.close(record.number, record.state)
        else:
            record.history, record.state, record.error = [], State.RUNNING, ""
            self._open.append(record)

    def _notify(self, record: Record) -> None:
        for observer in self.observers:
            observer(record)


def _key(assignment: Mapping[str, Any]) -> str:
    return json.dumps(assignment, sort_keys=True)


def _drop_torn_line(journal: Path) -> None:
    """Cut off what a full disk or a power loss left of a line: Optuna would refuse the whole file for it."""
    if not journal.exists():
        return
    with open(journal, "rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
