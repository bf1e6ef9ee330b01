"""Whether a winner's margin over plain cross entropy is the loss's or the learning rate's."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tune_seg.config import StudyConfig
from tune_seg.config.keys import flatten
from tune_seg.study.configurations import Configuration, configurations, is_plain_cross_entropy
from tune_seg.study.confirmation import Answer
from tune_seg.study.output.sentence import PLAIN, called
from tune_seg.study.output.words import cell, counted
from tune_seg.study.record import Record, sortable
from tune_seg.study.verdict import Kind

KEYS: Final = ("training.lr", "training.weight_decay")
"""What can be right for one loss and wrong for another."""
_ENOUGH: Final = 3
"""With so many settings tried, plain cross entropy has had a choice."""
_NEAR: Final = 1.5
"""Values of which one is at most so many times the other are about the same."""
_PRESET: Final = "loss_and_rate"


def rate_lines(config: StudyConfig, records: Iterable[Record], answer: Answer) -> Iterator[str]:
    """What the study knows of the learning rate's part in the margin of the one to take over plain cross entropy.

    Args:
        config: the study.
        records: its trials.
        answer: what their repeats say.
    """
    taken = answer.contenders[answer.verdict.recommended]
    varied = [key for key in KEYS if key in config.space or any(key in row for row in config.rows.values())]
    if not varied:
        if answer.verdict.kind is Kind.BETTER and taken.id != answer.reference:
            yield (
                f"All losses had one learning rate ({config.training.lr:g}) and weight decay "
                f"({config.training.weight_decay:g}). With its own best ones {PLAIN} may come closer; the preset {_PRESET} "
                "varies both."
            )
        return
    searched = configurations(record for record in records if not record.repeat)
    plain = [each for each in searched if each.completed and is_plain_cross_entropy(each.config)]
    best = taken if taken.id != answer.reference else _best_other(answer)
    if not plain or best is None:
        return
    tried = {tuple(_settings(each)[key] for key in varied) for each in plain}
    if len(tried) < _ENOUGH:
        yield (
            f"{PLAIN[0].upper()}{PLAIN[1:]} was tried with {counted(len(tried), 'setting')} of {' and '.join(varied)} "
            "alone, so its own best may not be among them; baselines with others would tell."
        )
        return
    metric, name = config.objectives[0], called(answer)[best.id]
    own = max(plain, key=lambda each: _score(each, metric))
    near = [each for each in plain if _alike(_settings(each), _settings(best), varied)]
    if not near:
        return
    same = max(near, key=lambda each: _score(each, metric))
    line = (
        f"Of {len(tried)} settings tried, {PLAIN} scored {cell(_score(same, metric))} with about those of {name} "
        f"({_text(same, varied)}), and {cell(_score(own, metric))} with its own best ({_text(own, varied)}), each "
        f"{'in one training' if _single(same) and _single(own) else 'at best'}"
    )
    ahead = _score(best, metric) - _score(same, metric)
    vanished = _score(best, metric) - _score(own, metric) <= config.search.confirm.margin < ahead
    if answer.verdict.kind is Kind.INDISTINGUISHABLE and vanished:
        line += f": the margin of {name} ({ahead:+.4f}) vanishes once both have their own best"
    yield f"{line}."


def _best_other(answer: Answer) -> Configuration | None:
    """The best of the contenders beside plain cross entropy."""
    id = next((id for id in (answer.verdict.best, answer.verdict.other) if id is not None and id != answer.reference), None)
    return None if id is None else answer.contenders[id]


def _score(configuration: Configuration, metric: str) -> float:
    """The best score of its trials of the search that ran to their end."""
    trials = [each for each in configuration.completed if not each.repeat]
    return max((sortable(trial.score(metric)) for trial in trials), default=-math.inf)


def _settings(configuration: Configuration) -> Mapping[str, Any]:
    return flatten({"training": configuration.config.training.model_dump(mode="json", include={"lr", "weight_decay"})})


def _alike(one: Mapping[str, Any], other: Mapping[str, Any], varied: Sequence[str]) -> bool:
    pairs = (sorted((one[key], other[key])) for key in varied)
    return all(high <= _NEAR * low for low, high in pairs)


def _single(configuration: Configuration) -> bool:
    """Whether its score is that of the one training that there is."""
    return len([each for each in configuration.completed if not each.repeat]) == 1


def _text(configuration: Configuration, varied: Sequence[str]) -> str:
    settings = _settings(configuration)
    return ", ".join(f"{key.removeprefix('training.')} {settings[key]:.3g}" for key in varied)
