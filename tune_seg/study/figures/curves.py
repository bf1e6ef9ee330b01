"""The learning curves of what is compared, and the weights of their losses below."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from tune_seg.study.configurations import Configuration
from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.style import FAINT, colours_of, in_lines, need_ended, styled
from tune_seg.training.result import EpochResult

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_DASHES: Final = ("solid", "dash", "dot", "dashdot")
_BEST: Final = 3
"""Configurations of the search that are shown beside the finalists."""


def curves(study: StudyContents) -> "Figure":
    """The objective after each epoch: thick the mean over the seeds, thin one seed; below, the weight of each loss.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: no trial ran to its end.
    """
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    need_ended(study)
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.06)
    colours = colours_of(study)
    compared = {each.id for each in study.shown}
    for each in [each for each in study.completed if each.id not in compared][:_BEST]:
        epochs, scores = _curve(list(each.scored[0].history), study.objective)
        line = {"color": FAINT.replace("0.25", "0.8"), "dash": "dot", "width": 1.5}
        name = in_lines(f"search: {study.names[each.id]}")
        figure.add_trace(Scatter(x=epochs, y=scores, mode="lines", line=line, name=name), row=1, col=1)
    for each in study.shown:
        histories = [list(trial.history) for trial in each.scored]
        for history in histories if len(histories) > 1 else []:
            epochs, scores = _curve(history, study.objective)
            line = {"color": colours[each.id], "width": 1}
            thin = Scatter(x=epochs, y=scores, mode="lines", line=line, opacity=0.35, showlegend=False, hoverinfo="skip")
            figure.add_trace(thin, row=1, col=1)
        epochs, means = _mean_curve(histories, study.objective)
        name, colour = study.names[each.id], colours[each.id]
        thick = Scatter(
            x=epochs,
            y=means,
            mode="lines+markers",
            line={"color": colour, "width": 3},
            name=in_lines(name),
            legendgroup=each.id,
            hovertemplate="epoch %{x}: %{y:.4f}",
        )
        figure.add_trace(thick, row=1, col=1)
        for trace in _weights(each, histories[0], colour, name):
            figure.add_trace(trace, row=2, col=1)
    figure.update_yaxes(title_text=study.objective, row=1)
    figure.update_yaxes(title_text="weight of the loss", row=2)
    figure.update_xaxes(title_text="epoch", row=2)
    return styled(figure, 560)


def _weights(each: Configuration, history: Sequence[EpochResult], colour: str, name: str) -> Iterator[Any]:
    """The weight of each loss of a configuration; none of one whose only loss keeps its weight."""
    from plotly.graph_objects import Scatter

    parts = list(dict.fromkeys(part for result in history for part in result.weights))
    if len(parts) < 2:
        return
    for part, dash in zip(parts, _DASHES, strict=False):
        values = [result.weights.get(part, 0.0) for result in history]
        yield Scatter(
            x=[result.epoch for result in history],
            y=values,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2},
            legendgroup=each.id,
            showlegend=False,
            name=f"{name}: {part}",
            hovertemplate=f"{part}: %{{y:.3f}}",
        )


def _curve(history: Sequence[EpochResult], objective: str) -> tuple[list[int], list[float | None]]:
    return [result.epoch for result in history], [result.find(objective) for result in history]


def _mean_curve(histories: Sequence[Sequence[EpochResult]], objective: str) -> tuple[list[int], list[float]]:
    """The mean over the seeds of the epochs that all of them have."""
    epochs, means = [], []
    for results in zip(*histories, strict=False):
        scores = [score for score in (result.find(objective) for result in results) if score is not None]
        if len(scores) == len(results):
            epochs.append(results[0].epoch)
            means.append(fmean(scores))
    return epochs, means
