"""What a study ends with: the ranked configurations, what is free after training, the finalists, and the verdict."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tune_seg.config import StudyConfig
from tune_seg.study.configurations import (
    Configuration,
    configurations,
    mean_score,
    pareto_front,
)
from tune_seg.study.confirmation import Answer, plain_of
from tune_seg.study.files import CONFIGURATIONS
from tune_seg.study.output.answer import (
    adjusted_lines,
    answer_table,
    apart_lines,
    beside_table,
    columns_beside,
    diverged_lines,
    front_lines,
    test_lines,
    undefined_lines,
)
from tune_seg.study.output.fitting import fits, fitting_table, heading
from tune_seg.study.output.learning_rates import rate_lines
from tune_seg.study.output.missed import missed_lines
from tune_seg.study.output.sentence import PLAIN, Cost, called, temperature_line, verdict_text
from tune_seg.study.output.words import cell, labels, settings_of
from tune_seg.study.record import Record, State, rank_key
from tune_seg.study.scoring import Scored
from tune_seg.training.result import ADJUSTED, SCALINGS, TEMPERATURE

_SHOWN = ("f1", "miou")
"""Metrics of the ranked table beside the objectives, recall, accuracy and calibration."""
_SETTINGS = 30
"""Characters of a line of settings below a name, where they have no column of their own."""
_ON_FRONT = "^"
"""The mark of what is on the Pareto front; a star marks what to take."""
_MAX_RANKED = 50
"""Rows of the ranked table."""
_FREE = ("one per\nclass", "adjusted\nlogits", "tempera-\nture", "tau")
"""Columns of what is free after training that a narrow terminal may lack."""
FREE = "What is free after training"
HALVES = "Each half of the validation images with what was fitted to the other half."
_MAX_SCALED = 3
"""Configurations in the table of what is free after training, beside plain cross entropy."""


Block = Table | Text | str
"""A part of the report: a table, a line, or, as a :class:`~rich.text.Text`, the line that says what the study has found."""


@dataclass(frozen=True)
class Surroundings:
    """What of the data and the machines the report needs.

    Attributes:
        class_names: by class index.
        absent: classes that no validation image has.
        slots: how many trainings run at once.
        scored: what was scored after the decision.
    """

    class_names: Sequence[str]
    absent: Sequence[str] = ()
    slots: int = 1
    scored: Scored = field(default_factory=Scored)


def final_report(
    console: Console,
    config: StudyConfig,
    records: Sequence[Record],
    answer: Answer | None,
    surroundings: Surroundings,
) -> None:
    """Print the ranked configurations, what is free after training, the finalists and the verdict."""
    for block in report_blocks(console, config, records, answer, surroundings):
        if isinstance(block, Table):
            console.print(block)
        else:
            console.print(block, soft_wrap=True, markup=False, highlight=False)


def report_blocks(
    console: Console,
    config: StudyConfig,
    records: Sequence[Record],
    answer: Answer | None,
    surroundings: Surroundings,
) -> Iterator[Block]:
    """The report, in its order.

    Args:
        console: what the tables have to fit.
        config: the study.
        records: its trials.
        answer: what the repeats say; None: there are too few.
        surroundings: what else the report needs.
    """
    objective = config.objectives[0]
    order = ranked(configurations(records), objective)
    front = {each.id for each in pareto_front(order, config.objectives)} if len(config.objectives) > 1 else set()
    if not order:
        yield "No trial has begun."
        return
    yield _ranking(console, config, order[:_MAX_RANKED], front)
    if len(order) > _MAX_RANKED:
        yield f"{len(order) - _MAX_RANKED} more configurations are in {CONFIGURATIONS}."
    completed = [configuration for configuration in order if configuration.completed]
    if not completed:
        yield "No trial ran to its end."
        return
    names, plain = labels(completed), plain_of(completed, answer)
    if front:
        trials = ", ".join(f"trial {each.trials[0].number}" for each in order if each.id in front)
        yield f"Pareto front over {', '.join(config.objectives)}: {trials} (marked {_ON_FRONT})."
    free = free_after_training(completed, plain, objective, names, surroundings.scored.ensemble)
    if free:
        yield _free_table(console, free, objective)
    if answer is None:
        yield from without_verdict(completed, plain, config.objectives, names)
    else:
        yield from _verdict(console, config, answer, surroundings, training_cost(records, surroundings.slots))
        yield from rate_lines(config, records, answer)
    if plain is not None:
        others = [each for each in completed if each is not plain]
        taken = None if answer is None or front else answer.verdict.recommended  # of a front nothing is recommended
        chosen = next((each for each in others if each.id == taken), None)
        yield from missed_lines(plain, others, surroundings.class_names, surroundings.absent, chosen)
    if answer is not None and surroundings.scored.test is not None:
        yield from test_lines(answer, objective, surroundings.scored.test)
    yield from warning_lines(surroundings.scored)


def warning_lines(scored: Scored) -> Iterator[str]:
    """What was not scored after the decision, and why."""
    if scored.unopened:
        yield "The test split stays unopened until there is a decision."
    if scored.problem:
        yield f"Warning: {scored.problem}."


def training_cost(records: Sequence[Record], slots: int) -> Cost:
    """What a training costs: the mean over those of which nothing was taken over from the store."""
    seconds = [record.seconds for record in records if record.state is State.COMPLETED and not record.replayed]
    return Cost(fmean(seconds) if seconds else None, slots)


def _verdict(
    console: Console, config: StudyConfig, answer: Answer, surroundings: Surroundings, cost: Cost
) -> Iterator[Block]:
    """The verdict, the finalists, and what the one to take gains and loses."""
    settings, objectives = config.search.confirm, config.objectives
    yield verdict_text(answer, objectives, settings.margin, cost)
    best, other = (answer.contenders[id] for id in (answer.verdict.best, answer.verdict.other))
    with_temperature = temperature_line(best, other, called(answer), objectives)
    if with_temperature is not None:
        yield with_temperature
    yield from adjusted_lines(answer)
    yield answer_table(console, answer, objectives, settings.confidence)
    yield from diverged_lines(answer)
    yield from undefined_lines(answer, objectives[0])
    yield from apart_lines(answer, objectives[0], settings.margin)
    yield from front_lines(answer)
    beside = beside_table(console, answer, surroundings.class_names)
    if beside is not None:
        yield beside


def ranked(found: Iterable[Configuration], objective: str) -> list[Configuration]:
    """Those that were repeated first, best mean first; then those that ran to their end once; then those stopped early."""

    def place(configuration: Configuration) -> tuple[bool, tuple[bool, int, float]]:
        best = min(configuration.trials, key=lambda trial: rank_key(trial.state, len(trial.history), trial.score(objective)))
        score = mean_score(configuration, objective) if configuration.completed else best.score(objective)
        return not configuration.repeats, rank_key(best.state, len(best.history), score)

    return sorted(found, key=place)


def _ranking(console: Console, config: StudyConfig, order: Sequence[Configuration], front: set[str]) -> Table:
    objective, beside = config.objectives[0], columns_beside(config.objectives)
    metrics = (*beside, *(name for name in _SHOWN if name not in (objective, *beside)))
    rows = [_row(place, each, objective, metrics, front) for place, each in enumerate(order, 1)]
    always = ("rank", "loss", "settings", objective, "n")
    objectives = [name for name in config.objectives if name in metrics]
    rest = [
        name for name in ("recall", f"{TEMPERATURE}/calibration", "sd", "accuracy", "epochs", *_SHOWN) if name in rows[0]
    ]
    optional = list(dict.fromkeys(("trial", "state", *objectives, *rest)))

    def make(rows: Sequence[Mapping[str, str]], optional: Sequence[str]) -> Table:
        table = Table()
        columns = [name for name in rows[0] if name in optional or name in always]
        for name in columns:
            justify: Literal["left", "right"] = "left" if name in ("loss", "settings", "state") else "right"
            table.add_column(heading(name), justify=justify, no_wrap=True)
        for row in rows:
            table.add_row(*(row[name] for name in columns))
        return table

    if fits(console, whole := make(rows, optional)):
        return whole
    width = max(_SETTINGS, *(len(row["loss"]) for row in rows))
    narrow = [_settings_below(row, width) for row in rows]
    return fitting_table(console, lambda optional: make(narrow, optional), optional)


def _settings_below(row: Mapping[str, str], width: int) -> dict[str, str]:
    """The row with the settings on lines of their own below the name, no setting broken in two."""
    settings = row["settings"].replace(" ", "\N{NO-BREAK SPACE}").replace(",\N{NO-BREAK SPACE}", ", ")
    below = textwrap.wrap(settings, width, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
    named = "\n".join([row["loss"], *below]).replace("\N{NO-BREAK SPACE}", " ")
    return {name: named if name == "loss" else text for name, text in row.items() if name != "settings"}


def _row(place: int, each: Configuration, objective: str, metrics: Sequence[str], front: set[str]) -> dict[str, str]:
    """The cells of a configuration in the ranked table, by column."""
    scores, last = each.scores(objective), each.trials[-1] if not each.completed else each.completed[-1]
    return {
        "rank": f"{place}{_ON_FRONT if each.id in front else ''}",
        "trial": str(each.trials[0].number),
        "loss": each.name,
        "settings": settings_of(each),
        objective: cell(mean_score(each, objective) if scores else last.score(objective)),
        "sd": cell(stdev(scores) if len(scores) > 1 else None),
        "n": str(len(scores)),
        **{name: cell(mean_score(each, name) if scores else last.score(name)) for name in metrics},
        "epochs": str(len(last.history)),
        "state": last.state.value,
    }


def free_after_training(
    completed: Sequence[Configuration],
    plain: Configuration | None,
    objective: str,
    names: Mapping[str, str],
    ensemble: Mapping[str, float] | None,
) -> list[list[str]]:
    """The best configurations and plain cross entropy by the objective, each as trained and with what costs no training.

    Args:
        completed: those that ran to their end, ranked.
        plain: plain cross entropy, one of these; None: it is not among them.
        objective: of the study.
        names: what they are called, by id.
        ensemble: the metrics of the mean output of the seeds of plain cross entropy.

    Returns:
        the rows of a table under :func:`free_titles`; none where nothing is known.
    """
    metric = objective.rpartition("/")[2]
    found = [each for place, each in enumerate(completed) if place < _MAX_SCALED or each is plain]
    if not any(math.isfinite(mean_score(each, f"{ADJUSTED}/{metric}")) for each in found):
        return []
    rows = []
    for each in found:
        scores = (cell(mean_score(each, name)) for name in (metric, *(f"{scaling}/{metric}" for scaling in SCALINGS)))
        fitted = (cell(_fitted(each, name)) for name in (f"{TEMPERATURE}/T", f"{ADJUSTED}/tau"))
        rows.append([names[each.id], str(len(each.scores(metric))), *scores, *fitted])
    if ensemble is not None and plain is not None:
        known = (cell(ensemble.get(name)) for name in (metric, f"{TEMPERATURE}/{metric}"))
        rows.append([f"{names[plain.id]}, mean output of its seeds", cell(ensemble.get("seeds")), *known, "", "", "", ""])
    return rows


def free_titles(objective: str) -> list[str]:
    """The titles of :func:`free_after_training`, broken where a narrow column may be."""
    return ["loss", "n", f"{objective.rpartition('/')[2]}\nas trained", "one\ntemperature", *_FREE]


def _free_table(console: Console, rows: Sequence[Sequence[str]], objective: str) -> Table:
    def make(optional: Sequence[str]) -> Table:
        table = Table(title=FREE, title_justify="left")
        table.caption, table.caption_justify = HALVES, "left"
        titles = free_titles(objective)
        kept = [place for place, title in enumerate(titles) if title in optional or title not in _FREE]
        for place in kept:
            table.add_column(titles[place], justify="right" if place else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(row[place] for place in kept))
        return table

    return fitting_table(console, make, (_FREE[1], _FREE[0], *_FREE[2:]))


def _fitted(configuration: Configuration, name: str) -> float | None:
    """The mean of a temperature or of tau over the trials whose scores stand beside it; None where none was fitted."""
    trials = [trial for trial in configuration.scored if trial.state is State.COMPLETED]
    fitted = (trial.history[-1].evaluation.fitted.get(name) for trial in trials)
    found = [value for value in fitted if isinstance(value, float)]
    return fmean(found) if found else None


def without_verdict(
    completed: Sequence[Configuration], plain: Configuration | None, objectives: Sequence[str], names: Mapping[str, str]
) -> Iterator[Text | str]:
    """What can be said where nothing was repeated to be sure; `completed` is ranked."""
    best, objective = completed[0], objectives[0]
    found = f"trial {best.completed[0].number}, {names[best.id]}, {objective} {_score(best, objective)}"
    if len(completed) == 1:
        yield Text(f"One configuration ran to its end: {found}. There is nothing to compare it with.")
        return
    n = len(best.scores(objective))
    what = "Best of single runs" if n == 1 else f"Best mean of {n} trials"
    beside = "" if plain in (None, best) else f"; {PLAIN} has {_score(plain, objective)}"
    why = "with one seed each, nobody can tell a better loss from a lucky run" if n == 1 else "the lead may be chance"
    yield Text(f"{what}: {found}{beside}. Not decided: {why}.")
    if plain is not None and plain is not best:
        line = temperature_line(best, plain, {**names, plain.id: PLAIN}, objectives)
        yield from () if line is None else (line,)


def _score(configuration: Configuration, objective: str) -> str:
    score = mean_score(configuration, objective)
    return f"{score:.4f}" if math.isfinite(score) else "undefined, as a class is never predicted"
