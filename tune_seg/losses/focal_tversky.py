"""Focal Tversky loss."""

from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, safe_ratio
from tune_seg.losses._fused import fused_sum
from tune_seg.losses._overlap import differentiate, measure, tversky_power


class FocalTverskyLoss(SegmentationLoss):
    """``sum_c (1 - T_c)^(1/gamma)`` per image, T_c = (TP + 1) / (TP + alpha FN + beta FP + 1), the Tversky index.

    Abraham & Khan 2019, arXiv 1810.07842, averaged over the images that have a valid pixel. TP = sum_x P p,
    FN = sum_x P (1 - p) and FP = sum_x (1 - P) p are those of the class. With alpha = beta = 0.5 and ``gamma=1`` a
    class costs its Dice loss.

    Args:
        num_classes: C.
        alpha: Cost of missed pixels, at least 0.
        beta: Cost of false alarms, at least 0.
        gamma: At least 1; above 1, classes that are segmented well still count, and hard ones more.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = FocalTverskyLoss(num_classes=3, gamma=2.0)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(2.3045)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.7,
        beta: float = 0.3,
        gamma: float = 4 / 3,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        total = fused_sum(logits, index, valid, self._value_and_gradient)
        return safe_ratio(total, valid.any(dim=2).any(dim=1).sum())

    def _value_and_gradient(self, logits: Tensor, index: Tensor, valid: Tensor, gradient: Tensor) -> Tensor:
        """The loss summed over the images, and its gradient. See `fused.ValueAndGradient`."""
        p = logits.softmax(dim=1)
        seen, missing = measure(p, index, valid, scratch=gradient)
        loss, by = tversky_power(seen, alpha=self.alpha, beta=self.beta, smoothing=1.0, exponent=1 / self.gamma)
        differentiate(gradient, p, index, valid, missing, by)
        return loss.sum()
