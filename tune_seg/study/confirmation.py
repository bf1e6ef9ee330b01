"""Being sure of the answer: which configurations are repeated after the search, with which seeds, and what follows."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

from tune_seg.config import StudyConfig
from tune_seg.data import PackedData
from tune_seg.image_counts import ImageCounts
from tune_seg.study.configurations import (
    FOLD,
    REPEATED,
    SEED,
    Configuration,
    configurations,
    is_plain_cross_entropy,
    known_score,
    pareto_front,
    score_of_diverged,
    without_repeated,
)
from tune_seg.study.images import read_images
from tune_seg.study.record import Record, State, sortable
from tune_seg.study.verdict import Contender, Difference, Repeat, Verdict, decide
from tune_seg.study.verdict.classes import metrics_beside
from tune_seg.study.verdict.decision import with_scores
from tune_seg.study.verdict.free import beyond_adjusted
from tune_seg.study.verdict.front import front_probabilities
from tune_seg.study.verdict.rounds import next_round
from tune_seg.study.verdict.simplicity import simplicity


@dataclass(frozen=True)
class Answer:
    """What the repeats of a study say, and what they are of.

    Attributes:
        verdict: over the contenders.
        contenders: finalists and plain cross entropy, by id.
        measured: the same as the statistics take them.
        reference: the id of plain cross entropy.
        front: with several objectives, the probability of each contender to be on the Pareto front, by id.
        beyond_adjusted: the one to take minus plain cross entropy with adjusted logits; None where that is not known.
        left_out: finalists without a repeat yet that the search had ahead of all that have one.
        of_the_grid: whether the repeats are the trials of the search, a grid over seeds or folds, and none was selected.
    """

    verdict: Verdict
    contenders: Mapping[str, Configuration]
    measured: Sequence[Contender]
    reference: str
    front: Mapping[str, float] = field(default_factory=dict)
    beyond_adjusted: Difference | None = None
    left_out: Sequence[Configuration] = ()
    of_the_grid: bool = False


def plain_of(ranked: Sequence[Configuration], answer: Answer | None) -> Configuration | None:
    """The plain cross entropy that others are compared with: the one of the answer, and without an answer the best.

    Args:
        ranked: configurations, the best first.
        answer: what the repeats say; None: there are too few.

    Returns:
        One of `ranked`; None where none of them is it.
    """
    plain = [each for each in ranked if is_plain_cross_entropy(each.config)]
    return next((each for each in plain if answer is None or each.id == answer.reference), None)


class Confirmation:
    """Plans the repeats of a study whose search has ended, and draws the conclusion.

    What comes next follows from the trials alone, so that a study that was interrupted goes on as if it had not been.

    Args:
        config: the study.
        directory: of the study, where the counts of the images lie.
        packed: the data, whose groups and folds are used.
        budget: how many repeats there may be, beside those that `tune-seg confirm` has added; None: as many as `max_seeds`
            allows, and they are such.
        slots: how many trials run at once.
        until: when no further round begins, by :func:`time.monotonic`; None: the budget alone ends it.
        keeps: the weights of how many finalists the study keeps, where that are more than are compared now.
    """

    def __init__(
        self,
        config: StudyConfig,
        directory: Path,
        packed: PackedData,
        budget: int | None,
        slots: int,
        until: float | None = None,
        keeps: int = 0,
    ) -> None:
        self.budget = budget
        self.settings = config.search.confirm
        self._config = config
        self._metric = config.objectives[0]
        self._directory = directory
        self._packed = packed
        self._slots = slots
        self._until = until
        self._keeps = max(keeps, self.settings.finalists)
        self._measured: dict[int, Repeat] = {}  # by trial; each knows its bootstrap samples, which take long to draw

    @property
    def is_grid_of_repeats(self) -> bool:
        """Whether the search is a grid over seeds or folds, whose trials are what the answer is about."""
        return self._config.search.sampler == "grid" and bool(REPEATED & self._config.space.keys())

    def planned(self, records: Iterable[Record]) -> int:
        """How many repeats there will be, as far as that is known: those there are, or the whole budget as well."""
        known = [record for record in records if record.repeat]
        added = sum(record.extra for record in known)
        return added + max(self.budget or 0, len(known) - added)

    def next_round(self, records: Sequence[Record], at_most: int | None = None) -> list[dict[str, Any]]:
        """The assignments of the trials that come next, all trials having ended; empty where there is nothing to add.

        Args:
            records: the trials.
            at_most: how many more repeats there may be, whatever the budget is.
        """
        if self._until is not None and time.monotonic() >= self._until:
            return []
        found = self._contenders(records)
        budget = self._left(records, found)
        if at_most is not None:
            budget = min(budget, at_most)
        if len(found) < 2 or budget <= 0:
            return []
        reference, *finalists = found
        wanted = next_round(
            [self._contender(configuration) for configuration in (reference, *finalists)],
            reference.id,
            self._metric,
            margin=self.settings.margin,
            confidence=self.settings.confidence,
            budget=budget,
            max_seeds=self.settings.max_seeds,
            seeds=self._seeds(records),
            folds=range(self._packed.folds) or (None,),
            test_share=self._test_share,
            slots=self._slots,
        )
        assignments = {configuration.id: configuration.assignment for configuration in found}
        return [_with(assignments[id], seed, fold) for id, seed, fold in wanted]

    def answer(self, records: Sequence[Record]) -> Answer | None:
        """What the repeats say; None where there are too few, or none has a score.

        A grid over seeds or folds repeats its configurations itself, and selects none: all of them are then compared.
        """
        of_the_grid = self.is_grid_of_repeats and not any(record.repeat for record in records)
        if of_the_grid:
            records = [replace(record, repeat=True) for record in records]
        found = self._contenders(records, repeated=True)
        contenders = [configuration for configuration in found if configuration.repeats]
        if len(contenders) < 2 or not is_plain_cross_entropy(contenders[0].config):
            return None
        reference, *finalists = contenders
        measured = [self._contender(configuration) for configuration in contenders]
        scored = {each.id for each in with_scores(measured, self._metric)}
        if len(scored) < 2 or reference.id not in scored:
            return None
        verdict = decide(
            measured,
            reference.id,
            self._metric,
            margin=self.settings.margin,
            confidence=self.settings.confidence,
            test_share=self._test_share,
            beside=metrics_beside(self._metric, measured[0]),
        )
        objectives = self._config.objectives
        front = front_probabilities(measured, objectives) if len(objectives) > 1 else {}
        (taken,) = (each for each in measured if each.id == verdict.recommended)
        adjusted = beyond_adjusted(
            taken, measured[0], self._metric, level=self.settings.confidence, test_share=self._test_share
        )
        ahead = max(self._of_search(each) for each in finalists)
        left_out = [each for each in found[1:] if not each.repeats and self._of_search(each) > ahead]
        by_id = {each.id: each for each in contenders}
        return Answer(verdict, by_id, measured, reference.id, front, adjusted, left_out, of_the_grid)

    def needed(self, records: Sequence[Record]) -> set[int]:
        """The numbers of the trials whose weights the answer may need, now or when more seeds are trained.

        Of each contender these are its repeats, and its trials of the search while it has none. With several objectives all
        of the front are among them; of a grid over seeds or folds, all trials.
        """
        if self.is_grid_of_repeats and not any(record.repeat for record in records):
            return {record.number for record in records if record.state is State.COMPLETED}
        found = self._contenders(records, repeated=True, finalists=self._keeps)
        if len(self._config.objectives) > 1:
            found += pareto_front(configurations(records), self._config.objectives)
        return {trial.number for each in found for trial in _repeats_first(each)}

    def _left(self, records: Iterable[Record], found: Sequence[Configuration]) -> int:
        """How many repeats may still be started."""
        if self.budget is None:
            return sum(max(0, self.settings.max_seeds - len(each.repeats)) for each in found)
        return self.budget - sum(record.repeat and not record.extra for record in records)

    def _contenders(
        self, records: Sequence[Record], *, repeated: bool = False, finalists: int | None = None
    ) -> list[Configuration]:
        """Plain cross entropy, then the finalists: those that the search found best, and those that were repeated before.

        Args:
            records: the trials.
            repeated: take a plain cross entropy with repeats where there is one, though the search may have found a better
                one since.
            finalists: how many of those that were not repeated before, at most; None: as the settings say.
        """
        found = configurations(records)
        ranked = sorted(
            (configuration for configuration in found if configuration.completed),
            key=lambda configuration: -self._of_search(configuration),
        )
        if not ranked:
            return []
        plain = [configuration for configuration in ranked if is_plain_cross_entropy(configuration.config)]
        if repeated:
            plain.sort(key=lambda configuration: not configuration.repeats)
        reference = plain[0] if plain else self._plain_like(ranked[0], found)
        others = [configuration for configuration in ranked if not is_plain_cross_entropy(configuration.config)]
        if len(self._config.objectives) > 1:  # those that nothing that was searched beats come first, whatever repeats say
            searched = configurations(record for record in records if not record.repeat)
            rivals = [each for each in searched if not is_plain_cross_entropy(each.config)]
            front = {each.id for each in pareto_front(rivals, self._config.objectives)}
            others.sort(key=lambda each: each.id not in front)
        count = self.settings.finalists if finalists is None else finalists
        best, rest = others[:count], others[count:]
        return [reference, *best, *(configuration for configuration in rest if configuration.repeats)]

    def _plain_like(self, best: Configuration, found: Sequence[Configuration]) -> Configuration:
        """Plain cross entropy, otherwise as `best`, for a study in which it never ran to its end."""
        assignment = {key: value for key, value in best.assignment.items() if key.split(".")[0] not in _OF_THE_LOSS}
        assignment |= {"loss.kind": "static", "loss.end": "ce", "acw": False}
        (never_tried,) = configurations([Record(-1, assignment, self._config.trial(assignment))])
        # all of its trials may have diverged
        return next((each for each in found if each.id == never_tried.id), never_tried)

    def _of_search(self, configuration: Configuration) -> float:
        """The best score that the search had of it, or its repeats where the search has not tried it."""
        trials = [trial for trial in configuration.completed if not trial.repeat] or configuration.completed
        return max((sortable(trial.score(self._metric)) for trial in trials), default=-math.inf)

    def _contender(self, configuration: Configuration) -> Contender:
        for record in configuration.repeats:
            if record.number not in self._measured:
                self._measured[record.number] = self._repeat(record)
        repeats = [self._measured[record.number] for record in configuration.repeats]
        return Contender(
            configuration.id, configuration.name, simplicity(configuration.config), {each.key: each for each in repeats}
        )

    def _repeat(self, record: Record) -> Repeat:
        """What a trial scored (:func:`known_score`); of one that diverged :func:`score_of_diverged`."""
        config, result = record.config, record.last
        assert result is not None
        scores = {**result.evaluation.metrics, **result.evaluation.scaled_metrics}
        recalls = result.evaluation.per_class.get("class_recall", ())
        of_classes = {c: recall for c, recall in enumerate(recalls) if not math.isnan(recall)}
        diverged = record.state is State.DIVERGED
        worth = {name: score_of_diverged(name) if diverged else known_score(name, value) for name, value in scores.items()}
        scores = {name: value for name, value in worth.items() if value is not None}
        scores |= {f"recall/{c}": 0.0 if diverged else recall for c, recall in of_classes.items()}
        images = None if diverged else self._images_of(record.number, config.fold)
        return Repeat(config.training.seed, config.fold, scores, images, diverged)

    def _images_of(self, number: int, fold: int | None) -> ImageCounts | None:
        counts = read_images(self._directory, number)
        groups = self._packed.of_fold(fold).val_groups
        return None if counts is None or len(counts) != len(groups) else counts.of_groups(groups)

    def _seeds(self, records: Sequence[Record]) -> Sequence[int]:
        """The seeds that repeats have had, in their order, and then those that no trial has had, from the last one on.

        A study whose space has seeds may be searched further after its first repeats: these keep their seeds.
        """
        had = dict.fromkeys(record.config.training.seed for record in records if record.repeat)
        searched = {record.config.training.seed for record in records if not record.repeat}
        after = ((max(searched) + step) % _SEEDS for step in count(1))
        fresh = (seed for seed in after if seed not in searched and seed not in had)
        return [*had, *islice(fresh, max(0, self.settings.max_seeds - len(had)))]

    @property
    def _test_share(self) -> float | None:
        return 1 / self._packed.folds if self._packed.folds else None


_SEEDS: Final = 2**31
"""How many seeds there are (:data:`tune_seg.config.Seed`)."""
_OF_THE_LOSS: Final = frozenset({"loss", "schedule", "acw", "acw_options", "row"})


def _repeats_first(configuration: Configuration) -> Sequence[Record]:
    """The repeats of a configuration that ran to their end; the trials of the search where there is none."""
    repeats = [trial for trial in configuration.completed if trial.repeat]
    return repeats or configuration.completed


def _with(assignment: Mapping[str, Any], seed: int, fold: int | None) -> dict[str, Any]:
    repeated = {**without_repeated(assignment), SEED: seed}
    return repeated if fold is None else {**repeated, FOLD: fold}
