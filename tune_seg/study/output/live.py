"""What a person sees while a study runs: one screen on a terminal, lines in a log."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune_seg._endings import leave_lost_terminal
from tune_seg.study.output.fitting import fits, fitting_table, heading
from tune_seg.study.output.progress import StudyProgress
from tune_seg.study.output.words import cell, counted, duration, settings_of
from tune_seg.study.record import Record, State

_ROWS_BESIDE = 10
"""Rows of the screen that the table's rows leave to what is above and below them."""
_MIN_SETTINGS = 24
"""Characters that settings get at least where they have to go on in the next line."""
_LONGEST_BAR = 40
_DISK_EVERY = 20
"""Seconds from one look at the disk to the next."""
_REST = 20
"""How many times longer than it took to find out how the study stands is waited until that is found out again."""
_ENDING: Final = "Ctrl-C: finishing the epoch; what was computed is kept. Again: stop now."
_CONTINUES: Final = "Ctrl-C ends it and keeps what was computed; the same command continues it."


@dataclass(frozen=True)
class Session:
    """What the screen tells of a session beside how far it is.

    Attributes:
        title: which study, on which data.
        objective: the first one.
        elapsed: seconds since the command began.
        standing: the best configuration so far, plain cross entropy beside it, and whether it is decided, in a line; it may
            take a moment.
        disk: what the study takes on the disk, in words; empty where that is not known. It may take a moment.
    """

    title: str
    objective: str
    elapsed: Callable[[], float]
    standing: Callable[[], str]
    disk: Callable[[], str]


class LiveReport:
    """One screen on a terminal; otherwise a line for each trial that ends, and one at least every minute.

    Args:
        console: where to print.
        session: what there is to tell of the session.
        progress: how far it is; updated by whoever calls :meth:`update` too.
    """

    def __init__(self, console: Console, session: Session, progress: StudyProgress) -> None:
        self._console = console
        self._session = session
        self._progress = progress
        self._ending = False
        self._standing = self._disk = ""
        self._stop = threading.Event()
        self._slowly: threading.Thread | None = None
        self._table: tuple[tuple[int, int, int], Table] | None = None
        self._live = Live(get_renderable=lambda: self.screen, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._slowly = threading.Thread(target=self._look_again, name="standing", daemon=True)
            self._slowly.start()
            self._live.start()
        self.heartbeat()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._slowly is not None:
            self._slowly.join()
            leave_lost_terminal()  # one that a study in the background had, of whose end nobody told it
            self._live.stop()

    def update(self, record: Record) -> None:
        """A trial has changed."""
        if record.state is not State.RUNNING and not self._console.is_terminal:
            self._print(self._line(record))

    def ending(self) -> None:
        """Ctrl-C was pressed. This is called by the handler of a signal, whoever prints at that moment."""
        self._ending = True
        if not self._console.is_terminal:
            with suppress(OSError):
                os.write(2, f"\n{_ENDING}\n".encode())

    def heartbeat(self) -> None:
        """Print which trials run, their epochs and the remaining time, where no screen shows it."""
        if not self._console.is_terminal:
            running = self._progress.running_text()
            self._print(self._headline() + (f"; running: {running}" if running else ""))

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _line(self, record: Record) -> str:
        objective, progress = self._session.objective, self._progress
        score = f"{objective} {cell(record.score(objective))}" if record.history else record.reason
        return (
            f"[{progress.ended}/{progress.target}] trial {record.number} {record.name}: {record.state}, {score}, "
            f"{len(record.history)} epochs, {record.seconds:.1f} s, {progress.remaining_text(time.monotonic())}"
        )

    def _headline(self) -> str:
        progress = self._progress
        elapsed = f"{duration(self._session.elapsed())} so far"
        left = progress.remaining_text(time.monotonic()) if progress.reported else "waiting for the first worker to start"
        return f"{progress.ended}/{progress.target} trials, {elapsed}, {left}"

    def _look_again(self) -> None:
        """Find out in a thread of its own what takes a moment, which is the longer the more trials there are."""
        seen, look, look_at_disk = -1, 0.0, 0.0
        while True:
            now = time.monotonic()
            if self._progress.ended != seen and now >= look:
                seen = self._progress.ended
                with suppress(Exception):  # what stood there stays
                    self._standing = self._session.standing()
                look = time.monotonic() + _REST * (time.monotonic() - now)
            if now >= look_at_disk:
                with suppress(Exception):
                    self._disk = self._session.disk()
                look_at_disk = now + _DISK_EVERY
            if self._stop.wait(1.0):
                return

    @property
    def screen(self) -> RenderableType:
        """What the terminal shows at this moment."""
        progress, width = self._progress, self._console.width
        bar = Table.grid(padding=(0, 1))
        length = max(10, min(_LONGEST_BAR, width - len(self._headline()) - 1))
        bar.add_row(ProgressBar(max(1.0, progress.epochs), progress.done, width=length), Text(self._headline()))
        lines: list[RenderableType] = [Text(self._session.title, style="bold"), bar, Text(self._standing)]
        if progress.running or progress.best:
            lines.append(self._trials())
        saved = f"{counted(progress.replayed, 'epoch')} ({counted(progress.steps_replayed, 'step')}) from the store"
        if beside := "; ".join(filter(None, (saved * bool(progress.replayed), self._disk))):
            lines.append(Text(f"{beside[0].upper()}{beside[1:]}.", style="dim"))
        lines.append(Text(_ENDING, style="bold yellow") if self._ending else Text(_CONTINUES, style="dim"))
        return Group(*lines)

    def _trials(self) -> Table:
        """The trials that run and the best of those that have ended, made anew only where something has changed."""
        key = (self._progress.changes, self._console.width, self._console.height)
        if self._table is None or self._table[0] != key:
            running = list(self._progress.running.values())
            room = max(1, self._console.height - _ROWS_BESIDE - len(running))
            self._table = key, self._made([*running, *self._progress.best[:room]])
        return self._table[1]

    def _made(self, records: Sequence[Record]) -> Table:
        objective = self._session.objective
        metrics = tuple(dict.fromkeys((objective, "recall", "accuracy", "temperature/calibration")))
        tried = [" ".join(filter(None, (record.name, settings_of(record)))) for record in records]

        def make(optional: Sequence[str], *, whole: bool = True) -> Table:
            table = Table()
            shown = [name for name in metrics if name in (objective, *optional)]
            table.add_column("trial", justify="right", no_wrap=True)
            table.add_column("loss and settings", no_wrap=whole, min_width=min(_MIN_SETTINGS, max(map(len, tried))))
            table.add_column("state", no_wrap=True)
            for name in ("epoch", *map(heading, shown)):
                table.add_column(name, justify="right", no_wrap=True)
            for record, settings in zip(records, tried, strict=True):
                state = "begins" if record.state is State.RUNNING and not record.history else record.state.value
                epoch = f"{len(record.history)}/{record.config.training.epochs}"
                scores = (cell(record.score(name)) for name in shown)
                table.add_row(str(record.number), Text(settings), state, epoch, *scores)
            return table

        if fits(self._console, make(())):
            return fitting_table(self._console, make, metrics[1:])
        return fitting_table(self._console, lambda optional: make(optional, whole=False), metrics[1:])
