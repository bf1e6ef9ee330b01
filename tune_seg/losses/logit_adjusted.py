"""Logit-adjusted cross entropy."""

import torch
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, shares
from tune_seg.losses._fused import fused_sum, true_class


class LogitAdjustedCrossEntropyLoss(SegmentationLoss):
    """``-log softmax(x + tau log pi)_y``, pi the class frequencies, averaged over the valid pixels.

    Menon et al. 2021, *Long-Tail Learning via Logit Adjustment*: a class must win by more the rarer it is, so
    that the logits without the adjustment, which are what the model is evaluated with, rank the classes as if they were
    equally frequent. The class weights w are inverse frequencies up to a factor, which the softmax cancels, so that
    log pi is -log w here. A class of weight 0, which never occurs in training, is taken to be as rare as the rarest that
    does: its own adjustment would be infinite. ``tau=0`` is cross entropy.

    Args:
        num_classes: C.
        class_weights: Inverse class frequencies in any scale (C,), as :func:`tune_seg.losses.class_weights` gives them.
        tau: Strength of the adjustment, at least 0.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = LogitAdjustedCrossEntropyLoss(3, class_weights=torch.tensor([0.1, 0.9, 2.0]))
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.1494)
    """

    adjustment: Tensor

    def __init__(self, num_classes: int, *, class_weights: Tensor, tau: float = 1.0, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        weights = class_weights.to(torch.float64)
        rarest = weights.max()
        self.register_buffer(
            "adjustment", -tau * (torch.where(weights > 0, weights, rarest) / rarest).log().view(-1, 1, 1), persistent=False
        )

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        return fused_sum(logits, index, shares(valid, logits.dtype), self._value_and_gradient)

    def _value_and_gradient(self, logits: Tensor, index: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
        # Relative to the largest first: beside a large logit the adjustment would lose its digits.
        adjusted = (logits - logits.amax(dim=1, keepdim=True)).add_(self.adjustment.to(logits.dtype))
        return true_class(adjusted, index, weight, gradient, curve=_surprise)


def _surprise(log_p: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return -log_p, torch.full_like(log_p, -1.0)
