"""The way from plain cross entropy to the configuration to take, over configurations that were tried."""

import heapq
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import stdev
from typing import TYPE_CHECKING, Any, Final

from tune_seg.study.configurations import Configuration, mean_score
from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.parallel import is_number
from tune_seg.study.figures.style import COLOURS, NothingToShow, styled
from tune_seg.study.output.sentence import PLAIN
from tune_seg.study.output.words import cell, label

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MOST: Final = 200
"""Configurations that are looked at, the best ones."""


def path(study: StudyContents) -> "Figure":
    """What each change on the way from plain cross entropy to the configuration to take did to the objective.

    Every step is a configuration that was tried; steps with few changes are preferred. Means of one seed scatter.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: there is no plain cross entropy, or it is the one to take.
    """
    from plotly.graph_objects import Figure, Scatter

    if len(study.config.objectives) > 1:
        raise NothingToShow("With several objectives none is recommended, so no way leads there.")
    if study.plain is None or study.taken is None:
        raise NothingToShow("Plain cross entropy did not run to its end, so no way begins there.")
    if study.taken.id == study.plain.id:
        raise NothingToShow("Plain cross entropy has the best score so far, or is the one to take: there is no way to go.")
    steps = _shortest(study.plain, study.taken, study.completed)
    labels = [PLAIN]
    for before, after in pairwise(steps):
        changes = _changes(_settings(before), _settings(after))
        labels.append(
            "<br>".join(f"{label(key)} = {cell(value)}" for key, value in changes.items()) or study.names[after.id]
        )
    scores = [mean_score(each, study.objective) for each in steps]
    seeds = [each.scores(study.objective) for each in steps]
    figure = Figure(
        Scatter(
            x=list(range(len(steps))),
            y=scores,
            error_y={"type": "data", "array": [stdev(each) if len(each) > 1 else 0.0 for each in seeds]},
            mode="lines+markers+text",
            text=[f"{score:.3f}" for score in scores],
            textposition="bottom right",
            cliponaxis=False,
            marker={"color": COLOURS[0], "size": 11},
            customdata=[[study.names[each.id], len(of)] for each, of in zip(steps, seeds, strict=True)],
            hovertemplate="%{customdata[0]}: %{y:.4f}, seeds: %{customdata[1]}<extra></extra>",
        )
    )
    figure.update_xaxes(tickvals=list(range(len(steps))), ticktext=labels, range=[-0.4, len(steps) - 0.6])
    figure.update_yaxes(title_text=study.objective)
    return styled(figure, 400, top=30)


def _shortest(first: Configuration, last: Configuration, tried: Sequence[Configuration]) -> list[Configuration]:
    """The way with the smallest sum of the squared numbers of changes, over those that lie between the two."""
    ends = _settings(first), _settings(last)
    between = [each for each in tried if _lies_between(_settings(each), *ends)][:_MOST]
    nodes = {each.id: each for each in (first, *between, last)}
    settings = {id: _settings(each) for id, each in nodes.items()}
    costs, came_from = {first.id: 0}, dict[str, str]()
    open_yet = [(0, first.id)]
    while open_yet:
        cost, id = heapq.heappop(open_yet)
        if id == last.id:
            break
        if cost > costs[id]:
            continue
        for other in nodes:
            further = cost + len(_changes(settings[id], settings[other])) ** 2
            if other != id and further < costs.get(other, math.inf):
                costs[other], came_from[other] = further, id
                heapq.heappush(open_yet, (further, other))
    way = [last.id]
    while way[-1] != first.id:
        way.append(came_from[way[-1]])
    return [nodes[id] for id in reversed(way)]


def _settings(each: Configuration) -> dict[str, Any]:
    return {"loss": None, **each.assignment}


def _lies_between(values: Mapping[str, Any], first: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Whether each of the values is one of the two ends', or a number of a key that they have."""
    keys = first.keys() | last.keys()
    return values.keys() <= keys and all(
        is_number(values.get(key)) or values.get(key) in (first.get(key), last.get(key)) for key in keys
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What the second has and the first has not; what only the first has follows from that."""
    return {key: value for key, value in after.items() if json.dumps(before.get(key)) != json.dumps(value)}
