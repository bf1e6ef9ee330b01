"""Dual focal loss as its journal version has it."""

import math

import torch
from torch import Tensor

from tune_seg.losses._all_classes import AllClassesLoss, sum_log_complement
from tune_seg.losses._base import log1p


class DualFocalLoss2021(AllClassesLoss):
    """``sum_c [-P_c log p_c - beta (1 - P_c) log(rho - p_c) + alpha |P_c - p_c|^gamma]``, averaged over valid pixels.

    Hossain et al. 2021, *Dual Focal Loss to Address Class Imbalance in Semantic Segmentation*, Neurocomputing 462, doi
    10.1016/j.neucom.2021.07.055.

    Args:
        num_classes: C.
        alpha: Weight of the distance, at least 0.
        beta: Weight of the false classes, at least 0.
        gamma: Exponent of the distance, at least 0.
        rho: At least 1; above 1 a false class's loss is bounded.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = DualFocalLoss2021(num_classes=3, gamma=2.0)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(2.5762)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        rho: float = 1.0,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.rho = rho

    def true(self, p: Tensor, q: Tensor, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        # A power of a q that is too small for a float need not be.
        distance = self.alpha * (self.gamma * log_q).exp() if self.gamma else torch.full_like(q, self.alpha)
        return distance - log_p, -q - self.gamma * distance * p

    def false(self, p: Tensor) -> tuple[Tensor, Tensor]:
        distance = self._distance(p)
        loss = distance - self.beta * (math.log(self.rho) + log1p(p / -self.rho))
        return loss, self.gamma * distance + self.beta * p / (self.rho - p)

    def false_sum(self, p: Tensor) -> tuple[Tensor, Tensor]:
        loss = self._distance(p).sum(dim=1, keepdim=True)
        # log(rho - p) = log rho + log(1 - p / rho)
        loss -= self.beta * (self.num_classes * math.log(self.rho) + sum_log_complement(p / self.rho))
        v = torch.sub(self.rho, p)
        torch.div(p, v, out=v).mul_(self.beta)
        return loss, v.add_(self._distance(p), alpha=self.gamma)

    def false_top(self, p: Tensor, q: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        distance = self._distance(p)
        # rho - p = (rho - 1) + q
        excess = self.rho - 1
        log_room = log_q if excess == 0 else torch.log(excess + q)
        share = 1 if excess == 0 else q / (excess + q)
        return distance - self.beta * log_room, q * self.gamma * distance + self.beta * p * share

    def _distance(self, p: Tensor) -> Tensor:
        """alpha p^gamma of a false class."""
        return self.alpha * (p if self.gamma == 1 else p**self.gamma)
