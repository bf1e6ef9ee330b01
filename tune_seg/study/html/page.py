"""The page: its sections in their order, and what each says where it has nothing to show."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.acw import acw_weights
from tune_seg.study.figures.classes import class_recall, mistakes
from tune_seg.study.figures.confusion import confusion
from tune_seg.study.figures.curves import curves
from tune_seg.study.figures.forest import forest
from tune_seg.study.figures.importance import importances
from tune_seg.study.figures.parallel import parallel
from tune_seg.study.figures.pareto import pareto
from tune_seg.study.figures.path import path
from tune_seg.study.figures.reliability import reliability
from tune_seg.study.figures.slices import slices
from tune_seg.study.figures.style import NothingToShow
from tune_seg.study.figures.time import time
from tune_seg.study.html.pictures import FALSE_ALARM, MISSED, RIGHT, Examples
from tune_seg.study.html.tables import Table, free, gained, ranking, states, why_lines
from tune_seg.study.output.answer import (
    adjusted_lines,
    apart_lines,
    diverged_lines,
    front_lines,
    test_lines,
    undefined_lines,
)
from tune_seg.study.output.learning_rates import rate_lines
from tune_seg.study.output.missed import missed_lines
from tune_seg.study.output.next_step import next_lines
from tune_seg.study.output.report import training_cost, warning_lines, without_verdict
from tune_seg.study.output.sentence import Cost, temperature_line, verdict_text
from tune_seg.study.output.words import counted
from tune_seg.study.verdict import Kind

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_TEMPLATE: Final = "page.html"
_CHART: Final = {"displayModeBar": False, "responsive": True}


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        id: of its heading, for links.
        title: its heading.
        about: what there is to see and how to read it.
        chart: the figure as HTML; empty where there is none.
        lines: sentences below it.
        tables: below these.
        examples: images.
    """

    id: str
    title: str
    about: str = ""
    chart: str = ""
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    examples: Examples | None = None


_TYPED: Final = re.compile(r"(.*?)((?:\S*tune-seg|\S+ -m tune_seg)(?: (?:'[^']*'|[^\s'(]\S*))+)(.*)")
"""A line with a command, whose words have blanks only within quotes."""


@dataclass(frozen=True)
class Command:
    """A sentence about what to do next, with what to type in it, which may be nothing."""

    before: str
    typed: str
    after: str


@dataclass(frozen=True)
class Answered:
    """The top of the page.

    Attributes:
        kind: better, indistinguishable, not decided; it says how the box looks.
        verdict: the sentence.
        lines: what else is to be said of it.
        commands: what to type next.
    """

    kind: str
    verdict: str
    lines: Sequence[str] = ()
    commands: Sequence[Command] = ()


