"""Which class is taken for which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tune_seg.image_counts import Counts
from tune_seg.study.configurations import Configuration
from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.classes import classes
from tune_seg.study.figures.style import NothingToShow, in_lines, need_ended, styled

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MOST: Final = 20
"""Classes that have a row and a column of their own."""
_SIDE_BY_SIDE: Final = 10
"""Classes up to which two matrices beside each other have room for their numbers."""
_OTHERS: Final = "all others"
_SCALE: Final = ((0.0, "rgba(0, 114, 178, 0)"), (1.0, "rgba(0, 114, 178, 0.7)"))
"""From the ground, light or dark, to a blue on which the text of both can be read."""


def confusion(study: StudyContents) -> "Figure":
    """The confusion of plain cross entropy and of the one to take: rows are true classes, columns what they are taken for.

    A cell has the share of the pixels of its true class, and below that how many they are, of all seeds together. Of many
    classes those are shown of which most is missed; all others share a column.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: no trial ran to its end, or what is taken for what was not kept.
    """
    from plotly.graph_objects import Heatmap
    from plotly.subplots import make_subplots

    need_ended(study)
    found = {each.id: counts for each in study.pair if (counts := _counts(study, each)) is not None}
    if not found:
        raise NothingToShow(
            "Which class is taken for which is not known: the counts of the validation images (folder images) are not "
            "there, or are of a version that did not keep it."
        )
    rows, names = _shown(study, list(found.values()))
    columns = names if len(rows) == len(study.class_names) else [*names, _OTHERS]
    beside = len(columns) <= _SIDE_BY_SIDE
    figure = make_subplots(
        *((1, len(found)) if beside else (len(found), 1)),
        subplot_titles=[in_lines(study.names[id]) for id in found],
        shared_yaxes=beside,
        horizontal_spacing=0.03,
        vertical_spacing=0.2 / len(found),
    )
    for place, counts in enumerate(found.values(), 1):
        pixels = counts[np.ix_(rows, rows)]
        if len(columns) > len(rows):
            pixels = np.column_stack([pixels, counts[rows].sum(axis=1) - pixels.sum(axis=1)])
        there = counts[rows].sum(axis=1, keepdims=True)
        shares = np.divide(pixels, there, out=np.full(pixels.shape, np.nan), where=there > 0)
        cells = Heatmap(
            x=columns,
            y=names,
            z=shares.tolist(),
            text=[[_said(*cell) for cell in zip(*row, strict=True)] for row in zip(shares, pixels, strict=True)],
            texttemplate="%{text}",
            textfont={"size": 11},
            customdata=pixels.tolist(),
            hovertemplate="%{y} taken for %{x}: %{z:.1%}, %{customdata} pixels<extra></extra>",
            zmin=0,
            zmax=1,
            colorscale=_SCALE,
            showscale=False,
            xgap=1,
            ygap=1,
        )
        figure.add_trace(cells, **({"row": 1, "col": place} if beside else {"row": place, "col": 1}))
    height = 150 + 38 * len(rows)
    figure.update_xaxes(showgrid=False, side="bottom", tickangle=-40, dtick=1)
    figure.update_yaxes(showgrid=False, autorange="reversed", dtick=1)
    figure.update_yaxes(title_text="true class", col=1)
    return styled(figure, height if beside else len(found) * height, top=90)


def _shown(study: StudyContents, found: Sequence[Counts]) -> tuple[list[int], list[str]]:
    """The numbers of the classes with a row, the most frequent first, and what they are called."""
    order, _ = classes(study)
    counts = np.sum(found, axis=0)
    there = counts.sum(axis=1)
    missed = {number: 1 - counts[number, number] / there[number] for number in order if there[number]}
    shown = {*sorted(missed, key=lambda number: -missed[number])[:_MOST]}
    rows = [number for number in order if number in shown or len(order) <= _MOST]
    return rows, [study.class_names[number] for number in rows]


def _said(share: float, pixels: int) -> str:
    """What is written in a cell; nothing where nothing is taken for it."""
    if not pixels:
        return ""
    return f"{'<1%' if share < 0.01 else f'{share:.0%}'}<br>{_short(pixels)}"


def _short(number: Any) -> str:
    """A number in at most five characters: 1234 is 1.2k."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}" if number < 100 * size else f"{number // size}{letter}"
    return str(number)


def _counts(study: StudyContents, each: Configuration) -> Counts | None:
    """The confusion of all its seeds together; None where no seed has kept it."""
    kept = [images.confusion for images in study.images(each) if images.confusion is not None]
    return np.sum(kept, axis=0) if kept else None  # type: ignore[no-any-return]
