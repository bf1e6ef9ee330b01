"""How long a study will take yet, from what its epochs have taken so far."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tune_seg.study.record import Record, State

_MEMORY = 100
"""Epochs after which what one has taken counts half: a machine may become slower, and losses take different times."""
_ROUNDS_LEFT = 8
"""Rounds of trials that are handed to the slots one by one; those before them add the same to every slot."""


@dataclass
class _Trial:
    """What is known of a trial of this session.

    Attributes:
        epochs: that it has if it runs to its end.
        whole: whether it is never stopped early.
        repeat: whether it repeats a configuration.
        done: its epochs so far.
        computed: of these, those that were not taken over from the store.
        seconds: what these took where they were computed.
        since: when it last reported, or began.
        starts: whether a worker may have to start before its next report.
        running: whether it has yet to end.
    """

    epochs: int
    whole: bool
    repeat: bool
    done: int
    computed: int
    seconds: float
    since: float
    starts: bool
    running: bool


class RemainingTime:
    """Estimates how long a study will take yet.

    The work that is left, in epochs, times what an epoch has cost a slot, spread over the slots. A trial of the search has
    the epochs that those before it had on average, as far as it has got already; a repeat has all of its epochs. The cost of
    an epoch includes all that happens between two epochs, but not the start of a worker. An epoch that runs counts as far as
    it usually is by now, so that the estimate falls between two reports and never rises while nothing happens.

    All times are given: seconds from any origin.

    Args:
        epochs: of a trial that runs to its end.
        slots: how many trials run at once.

    Example:
        >>> estimate = RemainingTime(epochs=10, slots=2)
        >>> estimate.seconds(now=5.0, searches=4, repeats=0) is None  # before the first epoch nothing is known
        True
    """

    def __init__(self, epochs: int, slots: int) -> None:
        self._epochs = epochs
        self._slots = slots
        self._trials: dict[int, _Trial] = {}
        self._running: dict[int, _Trial] = {}
        self._begun = 0
        self._taken = self._measured = 0.0  # slot seconds, and the epochs that were computed in them
        self._earlier: float | None = None
        self._lengths: Counter[int] = Counter()  # of the trials of the search that have ended and could be stopped
        self._computed = 0  # the epochs that these have computed

    def begin(self, records: Iterable[Record]) -> None:
        """Take over the trials of earlier sessions: their pace counts until an epoch of this session is known."""
        seconds, epochs = 0.0, 0
        for record in records:
            seconds += record.seconds
            epochs += len(record.history) - record.replayed
            self._end(record)
        self._earlier = seconds / epochs if epochs else None

    def update(self, record: Record, now: float) -> None:
        """A trial of this session has begun, has reported, or has ended."""
        done, replayed, trial = len(record.history), record.replayed, self._trials.get(record.number)
        running = record.state is State.RUNNING
        if trial is None or done < trial.done or (running and not trial.running):  # a lost worker's trial begins again
            starts = self._begun < self._slots or trial is not None
            whole = record.baseline or record.repeat
            trial = _Trial(
                record.config.training.epochs, whole, record.repeat, done, done - replayed, record.seconds, now, starts, True
            )
            self._trials[record.number] = self._running[record.number] = trial
            self._begun += 1
        elif done > trial.done or not running:
            self._count(trial, done - replayed, record.seconds, now)
            trial.done, trial.starts = done, False
        if not running and trial.running:
            trial.running = False
            self._running.pop(record.number, None)
            self._end(record)

    def epochs_left(self, searches: int, repeats: int) -> float:
        """How many epochs are still to come.

        Args:
            searches: trials of the search that have not begun.
            repeats: repeats that have not begun.
        """
        running = sum(self._left(trial) for trial in list(self._running.values()))
        return running + searches * self._usual + repeats * self._epochs

    def seconds(self, now: float, searches: int, repeats: int) -> float | None:
        """How long the study will take yet; None while that is not known.

        Args:
            now: the time.
            searches: trials of the search that have not begun.
            repeats: repeats that have not begun; they begin when the search has ended.
        """
        cost = self._taken / self._measured if self._measured else self._earlier
        if cost is None:
            return None
        trials = list(self._running.values())  # another thread may add to them meanwhile
        loads = [max(0.0, self._left(trial) * cost - _passed(trial, now, cost)) for trial in trials]
        loads += [0.0] * (self._slots - len(loads))
        loads = _handed_out(loads, searches, self._usual * cost)
        if searches or not all(trial.repeat for trial in trials):
            loads = [max(loads)] * len(loads)
        return max(_handed_out(loads, repeats, self._epochs * cost))

    @property
    def _usual(self) -> float:
        """The epochs that a trial of the search computes; as long as few have ended, rather too many."""
        return (self._computed + self._epochs) / (self._lengths.total() + 1)

    def _left(self, trial: _Trial) -> float:
        """The epochs that a trial has yet to come: as those before it that got as far."""
        if trial.whole:
            return trial.epochs - trial.done
        farther = [(length, times) for length, times in list(self._lengths.items()) if length > trial.done]
        epochs = trial.epochs + sum(length * times for length, times in farther)
        return max(0.0, epochs / (1 + sum(times for _, times in farther)) - trial.done)

    def _count(self, trial: _Trial, computed: int, seconds: float, now: float) -> None:
        new, taken = computed - trial.computed, now - trial.since
        if trial.starts:
            taken = min(taken, seconds - trial.seconds)
        fade = 0.5 ** (new / _MEMORY)
        self._taken = fade * self._taken + taken
        self._measured = fade * self._measured + new
        trial.computed, trial.seconds, trial.since = computed, seconds, now

    def _end(self, record: Record) -> None:
        if not (record.baseline or record.repeat) and record.state.ended:
            self._lengths[len(record.history)] += 1
            self._computed += len(record.history) - record.replayed


def _passed(trial: _Trial, now: float, cost: float) -> float:
    """How much of the epoch that runs is over, in seconds; no more than the whole of it."""
    return 0.0 if trial.starts else min(now - trial.since, cost)


def _handed_out(loads: list[float], trials: int, seconds: float) -> list[float]:
    """When each slot is free again once so many trials of so many seconds were given to the slot that was free first."""
    rounds = max(0, trials // len(loads) - _ROUNDS_LEFT)
    loads = [load + rounds * seconds for load in loads]
    heapq.heapify(loads)
    for _ in range(trials - rounds * len(loads)):
        heapq.heapreplace(loads, loads[0] + seconds)
    return loads
