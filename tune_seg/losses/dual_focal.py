"""Dual focal loss."""

import torch
from torch import Tensor

from tune_seg.losses._all_classes import AllClassesLoss, sum_log_complement
from tune_seg.losses._base import as_numbers, log1p


class DualFocalLoss(AllClassesLoss):
    """``-sum_c log(1 - (P_c - p_c)^2)`` over all classes, true and false, averaged over the valid pixels.

    Hossain eq. (7). Its gradient is 0 at a perfect prediction (eq. (14)).

    Args:
        num_classes: C.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = DualFocalLoss(num_classes=3)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.8234)
    """

    def true(self, p: Tensor, q: Tensor, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        # 1 - q^2 = p (1 + q), of which the left side keeps the digits for a small q, the right side for a small p
        near = as_numbers(q < 0.5, q.dtype)
        loss = (near - 1) * log_p - log1p(torch.lerp(q, -q * q, near))
        return loss, -2 * q * q / (1 + q)

    def false(self, p: Tensor) -> tuple[Tensor, Tensor]:
        square = p * p
        return -log1p(-square), 2 * square / (1 - square)

    def false_sum(self, p: Tensor) -> tuple[Tensor, Tensor]:
        square = p.square_()
        loss = -sum_log_complement(square)
        return loss, square.div_(1 - square).mul_(2)

    def false_top(self, p: Tensor, q: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        return -log_q - log1p(p), 2 * p * p / (1 + p)
