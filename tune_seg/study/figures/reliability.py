"""Whether outputs can be read as probabilities, before and after the temperature."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tune_seg.study.configurations import Configuration
from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.style import GREY, NothingToShow, colours_of, in_lines, styled

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_TITLES = ("as trained", "with one temperature")


def reliability(study: StudyContents) -> "Figure":
    """The mean output of each bin and the share of its outputs that is true, and below that how many outputs it has.

    On the diagonal the outputs are probabilities; below it the model is too sure.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: the counts of the validation images are not there.
    """
    from plotly.graph_objects import Bar, Scatter
    from plotly.subplots import make_subplots

    figure = make_subplots(
        2,
        2,
        shared_xaxes=True,
        shared_yaxes=True,
        row_heights=[0.72, 0.28],
        subplot_titles=_TITLES,
        vertical_spacing=0.05,
        horizontal_spacing=0.04,
    )
    colours, known = colours_of(study), False
    for each in study.shown:
        for column, scaled in enumerate((False, True), 1):
            found = _counts(study, each, scaled)
            if found is None:
                continue
            known = True
            outputs, means, shares = found
            shown: dict[str, Any] = {"name": in_lines(study.names[each.id]), "legendgroup": each.id}
            line = Scatter(
                x=means,
                y=shares,
                customdata=outputs,
                mode="lines+markers",
                line={"color": colours[each.id], "width": 2},
                showlegend=column == 1,
                hovertemplate="outputs of %{x:.3f} in the mean: %{y:.3f} of %{customdata} are true",
                **shown,
            )
            figure.add_trace(line, row=1, col=column)
            bars = Bar(
                x=[(number + 0.5) / len(outputs) for number in range(len(outputs))],
                y=outputs,
                marker_color=colours[each.id],
                showlegend=False,
                hovertemplate="%{y} outputs",
                **shown,
            )
            figure.add_trace(bars, row=2, col=column)
    if not known:
        raise NothingToShow(
            "The counts of the validation images (folder images) are not there, or are of a version that did not keep how "
            "many outputs are true."
        )
    for column in (1, 2):
        diagonal = {"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": {"color": GREY, "dash": "dot"}}
        figure.add_shape(diagonal, row=1, col=column)
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(range=[0, 1], row=1)
    figure.update_yaxes(title_text="share that is true", row=1, col=1)
    figure.update_yaxes(title_text="outputs", type="log", row=2, col=1)
    figure.update_yaxes(type="log", row=2, col=2)
    figure.update_xaxes(title_text="output", row=2)
    return styled(figure, 660, top=110)


def _counts(
    study: StudyContents, each: Configuration, scaled: bool
) -> tuple[list[int], list[float | None], list[float | None]] | None:
    """Of each bin the outputs of all seeds, their mean, and the share of them that is true; None where that is not known."""
    found = [images.scaled if scaled else images.raw for images in study.images(each)]
    sums = [(one.outputs, one.positives, one.gaps) for one in found if one.positives is not None]
    if not sums:
        return None
    outputs, positives, gaps = (np.sum([part.sum(axis=0) for part in of], axis=0) for of in zip(*sums, strict=True))
    counts = outputs.tolist()
    means, shares = (
        [value / count if count else None for value, count in zip(of.tolist(), counts, strict=True)]
        for of in (positives + gaps, positives)
    )
    return counts, means, shares
