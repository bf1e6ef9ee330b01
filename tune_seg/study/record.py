"""One trial of a study, as the process that steers the study knows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tune_seg.config import ROW, TrialConfig
from tune_seg.config.keys import flatten
from tune_seg.training.result import EpochResult


class State(StrEnum):
    """How a trial is going, or how it has ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the trial is over for good; a failed one is tried again when the study is continued."""
        return self in (State.COMPLETED, State.PRUNED, State.DIVERGED)


class SummedHistory(Sequence[EpochResult]):
    """The epochs of a trial, of which these sums are known without reading them.

    Attributes:
        seconds: the time that they took to train and to evaluate.
        replayed: how many of them were taken over from the checkpoint store.
    """

    seconds: float
    replayed: int


@dataclass
class Record:
    """One trial.

    Attributes:
        number: from 0, in the order in which trials are made.
        assignment: the values of the keys that the study varies.
        config: its configuration.
        baseline: whether it is one of the study's `baselines`, which are not stopped early.
        repeat: whether it repeats a configuration with another seed or on another fold, to be sure of it. It is not stopped
            early either.
        extra: whether it is a repeat that `tune-seg confirm` has added, beyond the trials that the study counts.
        state: how it is going.
        history: the results of its epochs so far.
        error: why it failed: one line, then the traceback.
        checkpoint: the file of the weights that it ended with, where one is stored.
    """

    number: int
    assignment: Mapping[str, Any]
    config: TrialConfig
    baseline: bool = False
    state: State = State.RUNNING
    history: Sequence[EpochResult] = ()
    error: str = ""
    checkpoint: str | None = None
    repeat: bool = False
    extra: bool = False

    @property
    def name(self) -> str:
        """What it is called beside its number: its loss, after its row where the study has rows."""
        row = self.assignment.get(ROW)
        return self.config.loss_name if row is None else f"{row} ({self.config.loss_name})"

    @property
    def last(self) -> EpochResult | None:
        """The result of the newest epoch; None before the first."""
        return self.history[-1] if self.history else None

    def score(self, name: str) -> float | None:
        """The score called `name` after the newest epoch; None where it is not known."""
        return None if self.last is None else self.last.find(name)

    @property
    def reason(self) -> str:
        """Why it failed, in one line."""
        return self.error.split("\n", 1)[0]

    @property
    def params(self) -> dict[str, Any]:
        """What tells this trial from the others: its loss in full, and every key that the study varies."""
        params = {**self.config.loss_params, **self.assignment}
        moments = [key for key in self.assignment if key.startswith("schedule.") or key.endswith(".at")]
        if moments:  # which may have been rounded to whole epochs
            actual = flatten(self.config.model_dump(mode="json", include={"loss", "schedule"}))
            params |= {key: actual[key] for key in moments}
        return params

    @property
    def seconds(self) -> float:
        """The time that its epochs took to train and to evaluate."""
        return seconds_of(self.history)

    @property
    def replayed(self) -> int:
        """How many of its epochs were taken over from the checkpoint store."""
        return replayed_of(self.history)


def seconds_of(history: Sequence[EpochResult]) -> float:
    """The time that the epochs took to train and to evaluate."""
    return history.seconds if isinstance(history, SummedHistory) else sum(result.seconds.total for result in history)


def replayed_of(history: Sequence[EpochResult]) -> int:
    """How many of the epochs were taken over from the checkpoint store."""
    return history.replayed if isinstance(history, SummedHistory) else sum(result.replayed for result in history)


def rank_key(state: str, epochs: int, score: float | None) -> tuple[bool, int, float]:
    """What trials are sorted by: those that ran to their end first, best score first; then those that came farthest.

    Args:
        state: of the trial.
        epochs: how many it has done.
        score: the first objective after the last of them; None before the first.
    """
    stopped = state != State.COMPLETED
    return stopped, -epochs if stopped else 0, -sortable(score)


def sortable(score: float | None) -> float:
    """`score`, with nan and None as the smallest value."""
    return float("-inf") if score is None or score != score else score
