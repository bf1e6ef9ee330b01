"""Recall loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, safe_ratio


class RecallLoss(SegmentationLoss):
    """``-(1 - R_y) log p_y``, R_c the recall of class c in the batch, averaged over the valid pixels.

    Tian et al. 2022, *Striking the Right Balance: Recall Loss for Semantic Segmentation*. The recall carries no
    gradient. A pixel counts as found when no other logit exceeds that of its class.

    Args:
        num_classes: C.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = RecallLoss(num_classes=3)
        >>> logits = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> loss(logits, torch.ones(1, 1, 1, dtype=torch.int64))  # class 1 is missed: as cross entropy
        tensor(1.5514)
    """

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        total = F.cross_entropy(
            logits, target, weight=self._missed(logits.detach(), target), ignore_index=self.ignore_index, reduction="sum"
        )
        return safe_ratio(total, (target != self.ignore_index).sum())

    def _missed(self, logits: Tensor, target: Tensor) -> Tensor:
        """1 - R_c, the share of the class's pixels that are not found; 0 for a class that does not occur. (C,)."""
        index, valid = self.split_target(target)
        missed = valid & (logits.gather(1, index.unsqueeze(1)).squeeze(1) < logits.amax(dim=1))
        # Counted as whole numbers: a float32 stops counting at 2^24.
        pixels, lost = (
            torch.zeros(self.num_classes, dtype=torch.int64, device=logits.device).scatter_add_(
                0, index.flatten(), mask.flatten().to(torch.int64)
            )
            for mask in (valid, missed)
        )
        return safe_ratio(lost.to(logits.dtype), pixels)
