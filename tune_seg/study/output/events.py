"""A study told to machines: `--json` prints one JSON object a line, see docs/command.md."""

import contextlib
import json
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tune_seg._commands import CONTINUES, reported
from tune_seg.config import StudyConfig
from tune_seg.study.configurations import configuration_id, mean_score
from tune_seg.study.confirmation import Answer
from tune_seg.study.output.progress import Planned, StudyProgress
from tune_seg.study.output.sentence import Cost, called, verdict_text
from tune_seg.study.record import Record, State
from tune_seg.study.verdict import Difference


class Events:
    """Writes the events of a study, each as one line, which is flushed at once.

    A reader that has gone away does not end the study: what comes after that is not written.

    Args:
        file: where to write.
    """

    def __init__(self, file: TextIO) -> None:
        self._file: TextIO | None = file
        self._lock = threading.Lock()  # progress comes from a thread of its own
        self._study = ""

    def started(self, directory: Path, config: StudyConfig, planned: Planned, slots: int) -> None:
        """The trials of a session are about to run; all events after it are of this study."""
        self._study = str(directory)
        self._write(
            "started",
            objectives=list(config.objectives),
            trials=planned.search + planned.repeats,
            searched=planned.search,
            repeats=planned.repeats,
            epochs=config.training.epochs,
            slots=slots,
        )

    def trial(self, record: Record) -> None:
        """A trial has changed; its end is an event."""
        if record.state is State.RUNNING:
            return
        scores = {} if record.last is None else {**record.last.evaluation.metrics, **record.last.evaluation.scaled_metrics}
        self._write(
            "trial_ended",
            trial=record.number,
            name=record.name,
            configuration=configuration_id(record),
            repeat=record.repeat,
            settings=dict(record.assignment),
            state=record.state.value,
            error=record.reason,
            epochs=len(record.history),
            epochs_replayed=record.replayed,
            seconds=record.seconds,
            scores=scores,
        )

    def progress(self, progress: StudyProgress, now: float, elapsed: float) -> None:
        """How far the study is.

        Args:
            progress: of it.
            now: the time, as `progress` was given it.
            elapsed: seconds since the command began.
        """
        running = [
            {
                "trial": record.number,
                "name": record.name,
                "epoch": len(record.history),
                "epochs": record.config.training.epochs,
            }
            for record in list(progress.running.values())
        ]
        self._write(
            "progress",
            trials_ended=progress.ended,
            trials=progress.target,
            running=running,
            epochs_replayed=progress.replayed,
            elapsed_seconds=elapsed,
            remaining_seconds=progress.remaining(now),
        )

    def answer(self, answer: Answer | None, config: StudyConfig, cost: Cost) -> None:
        """What the study says at the end of a session.

        Args:
            answer: what the repeats say; None: there are too few.
            config: the study.
            cost: of a training.
        """
        if answer is None:
            self._write("answer", verdict=None)
            return
        verdict, names, objective = answer.verdict, called(answer), config.objectives[0]
        contenders = [
            {
                "configuration": id,
                "name": names[id],
                "mean": mean_score(each, objective),
                "repeats": len(each.repeats),
            }
            for id, each in answer.contenders.items()
        ]
        self._write(
            "answer",
            verdict=verdict.kind.value,
            objective=objective,
            best=verdict.best,
            other=verdict.other,
            recommended=verdict.recommended if len(config.objectives) == 1 else None,
            difference=_difference(verdict.difference),
            decisive=_difference(verdict.decisive),
            more_seeds=verdict.more_seeds,
            contenders=contenders,
            sentence=verdict_text(answer, config.objectives, config.search.confirm.margin, cost).plain,
        )

    def end(self, status: int) -> None:
        """The command ends.

        Args:
            status: its exit status.
        """
        self._write("end", status=status)

    def _write(self, event: str, **values: Any) -> None:
        line = json.dumps(_plain({"event": event, "study": self._study, **values}), allow_nan=False, default=str)
        with self._lock:
            try:
                if self._file is not None:
                    self._file.write(f"{line}\n")
                    self._file.flush()
            except OSError:
                self._file = None


def reported_in_events(study: Callable[[Events], int]) -> int:
    """Call what runs a study, as :func:`tune_seg._commands.reported` does; its exit status.

    The standard output gets the events and nothing else.

    Args:
        study: given where its events go.
    """
    with _events_alone() as events:
        status = reported(lambda: study(events), CONTINUES)
        events.end(status)
    return status


@contextmanager
def _events_alone() -> Iterator[Events]:
    """Events on the standard output; what is printed there for people goes to the standard error.

    Where events go to a terminal, people's text goes nowhere: it would be mixed with them.
    """
    events = Events(sys.stdout)
    with contextlib.ExitStack() as stack:
        people = stack.enter_context(open(os.devnull, "w")) if sys.stdout.isatty() else sys.stderr
        stack.enter_context(contextlib.redirect_stdout(people))
        yield events


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "mean": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "level": difference.level,
        "seeds": difference.n,
    }


def _plain(value: Any) -> Any:
    """The value with null for what is no finite number: JSON has none."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
