"""The class weights of a trial, from what its configuration says of them and from the pixels that it is trained on."""

import numpy as np

from tune_seg.config import LossConfig
from tune_seg.config.class_weights import in_class_order
from tune_seg.data.packing.packed import TrainingPixels
from tune_seg.losses.class_weight_kinds import Weights, effective_number, inverse_frequency, median_frequency, tempered

Weighting = tuple[str | tuple[tuple[str, float], ...], float, float | None]
"""A kind, or the weights that are given by class; the power; the cap."""


def weighting(config: LossConfig) -> Weighting:
    """What decides over the class weights beside the data: equal where the weights are.

    Example:
        >>> weighting(LossConfig(class_weights="sqrt"))
        ('mean', 0.5, None)
    """
    kind, power, cap = config.class_weights, config.class_weight_power, config.class_weight_cap
    if kind == "sqrt":
        return "mean", 0.5 * power, cap
    return kind if isinstance(kind, str) else tuple(sorted(kind.items())), power, cap


def relative_class_weights(how: Weighting, data: TrainingPixels) -> Weights:
    """The class weights (C,), float64, before they are scaled.

    Args:
        how: as :func:`weighting` gives it.
        data: what is trained on.

    Raises:
        InputError: weights are given of other classes than there are.
    """
    kind, power, cap = how
    if not isinstance(kind, str):
        weights = np.array(in_class_order(dict(kind), data.class_names))
    elif kind == "median":
        weights = median_frequency(data.pixels, data.image_pixels)
    elif kind == "effective":
        # neighbouring pixels are alike: no more of them can differ than one image holds
        weights = effective_number(data.pixels, max(1.0, data.pixels.sum() / data.images))
    else:
        weights = inverse_frequency(data.frequencies)
    return tempered(weights, power, cap)


def class_weight_sum(how: Weighting, num_classes: int) -> int | None:
    """What the weights are scaled to sum to; None: they stay as they are."""
    return {"mean": num_classes, "effective": num_classes, "sum": 1}.get(how[0]) if isinstance(how[0], str) else None
