"""Whether outputs can be read as probabilities, before and after the temperature."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tune_seg.image_counts import Reliability
from tune_seg.study.configurations import Configuration
from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.style import GREY, NothingToShow, colours_of, in_lines, styled
from tune_seg.study.images import read_images

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_TITLES = ("as trained", "with one temperature")


def reliability(study: StudyContents) -> "Figure":
    """How much larger the outputs in each bin are than the share of them that is true, and how many outputs that is.

    At 0 the outputs are probabilities; above it the model is too sure.

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
        row_heights=[0.65, 0.35],
        subplot_titles=_TITLES,
        vertical_spacing=0.06,
        horizontal_spacing=0.04,
    )
    colours, known = colours_of(study), False
    for each in study.shown:
        counted = [_counts(study, each, scaled) for scaled in (False, True)]
        for column, found in enumerate(counted, 1):
            if found is None:
                continue
            known = True
            outputs, gaps = found
            bins = len(outputs)
            centres = [(number + 0.5) / bins for number in range(bins)]
            means = [gap / count if count else None for gap, count in zip(gaps, outputs, strict=True)]
            name = in_lines(study.names[each.id])
            line = Scatter(
                x=centres,
                y=means,
                mode="lines+markers",
                name=name,
                line={"color": colours[each.id], "width": 2},
                legendgroup=each.id,
                showlegend=column == 1,
                hovertemplate="outputs around %{x:.2f}: %{y:+.3f}",
            )
            figure.add_trace(line, row=1, col=column)
            bars = Bar(
                x=centres,
                y=outputs,
                marker_color=colours[each.id],
                name=name,
                legendgroup=each.id,
                showlegend=False,
                hovertemplate="%{y} outputs",
            )
            figure.add_trace(bars, row=2, col=column)
    if not known:
        raise NothingToShow("The counts of the validation images (folder images) are not there.")
    figure.add_hline(0, row=1, line={"color": GREY, "dash": "dot"})
    figure.update_yaxes(title_text="output minus truth", row=1, col=1)
    figure.update_yaxes(title_text="outputs", type="log", row=2, col=1)
    figure.update_yaxes(type="log", row=2, col=2)
    figure.update_xaxes(title_text="output", row=2)
    return styled(figure, 560)


def _counts(study: StudyContents, each: Configuration, scaled: bool) -> tuple[Sequence[int], Sequence[float]] | None:
    """Of all its seeds together the outputs in each bin, and the sum over these of output minus truth."""
    found: list[Reliability] = []
    for trial in each.scored:
        images = read_images(study.directory, trial.number)
        if images is not None:
            found.append(images.scaled if scaled else images.raw)
    if not found:
        return None
    outputs, gaps = (np.sum([getattr(one, name).sum(axis=0) for one in found], axis=0) for name in ("outputs", "gaps"))
    return outputs.tolist(), gaps.tolist()
