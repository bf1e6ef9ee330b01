"""Focal loss."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tune_seg.losses.base import SegmentationLoss, safe_ratio


class FocalLoss(SegmentationLoss):
    """``-alpha_y (1 - p_y)^gamma log p_y``, y the true class, averaged over the valid pixels.

    Hossain eq. (6); Taubert eq. (3), which has no alpha. With ``gamma=0`` and no alpha it is cross entropy.

    Args:
        num_classes: C.
        gamma: Focusing exponent, at least 0.
        alpha: Factor on the loss, one number for all classes or one per class, at least 0; None is 1.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> FocalLoss(num_classes=3, gamma=2.0, alpha=[0.1, 0.4, 0.5])(logits, target)  # doctest: +SKIP
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
        surprise = F.cross_entropy(logits, target, ignore_index=self.ignore_index, reduction="none")
        if 0 < self.gamma < 1:
            # The derivative of (1 - p)^gamma is infinite at p = 1, although its product with log p is 0. The smallest
            # normal number keeps it finite and is far below what a float can resolve next to p = 1.
            surprise = surprise.clamp_min(torch.finfo(logits.dtype).tiny)
        loss = (-torch.expm1(-surprise)) ** self.gamma * surprise
        index, valid = self.split_target(target)
        if self.alpha is not None:
            loss = loss * self.alpha.to(logits.dtype)[index]
        return safe_ratio((loss * valid).sum(), valid.sum())
