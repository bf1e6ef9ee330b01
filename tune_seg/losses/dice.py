"""Dice loss with squared denominators, plain (`dice`) and class-weighted (`wdice`), and `tversky`, which contains both."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import torch
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, of_class, safe_ratio
from tune_seg.losses._fused import fused_sum

SMOOTHING: Final = 1.0
EPSILON: Final = 1e-5


class TverskyLoss(SegmentationLoss):
    """``1 - (sum_c (alpha_c + beta_c) sum_x P p + 2 s) / (sum_c sum_x (alpha_c P^2 + beta_c p^2) + s + eps)`` per image.

    Taubert section 3.2, after Salehi et al. 2017, arXiv 1706.05721, averaged over the images that have a valid pixel;
    s = 1, eps = 1e-5. With alpha and beta both the class weights it is the weighted Dice loss.

    Args:
        num_classes: C.
        class_weights: Weights (C,); None weights every class 1.
        alpha: Cost of missed pixels, at least 0, one number for all classes or one per class; None takes the class
            weights.
        beta: Cost of false alarms, likewise.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = TverskyLoss(num_classes=3, alpha=1.4, beta=0.6)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.5238)
    """

    alpha: Tensor
    beta: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        class_weights: Tensor | None = None,
        alpha: float | Sequence[float] | Tensor | None = None,
        beta: float | Sequence[float] | Tensor | None = None,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        weights = 1.0 if class_weights is None else class_weights
        for name, cost in (("alpha", alpha), ("beta", beta)):
            values = torch.as_tensor(weights if cost is None else cost, dtype=torch.float64)
            self.register_buffer(name, values.expand(num_classes).clone(), persistent=False)

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        loss = partial(_value_and_gradient, alpha=self.alpha.to(logits.dtype), beta=self.beta.to(logits.dtype))
        return safe_ratio(fused_sum(logits, index, valid, loss), valid.any(dim=2).any(dim=1).sum())


class DiceLoss(TverskyLoss):
    """``1 - 2 (sum_c w_c sum_x P p + s) / (sum_c w_c sum_x (P^2 + p^2) + s + eps)`` per image, s = 1, eps = 1e-5.

    Taubert eq. (2), averaged over the images that have a valid pixel. The smoothing counts twice in the numerator, so
    that a perfect prediction scores slightly below 0.

    Args:
        num_classes: C.
        class_weights: Weights (C,); None weights every class 1.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = DiceLoss(num_classes=3)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.4328)
    """

    def __init__(self, num_classes: int, *, class_weights: Tensor | None = None, ignore_index: int = 255) -> None:
        super().__init__(num_classes, class_weights=class_weights, ignore_index=ignore_index)


def _value_and_gradient(
    logits: Tensor, index: Tensor, valid: Tensor, gradient: Tensor, *, alpha: Tensor, beta: Tensor
) -> Tensor:
    """The loss summed over the images that have a valid pixel, and its gradient. See `fused.ValueAndGradient`.

    The sum in the denominator is I + R, with I = sum_c (alpha_c + beta_c) sum_x P p the one in the numerator and R what
    remains, so that the loss is (R - s + eps) / (I + R + s + eps): no difference of two large sums, which float32 could
    not resolve for a good prediction of a large image. A false class adds beta p_c^2 to R. The true class y, with
    q = 1 - p_y the sum of the other outputs, adds alpha + beta p_y^2 - (alpha + beta) p_y = q (alpha - beta + beta q):
    what is added is as small as the errors, and for alpha = beta the weighted sum of the (P - p)^2.

    Args:
        logits: (n, C, H, W).
        index: (n, 1, H, W).
        valid: (n, 1, H, W).
        gradient: (n, C, H, W), filled here.
        alpha: Cost of missed pixels (C,).
        beta: Cost of false alarms (C,).
    """
    per_image = (1, 2, 3)
    p = logits.softmax(dim=1)
    p_true = p.gather(1, index).mul_(valid)
    false = gradient.copy_(p).scatter_(1, index, 0.0).mul_(valid)
    q = false.sum(dim=1, keepdim=True)
    squares = false.square_().sum(dim=(2, 3), keepdim=True)
    beta_true = of_class(beta, index)
    skew = of_class(alpha - beta, index)
    total = of_class(alpha + beta, index)
    beta = beta.view(-1, 1, 1)
    rest = (beta * squares).sum(dim=1, keepdim=True) + (q * (skew + beta_true * q)).sum(dim=per_image, keepdim=True)
    intersection = (total * p_true).sum(dim=per_image, keepdim=True)
    numerator = rest - SMOOTHING + EPSILON
    denominator = intersection + rest + SMOOTHING + EPSILON
    loss = numerator / denominator * valid.sum(dim=per_image, keepdim=True).clamp_max(1)

    by_rest = (1 - numerator / denominator) / denominator
    by_intersection = -numerator / denominator.square()
    # The false outputs are taken as free, p_y = 1 - q as given by them: dL/dp_y = 0. Then back through the softmax.
    by_q = by_rest * (2 * beta_true * q + skew) - by_intersection * total
    torch.addcmul(by_q, p, 2 * by_rest * beta, out=gradient).mul_(p).scatter_(1, index, 0.0)
    gradient.addcmul_(p, gradient.sum(dim=1, keepdim=True), value=-1).mul_(valid)
    return loss.sum()
