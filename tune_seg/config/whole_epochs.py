"""Rounds when the losses of a trial move to whole epochs, so that more trials begin alike."""

from collections.abc import Sequence
from typing import Any

from tune_seg.config.loss import LossKind
from tune_seg.config.parsing import parse
from tune_seg.config.trial import TrialConfig
from tune_seg.errors import InputError


def in_whole_epochs(trial: TrialConfig) -> TrialConfig:
    """`trial` with its schedule, or its program's keyframes, at epoch boundaries, each one later than the one before.

    What has no room for that, such as four keyframes in two epochs, is left as it is.
    """
    epochs = trial.training.epochs
    values: dict[str, Any] = {}
    if trial.loss.kind.scheduled:
        first = 1 if trial.loss.kind is LossKind.ALTERNATING else 0  # which cannot start at 0
        rounded = _rounded(trial.schedule.fractions(trial.loss.kind), epochs, first)
        values["schedule"] = dict(zip(("start", "end"), rounded, strict=True))
    elif trial.loss.kind is LossKind.PROGRAM:
        values["loss"] = trial.loss.model_dump(mode="json")
        for component in values["loss"]["components"].values():
            keyframes = component["keyframes"] or ()
            rounded = _rounded([keyframe["at"] for keyframe in keyframes], epochs, 0)
            for keyframe, at in zip(keyframes, rounded, strict=True):
                keyframe["at"] = at
    try:
        return parse(TrialConfig, {**trial.model_dump(mode="json"), **values})
    except InputError:
        return trial


def _rounded(fractions: Sequence[float], epochs: int, first: int) -> list[float]:
    """`fractions` as whole numbers of `epochs`, at least `first`, in the order given and all different where they fit."""
    whole: list[int] = []
    for fraction in fractions:
        whole.append(max(round(fraction * epochs), whole[-1] + 1 if whole else first))
    latest = epochs
    for index in reversed(range(len(whole))):
        whole[index] = min(whole[index], latest)
        latest = whole[index] - 1
    return [max(boundary, 0) / epochs for boundary in whole]