def page(study: StudyContents, images: Examples | NothingToShow) -> str:
    """The whole page, as HTML that needs no other file and no network.

    Args:
        study: what the study holds.
        images: those that tell two models apart, or why none are shown.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template(_TEMPLATE).render(
        name=study.directory.name,
        subtitle=_subtitle(study),
        answered=_answered(study),
        sections=list(_sections(study, images)),
        plotly=get_plotlyjs(),
        written=f"{datetime.now():%Y-%m-%d %H:%M}, tune_seg {version('tune-seg')}",
        colours={"right": RIGHT, "missed": MISSED, "false_alarm": FALSE_ALARM},
    )


def _subtitle(study: StudyContents) -> str:
    packed, config = study.packed, study.config
    images = "" if packed is None else f" {len(packed.train)} training and {len(packed.val)} validation images,"
    data = f"generated scenes ({config.data.format})" if config.data.root is None else str(config.data.root)
    return (
        f"{counted(len(study.records), 'trial')} of up to {counted(config.training.epochs, 'epoch')}, "
        f"{config.model.architecture} with {config.model.encoder}; {data},{images} {len(study.class_names)} classes; "
        f"objective {', '.join(config.objectives)}"
    )


def _answered(study: StudyContents) -> Answered:
    answer, config = study.answer, study.config
    lines: list[str] = list(study.missing)
    cost, scored = _cost(study), study.scored
    if study.packed is None:
        verdict, kind = "The verdict cannot be drawn again.", "unknown"
    elif answer is None:
        kind = Kind.UNDECIDED.value
        found = without_verdict(study.completed, study.plain, config.objectives, study.names) if study.completed else ()
        said = [str(line) for line in found]
        verdict, *rest = said or ["No trial ran to its end."]
        lines += rest
    else:
        kind = answer.verdict.kind.value
        verdict = verdict_text(answer, config.objectives, config.search.confirm.margin, cost).plain
        best, other = (answer.contenders[id] for id in (answer.verdict.best, answer.verdict.other))
        with_temperature = temperature_line(best, other, study.names, config.objectives)
        lines += [] if with_temperature is None else [with_temperature]
        lines += [*adjusted_lines(answer), *diverged_lines(answer), *undefined_lines(answer, study.objective)]
        lines += [*apart_lines(answer, study.objective, config.search.confirm.margin), *front_lines(answer)]
        lines += rate_lines(config, study.records, answer)
        if scored.test is not None:
            lines += [line.strip() for line in test_lines(answer, study.objective, scored.test)]
        lines += warning_lines(scored)
    if not all(record.state.ended for record in study.records):
        lines.append("The study is not finished: this is what is known so far.")
    opened = scored.test is not None
    commands = next_lines(config, study.directory, study.records, answer, cost, asked=study.asked, opened=opened)
    return Answered(kind, verdict, lines, [*map(_command, commands)] if study.packed is not None else ())


def _command(line: str) -> Command:
    """Divide a line of :func:`next_lines`: what is before the command, the command, and what follows it."""
    found = _TYPED.fullmatch(line)
    return Command(line, "", "") if found is None else Command(*found.groups())


def _cost(study: StudyContents) -> Cost:
    """What a training costs; how long is said only where it is known how many run at once."""
    return Cost(None) if study.slots is None else training_cost(study.records, study.slots)


def _sections(study: StudyContents, images: Examples | NothingToShow) -> Iterator[Section]:
    yield _with_chart(
        study,
        "finalists",
        "The finalists beside plain cross entropy",
        forest,
        "Left: how much better than plain cross entropy, with the interval over seeds and images. An interval right of the "
        "band is a difference that matters; the band is the margin below which it does not. P(better) is the chance to be "
        "better with one more seed. Right: other scores; large marks are means, small ones single seeds.",
        tables=[table] if (table := gained(study)) is not None else [],
    )
    yield _examples(images)
    plain = study.plain
    missed = (
        []
        if plain is None
        else missed_lines(
            plain,
            [each for each in study.completed if each.id != plain.id],
            study.class_names,
            study.absent,
            study.taken if study.answer is not None and study.taken is not None and study.taken.id != plain.id else None,
        )
    )
    yield _with_chart(
        study,
        "classes",
        "What is found of each class",
        class_recall,
        "The most frequent class is on the left; below each its share of the training pixels.",
        lines=list(missed),
    )
    yield Section(
        "ranking",
        "Ranked configurations",
        tables=[table for table in (ranking(study), free(study)) if table is not None] if study.completed else [],
        lines=[] if study.completed else ["No trial ran to its end."],
    )
    yield _with_chart(
        study,
        "path",
        f"From plain cross entropy to the {'best so far' if study.answer is None else 'recommended one'}",
        path,
        "Each step is a configuration that was tried, with what changed below it; bars are the scatter of the seeds.",
    )
    yield _with_chart(
        study,
        "importance",
        "Which settings matter",
        importances,
        "How much each key decided whether a trial of the search was among the best quarter (PED-ANOVA).",
    )
    yield _with_chart(
        study,
        "parallel",
        "All trials",
        parallel,
        "A line is a trial of the search that ran to its end. Drag along an axis to pick a part of it; a dash is a key that "
        "the trial does not have.",
    )
    yield _with_chart(
        study,
        "slices",
        "Schedule, gamma and other numbers",
        slices,
        "The objective of each trial of the search that ran to its end.",
    )
    yield _with_chart(
        study,
        "curves",
        "Learning curves",
        curves,
        "Above: thick lines are means over the seeds, thin ones single seeds, dotted ones the best others of the search. "
        "Below: the weight of each loss that has a schedule.",
    )
    yield _with_chart(
        study,
        "reliability",
        "Can the outputs be read as probabilities?",
        reliability,
        "Above: the mean of the outputs in each of ten bins, and the share of them that is true. On the dotted line "
        "they are probabilities; below it the model is too sure, above it not sure enough. Below: how many outputs that "
        "is, of all pixels, classes and seeds.",
    )
    yield _with_chart(
        study,
        "mistakes",
        "What is missed, and what is a false alarm",
        mistakes,
        "The most frequent class is on the left. No bar on the right: the class is never predicted.",
    )
    yield _with_chart(
        study,
        "confusion",
        "Which class is taken for which",
        confusion,
        "A row is a true class: the share of its pixels that is taken for the class of the column, and how many pixels that "
        "is, of all validation images and seeds. What is found is on the diagonal.",
    )
    yield _with_chart(
        study, "acw", "Adaptive class weights", acw_weights, "Each begins at 1; what is learned stays near it or not."
    )
    yield _with_chart(
        study,
        "pareto",
        "Pareto front",
        pareto,
        "Nothing that was tried beats a star in one objective without losing in another.",
    )
    yield _with_chart(
        study, "time", "Where the time went", time, "Training and evaluation; epochs taken over from the store take none."
    )
    yield Section("trials", "What was stopped, skipped or failed", lines=list(why_lines(study)), tables=[states(study)])


def _with_chart(
    study: StudyContents,
    id: str,
    title: str,
    draw: "Callable[[StudyContents], Figure]",
    about: str,
    *,
    lines: Sequence[str] = (),
    tables: Sequence[Table] = (),
) -> Section:
    """A section with a figure, or the sentence why there is none."""
    try:
        figure = draw(study)
    except NothingToShow as reason:
        return Section(id, title, lines=[str(reason), *lines], tables=tables)
    chart = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        config=_CHART,
        div_id=f"chart-{id}",
        default_width="100%",
    )
    return Section(id, title, about, chart, lines, tables)


def _examples(found: Examples | NothingToShow) -> Section:
    title = "Images that tell the two apart"
    if isinstance(found, NothingToShow):
        return Section("images", title, lines=[str(found)])
    return Section("images", title, found.about, examples=found)
