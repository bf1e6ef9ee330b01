"""What is found of each class, and what goes wrong with it; the classes in the order of their frequency."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from tune_seg.study.configurations import Configuration
from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.style import SYMBOLS, colours_of, in_lines, need_ended, styled
from tune_seg.study.record import State

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def class_recall(study: StudyContents) -> "Figure":
    """The recall of each class, a mean over the seeds, the most frequent class first.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: no trial ran to its end.
    """
    from plotly.graph_objects import Figure, Scatter

    need_ended(study)
    order, labels = classes(study)
    figure, colours = Figure(), colours_of(study)
    for place, each in enumerate(study.shown):
        recalls = [_mean(each.class_recalls(number)) for number in order]
        figure.add_trace(
            Scatter(
                x=labels,
                y=recalls,
                mode="markers",
                name=in_lines(study.names[each.id]),
                hovertemplate="%{x}: %{y:.3f}",
                marker={"color": colours[each.id], "size": 11, "symbol": SYMBOLS[place % len(SYMBOLS)]},
            )
        )
    figure.update_layout(scattermode="group", scattergap=0.4)
    figure.update_yaxes(title_text="recall", range=[-0.03, 1.03])
    return styled(figure, 440)


def mistakes(study: StudyContents) -> "Figure":
    """Of each class the share of its pixels that is missed, and the share of what is called so that is another class.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: no trial ran to its end.
    """
    from plotly.graph_objects import Bar
    from plotly.subplots import make_subplots

    need_ended(study)
    order, _ = classes(study)
    titles = ("missed: share of the pixels of the class", "false alarms: share of the pixels called so")
    figure, colours = (
        make_subplots(1, 2, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04),
        colours_of(study),
    )
    for each in study.pair:
        for column, metric in enumerate(("class_recall", "class_precision"), 1):
            shares = [_of_class(each, metric, number) for number in order]
            bars = Bar(
                x=[study.class_names[number] for number in order],
                y=[None if share is None else 1.0 - share for share in shares],
                marker_color=colours[each.id],
                name=in_lines(study.names[each.id]),
                legendgroup=each.id,
                showlegend=column == 1,
                hovertemplate="%{x}: %{y:.3f}",
            )
            figure.add_trace(bars, row=1, col=column)
    figure.update_yaxes(range=[0, 1])
    figure.update_xaxes(tickangle=-40)
    return styled(figure, 490, top=110)


def classes(study: StudyContents) -> tuple[list[int], list[str]]:
    """The numbers of the classes, the most frequent first, and what they are called."""
    names, shares = study.class_names, study.shares
    if shares is None:
        return list(range(len(names))), list(names)
    order = sorted(range(len(names)), key=lambda number: -shares[number])
    return order, [f"{names[number]}<br>{100 * shares[number]:.2g} %" for number in order]


def _of_class(each: Configuration, metric: str, number: int) -> float | None:
    """The mean over the seeds that have it; a training that diverged has found nothing."""
    found = []
    for trial in each.scored:
        values = trial.history[-1].evaluation.per_class.get(metric, ())
        value = values[number] if number < len(values) else math.nan
        if trial.state is State.DIVERGED and metric == "class_recall":
            value = 0.0
        found.append(value)
    return _mean([value for value in found if not math.isnan(value)])


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
