"""Dice loss with squared denominators, plain (`dice`) and class-weighted (`wdice`)."""

from functools import partial
from typing import Final

import torch
from torch import Tensor

from tune_seg.losses.base import SegmentationLoss, safe_ratio
from tune_seg.losses.fused import fused_sum

SMOOTHING: Final = 1.0
EPSILON: Final = 1e-5


class DiceLoss(SegmentationLoss):
    """``1 - 2 (sum_c w_c sum_x P p + s) / (sum_c w_c sum_x (P^2 + p^2) + s + eps)`` per image, s = 1, eps = 1e-5.

    Taubert eq. (2), averaged over the images that have a valid pixel. The smoothing counts twice in the numerator, so
    that a perfect prediction scores slightly below 0.

    Args:
        num_classes: C.
        class_weights: Weights (C,); None weights every class 1.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> DiceLoss(num_classes=3)(logits, target)  # doctest: +SKIP
    """

    class_weights: Tensor | None

    def __init__(self, num_classes: int, *, class_weights: Tensor | None = None, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.register_buffer("class_weights", class_weights, persistent=False)

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        weights = logits.new_ones(self.num_classes) if self.class_weights is None else self.class_weights.to(logits.dtype)
        total = fused_sum(logits, index, valid, partial(_value_and_gradient, weights=weights[:, None, None]))
        return safe_ratio(total, valid.any(dim=2).any(dim=1).sum())


def _value_and_gradient(logits: Tensor, index: Tensor, valid: Tensor, gradient: Tensor, *, weights: Tensor) -> Tensor:
    """The loss summed over the images that have a valid pixel, and its gradient. See `fused.ValueAndGradient`.

    With I = sum_c w_c sum_x P p and E = sum_c w_c sum_x (P - p)^2 the sum in the formula's denominator is E + 2 I, so
    that the loss is (E - s + eps) / (E + 2 I + s + eps): no difference of two large sums, which float32 could not
    resolve for a good prediction of a large image.

    Args:
        logits: (n, C, H, W).
        index: (n, 1, H, W).
        valid: (n, 1, H, W).
        gradient: (n, C, H, W), filled here.
        weights: Class weights (C, 1, 1).
    """
    per_image = (1, 2, 3)
    p = logits.softmax(dim=1)
    weight_true = weights.flatten()[index] * valid
    error = gradient.copy_(p).scatter_add_(1, index, -valid).square_().mul_(weights).sum(dim=1, keepdim=True)
    squared_error = (error * valid).sum(dim=per_image, keepdim=True)
    intersection = (p.gather(1, index) * weight_true).sum(dim=per_image, keepdim=True)
    numerator = squared_error - SMOOTHING + EPSILON
    denominator = squared_error + 2 * intersection + SMOOTHING + EPSILON
    loss = numerator / denominator * valid.amax(dim=per_image, keepdim=True)

    by_error = (1 - numerator / denominator) / denominator
    by_intersection = -2 * numerator / denominator.square()
    # dL/dp = 2 w (p - P) dL/dE + w P dL/dI, then back through the softmax.
    torch.mul(p, weights, out=gradient).mul_(2 * by_error * valid)
    gradient.scatter_add_(1, index, weight_true * (by_intersection - 2 * by_error))
    gradient.sub_((gradient * p).sum(dim=1, keepdim=True)).mul_(p)
    return loss.sum()
