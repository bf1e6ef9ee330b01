"""The class weights of a study, as a person sees them: each as a multiple of the smallest."""

from collections.abc import Iterable, Sequence

from rich.console import Console

from tune_seg.config import TrialConfig
from tune_seg.data import PackedData
from tune_seg.data.loading.sampling import sampling, trained_on
from tune_seg.losses.class_weight_kinds import Weights
from tune_seg.study.output.say import say
from tune_seg.training.class_weights import relative_class_weights, weighting

_LARGE = 1000.0
"""Weights that differ by a larger factor are warned of."""


def weights_in_use(trials: Iterable[TrialConfig], packed: PackedData) -> tuple[Weights, ...]:
    """The different class weights (C,) that the losses of `trials` have, each as multiples of the smallest that is not 0."""
    weighed = {
        (weighting(trial.loss), sampling(trial.training)): None
        for trial in trials
        if any(loss.weighs_classes for loss in trial.loss.active())
    }
    pixels = {drawn: trained_on(drawn, packed) for drawn in dict.fromkeys(drawn for _, drawn in weighed)}
    found = (relative_class_weights(how, pixels[drawn]) for how, drawn in weighed)
    return tuple(weights / weights[weights > 0].min() for weights in found)


def cells_of_weights(weights: Sequence[Weights]) -> list[str]:
    """The weight of each class, or from which to which it varies.

    Example:
        >>> import numpy as np
        >>> cells_of_weights([np.array([1.0, 1.0, 0.0]), np.array([1.0, 20000.0, 0.0])])
        ['1', '1 to 20,000', '0']
    """
    return [" to ".join(dict.fromkeys(map(_number, (min(each), max(each))))) for each in zip(*weights, strict=True)]


def warn_of_weights(console: Console, packed: PackedData, weights: Sequence[Weights]) -> None:
    """Warn where a class may weigh more than a thousand times as much as another."""
    furthest = max(weights, key=max, default=None)
    if furthest is None or furthest.max() <= _LARGE:
        return
    smallest = min(furthest[furthest > 0])
    rare, frequent = (packed.class_names[furthest.tolist().index(each)] for each in (furthest.max(), smallest))
    say(
        console,
        f"Warning: where a loss weighs classes, {rare} weighs up to {_number(furthest.max())} times as much as {frequent}, "
        "so that few pixels decide over a step of the training. Limit that with --set loss.class_weight_cap=100, or make "
        "all weights more alike with --set loss.class_weight_power=0.5.",
    )


def _number(weight: float) -> str:
    return f"{weight:,.0f}" if weight >= _LARGE else f"{weight:.3g}"
