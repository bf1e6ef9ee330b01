"""Tao et al.'s dual focal loss, made for calibration."""

from functools import partial

import torch
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, log1p, shares
from tune_seg.losses._fused import fused_sum
from tune_seg.losses.focal import above_zero


class TaoDualFocalLoss(SegmentationLoss):
    """``-(1 - p_y + p_j)^gamma log p_y``, p_j the largest output below p_y, averaged over the valid pixels.

    Tao, Dong and Xu 2023, *Dual Focal Loss for Calibration*. It shares its name, and nothing else, with Hossain's
    dual focal loss (`dual_focal`). p_j is 0 where no output lies below p_y; the loss jumps where another output passes
    p_y.

    Args:
        num_classes: C.
        gamma: Focusing exponent, at least 0; 0 is cross entropy.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = TaoDualFocalLoss(num_classes=3)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.1447)
    """

    def __init__(self, num_classes: int, *, gamma: float = 5.0, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.gamma = gamma

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        return fused_sum(logits, index, shares(valid, logits.dtype), partial(_value_and_gradient, gamma=self.gamma))


def _value_and_gradient(logits: Tensor, index: Tensor, weight: Tensor, gradient: Tensor, *, gamma: float) -> Tensor:
    """The loss summed over the pixels, and its gradient. See `fused.ValueAndGradient`.

    With f = 1 - p_y + p_j and dp_j/dx_k = p_j ([j = k] - p_k).
    """
    top = logits.amax(dim=1, keepdim=True)
    outputs = torch.sub(logits, top, out=gradient).exp_()
    logit_true = logits.gather(1, index)
    true = outputs.gather(1, index)
    rest = outputs.scatter_(1, index, 0.0).sum(dim=1, keepdim=True)
    total = rest + true
    q = rest / total
    # Indicators by sign, as torch.where and comparisons take many times as long: 1 for a logit below that of the true
    # class, then 1 for the largest output among these.
    below = torch.sub(logit_true, logits).clamp_min_(0).sign_().mul_(gradient)
    largest = below.amax(dim=1, keepdim=True)
    next_below = below.sub_(largest).sign_().add_(1)
    p_below = largest / total
    log_p = (logit_true - top) - log1p(rest + (true - 1))  # as in `_fused.true_class`
    f = above_zero(q + p_below)
    factor = f**gamma
    loss = -factor * log_p
    by_f = gamma * loss / f
    by_log_p = (-factor - by_f * true / total) * weight
    by_log_p_below = by_f * p_below * weight
    gradient.mul_(-(by_log_p + by_log_p_below) / total)
    gradient.scatter_(1, index, by_log_p * q - by_log_p_below * true / total)
    gradient.addcmul_(next_below, by_log_p_below / next_below.sum(dim=1, keepdim=True))
    return (loss * weight).sum()
