"""Margin-based label smoothing."""

from functools import partial

import torch
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, shares
from tune_seg.losses._fused import fused_sum


class MarginLabelSmoothingLoss(SegmentationLoss):
    """``-log p_y + penalty sum_c max(0, max_j x_j - x_c - margin)``, averaged over the valid pixels.

    Liu et al. 2022, *The Devil is in the Margin: Margin-based Label Smoothing for Network Calibration*. The
    authors' code takes the mean over the classes in place of the published sum: its weight is C times this one. Where
    several logits are the largest, they share its gradient.

    Args:
        num_classes: C.
        margin: Distance between two logits that costs nothing, at least 0.
        penalty: Cost of what exceeds it, at least 0; 0 is cross entropy.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = MarginLabelSmoothingLoss(num_classes=3, margin=6.0)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(1.0986)
    """

    def __init__(self, num_classes: int, *, margin: float = 10.0, penalty: float = 0.1, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.margin = margin
        self.penalty = penalty

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        kernel = partial(_value_and_gradient, margin=self.margin, penalty=self.penalty)
        return fused_sum(logits, index, shares(valid, logits.dtype), kernel)


def _value_and_gradient(
    logits: Tensor, index: Tensor, weight: Tensor, gradient: Tensor, *, margin: float, penalty: float
) -> Tensor:
    """The loss summed over the pixels, and its gradient. See `fused.ValueAndGradient`."""
    top = logits.amax(dim=1, keepdim=True)
    excess = torch.sub(logits, top, out=gradient).add(margin).clamp_max_(0)
    total = gradient.exp_().sum(dim=1, keepdim=True)
    loss = (top - logits.gather(1, index)) + total.log()
    gradient.mul_(weight / total).scatter_add_(1, index, -weight)
    loss -= penalty * excess.sum(dim=1, keepdim=True)
    cost = penalty * weight
    slope = excess.sign_()
    lift = cost * slope.sum(dim=1, keepdim=True)
    gradient.addcmul_(slope, cost)
    # sign tells the largest logits at a fraction of a comparison's time
    is_top = torch.sub(logits, top, out=slope).sign_().add_(1)
    gradient.addcmul_(is_top, lift / is_top.sum(dim=1, keepdim=True), value=-1)
    return (loss * weight).sum()
