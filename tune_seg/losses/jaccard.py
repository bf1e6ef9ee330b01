"""Jaccard metric loss."""

from typing import Any

import torch
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, as_numbers
from tune_seg.losses._fused import KeptGradient, blocks


class JaccardMetricLoss(SegmentationLoss):
    """``1 - (|p + t| - |p - t|) / (|p + t| + |p - t|)``, averaged over the classes present in the batch.

    Wang et al. 2023, *Jaccard Metric Losses*, arXiv 2302.05666. |.| is the sum of the absolute values over the
    valid pixels of the batch, and t = (1 - smoothing) P + smoothing / C the smoothed truth. Unlike the soft Jaccard loss
    it is 0 at p = t, and above 0 elsewhere, for a smoothed truth as well; without smoothing the two are the same.

    Args:
        num_classes: C.
        smoothing: Share of the truth that is spread over all classes, in [0, 1).
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = JaccardMetricLoss(num_classes=3, smoothing=0.1)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.6429)
    """

    def __init__(self, num_classes: int, *, smoothing: float = 0.0, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.smoothing = smoothing

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        loss: Tensor = _apply(logits, index.unsqueeze(1), as_numbers(valid, logits.dtype).unsqueeze(1), self.smoothing)
        return loss


class _JaccardMetric(KeptGradient):
    """With S_c = |p + t| and D_c = |p - t| of a class, its loss is 2 D_c / (S_c + D_c).

    These are sums over the whole batch: it is gone through once to sum up and once more to differentiate.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, valid: Tensor, smoothing: float) -> Tensor:
        classes = logits.shape[1]
        gradient = torch.empty_like(logits)
        parts = blocks(logits, index, valid, gradient)
        level = smoothing / classes
        over_pixels = (0, 2, 3)

        distance = logits.new_zeros(classes)
        mass = torch.zeros_like(distance)
        for block_logits, block_index, block_valid, work in parts:
            p = torch.softmax(block_logits, dim=1, out=work)
            distance += _difference(p, block_index, level).abs_().mul_(block_valid).sum(dim=over_pixels)
            mass += (p * block_valid).sum(dim=over_pixels)

        counts = torch.zeros(classes, dtype=torch.int64, device=logits.device)
        counts.scatter_add_(0, index.flatten(), valid.flatten().to(torch.int64))
        present = counts > 0
        truth = (1 - smoothing) * counts.to(logits.dtype) + level * counts.sum().to(logits.dtype)
        size = mass + truth
        whole = torch.where(present, size + distance, torch.inf)
        share = 2 / present.sum().clamp_min(1).to(logits.dtype)
        by_distance = (share * size / whole.square()).view(-1, 1, 1)
        by_size = (share * -distance / whole.square()).view(-1, 1, 1)

        for _, block_index, block_valid, work in parts:
            p = work
            slope = _difference(p, block_index, level).sign_().mul_(by_distance).add_(by_size)
            # from dL/dp back through the softmax
            slope.sub_((slope * p).sum(dim=1, keepdim=True)).mul_(block_valid)
            work.mul_(slope)
        ctx.save_for_backward(gradient)
        return share * (distance / whole).sum()


# A compiled program calls this as it is: it is fused already, and tracing would unroll its blocks.
_apply = torch.compiler.disable(_JaccardMetric.apply)


def _difference(p: Tensor, index: Tensor, level: float) -> Tensor:
    """p - t, (n, C, H, W), where t is the level for a false class.

    At the true class it is the other classes' share of t less their outputs, so that it keeps its digits near p = t.

    Args:
        p: (n, C, H, W).
        index: (n, 1, H, W).
        level: smoothing / C.
    """
    difference = p.scatter(1, index, 0.0)
    missing = difference.sum(dim=1, keepdim=True)
    return difference.sub_(level).scatter_(1, index, (p.shape[1] - 1) * level - missing)
