"""Where the time of a study went."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.style import COLOURS, NothingToShow, styled
from tune_seg.study.output.words import counted, duration
from tune_seg.study.record import Record, State

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def time(study: StudyContents) -> "Figure":
    """How long the trials took that ran to their end, that were stopped early, and that were repeated to be sure.

    It is the time of training and evaluation, of all slots together. Epochs taken over from the store take none.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: no epoch was trained.
    """
    from plotly.graph_objects import Bar, Figure

    groups = {what: trials for what, trials in _groups(study.records).items() if trials}
    seconds = {what: sum(trial.seconds for trial in trials) for what, trials in groups.items()}
    if not any(seconds.values()):
        raise NothingToShow("No epoch was trained in this study: all were taken over from the store, or none has ended.")
    whole = sum(seconds.values())
    labels = [f"{what}<br>{counted(len(trials), 'trial')}" for what, trials in groups.items()]
    texts = [f"{duration(each)} ({each / whole:.0%})" for each in seconds.values()]
    bars = Bar(
        x=list(seconds.values()),
        y=labels,
        orientation="h",
        text=texts,
        marker_color=COLOURS[0],
        hoverinfo="skip",
        textposition="outside",
        cliponaxis=False,
    )
    figure = Figure(bars)
    figure.update_xaxes(title_text="seconds of all slots together", range=[0, 1.25 * max(seconds.values())])
    figure.update_yaxes(autorange="reversed")
    return styled(figure, 110 + 52 * len(groups), top=20)


def _groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    search = [each for each in records if not each.repeat]
    return {
        "search, to the end": [each for each in search if each.state is State.COMPLETED],
        "search, stopped early": [each for each in search if each.state is State.PRUNED],
        "search, diverged": [each for each in search if each.state is State.DIVERGED],
        "repeats, to be sure": [each for each in records if each.repeat and each.state.ended],
        "failed, or not ended": [each for each in records if not each.state.ended],
    }
