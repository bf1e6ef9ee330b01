"""What is scored once the decision has been made: the seed ensemble of plain cross entropy, and the held-out test split.

Both need trained models, which a process of its own loads: the process that steers a study does without torch.
"""

import json
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from tune_seg._child import Child
from tune_seg.errors import InputError
from tune_seg.study.confirmation import Answer
from tune_seg.study.files import TEST
from tune_seg.study.record import Record, State
from tune_seg.study.verdict import Contender, Difference, Repeat, compare
from tune_seg.training.result import TEMPERATURE, Evaluation

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


def score_ensemble(answer: Answer, pack: Path) -> Mapping[str, float] | None:
    """The metrics of the mean output of the repeats of plain cross entropy, and `seeds`, how many they are.

    None where fewer than two of them, on one fold, have weights in the checkpoint store.
    """
    trials = _with_weights(answer.contenders[answer.reference].repeats)
    trials = [trial for trial in trials if trial.config.fold == trials[0].config.fold]
    if len(trials) < _MIN_MODELS:
        return None
    models = [trial.checkpoint for trial in trials]
    evaluation: Evaluation = _elsewhere(_ensemble, trials[0].config, models, str(pack))
    return {**evaluation.metrics, **evaluation.scaled_metrics, "seeds": len(trials)}


def score_test(answer: Answer, metric: str, test: Path, directory: Path) -> TestScores | None:
    """Score winner and plain cross entropy on the test split, all their seeds; None where no weights are left.

    What was scored before for the same trials is read, and is no further look.

    Args:
        answer: the decision.
        metric: the objective.
        test: the packed test split.
        directory: of the study, where the looks are noted.
    """
    chosen = dict.fromkeys((answer.verdict.recommended, answer.reference))
    trials = {id: _with_weights(answer.contenders[id].repeats) for id in chosen}
    if not all(trials.values()):
        return None
    wanted = {id: [trial.number for trial in found] for id, found in trials.items()}
    looks = read_looks(directory)
    evaluations: dict[str, list[Evaluation]] = {
        id: _elsewhere(_on_test, [(trial.config, trial.checkpoint, _temperature(trial)) for trial in found], str(test))
        for id, found in trials.items()
    }
    scores = {
        id: [{**each.metrics, **each.scaled_metrics} for each in found] for id, found in evaluations.items()
    }
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
        repeats = {}
        for trial, evaluation in zip(found, evaluations[id], strict=True):
            key = (trial.config.training.seed, None)  # whatever fold validated, the test images are the same
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


def _elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns in a process of its own.

    Raises:
        InputError: the function has raised it, or the process has ended without an answer.
    """
    child = Child(_answer, function, arguments)
    try:
        answer = child.connection.recv()
    except (EOFError, OSError):
        answer = InputError("the process that scores the models has ended, most likely because memory was short")
    finally:
        child.kill()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _answer(connection: Connection, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    answer: Any
    try:
        answer = function(*arguments)
    except InputError as error:
        answer = error
    except Exception:  # not every exception can be pickled
        answer = RuntimeError(traceback.format_exc())
    with suppress(OSError):  # the study has ended
        connection.send(answer)


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
