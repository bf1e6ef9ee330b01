"""What is scored once the decision has been made: the seed ensemble of plain cross entropy, and the held-out test split.

Both need trained models, which a process of its own loads: the process that steers a study does without torch.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from tune_seg._child import Child, answer
from tune_seg.errors import InputError
from tune_seg.study.confirmation import Answer
from tune_seg.study.files import TEST
from tune_seg.study.record import Record, State
from tune_seg.study.verdict import Contender, Difference, Repeat, compare
from tune_seg.study.verdict.contender import Key
from tune_seg.training.result import TEMPERATURE, Evaluation

_Task = tuple[Callable[..., Any], Sequence[Any]]
_MIN_MODELS: Final = 2
"""Models of an ensemble."""


@dataclass(frozen=True)
class TestScores:
    """How winner and plain cross entropy do on images that no trial has seen.

    Attributes:
        images: how many there are.
        looks: how often the split was scored, this time included.
        scores: by configuration, of each seed in turn, the metrics by name.
        difference: winner minus plain cross entropy in the objective; None where plain cross entropy is the winner.
    """

    images: int
    looks: int
    scores: Mapping[str, Sequence[Mapping[str, float]]]
    difference: Difference | None


@dataclass(frozen=True)
class Scored:
    """What is known once the decision has been made.

    Attributes:
        ensemble: the metrics of the mean output of the repeats of plain cross entropy, and `seeds`, how many they are; None
            where fewer than two of them have weights in the checkpoint store.
        test: of the test split; None where there is none, or no weights are left.
        problem: why something is missing that was asked for; empty where nothing is.
    """

    ensemble: Mapping[str, float] | None = None
    test: TestScores | None = None
    problem: str = ""


def score_afterwards(answer: Answer, metric: str, pack: Path, test: Path | None, directory: Path) -> Scored:
    """Score the seed ensemble of plain cross entropy, and winner and plain cross entropy on the test split, all their seeds.

    What was scored on the test split before for the same trials counts as no further look.

    Args:
        answer: the decision.
        metric: the objective.
        pack: the packed data.
        test: the packed test split; None: there is none.
        directory: of the study, where the looks are noted.
    """
    plain = _with_weights(answer.contenders[answer.reference].repeats)
    plain = [trial for trial in plain if trial.config.fold == plain[0].config.fold]
    chosen = dict.fromkeys((answer.verdict.recommended, answer.reference)) if test is not None else {}
    trials = {id: _with_weights(answer.contenders[id].repeats) for id in chosen}
    missing = not all(trials.values())
    tasks: list[_Task] = []
    if len(plain) >= _MIN_MODELS:
        tasks.append((_ensemble, (plain[0].config, [trial.checkpoint for trial in plain], str(pack))))
    if not missing:
        tasks += [
            (_on_test, ([(trial.config, trial.checkpoint, _temperature(trial)) for trial in found], str(test)))
            for found in trials.values()
        ]
    try:
        answers = _elsewhere(tasks) if tasks else []
    except InputError as error:
        return Scored(problem=str(error))
    ensemble: dict[str, float] | None = None
    if len(plain) >= _MIN_MODELS:
        found: Evaluation = answers.pop(0)
        ensemble = {**found.metrics, **found.scaled_metrics, "seeds": len(plain)}
    if missing:
        return Scored(
            ensemble, problem="the test split was not scored: the weights of the finalists are not stored any more"
        )
    scores = _test_scores(answer, metric, trials, dict(zip(trials, answers, strict=True)), directory) if trials else None
    return Scored(ensemble, scores)


def _test_scores(
    answer: Answer,
    metric: str,
    trials: Mapping[str, Sequence[Record]],
    evaluations: Mapping[str, Sequence[Evaluation]],
    directory: Path,
) -> TestScores:
    scores = {id: [{**each.metrics, **each.scaled_metrics} for each in found] for id, found in evaluations.items()}
    wanted = {id: [trial.number for trial in found] for id, found in trials.items()}
    looks = read_looks(directory)
    if not looks or looks[-1]["trials"] != wanted:
        looks.append({"trials": wanted, "scores": scores})
        _write_looks(directory, looks)
    first = next(iter(evaluations.values()))[0]
    images = 0 if first.images is None else len(first.images)
    return TestScores(images, len(looks), scores, _difference(answer, metric, trials, evaluations))


def read_looks(directory: Path) -> list[dict[str, Any]]:
    """What was scored on the test split of a study so far, the oldest first."""
    try:
        looks: list[dict[str, Any]] = json.loads((directory / TEST).read_text())
        return looks
    except (OSError, ValueError):
        return []


def _write_looks(directory: Path, looks: Sequence[Mapping[str, Any]]) -> None:
    partial = (directory / TEST).with_suffix(".partial")
    partial.write_text(json.dumps(looks))
    os.replace(partial, directory / TEST)


def _difference(
    answer: Answer, metric: str, trials: Mapping[str, Sequence[Record]], evaluations: Mapping[str, Sequence[Evaluation]]
) -> Difference | None:
    if len(trials) < 2:
        return None
    contenders = []
    for id, found in trials.items():
        repeats: dict[Key, Repeat] = {}
        for trial, evaluation in zip(found, evaluations[id], strict=True):
            key: Key = (trial.config.training.seed, None)  # whatever fold validated, the test images are the same
            repeats[key] = Repeat(*key, {**evaluation.metrics, **evaluation.scaled_metrics}, evaluation.images)
        contenders.append(Contender(id, answer.contenders[id].name, (), repeats))
    winner, plain = contenders
    return compare(winner, plain, metric)


def _with_weights(repeats: Sequence[Record]) -> list[Record]:
    return [
        trial
        for trial in repeats
        if trial.state is State.COMPLETED
        and trial.checkpoint is not None
        and ("://" in trial.checkpoint or Path(trial.checkpoint).is_file())
    ]


def _temperature(trial: Record) -> float:
    temperature = trial.history[-1].evaluation.scaled[TEMPERATURE].temperature
    assert isinstance(temperature, float)
    return temperature


def _elsewhere(tasks: Sequence[_Task]) -> list[Any]:
    """What the functions return, called one after the other in a process of its own.

    Raises:
        InputError: a function has raised it, or the process has ended without an answer.
    """
    child = Child(_answer, list(tasks))
    try:
        found = child.connection.recv()
    except (EOFError, OSError):
        found = InputError("the process that scores the models has ended, most likely because memory was short")
    finally:
        child.kill()
    if isinstance(found, Exception):
        raise found
    return list(found)


def _answer(connection: Connection, tasks: Sequence[_Task]) -> None:
    answer(connection, lambda: [function(*arguments) for function, arguments in tasks])


def _ensemble(config: Any, checkpoints: Sequence[str], pack: str) -> Evaluation:
    import torch

    from tune_seg.data import PackedData
    from tune_seg.training import ensemble

    return ensemble.score_ensemble(config, checkpoints, PackedData(pack, config.fold), torch.device(config.training.device))


def _on_test(models: Sequence[tuple[Any, str, float]], test: str) -> list[Evaluation]:
    import torch

    from tune_seg.data import PackedTest
    from tune_seg.training.held_out import score_on_test

    return [
        score_on_test(config, checkpoint, PackedTest(test), torch.device(config.training.device), temperature=temperature)
        for config, checkpoint, temperature in models
    ]
