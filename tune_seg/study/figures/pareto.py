"""The Pareto front of a study with several objectives."""

import math
from typing import TYPE_CHECKING, Any

from tune_seg.study.configurations import mean_score, pareto_front
from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.style import COLOURS, GREY, SCALE, NothingToShow, say_left_out, styled

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def pareto(study: StudyContents) -> "Figure":
    """All configurations by the first two objectives, a third as the colour; those on the front are joined by their mark.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: the study has one objective, or nothing ran to its end.
    """
    from plotly.graph_objects import Figure, Scatter

    objectives = study.config.objectives
    if len(objectives) < 2:
        raise NothingToShow(f"The study has one objective, {objectives[0]}; a front needs two.")
    front = {each.id for each in pareto_front(study.completed, objectives)}
    if not front:
        raise NothingToShow("No trial ran to its end.")
    figure = Figure()
    for name, on_front in (("beaten in one objective or more", False), ("on the Pareto front", True)):
        shown = [each for each in study.completed if (each.id in front) is on_front]
        marker: dict[str, Any] = {"size": 13 if on_front else 7, "symbol": "star" if on_front else "circle", "color": GREY}
        if len(objectives) > 2:
            thirds = [mean_score(each, objectives[2]) for each in shown]
            marker |= {"color": thirds, "colorscale": SCALE, "coloraxis": "coloraxis"}
        elif on_front:
            marker["color"] = COLOURS[0]
        figure.add_trace(
            Scatter(
                x=[mean_score(each, objectives[0]) for each in shown],
                y=[mean_score(each, objectives[1]) for each in shown],
                text=[study.names[each.id] for each in shown],
                mode="markers",
                marker=marker,
                name=name,
                hovertemplate="%{text}<br>%{x:.4f}, %{y:.4f}<extra></extra>",
            )
        )
    if len(objectives) > 2:
        figure.update_layout(coloraxis={"colorscale": SCALE, "colorbar": {"title": objectives[2], "thickness": 12}})
    shown_scores = ([mean_score(each, name) for name in objectives[:2]] for each in study.completed)
    say_left_out(figure, sum(math.isnan(a) or math.isnan(b) for a, b in shown_scores), " or ".join(objectives[:2]))
    figure.update_xaxes(title_text=objectives[0])
    figure.update_yaxes(title_text=objectives[1])
    return styled(figure, 480)
