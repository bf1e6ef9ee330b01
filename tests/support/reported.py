"""Trials with chosen scores, as a report takes them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.support.epoch_results import result
from tune_seg.config import StudyConfig, parse
from tune_seg.study.configurations import configurations, is_plain_cross_entropy
from tune_seg.study.confirmation import Answer
from tune_seg.study.record import Record, State
from tune_seg.study.verdict import Contender, Repeat, decide
from tune_seg.study.verdict.simplicity import simplicity
from tune_seg.training.result import ScaledScores


def record(
    number: int, score: float, state: State = State.COMPLETED, epochs: int = 3, *, repeat: bool = False, **values: Any
) -> Record:
    """A trial whose every score is `score`; `end`, `gamma`, `seed` and `lr` set its configuration, others its scores."""
    keys = {"end": "loss.end", "gamma": "loss.gamma", "seed": "training.seed", "lr": "training.lr"}
    assignment = {key: values.pop(name) for name, key in keys.items() if name in values}
    config = parse(StudyConfig, {}).trial(assignment)
    recalls = values.pop("class_recall", [0.9, 0.5, 0.1])
    history = [result(epoch, score, class_recall=recalls, **values) for epoch in range(1, epochs + 1)]
    return Record(number, assignment, config, False, state, history, repeat=repeat)


def repeats(end: str, scores: Sequence[float], first: int, **values: Any) -> list[Record]:
    """Repeats of one loss with the seeds from 1 on; `first` is the number of the first trial."""
    return [record(first + k, score, end=end, seed=k + 1, repeat=True, **values) for k, score in enumerate(scores)]


def scaled(one: Mapping[str, float], each: Mapping[str, float], adjusted: Mapping[str, float]) -> dict[str, ScaledScores]:
    """What a last epoch adds: the metrics with one temperature, with one per class, of adjusted logits."""
    return {
        "temperature": ScaledScores(one, 1.32),
        "class_temperature": ScaledScores(each, (1.0, 2.0, 3.0)),
        "adjusted": ScaledScores(adjusted, 1.4, tau=0.25),
    }


def answer_of(records: Iterable[Record], metric: str = "s_rec", margin: float = 0.01, beside: Sequence[str] = ()) -> Answer:
    """What the repeats among the trials say."""
    found = [each for each in configurations(records) if each.repeats]
    measured = []
    for each in found:
        repeats = {}
        for trial in each.repeats:
            repeat = Repeat(trial.config.training.seed, None, _scores(trial))
            repeats[repeat.key] = repeat
        measured.append(Contender(each.id, each.name, simplicity(each.config), repeats))
    (reference,) = (each.id for each in found if is_plain_cross_entropy(each.config))
    verdict = decide(measured, reference, metric, margin=margin, beside=beside)
    return Answer(verdict, {each.id: each for each in found}, measured, reference)


def _scores(trial: Record) -> dict[str, float]:
    evaluation = trial.history[-1].evaluation
    classes = enumerate(evaluation.per_class["class_recall"])
    found = {**evaluation.metrics, **evaluation.scaled_metrics, **{f"recall/{c}": recall for c, recall in classes}}
    return {name: 0.0 if math.isnan(score) else score for name, score in found.items()}
