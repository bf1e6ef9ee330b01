"""How all figures look: colours that are told apart by everybody, on a ground that may be light or dark."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from tune_seg.errors import InputError
from tune_seg.study.contents import StudyContents

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
"""Okabe & Ito, Color Universal Design, 2008, but for black and yellow, which a dark or a light page would hide."""
GREY: Final = "#808080"
"""Of plain cross entropy, and of all that is neither light nor dark."""
SYMBOLS: Final = ("circle", "diamond", "square", "triangle-up", "cross", "star")
FAINT: Final = "rgba(128, 128, 128, 0.25)"
SCALE: Final = ((0.0, "#3b528b"), (0.33, "#21918c"), (0.67, "#5ec962"), (1.0, "#fde725"))
"""Viridis without its darkest quarter, which a dark page would hide."""
_LABEL: Final = 30
"""Characters of a line of a label."""


class NothingToShow(InputError):
    """There is nothing for a figure to show; the message says why, in a sentence."""


def need_ended(study: StudyContents) -> None:
    """Raise :class:`NothingToShow` for a study of which no trial ran to its end."""
    if not study.shown:
        raise NothingToShow("No trial ran to its end.")


def styled(figure: "Figure", height: int, top: int = 70) -> "Figure":
    """The figure with the common look.

    Args:
        figure: what to change.
        height: in pixels; the width is that of the page.
        top: pixels above it, for its legend.
    """
    figure.update_layout(
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY, "size": 13, "family": "system-ui, sans-serif"},
        margin={"l": 60, "r": 20, "t": top, "b": 50},
        legend={"orientation": "h", "y": 1, "yref": "container", "yanchor": "top", "x": 0},
        hoverlabel={"namelength": -1},
    )
    figure.update_xaxes(gridcolor=FAINT, zerolinecolor=FAINT, linecolor=GREY, automargin=True)
    figure.update_yaxes(gridcolor=FAINT, zerolinecolor=FAINT, linecolor=GREY, automargin=True)
    return figure


def say_left_out(figure: "Figure", number: int, objective: str) -> None:
    """Say below a figure how many trials or configurations it lacks, as their score is undefined."""
    if number:
        figure.add_annotation(
            text=f"not drawn: {number} whose {objective} is undefined",
            **{"xref": "paper", "yref": "paper", "x": 1, "y": 0, "yanchor": "top", "yshift": -28, "showarrow": False},
        )


def colours_of(study: StudyContents) -> Mapping[str, str]:
    """The colour of each configuration that is compared, by id: the same in all figures, grey for plain cross entropy."""
    plain = None if study.plain is None else study.plain.id
    others = [each.id for each in study.shown if each.id != plain]
    coloured = {id: COLOURS[place % len(COLOURS)] for place, id in enumerate(others)}
    return coloured if plain is None else {plain: GREY, **coloured}


def in_lines(name: str) -> str:
    """A name in as many lines as its length takes."""
    return "<br>".join(textwrap.wrap(name, _LABEL, break_long_words=False))
