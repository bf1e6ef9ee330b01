"""Configurations: what a trial is without its seed and fold. Trials that differ in these alone repeat one configuration."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from tune_seg.config import ROW, TrialConfig
from tune_seg.metric_names import CATALOGUE
from tune_seg.study.record import Record, State, sortable

SEED: Final = "training.seed"
FOLD: Final = "fold"
REPEATED: Final = frozenset({SEED, FOLD})
"""The keys in which the repeats of a configuration differ."""


@dataclass(frozen=True)
class Configuration:
    """A configuration with its trials.

    Attributes:
        id: the same for the same configuration in every study.
        name: what it is called in tables.
        assignment: the values of the varied keys, without seed and fold.
        trials: all of them, in their order: those of the search, and those that repeat it.
    """

    id: str
    name: str
    assignment: Mapping[str, Any]
    trials: tuple[Record, ...]

    @property
    def config(self) -> TrialConfig:
        """The configuration of its first trial."""
        return self.trials[0].config

    @cached_property
    def completed(self) -> tuple[Record, ...]:
        """The trials that ran to their end."""
        return tuple(trial for trial in self.trials if trial.state is State.COMPLETED)

    @cached_property
    def repeats(self) -> tuple[Record, ...]:
        """The trials that were made to be sure, and have ended. One that diverged is among them."""
        return tuple(trial for trial in self.trials if trial.repeat and trial.state.ended)

    @property
    def scored(self) -> Sequence[Record]:
        """The trials that its means are of: the repeats, where there are any, and otherwise the completed trials."""
        return self.repeats or self.completed

    def scores(self, metric: str) -> list[float]:
        """A metric after the last epoch of each of :attr:`scored`; of a repeat that diverged :func:`score_of_diverged`.

        Empty where it is not measured.
        """
        if CATALOGUE[metric.rpartition("/")[2]].boundary and not self.config.evaluation.boundary:
            return []
        found = (
            score_of_diverged(metric) if trial.state is State.DIVERGED else trial.score(metric) for trial in self.scored
        )
        return [score for score in found if score is not None]

    def class_recalls(self, number: int) -> list[float]:
        """The recall of a class in each of :attr:`scored`, where the validation images have the class; 0 if it diverged."""
        recalls = ((trial, trial.history[-1].evaluation.per_class["class_recall"][number]) for trial in self.scored)
        return [0.0 if trial.state is State.DIVERGED else recall for trial, recall in recalls if recall == recall]


def configurations(records: Iterable[Record]) -> list[Configuration]:
    """The configurations of the trials, in the order in which they were first tried."""
    trials: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.number):
        trials.setdefault(configuration_id(record), []).append(record)
    return [
        Configuration(id, same[0].name, without_repeated(same[0].assignment), tuple(same)) for id, same in trials.items()
    ]


def configuration_id(record: Record) -> str:
    """The id of the configuration of a trial: a hash of all but seed, fold and objective, and of the name of its row."""
    values = record.config.model_dump(mode="json", exclude={"fold": True, "objective": True, "training": {"seed"}})
    text = json.dumps([values, record.assignment.get(ROW)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def without_repeated(assignment: Mapping[str, Any]) -> dict[str, Any]:
    """`assignment` without seed and fold."""
    return {key: value for key, value in assignment.items() if key not in REPEATED}


def score_of_diverged(metric: str) -> float | None:
    """What a repeat that diverged is worth: 0, as a loss that may diverge is worth less; None of what is best at 0."""
    return 0.0 if CATALOGUE[metric.rpartition("/")[2]].maximise else None


def known_score(metric: str, value: float) -> float | None:
    """What a training that has not diverged counts in a metric: of f1 the least there is where it is nan, else None.

    f1 is nan where a class is never predicted. All else is nan where nothing is known: no temperature without two images.
    """
    if not math.isnan(value):
        return value
    return 0.0 if metric.rpartition("/")[2] == "f1" else None


def is_plain_cross_entropy(config: TrialConfig) -> bool:
    """Whether cross entropy is the only loss, and no adaptive class weights are learned."""
    return [term.loss for term in config.components] == ["ce"] and not config.acw


def pareto_front(found: Iterable[Configuration], objectives: Sequence[str]) -> list[Configuration]:
    """The configurations that no other beats in one objective without losing in another, by their means."""
    completed = [configuration for configuration in found if configuration.completed]
    points = {each.id: tuple(sortable(mean_score(each, name)) for name in objectives) for each in completed}
    distinct = sorted(set(points.values()), reverse=True)  # whatever beats a point is before it
    scores = np.array(distinct)
    best = {point for index, point in enumerate(distinct) if not (scores[:index] >= scores[index]).all(axis=1).any()}
    return [each for each in completed if points[each.id] in best]


def mean_score(configuration: Configuration, metric: str) -> float:
    """The mean of :meth:`Configuration.scores`; nan where there is none."""
    scores = configuration.scores(metric)
    return sum(scores) / len(scores) if scores else math.nan
