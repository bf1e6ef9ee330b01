"""The objective along each number that the search varied: schedule start and end, gamma, and what else there is."""

import math
from typing import TYPE_CHECKING, Final

from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.parallel import completed_of_search, is_log, is_number
from tune_seg.study.figures.style import COLOURS, SYMBOLS, NothingToShow, say_left_out, styled
from tune_seg.study.output.words import label

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_FIRST: Final = ("schedule.start", "schedule.end", "loss.gamma")
_KIND: Final = "loss.kind"
_COLUMNS, _MOST = 3, 9
_MANY: Final = 1000
"""Points beyond which the graphics card draws them."""


def slices(study: StudyContents) -> "Figure":
    """The objective of every trial of the search that ran to its end, along each number that was varied.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: no number was varied, or nothing ran to its end.
    """
    from plotly.graph_objects import Scatter, Scattergl
    from plotly.subplots import make_subplots

    trials, undefined = completed_of_search(study)
    points = [(trial, trial.params, str(trial.assignment.get(_KIND, "trials"))) for trial in trials]
    numbers = {key for trial in trials for key, value in trial.assignment.items() if is_number(value)}
    keys = sorted(numbers, key=lambda key: (_FIRST.index(key) if key in _FIRST else len(_FIRST), key))
    keys = [key for key in keys if len({params[key] for _, params, _ in points if key in params}) > 1][:_MOST]
    if not keys:
        raise NothingToShow("No number that was varied has two values among the trials that ran to their end.")
    rows, columns = math.ceil(len(keys) / _COLUMNS), min(_COLUMNS, len(keys))
    figure = make_subplots(
        rows, columns, subplot_titles=[label(key) for key in keys], shared_yaxes=True, vertical_spacing=0.12
    )
    kinds = sorted({kind for _, _, kind in points})
    in_legend: set[str] = set()
    draw = Scattergl if len(trials) > _MANY else Scatter
    for place, key in enumerate(keys):
        row, column = place // columns + 1, place % columns + 1
        for number, kind in enumerate(kinds):
            shown = [(trial, params[key]) for trial, params, of in points if of == kind and key in params]
            if not shown:
                continue
            trace = draw(
                x=[value for _, value in shown],
                y=[trial.score(study.objective) for trial, _ in shown],
                text=[f"trial {trial.number}, {trial.name}" for trial, _ in shown],
                mode="markers",
                marker={"color": COLOURS[number % len(COLOURS)], "symbol": SYMBOLS[number % len(SYMBOLS)], "opacity": 0.75},
                name=kind,
                legendgroup=kind,
                showlegend=kind not in in_legend,
                hovertemplate="%{text}<br>%{x:.4g}: %{y:.4f}<extra></extra>",
            )
            in_legend.add(kind)
            figure.add_trace(trace, row=row, col=column)
        if is_log(study.config.space.get(key)):
            figure.update_xaxes(type="log", row=row, col=column)
    figure.update_yaxes(title_text=study.objective, col=1)
    say_left_out(figure, undefined, study.objective)
    return styled(figure, 120 + 260 * rows)
