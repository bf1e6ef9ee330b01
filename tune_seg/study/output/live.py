"""What a person sees while a study runs: a live table with progress and remaining time, or a line a trial."""

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from tune_seg.config import StudyConfig
from tune_seg.study.output.words import cell
from tune_seg.study.record import Record, State, rank_key

_LIVE_BEST = 8
"""Rows of the live table for trials that have ended."""


class LiveReport:
    """A table of the running and the best trials with progress and remaining time; a line a trial without a terminal.

    Args:
        console: where to print.
        config: the study.
        target: how many trials it has in all, as known when it is called.
    """

    def __init__(self, console: Console, config: StudyConfig, target: Callable[[], int]) -> None:
        self._console = console
        self._config = config
        self._target = target
        self._running: dict[int, Record] = {}
        self._epochs: dict[int, int] = {}  # of every trial
        self._done = 0
        self._computed: dict[int, int] = {}  # the epochs of every trial that were not taken over from the store
        self._new = 0  # of these, those of this session
        self._ended = 0
        self._ended_epochs = 0
        self._best: list[Record] = []
        self._started = time.monotonic()
        self._live = Live(get_renderable=lambda: self.table, console=console, refresh_per_second=2, transient=True)

    def begin(self, records: Iterable[Record]) -> None:
        """Take over the trials of earlier sessions."""
        for record in records:
            self._count(record)
        self._new = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def update(self, record: Record) -> None:
        """A trial has changed."""
        if not self._epochs:
            self._started = time.monotonic()
        self._count(record)
        if record.state is not State.RUNNING and not self._console.is_terminal:
            self._console.print(self._line(record), soft_wrap=True, highlight=False, markup=False)

    def _count(self, record: Record) -> None:
        """Keep the sums that a line needs, so that it costs as much after the last trial as after the first."""
        number, epochs, before = record.number, len(record.history), self._epochs.get(record.number, 0)
        if number in self._epochs and number not in self._running:  # it had failed and has begun again
            self._ended -= 1
            self._ended_epochs -= before
            self._best = [other for other in self._best if other.number != number]
        self._epochs[number] = epochs
        self._done += epochs - before
        computed = epochs - record.replayed
        self._new += computed - self._computed.get(number, 0)
        self._computed[number] = computed
        if record.state is State.RUNNING:
            self._running[number] = record
            return
        self._running.pop(number, None)
        self._ended += 1
        self._ended_epochs += epochs
        self._best = _ranked([*self._best, record], self._config.objectives[0])[:_LIVE_BEST]

    def _line(self, record: Record) -> str:
        objective = self._config.objectives[0]
        score = f"{objective} {cell(record.score(objective))}" if record.history else record.reason
        return (
            f"[{self._ended}/{self._target()}] trial {record.number} {record.name}: {record.state}, {score}, "
            f"{len(record.history)} epochs, {record.seconds:.1f} s, {self._remaining()}"
        )

    @property
    def progress(self) -> tuple[int, float]:
        """Epochs done, and epochs that the study is expected to take, judged by the trials that have ended."""
        mean = (self._ended_epochs + self._config.training.epochs) / (self._ended + 1)
        # a copy: the table is drawn in another thread while trials are added
        running = sum(max(0.0, mean - len(record.history)) for record in list(self._running.values()))
        return self._done, self._done + running + mean * max(0, self._target() - len(self._epochs))

    def _remaining(self) -> str:
        done, expected = self.progress
        if self._new <= 0:
            return "remaining time not known yet"
        seconds = (expected - done) * (time.monotonic() - self._started) / self._new
        return f"about {timedelta(seconds=round(seconds))} left"

    @property
    def table(self) -> RenderableType:
        """What the terminal shows at this moment."""
        objective = self._config.objectives[0]
        done, expected = self.progress
        table = Table(title=f"{self._ended}/{self._target()} trials, {self._remaining()}", title_justify="left")
        for name in ("trial", "loss", "state", "epoch", *_live_metrics(objective)):
            table.add_column(name, justify="left" if name in ("loss", "state") else "right")
        for record in [*self._running.values(), *self._best]:
            table.add_row(
                str(record.number),
                record.name,
                record.state.value,
                f"{len(record.history)}/{record.config.training.epochs}",
                *(cell(record.score(name)) for name in _live_metrics(objective)),
            )
        bar = Table.grid()
        bar.add_row(ProgressBar(total=max(1.0, expected), completed=done, width=60))
        return Group(bar, table)


def _ranked(records: Iterable[Record], objective: str) -> list[Record]:
    """Completed trials first, best score first; then those that were stopped, the ones that came farthest first."""
    return sorted(records, key=lambda record: rank_key(record.state, len(record.history), record.score(objective)))


def _live_metrics(objective: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((objective, "recall", "accuracy", "calibration")))
