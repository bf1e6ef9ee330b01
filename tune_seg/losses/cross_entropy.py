"""Cross entropy, plain (`ce`) and class-weighted (`wce`)."""

import torch.nn.functional as F
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, of_class, safe_ratio


class CrossEntropyLoss(SegmentationLoss):
    """``-sum_c w_c P_c log p_c``, the sum over the valid pixels divided by the sum of their weights.

    Hossain eq. (3), (4); Taubert eq. (1). The loss of a batch whose valid pixels all have weight 0 is 0.

    Args:
        num_classes: C.
        class_weights: Weights (C,); None weights every class 1.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = CrossEntropyLoss(num_classes=3)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(1.0986)
    """

    class_weights: Tensor | None

    def __init__(self, num_classes: int, *, class_weights: Tensor | None = None, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.register_buffer("class_weights", class_weights, persistent=False)

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(logits.dtype)
        # Not torch's own mean: that is 0 / 0 for a batch whose pixels are all ignored.
        total = F.cross_entropy(logits, target, weight=weights, ignore_index=self.ignore_index, reduction="sum")
        if weights is None:
            return safe_ratio(total, (target != self.ignore_index).sum())
        index, valid = self.split_target(target)
        return safe_ratio(total, (of_class(weights, index) * valid).sum())
