"""All trials of the search, a line each, through the values that they were given."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.style import GREY, SCALE, NothingToShow, say_left_out, styled
from tune_seg.study.output.words import label
from tune_seg.study.record import Record, State

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_NONE: Final = "-"
_MOST_KEYS: Final = 10
_MOST_TICKS: Final = 12


def parallel(study: StudyContents) -> "Figure":
    """Every trial of the search that ran to its end as a line: its settings, and the objective, which is its colour.

    Pull along an axis to see the lines through that part of it alone. A key that a trial does not have is at the bottom.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: fewer than two trials ran to their end, or they do not differ.
    """
    from plotly.graph_objects import Figure, Parcoords

    trials, undefined = completed_of_search(study)
    if len(trials) < 2:
        raise NothingToShow("It takes two trials of the search that ran to their end and have a score; there are fewer.")
    keys = varied_keys(trials)[:_MOST_KEYS]
    if not keys:
        raise NothingToShow("All trials that ran to their end have the same settings.")
    scores = [trial.score(study.objective) for trial in trials]
    dimensions = [
        _dimension(key, [trial.assignment.get(key) for trial in trials], log=is_log(study.config.space.get(key)))
        for key in keys
    ]
    figure = Figure(
        Parcoords(
            line={"color": scores, "colorscale": SCALE, "showscale": True, "colorbar": {"thickness": 12}},
            dimensions=[*dimensions, {"label": study.objective, "values": scores}],
            labelangle=-15,
            labelfont={"color": GREY},
            tickfont={"color": GREY},
            rangefont={"color": GREY},
        )
    )
    figure = styled(figure, 460)
    figure.update_layout(margin={"l": 70, "r": 60, "t": 90, "b": 50})
    say_left_out(figure, undefined, study.objective)
    return figure


def completed_of_search(study: StudyContents) -> tuple[list[Record], int]:
    """The trials of the search that ran to their end and have a score, and how many have an undefined one."""
    ended = [trial for trial in study.records if trial.state is State.COMPLETED and not trial.repeat]
    scores = [trial.score(study.objective) for trial in ended]
    known = [trial for trial, score in zip(ended, scores, strict=True) if score is not None and not math.isnan(score)]
    return known, len(ended) - len(known)


def varied_keys(trials: Sequence[Record]) -> list[str]:
    """The keys in which trials differ."""
    keys = dict.fromkeys(key for trial in trials for key in trial.assignment)
    return [key for key in keys if len({_text(trial.assignment.get(key)) for trial in trials}) > 1]


def is_number(value: Any) -> bool:
    """Whether a value is a number, which true and false are not here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_log(domain: Any) -> bool:
    """Whether a key was searched on a logarithmic scale."""
    return isinstance(domain, Mapping) and bool(domain.get("log"))


def _dimension(key: str, values: Sequence[Any], *, log: bool) -> dict[str, Any]:
    present = [value for value in values if value is not None]
    if all(map(is_number, present)):
        if log:
            values = [None if value is None else math.log10(value) for value in values]
            present = [value for value in values if value is not None]
        low, high = min(present), max(present)
        below = low - (high - low or 1.0) * 0.12
        numbers = [below if value is None else value for value in values]
        ticks = [low + (high - low) * step / 4 for step in range(5)]
        missing = len(present) < len(values)
        return {
            "label": label(key),
            "values": numbers,
            "tickvals": [*([below] if missing else []), *ticks],
            "ticktext": [*([_NONE] if missing else []), *(f"{10**tick if log else tick:.3g}" for tick in ticks)],
        }
    texts = [_text(value) for value in values]
    names = sorted(set(texts), key=lambda name: (name != _NONE, name))
    places = {name: place for place, name in enumerate(names)}
    step = math.ceil(len(names) / _MOST_TICKS)
    return {
        "label": label(key),
        "values": [places[text] for text in texts],
        "tickvals": list(range(0, len(names), step)),
        "ticktext": names[::step],
    }


def _text(value: Any) -> str:
    return _NONE if value is None else value if isinstance(value, str) else json.dumps(value)
