"""What adaptive class weights were learned."""

from typing import TYPE_CHECKING, Any

from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.style import COLOURS, GREY, SYMBOLS, NothingToShow, in_lines, styled
from tune_seg.study.record import State

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def acw_weights(study: StudyContents) -> "Figure":
    """The adaptive class weights: epoch by epoch in the best configuration that has them, and at the end of all trials.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: no trial with them ran to its end.
    """
    from plotly.graph_objects import Box, Scatter
    from plotly.subplots import make_subplots

    best = next((each for each in study.completed if each.config.acw), None)
    if best is None:
        raise NothingToShow("No trial with adaptive class weights (acw) ran to its end.")
    trials = [trial for trial in study.records if trial.state is State.COMPLETED and trial.config.acw]
    named = in_lines(f"{study.names[best.id]}, trial {best.scored[0].number}")
    titles = (named, f"after the last epoch of {len(trials)} trials")
    figure = make_subplots(1, 2, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04)
    history = [result for result in best.scored[0].history if result.acw_weight is not None]
    ends = [trial.last.acw_weight for trial in trials if trial.last is not None and trial.last.acw_weight is not None]
    for number, name in enumerate(study.class_names):
        colour = COLOURS[number % len(COLOURS)]
        shown: dict[str, Any] = {"name": name, "legendgroup": name}
        line = Scatter(
            x=[result.epoch for result in history],
            y=[_of(result.acw_weight, number) for result in history],
            mode="lines+markers",
            line={"color": colour},
            hovertemplate="epoch %{x}: %{y:.3f}",
            marker={"symbol": SYMBOLS[number // len(COLOURS) % len(SYMBOLS)], "size": 8},
            **shown,
        )
        figure.add_trace(line, row=1, col=1)
        box = Box(y=[weights[number] for weights in ends], marker_color=colour, showlegend=False, boxpoints=False, **shown)
        figure.add_trace(box, row=1, col=2)
    figure.add_hline(1, line={"color": GREY, "dash": "dot"})
    figure.update_xaxes(title_text="epoch", col=1)
    figure.update_yaxes(title_text="weight", col=1)
    return styled(figure, 500, top=110)


def _of(weights: tuple[float, ...] | None, number: int) -> float | None:
    return None if weights is None else weights[number]
