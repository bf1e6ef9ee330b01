"""Class weights: from the class frequencies, and checked where a user gives them."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from tune_seg.errors import InputError


def class_weights(frequencies: Tensor | Sequence[float], normalise: Literal["mean", "sum"] = "mean") -> Tensor:
    """Inverse class frequency, scaled.

    A class that never occurs gets weight 0, and the others carry the whole sum: its inverse frequency is infinite, so
    that any finite stand-in would be arbitrary and would, at its size, push every real class's weight towards 0.

    Args:
        frequencies: Pixels of each class in the training set, counts or fractions, shape (C,); ignored pixels left out.
        normalise: ``"mean"`` scales the weights to sum to C (Taubert, section 3), ``"sum"`` to sum to 1 (Hossain eq.
            (5)).

    Returns:
        Weights of shape (C,), float32.

    Raises:
        InputError: A frequency is negative or not finite, all are 0, or ``normalise`` is unknown.

    Example:
        >>> class_weights([900, 100])
        tensor([0.2000, 1.8000])
    """
    values = torch.as_tensor(frequencies, dtype=torch.float64)
    if values.ndim != 1 or not bool((torch.isfinite(values) & (values >= 0)).all()) or not bool((values > 0).any()):
        raise InputError(
            f"class frequencies = {values.tolist()!r} are not possible; "
            "allowed: one finite number >= 0 for each class, at least one of them > 0"
        )
    if normalise not in ("mean", "sum"):
        raise InputError(f"normalise = {normalise!r} is not possible; allowed: 'mean' (sum to C), 'sum' (sum to 1)")
    # Relative to the largest first, so that neither a tiny nor a huge frequency overflows on the way.
    inverse = torch.where(values > 0, values[values > 0].min() / values, 0.0)
    return scaled(inverse, len(values) if normalise == "mean" else 1)


def scaled(relative: Tensor, total: int | None) -> Tensor:
    """Weights (C,), float32, that sum to `total`; None leaves their sum as it is."""
    factor = 1.0 if total is None else total / relative.sum()
    return (relative * factor).to(torch.float32)


def check_class_weights(weights: Tensor | Sequence[float], num_classes: int) -> Tensor:
    """The weights as a floating tensor of shape (C,).

    Args:
        weights: What the user gave.
        num_classes: C.

    Raises:
        InputError: The number of weights is not C, one is negative or not finite, or all are 0.
    """
    tensor = torch.as_tensor(weights).detach().clone()  # not the caller's own, which may change later
    if not tensor.is_floating_point():
        tensor = tensor.to(torch.float32)
    if tensor.shape != (num_classes,):
        raise InputError(f"class_weights = {tensor.tolist()!r} has shape {tuple(tensor.shape)}; {_allowed(num_classes)}")
    if not bool((torch.isfinite(tensor) & (tensor >= 0)).all()) or not bool((tensor > 0).any()):
        raise InputError(f"class_weights = {tensor.tolist()!r} is not possible; {_allowed(num_classes)}")
    return tensor


def _allowed(num_classes: int) -> str:
    return f"allowed: {num_classes} finite numbers >= 0, one for each class, at least one of them > 0"
