"""How far a study is: what the screen, the lines in a log and the events for machines tell."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tune_seg.config import StudyConfig
from tune_seg.schedules import steps_per_epoch
from tune_seg.study.output.remaining import RemainingTime
from tune_seg.study.output.words import counted, duration
from tune_seg.study.record import Record, State, rank_key
from tune_seg.training.trajectory import TrainingData

_BEST = 8
"""Trials that have ended and are shown."""
_NAMED = 8
"""Running trials that a line names."""


class Planned(NamedTuple):
    """How many trials a study has when it is finished, as far as that is known.

    Attributes:
        search: of the search.
        repeats: that repeat the best.
        more: whether further rounds of repeats may follow these.
    """

    search: int
    repeats: int
    more: bool = False


@dataclass
class _Known:
    """What is counted of a trial: its epochs, those that were taken over from the store, whether it has ended."""

    epochs: int = 0
    replayed: int = 0
    ended: bool = False
    repeat: bool = False


class StudyProgress:
    """The sums over all trials of a study, kept so that each change costs the same however many trials there are.

    Args:
        config: the study.
        slots: how many trials run at once.
        planned: how many trials it has in all, as known when it is called.
        data: what the trials are trained on.

    Attributes:
        ended: how many trials have ended.
        done: epochs of all trials.
        steps_replayed: training steps that were taken over from the store.
        running: the trials that run, by number.
        best: the best of those that have ended.
        reported: whether a trial of this session has reported yet.
        changes: how often something has changed.
    """

    def __init__(self, config: StudyConfig, slots: int, planned: Callable[[], Planned], data: TrainingData) -> None:
        self.ended = self.done = self.replayed = self.steps_replayed = self.changes = 0
        self.running: dict[int, Record] = {}
        self.best: list[Record] = []
        self.reported = False
        self._objective = config.objectives[0]
        self._planned = planned
        self._data = data
        self._known: dict[int, _Known] = {}
        self._repeats = 0
        self._time = RemainingTime(config.training.epochs, slots)

    def begin(self, records: Iterable[Record]) -> None:
        """Take over the trials of earlier sessions; one that has not ended is counted when it begins again."""
        ended = [record for record in records if record.state.ended]
        for record in ended:
            self._count(record)
        self._time.begin(ended)

    def update(self, record: Record, now: float) -> None:
        """A trial of this session has begun, has reported, or has ended.

        Args:
            record: the trial.
            now: the time, in seconds from any origin.
        """
        self._time.update(record, now)
        self.reported = self.reported or bool(record.history) or record.state is not State.RUNNING
        self._count(record)

    def _count(self, record: Record) -> None:
        number = record.number
        if number not in self._known:
            self._known[number] = _Known(repeat=record.repeat)
            self._repeats += record.repeat
        known = self._known[number]
        if known.ended:  # it had failed and has begun again
            self.ended -= 1
            self.best = [other for other in self.best if other.number != number]
        epochs, replayed = len(record.history), record.replayed
        self.done += epochs - known.epochs
        self.replayed += replayed - known.replayed
        self.steps_replayed += (replayed - known.replayed) * self._steps(record)
        known.epochs, known.replayed, known.ended = epochs, replayed, record.state is not State.RUNNING
        if known.ended:
            self.running.pop(number, None)
            self.ended += 1
            self.best = _ranked([*self.best, record], self._objective)[:_BEST]
        else:
            self.running[number] = record
        self.changes += 1

    def _steps(self, record: Record) -> int:
        return steps_per_epoch(self._data.images(record.config.fold), record.config.training.batch_size)

    @property
    def target(self) -> int:
        """How many trials the study has when it is finished, as far as that is known."""
        planned = self._planned()
        return planned.search + planned.repeats

    @property
    def epochs(self) -> float:
        """How many epochs the study is expected to have when it is finished."""
        return self.done + self._time.epochs_left(*self._to_come)

    def remaining(self, now: float) -> float | None:
        """How many seconds the study will take yet; None while that is not known."""
        return self._time.seconds(now, *self._to_come)

    def remaining_text(self, now: float) -> str:
        """The same in words."""
        seconds = self.remaining(now)
        if seconds is None:
            return "remaining time not known yet"
        if seconds < 1.0:
            return "nearly done"
        return f"about {duration(seconds)} left{' in this round of seeds' if self._planned().more else ''}"

    def running_text(self) -> str:
        """Which trials run, with their epochs, in words."""
        running = list(self.running.values())  # another thread may add to them
        named = "; ".join(f"trial {each.number} {each.name}, {epoch_text(each)}" for each in running[:_NAMED])
        return named + (f"; and {counted(len(running) - _NAMED, 'more trial')}" if len(running) > _NAMED else "")

    @property
    def _to_come(self) -> tuple[int, int]:
        """The trials that have not begun: of the search, and repeats."""
        planned = self._planned()
        return max(0, planned.search - len(self._known) + self._repeats), max(0, planned.repeats - self._repeats)


def epoch_text(record: Record) -> str:
    """How far a trial is, in words."""
    return f"epoch {len(record.history)}/{record.config.training.epochs}" if record.history else "begins"


def _ranked(records: Iterable[Record], objective: str) -> list[Record]:
    """Completed trials first, best score first; then those that were stopped, the ones that came farthest first."""
    return sorted(records, key=lambda record: rank_key(record.state, len(record.history), record.score(objective)))
