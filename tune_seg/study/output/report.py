"""What a study ends with: the ranked configurations, what is free after training, the finalists, and the verdict."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.table import Table

from tune_seg.config import StudyConfig
from tune_seg.study.configurations import (
    Configuration,
    configurations,
    is_plain_cross_entropy,
    mean_score,
    pareto_front,
)
from tune_seg.study.confirmation import Answer
from tune_seg.study.files import CONFIGURATIONS
from tune_seg.study.output.answer import (
    answer_table,
    beside_lines,
    diverged_lines,
    missed_lines,
    test_lines,
    verdict_text,
)
from tune_seg.study.output.words import cell, settings_of, short
from tune_seg.study.record import Record, State, rank_key
from tune_seg.study.scoring import Scored
from tune_seg.training.result import ADJUSTED, SCALINGS, TEMPERATURE

_SHOWN = ("accuracy", "f1", "miou")
_WIDTH_OF_ALL_METRICS = 180
"""Characters that the ranked table takes with all its metrics."""
_MAX_RANKED = 50
"""Rows of the ranked table."""
_MAX_SCALED = 3
"""Configurations in the table of what is free after training, beside plain cross entropy."""


@dataclass(frozen=True)
class Surroundings:
    """What of the data and the machines the report needs.

    Attributes:
        class_names: by class index.
        absent: classes that no validation image has.
        slots: how many trainings run at once.
        scored: what was scored after the decision.
    """

    class_names: Sequence[str]
    absent: Sequence[str] = ()
    slots: int = 1
    scored: Scored = field(default_factory=Scored)


def final_report(
    console: Console,
    config: StudyConfig,
    records: Sequence[Record],
    answer: Answer | None,
    surroundings: Surroundings,
) -> None:
    """Print the ranked configurations, what is free after training, the finalists and the verdict."""
    objective = config.objectives[0]
    order = ranked(configurations(records), objective)
    front = {each.id for each in pareto_front(order, config.objectives)} if len(config.objectives) > 1 else set()
    console.print(_ranking(config, order[:_MAX_RANKED], front, wide=console.width >= _WIDTH_OF_ALL_METRICS), soft_wrap=True)
    if len(order) > _MAX_RANKED:
        console.print(f"{len(order) - _MAX_RANKED} more configurations are in {CONFIGURATIONS}.", highlight=False)
    completed = [configuration for configuration in order if configuration.completed]
    if not completed:
        console.print("No trial ran to its end.")
        return
    if front:
        names = ", ".join(f"trial {each.trials[0].number}" for each in order if each.id in front)
        console.print(f"Pareto front over {', '.join(config.objectives)}: {names} (marked *).")
    plain = next((each for each in completed if is_plain_cross_entropy(each.config)), None)
    metric = objective.rpartition("/")[2]
    shown = [each for place, each in enumerate(completed) if place < _MAX_SCALED or each is plain]
    if any(math.isfinite(mean_score(each, f"{ADJUSTED}/{metric}")) for each in shown):
        console.print(_free_after_training(shown, metric, surroundings.scored.ensemble), soft_wrap=True)
    missed: list[str] = []
    if plain is not None:
        others = [each for each in completed if each is not plain]
        missed = list(missed_lines(plain, others, surroundings.class_names, surroundings.absent))
    if answer is None:
        _say(console, [_without_verdict(completed[0], plain, objective), *missed])
        return
    settings, scored = config.search.confirm, surroundings.scored
    cost = 2 * _seconds_of_a_training(records) / surroundings.slots
    console.print(verdict_text(answer, objective, settings.margin, cost), soft_wrap=True, highlight=False)
    console.print(answer_table(answer, objective, settings.confidence), soft_wrap=True)
    _say(console, diverged_lines(answer))
    _say(console, beside_lines(answer, surroundings.class_names))
    if answer.front:
        shares = (f"{answer.contenders[id].name} {share:.0%}" for id, share in answer.front.items())
        _say(console, [f"Probability to be on the Pareto front, over seeds and images: {', '.join(shares)}."])
    _say(console, missed)
    if scored.test is not None:
        _say(console, test_lines(answer, objective, scored.test))
    if scored.unopened:
        _say(console, ["The test split stays unopened until there is a decision."])
    if scored.problem:
        _say(console, [f"Warning: {scored.problem}."])


def _say(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def ranked(found: Iterable[Configuration], objective: str) -> list[Configuration]:
    """Those that were repeated first, best mean first; then those that ran to their end once; then those stopped early."""

    def place(configuration: Configuration) -> tuple[bool, tuple[bool, int, float]]:
        best = min(configuration.trials, key=lambda trial: rank_key(trial.state, len(trial.history), trial.score(objective)))
        score = mean_score(configuration, objective) if configuration.completed else best.score(objective)
        return not configuration.repeats, rank_key(best.state, len(best.history), score)

    return sorted(found, key=place)


def _ranking(config: StudyConfig, order: Sequence[Configuration], front: set[str], *, wide: bool) -> Table:
    objective = config.objectives[0]
    prefix = "temperature/" if objective.startswith("temperature/") else ""
    shown = ("recall", f"{prefix}calibration", *(_SHOWN if wide else ()))
    metrics = tuple(name for name in dict.fromkeys((*config.objectives[1:], *shown)) if name != objective)
    table = Table()
    for name in ("rank", "trial", "loss"):
        table.add_column(name, justify="left" if name == "loss" else "right", no_wrap=True)
    table.add_column("settings")
    for name in (objective, "sd", "n", *(name.removeprefix(prefix) for name in metrics), "epochs", "state"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    for place, each in enumerate(order, 1):
        scores, last = each.scores(objective), each.trials[-1] if not each.completed else each.completed[-1]
        settings = ", ".join(f"{short(key)} {cell(value)}" for key, value in settings_of(each).items())
        mark = "*" if each.id in front else ""
        table.add_row(
            f"{place}{mark}",
            str(each.trials[0].number),
            each.name,
            settings,
            cell(mean_score(each, objective) if scores else last.score(objective)),
            cell(float(np.std(scores, ddof=1)) if len(scores) > 1 else None),
            str(len(scores)),
            *(cell(mean_score(each, name) if scores else last.score(name)) for name in metrics),
            str(len(last.history)),
            last.state.value,
        )
    return table


def _free_after_training(shown: Sequence[Configuration], metric: str, ensemble: Mapping[str, float] | None) -> Table:
    title = "What is free after training (each half of the validation images with what was fitted to the other half)"
    table = Table(title=title, title_justify="left")
    variants = (f"{metric} as trained", "one temperature", "one per class", "adjusted logits", "temperature", "tau")
    for name in ("loss", "n", *variants):
        table.add_column(name, justify="left" if name == "loss" else "right")
    for each in shown:
        names = (metric, *(f"{scaling}/{metric}" for scaling in SCALINGS))
        fitted = each.completed[-1].history[-1].evaluation.fitted
        table.add_row(
            each.name,
            str(len(each.scores(metric))),
            *(cell(mean_score(each, name)) for name in names),
            cell(fitted.get(f"{TEMPERATURE}/T")),
            cell(fitted.get(f"{ADJUSTED}/tau")),
        )
    if ensemble is not None:
        scores = (ensemble.get(name) for name in (metric, f"{TEMPERATURE}/{metric}"))
        table.add_row("ce, mean output of its seeds", cell(ensemble.get("seeds")), *map(cell, scores))
    return table


def _without_verdict(best: Configuration, plain: Configuration | None, objective: str) -> str:
    """What can be said where nothing was repeated to be sure."""
    n = len(best.scores(objective))
    what = "Best of single runs" if n == 1 else f"Best mean of {n} trials"
    line = f"{what}: trial {best.completed[0].number}, {best.name}, {objective} {mean_score(best, objective):.4f}"
    if plain is not None and plain is not best:
        line += f"; plain cross entropy has {mean_score(plain, objective):.4f}"
    why = "with one seed each, nobody can tell a better loss from a lucky run" if n == 1 else "the lead may be chance"
    return f"{line}. Not decided: {why}; `tune-seg confirm` tells."


def _seconds_of_a_training(records: Sequence[Record]) -> float:
    """The mean over those of which nothing was taken over from the store."""
    seconds = [record.seconds for record in records if record.state is State.COMPLETED and not record.replayed]
    return sum(seconds) / len(seconds) if seconds else 0.0
