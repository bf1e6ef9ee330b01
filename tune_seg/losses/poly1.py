"""Poly-1 cross entropy."""

from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, shares
from tune_seg.losses._fused import true_class_sum


class Poly1Loss(SegmentationLoss):
    """``-log p_y + epsilon (1 - p_y)``, y the true class, averaged over the valid pixels.

    Leng et al. 2022, *PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions*: cross
    entropy with the first coefficient of its expansion in 1 - p_y raised by epsilon. ``epsilon=0`` is cross entropy.

    Args:
        num_classes: C.
        epsilon: At least -1, where the first term is gone.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = Poly1Loss(num_classes=3, epsilon=2.0)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(2.4319)
    """

    def __init__(self, num_classes: int, *, epsilon: float = 1.0, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.epsilon = epsilon

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        return true_class_sum(logits, index, shares(valid, logits.dtype), self._curve)

    def _curve(self, log_p: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        return self.epsilon * q - log_p, -1 - self.epsilon * p
