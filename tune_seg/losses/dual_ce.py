"""Dual cross entropy."""

import math

import torch
from torch import Tensor

from tune_seg.losses._all_classes import AllClassesLoss


class DualCrossEntropyLoss(AllClassesLoss):
    """``sum_c [-P_c log p_c + beta (1 - P_c) log(alpha + p_c)]``, averaged over the valid pixels.

    Hossain eq. (10), after Li et al. 2019, *Dual Cross-Entropy Loss for Small-Sample Fine-Grained Vehicle
    Classification*. Neither paper gives values; the defaults are this project's.

    Args:
        num_classes: C.
        alpha: What is added to the output of a false class, above 1.
        beta: Weight of the false classes, above 1.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = DualCrossEntropyLoss(num_classes=3, beta=1.5)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(3.6405)
    """

    def __init__(self, num_classes: int, *, alpha: float = 2.0, beta: float = 2.0, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.alpha = alpha
        self.beta = beta

    def true(self, p: Tensor, q: Tensor, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        return -log_p, -q

    def false(self, p: Tensor) -> tuple[Tensor, Tensor]:
        return self.beta * torch.log(self.alpha + p), self.beta * p / (self.alpha + p)

    def false_sum(self, p: Tensor) -> tuple[Tensor, Tensor]:
        # log(alpha + p) = log alpha + log(1 + p / alpha); the product over the classes lies between 1 and e^2
        room = p + self.alpha
        loss = self.beta * (self.num_classes * math.log(self.alpha) + (room / self.alpha).prod(dim=1, keepdim=True).log())
        return loss, p.div_(room).mul_(self.beta)

    def false_top(self, p: Tensor, q: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        loss, v = self.false(p)
        return loss, q * v
