"""Focal loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, of_class, shares
from tune_seg.losses._fused import true_class_sum


class FocalLoss(SegmentationLoss):
    """``-alpha_y (1 - p_y)^gamma log p_y``, y the true class, averaged over the valid pixels.

    Hossain eq. (6); Taubert eq. (3), which has no alpha. With ``gamma=0`` and no alpha it is cross entropy.

    Args:
        num_classes: C.
        gamma: Focusing exponent, at least 0.
        alpha: Factor on the loss, one number for all classes or one per class, at least 0; None is 1.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = FocalLoss(num_classes=3, gamma=2.0, alpha=[0.1, 0.4, 0.5])
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.0488)
    """

    alpha: Tensor | None

    def __init__(
        self,
        num_classes: int,
        *,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Tensor | None = None,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.gamma = gamma
        per_class = None if alpha is None else torch.as_tensor(alpha, dtype=torch.float64).expand(num_classes).clone()
        self.register_buffer("alpha", per_class, persistent=False)

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        weight = shares(valid, logits.dtype)
        if self.alpha is not None:
            weight = weight * of_class(self.alpha.to(logits.dtype), index)
        return true_class_sum(logits, index, weight, self._curve)

    def _curve(self, log_p: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        # d/d log p of -q^gamma log p, with q = 1 - p and dq = -p d log p
        q = above_zero(q)
        factor = q**self.gamma
        loss = -factor * log_p
        return loss, -factor - self.gamma * loss / q * p


def above_zero(q: Tensor) -> Tensor:
    """q, or the smallest normal number where q is 0: a power of it can then be divided by q.

    Its own size is lost below what a float can resolve next to 1, and the loss and its gradient vanish there.
    """
    return q.clamp_min(torch.finfo(q.dtype).tiny)
