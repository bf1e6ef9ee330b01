"""What a person sees: the live table while a study runs, the ranked table and the winner when it ends."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune_seg.config import ROW, StudyConfig
from tune_seg.study.files import RESULTS
from tune_seg.study.record import Record, State, rank_key, sortable
from tune_seg.training.result import SCALINGS

_SHOWN = ("s_rec", "recall", "accuracy", "calibration", "f1", "miou")
_IN_NAME = (ROW, "loss.kind", "loss.start", "loss.end", "acw")
_WIDTH_OF_ALL_METRICS = 130
"""Characters that the ranked table takes with all its metrics."""
_MISSED_RECALL = 0.01
"""A class whose recall is below this counts as missed."""
_LIVE_BEST = 8
"""Rows of the live table for trials that have ended."""
_MAX_RANKED = 50
"""Rows of the ranked table."""
_MAX_SCALED = 3
"""Rows of the table of temperatures."""


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
        self._best = ranked([*self._best, record], self._config.objectives[0])[:_LIVE_BEST]

    def _line(self, record: Record) -> str:
        objective = self._config.objectives[0]
        score = f"{objective} {_cell(record.score(objective))}" if record.history else record.reason
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
                *(_cell(record.score(name)) for name in _live_metrics(objective)),
            )
        bar = Table.grid()
        bar.add_row(ProgressBar(total=max(1.0, expected), completed=done, width=60))
        return Group(bar, table)


def ranked(records: Iterable[Record], objective: str) -> list[Record]:
    """Completed trials first, best score first; then those that were stopped, the ones that came farthest first."""
    return sorted(records, key=lambda record: rank_key(record.state, len(record.history), record.score(objective)))


def pareto_front(records: Iterable[Record], objectives: Sequence[str]) -> list[Record]:
    """The completed trials that no other completed trial beats in one objective without losing in another."""
    points = {
        record.number: tuple(sortable(record.score(name)) for name in objectives)
        for record in records
        if record.state is State.COMPLETED
    }
    distinct = sorted(set(points.values()), reverse=True)  # whatever beats a point is before it
    scores = np.array(distinct)
    best = {point for index, point in enumerate(distinct) if not (scores[:index] >= scores[index]).all(axis=1).any()}
    return [record for record in records if points.get(record.number) in best]


def final_report(console: Console, config: StudyConfig, records: Sequence[Record], class_names: Sequence[str]) -> None:
    """Print the ranked table, what won and by how much, what plain cross entropy missed, and what temperatures change."""
    objective = config.objectives[0]
    order = ranked(records, objective)
    front = {record.number for record in pareto_front(records, config.objectives)} if len(config.objectives) > 1 else set()
    console.print(_ranking(config, order[:_MAX_RANKED], front, wide=console.width >= _WIDTH_OF_ALL_METRICS), soft_wrap=True)
    if len(order) > _MAX_RANKED:
        console.print(f"{len(order) - _MAX_RANKED} more trials are in {RESULTS}.", highlight=False)
    completed = [record for record in order if record.state is State.COMPLETED]
    if not completed:
        console.print("No trial ran to its end.")
        return
    if front:
        console.print(
            f"Pareto front over {', '.join(config.objectives)}: trials "
            f"{', '.join(str(record.number) for record in order if record.number in front)} (marked *)."
        )
    winner = completed[0]
    completed = [record for record in completed if record.config.fold == winner.config.fold]  # another may be harder
    console.print(_verdict(winner, completed, objective), soft_wrap=True)
    plain = _plain_cross_entropy(completed)
    if plain is not None:
        console.print(_missed(plain, completed, class_names), soft_wrap=True, markup=False)
    shown = [r for rank, r in enumerate(completed) if (rank < _MAX_SCALED or r is plain) and _is_scaled(r)]
    if shown:
        console.print(_scaling(shown, objective if objective in ("s_rec", "s_acc") else "calibration"), soft_wrap=True)
    if plain is not None and _is_scaled(plain) and _is_scaled(winner):
        console.print(_against_one_temperature(winner, plain), soft_wrap=True)


def _ranking(config: StudyConfig, order: Sequence[Record], front: set[int], *, wide: bool) -> Table:
    metrics = tuple(dict.fromkeys((*config.objectives, *(_SHOWN if wide else ("recall", "calibration")))))
    table = Table()
    for name in ("rank", "trial", "loss"):
        table.add_column(name, justify="left" if name == "loss" else "right", no_wrap=True)
    table.add_column("settings")
    for name in (*metrics, "epochs", "state"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    for place, record in enumerate(order, 1):
        # the name says these already
        settings = {key: value for key, value in record.assignment.items() if key not in _IN_NAME}
        table.add_row(
            f"{place}{'*' if record.number in front else ''}",
            str(record.number),
            record.name,
            "\n".join(f"{_short(key)} {_cell(value)}" for key, value in settings.items()),
            *(_cell(record.score(name)) for name in metrics),
            str(len(record.history)),
            record.state.value,
        )
    return table


def _short(key: str) -> str:
    return key.removeprefix("loss.components.").removeprefix("loss.params.")


def _verdict(winner: Record, completed: Sequence[Record], objective: str) -> Text:
    score = _score(winner, objective)
    text = Text()
    where = "" if winner.config.fold is None else f" on fold {winner.config.fold}"
    text.append(f"Winner{where}: trial {winner.number}, {winner.name}, {objective} {score:.4f}", style="bold")
    if len(completed) > 1:
        second = completed[1]
        gap = score - _score(second, objective)
        text.append(f"; {gap:+.4f} over the second (trial {second.number}, {second.name})")
    plain = _plain_cross_entropy(completed)
    if plain is not None and plain is not winner:
        plain_score = _score(plain, objective)
        text.append(f"; {score - plain_score:+.4f} over plain cross entropy (trial {plain.number}, {plain_score:.4f})")
    text.append(".")
    return text


def _plain_cross_entropy(completed: Sequence[Record]) -> Record | None:
    """The best trial with cross entropy and nothing else."""
    plain = (r for r in completed if [term.loss for term in r.config.components] == ["ce"] and not r.config.acw)
    return next(plain, None)


def _missed(plain: Record, completed: Sequence[Record], class_names: Sequence[str]) -> str:
    recalls = _class_recall(plain)
    missed = [index for index, recall in enumerate(recalls) if recall < _MISSED_RECALL]
    if not missed:
        return f"Plain cross entropy (trial {plain.number}) finds every class."
    lines = [f"Plain cross entropy (trial {plain.number}) misses {len(missed)} of {len(class_names)} classes:"]
    for index in missed:
        finder = max(completed, key=lambda record: sortable(_class_recall(record)[index]))
        recall = _class_recall(finder)[index]
        found = f"trial {finder.number}, {finder.name}, finds it with recall {recall:.3f}"
        answer = found if recall >= _MISSED_RECALL else "no trial finds it"
        lines.append(f"  {class_names[index]} (recall {recalls[index]:.3f}): {answer}")
    return "\n".join(lines)


def _is_scaled(record: Record) -> bool:
    """Whether it is known what scaling does to its logits: there were at least two images."""
    score = record.score("adjusted/calibration")
    return score is not None and math.isfinite(score)


def _scaling(records: Sequence[Record], metric: str) -> Table:
    table = Table(
        title="After training (each half of the validation images with what was fitted to the other half)",
        title_justify="left",
    )
    columns = (
        f"{metric} as trained",
        "with one temperature",
        "with one per class",
        "with adjusted logits",
        "temperature",
        "tau",
    )
    for name in ("trial", "loss", *columns):
        table.add_column(name, justify="left" if name == "loss" else "right")
    for record in records:
        scores = (_score(record, name) for name in (metric, *(f"{scaling}/{metric}" for scaling in SCALINGS)))
        fitted = record.history[-1].evaluation.fitted
        table.add_row(
            str(record.number), record.name, *map(_cell, (*scores, fitted["temperature/T"], fitted["adjusted/tau"]))
        )
    return table


def _against_one_temperature(winner: Record, plain: Record) -> str:
    """Whether the winner's loss calibrates better than plain cross entropy, both with one temperature."""
    own, other = (_score(record, "temperature/calibration") for record in (winner, plain))
    if winner is plain:
        return f"The winner is plain cross entropy; with one temperature its calibration is {own:.4f}."
    return f"With one temperature each, the winner's calibration is {own:.4f} and that of plain cross entropy {other:.4f}."


def _score(record: Record, name: str) -> float:
    """The score of a trial that has one."""
    return record.history[-1].score(name)


def _class_recall(record: Record) -> Sequence[float]:
    return record.history[-1].evaluation.per_class["class_recall"]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 0.001 and value else f"{value:.4f}"
    return str(value)


def _live_metrics(objective: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((objective, "recall", "accuracy", "calibration")))
