"""Layers that a model is wrapped with."""

import operator
from typing import SupportsIndex

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tune_seg.errors import InputError


class AdaptiveClassWeight(nn.Module):
    """Scales each class's logit with a weight that is learnt: ``z_c = w_c x_c``, before the softmax.

    Hossain eq. (21). It belongs to the model, in training and at inference alike. The optimizer must not decay
    ``weight``: its neutral value is 1, and decay would pull it to 0, where the softmax is uniform. Give it a parameter
    group of its own with ``weight_decay=0``.

    Args:
        num_classes: C, at least 1.
        positive: Learn the weights as ``w = exp(v)``, v started at 0, so that none can reach 0 or change the sign of its
            class's logit. ``weight`` reads the same; what is learnt is ``parametrizations.weight.original``.

    Attributes:
        weight: The weights w, shape (C,), started at 1.

    Raises:
        InputError: ``num_classes`` is not a whole number of at least 1.

    Example:
        >>> layer = AdaptiveClassWeight(num_classes=3)
        >>> layer(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, num_classes: SupportsIndex, *, positive: bool = False) -> None:
        super().__init__()
        try:
            classes = operator.index(num_classes)  # of NumPy's integers too
        except TypeError:
            classes = 0
        if isinstance(num_classes, bool) or classes < 1:
            raise InputError(
                f"AdaptiveClassWeight: num_classes = {num_classes!r} is not possible; allowed: a whole number >= 1"
            )
        self.weight = nn.Parameter(torch.ones(classes))
        if positive:
            parametrize.register_parametrization(self, "weight", _Exponential())

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (N, C, ...) to weighted logits (N, C, ...)."""
        weight = self.weight
        num_classes = len(weight)
        if logits.ndim < 2 or logits.shape[1] != num_classes:
            raise InputError(f"logits have shape {tuple(logits.shape)}; the layer was built for (N, {num_classes}, ...)")
        return logits * weight.view(num_classes, *[1] * (logits.ndim - 2))

    def extra_repr(self) -> str:
        return f"num_classes={len(self.weight)}"


class _Exponential(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return value.exp()

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight.log()
