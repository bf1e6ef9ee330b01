"""Cross entropy and focal loss of a single output through a sigmoid, for two classes."""

import torch
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, log1p, shares
from tune_seg.losses._fused import fused_sum


class SigmoidFocalLoss(SegmentationLoss):
    """``-alpha (1 - s)^gamma P log s - (1 - alpha) s^gamma (1 - P) log(1 - s)``, averaged over the valid pixels.

    Hossain eq. (9), with s^gamma for the false class as in Lin et al. 2017, *Focal Loss for Dense Object Detection*, eq.
    (5), which it quotes: its own (1 - s)^gamma would play down a false class the more, the surer the model is of it.

    s is the sigmoid of one output, the logit of class 1 against class 0. With one class (``num_classes=1``) that is the
    model's only output, and the target says 0 or 1. With two it is the difference x_1 - x_0, whose sigmoid is the
    softmax's p_1.

    Args:
        num_classes: 1 (logits (N, 1, H, W), targets 0 or 1) or 2.
        gamma: Focusing exponent, at least 0.
        alpha: Weight of class 1; class 0 has 1 - alpha.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = SigmoidFocalLoss(num_classes=1, alpha=0.75)
        >>> loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.0433)
    """

    def __init__(self, num_classes: int, *, gamma: float = 2.0, alpha: float = 0.25, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.gamma = gamma
        self.balance = (1 - alpha, alpha)  # of class 0, of class 1

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        return fused_sum(logits, index, shares(valid, logits.dtype), self._value_and_gradient)

    def _value_and_gradient(self, logits: Tensor, index: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
        """The loss summed over the pixels, and its gradient. See `fused.ValueAndGradient`.

        With t the true class's logit against the other's, p = sigmoid(t) and q = 1 - p, the loss -q^gamma log p has the
        derivative q^gamma (gamma p log p - q) by t.
        """
        sign = index.to(logits.dtype).mul_(2).sub_(1)
        towards = sign * (logits if self.num_classes == 1 else logits[:, 1:] - logits[:, :1])
        q = torch.sigmoid(-towards)
        log_p = towards.clamp_max(0) - log1p(towards.abs().neg_().exp_())
        low, high = self.balance
        factor = (sign * (high - low)).add_(high + low).mul_(weight / 2).mul_(q**self.gamma)
        slope = ((1 - q).mul_(log_p).mul_(self.gamma).sub_(q)).mul_(factor).mul_(sign)
        gradient[:, -1:] = slope
        if self.num_classes == 2:
            torch.neg(slope, out=gradient[:, :1])
        return -(factor * log_p).sum()


class SigmoidCrossEntropyLoss(SigmoidFocalLoss):
    """``-P log s - (1 - P) log(1 - s)``, s the sigmoid of the one output, averaged over the valid pixels.

    Hossain eq. (8): :class:`SigmoidFocalLoss`, which says what the one output is, without focus and balance.

    Args:
        num_classes: 1 (logits (N, 1, H, W), targets 0 or 1) or 2.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = SigmoidCrossEntropyLoss(num_classes=1)
        >>> loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.6931)
    """

    def __init__(self, num_classes: int, *, ignore_index: int = 255) -> None:
        super().__init__(num_classes, gamma=0.0, ignore_index=ignore_index)
        self.balance = (1.0, 1.0)
