"""What is scored once the decision has been made: the seed ensemble of plain cross entropy, and the held-out test split.

Both need trained models, which a process of its own loads: the process that steers a study does without torch. The report of
the study comes after this, so that whatever fails here is a line of the report.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from tune_seg._whole_file import whole_file
from tune_seg.config import StudyConfig, TrialConfig
from tune_seg.data import PackedData, PackedTest
from tune_seg.errors import InputError
from tune_seg.study.configurations import known_score, score_of_diverged
from tune_seg.study.confirmation import Answer
from tune_seg.study.elsewhere import Call, reason
from tune_seg.study.exporting import export_models, weights_of
from tune_seg.study.files import ENSEMBLE, UNSCORED
from tune_seg.study.held_out import HeldOutScore, looks_file, note_look, read_looks, read_scores, write_scores
from tune_seg.study.record import Record, State
from tune_seg.study.verdict import Contender, Difference, Kind, Repeat, compare
from tune_seg.study.verdict.contender import Key
from tune_seg.training.result import TEMPERATURE, Evaluation

_MIN_MODELS: Final = 2
"""Models of an ensemble."""
_GONE: Final = "its weights are not stored any more"

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class TestScores:
    """How winner and plain cross entropy do on images that no trial has seen.

    Attributes:
        images: how many there are.
        looks: how often the split was scored, by all studies, this time included.
        scores: by configuration, of each repeat in turn, the metrics by name; of one that diverged
            :func:`~tune_seg.study.configurations.score_of_diverged`.
        promised: by configuration, the mean objective of the same repeats on the validation images.
        difference: winner minus plain cross entropy in the objective; None where plain cross entropy is the winner.
    """

    images: int
    looks: int
    scores: Mapping[str, Sequence[Mapping[str, float]]]
    promised: Mapping[str, float]
    difference: Difference | None


@dataclass(frozen=True)
class Scored:
    """What is known once the decision has been made.

    Attributes:
        ensemble: the metrics of the mean output of the repeats of plain cross entropy, and `seeds`, how many they are; None
            where there are no two such models.
        test: of the test split; None where there is none, or it could not be scored, or `unopened`.
        unopened: whether the test split was left alone because more seeds can still decide.
        models: the files of the models of the one to take and of plain cross entropy, by their names.
        problem: why something is missing; empty where nothing is.
    """

    ensemble: Mapping[str, float] | None = None
    test: TestScores | None = None
    unopened: bool = False
    models: Mapping[str, Path] = field(default_factory=dict)
    problem: str = ""


def score_afterwards(
    answer: Answer,
    config: StudyConfig,
    packed: PackedData,
    test: PackedTest | None,
    directory: Path,
    study: str,
    max_seeds: int,
    call: Call,
) -> Scored:
    """Score the seed ensemble of plain cross entropy, and winner and plain cross entropy on the test split, all their seeds;
    write both as models to use.

    The test split is left alone while nothing is decided and more seeds can decide. What was scored before is not scored
    again.

    Args:
        answer: the decision.
        config: the study.
        packed: the packed data.
        test: the packed test split; None: there is none.
        directory: of the study, where the scores are kept.
        study: its id, under which its looks at the test split are noted.
        max_seeds: how many seeds a contender may have before the test split is scored without a decision.
        call: calls what needs torch.
    """
    problems: list[str] = []

    def tried(what: str, function: Callable[[], _Found]) -> _Found | None:
        try:
            return function()
        except Exception as error:  # whatever it is, the study has an answer that must be printed
            problems.append(f"{what}: {reason(error)}")
            return None

    held_out = None if test is None else _HeldOut(answer, config, packed, test, directory, study)
    left_alone = _may_be_decided(answer, max_seeds)
    scores: TestScores | None = None
    if held_out is not None:
        score = held_out.scored_before if left_alone else partial(held_out.scores, call)
        scores = tried("the test split was not scored", score)
        problems += [] if left_alone else held_out.left_out()
    ensemble = tried(
        "there is no seed ensemble of plain cross entropy", partial(_seed_ensemble, answer, packed, directory, call)
    )
    models = tried("the models were not written", partial(export_models, answer, config, packed.path, directory, call))
    unopened = held_out is not None and left_alone and scores is None
    tried(
        "a report that is written again will not say so", partial(_note_unscored, directory, unopened, "; ".join(problems))
    )
    return Scored(ensemble, scores, unopened, models or {}, "; ".join(problems))


def scored_before(
    answer: Answer, config: StudyConfig, packed: PackedData, test: PackedTest | None, directory: Path
) -> Scored:
    """What :func:`score_afterwards` has found, as far as it is of this answer, but for the models.

    Args:
        answer: the decision.
        config: the study.
        packed: the packed data.
        test: the packed test split; None: there is none, or it cannot be read.
        directory: of the study.

    Raises:
        InputError: what was noted is damaged.
    """
    known = _read_ensemble(directory)
    ensemble = None
    if known is not None and known["configuration"] == answer.reference:
        ensemble = {**known["metrics"], "seeds": len(known["trials"])}
    scores = None if test is None else _HeldOut(answer, config, packed, test, directory, "").scored_before()
    unopened, problem = _read_unscored(directory)
    return Scored(ensemble, scores, unopened and scores is None, problem=problem)


def _may_be_decided(answer: Answer, max_seeds: int) -> bool:
    """Whether nothing is decided, and seeds that there may still be can decide."""
    verdict = answer.verdict
    seeds_left = any(len(answer.contenders[id].repeats) < max_seeds for id in (verdict.best, verdict.other))
    return verdict.kind is Kind.UNDECIDED and verdict.more_seeds is not None and seeds_left


class _HeldOut:
    """Scores winner and plain cross entropy on the test split."""

    def __init__(
        self, answer: Answer, config: StudyConfig, packed: PackedData, test: PackedTest, directory: Path, study: str
    ) -> None:
        self._answer, self._metric = answer, config.objectives[0]
        self._confidence = config.search.confirm.confidence
        self._validated = {each.id: each.repeats for each in answer.measured}
        self._packed, self._test = packed, test
        self._directory, self._study = directory, study
        chosen = dict.fromkeys((answer.verdict.recommended, answer.reference))
        self._repeats = {id: answer.contenders[id].repeats for id in chosen}
        self._missing: dict[int, str] = {}  # why a trial has no score, by its number

    def _weights(self, trial: Record) -> str | None:
        return weights_of(trial, self._directory)

    def scores(self, call: Call) -> TestScores:
        """Score what was not scored before.

        Raises:
            InputError: nothing can be scored of one of the two, or what was noted before is damaged.
        """
        content = self._test.content_id
        known = read_scores(self._directory, content)
        trials = [trial for repeats in self._repeats.values() for trial in repeats if trial.state is not State.DIVERGED]
        self._missing = {each.number: _GONE for each in trials if each.number not in known and self._weights(each) is None}
        unscored = f"it has no {self._metric} on the validation images"
        self._missing |= {trial.number: unscored for id, trial in self._each() if self._promised(id, trial) is None}
        self._check_both()  # before anybody looks
        scorable = [trial for trial in trials if trial.number not in self._missing]
        looks = note_look(self._directory, content, self._study, (trial.number for trial in scorable))
        for trial in scorable:
            if trial.number in known:
                continue
            try:
                known[trial.number] = self._scored(trial, call)
            except Exception as error:  # the others may do
                self._missing[trial.number] = reason(error)
            else:
                write_scores(self._directory, content, known)
        self._check_both()
        return self._table(known, looks)

    def scored_before(self) -> TestScores | None:
        """As :meth:`scores`, where the test split has been scored for both; None where it has not."""
        content = self._test.content_id
        known = read_scores(self._directory, content)
        for id, trial in self._each():
            scored = trial.state is State.DIVERGED or trial.number in known
            if not scored or self._promised(id, trial) is None:
                self._missing[trial.number] = "it was not scored"
        if any(all(trial.number in self._missing for trial in repeats) for repeats in self._repeats.values()):
            return None
        return self._table(known, len(read_looks(looks_file(self._directory, content))))

    def _each(self) -> Iterator[tuple[str, Record]]:
        return ((id, trial) for id, repeats in self._repeats.items() for trial in repeats)

    def _promised(self, id: str, trial: Record) -> float | None:
        """What a repeat has scored on the validation images."""
        return self._validated[id][_key(trial)].scores.get(self._metric)

    def left_out(self) -> list[str]:
        """Which repeats have no score, and why."""
        lines = []
        for id, repeats in self._repeats.items():
            missing = [trial for trial in repeats if trial.number in self._missing]
            if missing and len(missing) < len(repeats):
                named = ", ".join(f"trial {trial.number} ({self._missing[trial.number]})" for trial in missing)
                name = self._answer.contenders[id].name
                lines.append(f"{len(missing)} of {len(repeats)} repeats of {name} are left out of the test: {named}")
        return lines

    def _check_both(self) -> None:
        for id, repeats in self._repeats.items():
            if all(trial.number in self._missing for trial in repeats):
                reasons = " and ".join(dict.fromkeys(self._missing[trial.number] for trial in repeats))
                raise InputError(f"no repeat of {self._answer.contenders[id].name} can be scored ({reasons})")

    def _scored(self, trial: Record, call: Call) -> HeldOutScore:
        temperature = trial.history[-1].evaluation.scaled[TEMPERATURE].temperature
        found: Evaluation = call(_on_test, trial.config, self._weights(trial), str(self._test.path), temperature)
        assert found.images is not None
        return HeldOutScore({**found.metrics, **found.scaled_metrics}, found.images)

    def _table(self, known: Mapping[int, HeldOutScore], looks: int) -> TestScores:
        contenders, promised = [], {}
        for id, repeats in self._repeats.items():
            found = {_key(trial): self._repeat(trial, known) for trial in repeats if trial.number not in self._missing}
            contenders.append(Contender(id, self._answer.contenders[id].name, (), found))
            promised[id] = sum(self._validated[id][key].scores[self._metric] for key in found) / len(found)
        scores = {each.id: [repeat.scores for repeat in each.repeats.values()] for each in contenders}
        difference: Difference | None = None
        if len(contenders) > 1:
            share = 1 / self._packed.folds if self._packed.folds else None
            winner, plain = contenders
            difference = compare(winner, plain, self._metric, level=self._confidence, test_share=share)
        return TestScores(len(self._test.val), looks, scores, promised, difference)

    def _repeat(self, trial: Record, known: Mapping[int, HeldOutScore]) -> Repeat:
        """What a trial scored on the test images, which are the same whatever fold has validated: so without a fold."""
        seed = trial.config.training.seed
        if trial.state is State.DIVERGED:
            evaluation = trial.history[-1].evaluation
            worth = {name: score_of_diverged(name) for name in (*evaluation.metrics, *evaluation.scaled_metrics)}
            return Repeat(seed, None, {name: value for name, value in worth.items() if value is not None})
        score = known[trial.number]
        known_scores = ((name, known_score(name, value)) for name, value in score.metrics.items())
        metrics = {name: value for name, value in known_scores if value is not None}
        return Repeat(seed, None, metrics, score.images.of_groups(self._test.val_groups))


def _key(trial: Record) -> Key:
    return trial.config.training.seed, trial.config.fold


def _seed_ensemble(answer: Answer, packed: PackedData, directory: Path, call: Call) -> Mapping[str, float] | None:
    """Score the repeats of plain cross entropy on one fold, the one with most of them; None where only one was trained.

    Raises:
        InputError: there are no two models of one fold.
    """
    repeats = answer.contenders[answer.reference].repeats
    if len(repeats) < _MIN_MODELS:
        return None
    stored = [trial for trial in repeats if weights_of(trial, directory) is not None]
    by_fold: dict[int | None, list[Record]] = {}
    for trial in stored:
        by_fold.setdefault(trial.config.fold, []).append(trial)
    alike = max(by_fold.values(), key=len, default=[])
    numbers = [trial.number for trial in alike]
    known = _read_ensemble(directory)
    if known is not None and known["configuration"] == answer.reference and set(numbers) <= set(known["trials"]):
        return {**known["metrics"], "seeds": len(known["trials"])}
    if len(alike) < _MIN_MODELS and len(stored) > len(alike):
        raise InputError(f"each of its {len(repeats)} repeats validates on a fold of its own")
    if len(alike) < _MIN_MODELS:
        raise InputError(f"{len(stored)} of its {len(repeats)} repeats has run to its end and has its weights stored")
    weights = [weights_of(trial, directory) for trial in alike]
    found: Evaluation = call(_mean_output, alike[0].config, weights, str(packed.path))
    metrics = {**found.metrics, **found.scaled_metrics}
    _write_ensemble(directory, {"configuration": answer.reference, "trials": numbers, "metrics": metrics})
    return {**metrics, "seeds": len(alike)}


def _read_ensemble(directory: Path) -> dict[str, Any] | None:
    """What was scored before; None where that is not known, so that it is scored again."""
    try:
        values = json.loads((directory / ENSEMBLE).read_text(encoding="utf-8"))
        kept = {"configuration": str(values["configuration"]), "trials": list(values["trials"])}
        return {**kept, "metrics": dict(values["metrics"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_ensemble(directory: Path, values: Mapping[str, Any]) -> None:
    with whole_file(directory / ENSEMBLE) as file:
        file.write_text(json.dumps(values), encoding="utf-8")


def _note_unscored(directory: Path, unopened: bool, problem: str) -> None:
    with whole_file(directory / UNSCORED) as file:
        file.write_text(json.dumps({"unopened": unopened, "problem": problem}), encoding="utf-8")


def _read_unscored(directory: Path) -> tuple[bool, str]:
    """Whether the test split was left alone, and why something is missing."""
    try:
        values = json.loads((directory / UNSCORED).read_text(encoding="utf-8"))
        return bool(values["unopened"]), str(values["problem"])
    except (OSError, ValueError, LookupError, TypeError):  # nothing was scored yet, or by a version that did not note it
        return False, ""


def _mean_output(config: TrialConfig, checkpoints: Sequence[str], pack: str) -> Evaluation:
    from tune_seg.training.ensemble import score_ensemble

    return score_ensemble(config, checkpoints, PackedData(pack, config.fold), _device(config))


def _on_test(config: TrialConfig, checkpoint: str, test: str, temperature: float) -> Evaluation:
    from tune_seg.training.held_out import score_on_test

    return score_on_test(config, checkpoint, PackedTest(test), _device(config), temperature=temperature)


def _device(config: TrialConfig) -> Any:
    """That of the training, as far as this machine has it: where Ray's head has no GPU, the CPU scores."""
    import torch

    return torch.device("cuda" if config.training.device == "cuda" and torch.cuda.is_available() else "cpu")
