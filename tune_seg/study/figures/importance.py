"""Which keys decided the objective, by Optuna's PED-ANOVA, which copes with keys that only some trials have."""

import warnings
from typing import TYPE_CHECKING, Final

from tune_seg.study.contents import StudyContents
from tune_seg.study.figures.parallel import completed_of_search
from tune_seg.study.figures.style import COLOURS, NothingToShow, styled
from tune_seg.study.output.words import counted, label

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_FEWEST: Final = 20
"""Trials below which an importance is chance: five of them must be among the best."""
_BEST: Final = 0.25
"""The share of the trials that count as the best."""


def importances(study: StudyContents) -> "Figure":
    """How much each varied key decided whether a trial of the search was among the best quarter.

    Args:
        study: what the study holds.

    Raises:
        NothingToShow: too few trials ran to their end.
    """
    import optuna
    from plotly.graph_objects import Bar, Figure

    numbers = {trial.number for trial in completed_of_search(study)[0]}
    shown = [frozen for record, frozen in zip(study.records, study.trials.sampled, strict=True) if record.number in numbers]
    shown = [trial for trial in shown if trial.state is optuna.trial.TrialState.COMPLETE]
    if len(shown) < _FEWEST:
        raise NothingToShow(
            f"{counted(len(shown), 'trial')} of the search ran to the end; below {_FEWEST} an importance would be chance."
        )
    sampled = optuna.create_study(directions=["maximize"] * len(study.config.objectives))
    sampled.add_trials(shown)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that smaller targets are better: hence the minus
        found = optuna.importance.get_param_importances(
            sampled,
            evaluator=optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_BEST),
            target=lambda trial: -trial.values[0],
        )
    if not any(found.values()):
        raise NothingToShow("No key tells the best trials from the others.")
    keys = list(reversed(found))
    figure = Figure(Bar(x=[found[key] for key in keys], y=list(map(label, keys)), orientation="h", marker_color=COLOURS[0]))
    figure.update_xaxes(title_text="share of the importance of all keys")
    return styled(figure, 110 + 30 * len(keys), top=20)
