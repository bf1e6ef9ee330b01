"""The finalists beside plain cross entropy: the difference with its interval, and their other scores."""

import math
from statistics import fmean
from typing import TYPE_CHECKING

from tune_seg.study.configurations import Configuration
from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.style import COLOURS, FAINT, GREY, NothingToShow, colours_of, in_lines, styled
from tune_seg.study.output.answer import columns_beside, probability
from tune_seg.study.output.sentence import PLAIN

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_ROOM, _LEAST = 0.35, 0.01
"""On both sides of the scores, for what is written on them, as a share of their range, and the least range."""
_ROW, _FRAME = 62, 110
"""Pixels of a row, and of what is above and below the rows."""


def forest(study: StudyContents) -> "Figure":
    """How much better each finalist is than plain cross entropy, with the interval of that, and what else it scores.

    The band is the margin: what lies in it does not matter. In the other columns a large mark is the mean, and a small
    one is one seed.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: nothing was repeated with new seeds.
    """
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    answer = study.answer
    if answer is None:
        raise NothingToShow("No configuration was trained with several seeds, so no difference has an interval yet.")
    metrics, colours = columns_beside(study.config.objectives), colours_of(study)
    titles = [f"{study.objective}<br>minus {PLAIN}", *(name.replace("/", "/<br>") for name in metrics)]
    figure = make_subplots(
        1,
        len(titles),
        shared_yaxes=True,
        column_widths=[2.4, *[1.0] * len(metrics)],
        subplot_titles=titles,
        horizontal_spacing=0.05,
    )
    rows = {row.id: row.difference for row in answer.verdict.table}
    for each in study.shown:
        label, colour = in_lines(study.names[each.id]), colours[each.id]
        found = rows.get(each.id)
        if found is not None:
            half = 0.0 if math.isnan(found.low) else found.high - found.mean
            chance = probability(found.p_fresh)
            figure.add_trace(
                Scatter(
                    x=[found.mean],
                    y=[label],
                    mode="markers+text",
                    marker={"color": colour, "size": 12},
                    error_x={"type": "data", "array": [half], "color": colour, "thickness": 3, "width": 8},
                    text=[f"{found.mean:+.3f}{f', P(better) {chance}' if chance else ''}"],
                    textposition="top center",
                    hovertemplate=f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}], {found.n} seeds<extra></extra>",
                    cliponaxis=False,
                ),
                row=1,
                col=1,
            )
        else:
            at_zero = Scatter(
                x=[0], y=[label], mode="markers", marker={"color": colour, "size": 12, "symbol": "diamond"}, hoverinfo="skip"
            )
            figure.add_trace(at_zero, row=1, col=1)
        for column, metric in enumerate(metrics, 2):
            for trace in _scores(each, metric, label, colour):
                figure.add_trace(trace, row=1, col=column)
    margin = study.config.search.confirm.margin  # drawn last: a figure leaves out what belongs to an empty part of it
    figure.add_vrect(-margin, margin, row=1, col=1, fillcolor=COLOURS[3], opacity=0.3, line_width=0, layer="below")
    figure.add_vline(0, row=1, col=1, line={"color": GREY, "dash": "dot"})
    figure.update_yaxes(range=[len(study.shown) - 0.5, -0.8], gridcolor=FAINT)  # room for what is written over the first row
    figure.update_layout(showlegend=False)
    figure = styled(figure, _FRAME + _ROW * len(study.shown), top=60)
    figure.update_xaxes(nticks=4, tickangle=0)
    for column, metric in enumerate(metrics, 2):
        values = [score for each in study.shown for score in each.scores(metric) if math.isfinite(score)]
        if values:
            room = _ROOM * (max(values) - min(values) or _LEAST)
            figure.update_xaxes(range=[min(values) - room, max(values) + room], col=column)
    return figure


def _scores(each: Configuration, metric: str, label: str, colour: str) -> list[object]:
    """The scores of all seeds and their mean."""
    from plotly.graph_objects import Scatter

    scores = [score for score in each.scores(metric) if math.isfinite(score)]
    if not scores:
        return []
    mean = fmean(scores)
    shown = "%{x:.4f}<extra></extra>"
    return [
        Scatter(
            x=scores,
            y=[label] * len(scores),
            mode="markers",
            hovertemplate=f"one seed: {shown}",
            marker={"color": colour, "size": 6, "opacity": 0.6, "symbol": "circle-open"},
        ),
        Scatter(
            x=[mean],
            y=[label],
            mode="markers+text",
            text=[f"{mean:.3f}"],
            textposition="top center",
            cliponaxis=False,
            marker={"color": colour, "size": 11},
            hovertemplate=f"mean: {shown}",
        ),
    ]
