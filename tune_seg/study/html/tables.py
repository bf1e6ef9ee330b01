"""The tables of the report."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Final

from tune_seg.study.configurations import Configuration, mean_score, pareto_front
from tune_seg.study.contents import StudyContents
from tune_seg.study.files import CONFIGURATIONS, RESULTS
from tune_seg.study.output.answer import gains
from tune_seg.study.output.report import FREE, HALVES, free_after_training, free_titles
from tune_seg.study.output.sentence import PLAIN
from tune_seg.study.output.words import counted, settings_of
from tune_seg.study.record import State
from tune_seg.training.result import TEMPERATURE

_COLUMNS: Final = ("accuracy", "f1", "recall", "miou", "calibration", "s_acc", "s_rec")
"""The columns of the papers' tables, as trained."""
_WITH_TEMPERATURE: Final = ("calibration", "s_acc", "s_rec")
"""Those of them that a temperature changes."""
_MOST_ROWS: Final = 25
_MOST_FAILURES: Final = 10


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        caption: what it shows.
        head: the titles of its columns; the first column names the row.
        rows: the cells.
        marked: the number of the row to take; None: none.
        words: columns that hold words and not numbers, by number, beside the first.
        groups: titles above those of the columns, each with the number of its columns.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: int | None = None
    words: Sequence[int] = ()
    groups: Sequence[tuple[str, int]] = ()


def ranking(study: StudyContents) -> Table:
    """The best configurations in the columns of the papers, as trained and with one temperature."""
    shown = study.completed[:_MOST_ROWS]
    objectives = study.config.objectives
    front = {each.id for each in pareto_front(study.completed, objectives)} if len(objectives) > 1 else set()
    beyond = [
        name for name in objectives if name not in (*_COLUMNS, *(f"{TEMPERATURE}/{each}" for each in _WITH_TEMPERATURE))
    ]
    names = (*beyond, *_COLUMNS, *(f"{TEMPERATURE}/{name}" for name in _WITH_TEMPERATURE))
    head = ["configuration", "settings", "n", *beyond, *_COLUMNS, *_WITH_TEMPERATURE]
    groups = [("", 3 + len(beyond)), ("as trained", len(_COLUMNS)), ("with one temperature", len(_WITH_TEMPERATURE))]
    rows = [
        [
            f"{place}. {PLAIN if study.plain is not None and each.id == study.plain.id else each.name}"
            f"{' (front)' if each.id in front else ''}",
            settings_of(each),
            str(len(each.scores(study.objective))),
            *(_mean_and_sd(each, name) if name == study.objective else number(mean_score(each, name)) for name in names),
        ]
        for place, each in enumerate(shown, 1)
    ]
    taken = study.taken if study.answer is not None else None
    marked = next((place for place, each in enumerate(shown) if taken is not None and each.id == taken.id), None)
    rest = len(study.completed) - len(shown)
    more = f" {rest} more are in {CONFIGURATIONS}." if rest else ""
    mark = "" if marked is None else " The marked row is the one to take."
    caption = (
        f"{counted(len(study.completed), 'configuration')} that ran to their end; n trainings each. Those with repeats come "
        f"first, as the best single run is also the luckiest.{mark} A dash is undefined: "
        f"a class is never predicted.{more}"
    )
    return Table(caption, head, rows, marked, (1,), groups)


def gained(study: StudyContents) -> Table | None:
    """What the one to take gains and loses beside plain cross entropy; None where nothing of that is known."""
    if study.answer is None:
        return None
    shown, found = gains(study.answer, study.class_names)
    caption = f"What {shown} gains and loses beside {PLAIN}, and the difference with its interval"
    rows = [[each.name, each.mean, each.ce, each.minus_ce, each.chance] for each in found]
    return Table(caption, ["", "mean", PLAIN, "difference", "P(better)"], rows) if found else None


def free(study: StudyContents) -> Table | None:
    """What the best configurations score with what costs no training; None where nothing of that is known."""
    rows = free_after_training(study.completed, study.plain, study.objective, study.names, study.scored.ensemble)
    titles = [title.replace("-\n", "").replace("\n", " ") for title in free_titles(study.objective)]
    return Table(f"{FREE}. {HALVES}", titles, rows) if rows else None


def states(study: StudyContents) -> Table:
    """How the trials ended."""
    records = study.records
    search = [each for each in records if not each.repeat]
    what = {
        State.COMPLETED: "ran to the end",
        State.PRUNED: "stopped early, as it was behind",
        State.DIVERGED: "diverged: its loss or outputs left the finite numbers",
        State.FAILED: "failed with an error; continuing the study tries it again",
        State.RUNNING: "has not ended",
    }
    rows = []
    for state, meaning in what.items():
        counts = [sum(each.state is state for each in of) for of in (search, [each for each in records if each.repeat])]
        if any(counts):
            rows.append([meaning, *map(str, counts)])
    if study.trials.duplicates:
        rows.append(["skipped: the same had been tried before", str(study.trials.duplicates), "0"])
    return Table("How the trials ended", ["", "search", "repeats"], rows)


def why_lines(study: StudyContents) -> Iterator[str]:
    """When trials were stopped early, and why some failed."""
    after = Counter(len(each.history) for each in study.records if each.state is State.PRUNED)
    if after:
        said = ", ".join(
            f"{counted(many, 'trial')} after {counted(epochs, 'epoch')}" for epochs, many in sorted(after.items())
        )
        kind = study.config.search.early_stopping.kind
        yield f"Stopped early (search.early_stopping {kind}): {said}."
    diverged = [each for each in study.records if each.state is State.DIVERGED]
    if diverged:
        yield f"Diverged: {', '.join(f'trial {each.number} ({each.name})' for each in diverged[:_MOST_FAILURES])}."
    failed = [each for each in study.records if each.state is State.FAILED]
    for each in failed[:_MOST_FAILURES]:
        yield f"Trial {each.number} ({each.name}) failed: {each.reason}"
    if len(failed) > _MOST_FAILURES:
        yield f"{len(failed) - _MOST_FAILURES} more failed; the column error of {RESULTS} has the reasons."


def number(value: float) -> str:
    """A score in a table."""
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _mean_and_sd(each: Configuration, metric: str) -> str:
    scores = [score for score in each.scores(metric) if math.isfinite(score)]
    return number(mean_score(each, metric)) + (f" ± {stdev(scores):.3f}" if len(scores) > 1 else "")
