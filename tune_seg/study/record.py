"""One trial of a study, as the process that steers the study knows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tune_seg.config import ROW, TrialConfig
from tune_seg.config.keys import flatten
from tune_seg.study.journal import replayed_of, seconds_of
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


@dataclass
class Record:
    """One trial.

    Attributes:
        number: from 0, in the order in which trials are made.
        assignment: the values of the keys that the study varies.
        config: its configuration.
        baseline: whether it is one of the study's `baselines`, which are not stopped early.
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


def sortable(score: float) -> float:
    """`score`, with nan as the smallest value."""
    return score if score == score else float("-inf")
