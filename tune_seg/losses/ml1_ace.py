"""Marginal L1 average calibration error."""

from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, safe_ratio
from tune_seg.losses._fused import fused_sum

EMPTY: Final = 0.01
"""A soft bin with less than this weight counts as empty."""


class MarginalL1CalibrationLoss(SegmentationLoss):
    """The mean over classes and their bins that are not empty of ``|mean of P_c - mean of p_c|``, per image.

    Barfoot et al. 2024, arXiv 2403.06759 (hard bins), and 2025, arXiv 2506.03942 (soft bins); averaged over the images
    that have a valid pixel. The means of a class's bin are those of its truth and its output over the bin's
    pixels, so that the loss is 0 where the outputs are calibrated, whether or not they are right. Add it to a loss that
    rewards being right.

    With hard bins a pixel belongs to the one that holds p_c of the equal parts of [0, 1]; which one that is has no
    gradient. With soft bins it belongs to the two whose centres are nearest, with weights that change linearly from one
    centre to the next and through which the gradient flows; beyond the outermost centres it belongs to that bin alone.

    Args:
        num_classes: C.
        bins: How many bins, at least 1.
        binning: ``"hard"`` or ``"soft"``.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = MarginalL1CalibrationLoss(num_classes=3, bins=15, binning="soft")
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.4444)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        bins: int = 20,
        binning: Literal["hard", "soft"] = "hard",
        ignore_index: int = 255,
    ) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.bins = bins
        self.binning = binning

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        total = fused_sum(logits, index, valid, self._value_and_gradient)
        return safe_ratio(total, valid.any(dim=2).any(dim=1).sum())

    def _value_and_gradient(self, logits: Tensor, index: Tensor, valid: Tensor, gradient: Tensor) -> Tensor:
        """The loss summed over the images, and its gradient. See `fused.ValueAndGradient`."""
        p = logits.softmax(dim=1)
        # p - P, at the true class as what the other outputs sum up to.
        error = gradient.copy_(p).scatter_(1, index, 0.0)
        error.scatter_(1, index, -error.sum(dim=1, keepdim=True)).mul_(valid)
        # An output that is not a number has no bin, but shall reach the loss rather than stop the program.
        position = (p * self.bins).nan_to_num_(nan=0.0)
        loss, slope = (self._soft if self.binning == "soft" else self._hard)(position, error, valid)
        # from dL/dp back through the softmax
        torch.mul(slope, p, out=gradient)
        gradient.addcmul_(p, gradient.sum(dim=1, keepdim=True), value=-1).mul_(valid)
        return loss

    def _hard(self, position: Tensor, error: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """The loss summed over the images, and its derivative with respect to p, (n, C, H, W).

        Args:
            position: p in units of a bin's width, (n, C, H, W); may be overwritten.
            error: p - P, 0 where a pixel does not count, (n, C, H, W); may be overwritten.
            valid: (n, 1, H, W).
        """
        boxes = _Boxes(position.clamp_max_(self.bins - 1), self.bins)
        loss, by_error, _ = _mean_gap(boxes.sum(error), boxes.sum(valid), smallest=1.0)
        return loss, boxes.look_up(by_error)

    def _soft(self, position: Tensor, error: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`_hard`.

        Box k = 0 .. bins lies between the centres of the bins k - 1 and k. A pixel at the share f of the way from one to
        the other counts 1 - f in the first and f in the second; in the outermost boxes both are the one bin that there
        is.
        """
        boxes = _Boxes(position.add_(0.5), self.bins + 1)
        share = position.frac_()
        rest = 1 - share
        errors, weights = (_to_bins(boxes.sum(value * rest), boxes.sum(value * share)) for value in (error, valid))
        loss, by_error, by_weight = _mean_gap(errors, weights, smallest=EMPTY)
        # A bin's sum of w (p - P) grows with p by w, and by (p - P) dw/dp; dw/dp is -bins in the first, bins in the second.
        step = _step(by_error)
        level = torch.cat((by_error[..., :1], by_error), dim=2) + self.bins * _step(by_weight)
        return loss, boxes.look_up(level).addcmul_(boxes.look_up(step), error.mul_(self.bins).add_(share))


class _Boxes:
    """The pixels sorted into boxes by class, to add up by box.

    Neighbours and most of an image fall in the same box. To add them all to one number would make each addition wait for
    the one before it, and round float32 too often: a box has many slots, each for a few pixels far from one another.

    Args:
        position: The box of each pixel, cut off to a whole number, (n, C, H, W).
        count: How many boxes, a class.
    """

    def __init__(self, position: Tensor, count: int) -> None:
        self.shape = position.shape
        self.count = count
        pixels = position.shape[2] * position.shape[3]
        self.slots = max(1, pixels // 256)
        slot = torch.arange(self.slots, device=position.device).repeat(-(-pixels // self.slots))[:pixels]
        self.place = position.flatten(2).to(torch.int64).add_(slot * count)

    def sum(self, values: Tensor) -> Tensor:
        """The sum of (n, C, H, W) or (n, 1, H, W) over each box, (n, C, count)."""
        slots = values.new_zeros(*self.shape[:2], self.slots * self.count)
        slots.scatter_add_(2, self.place, values.flatten(2).expand_as(self.place))
        return slots.unflatten(2, (self.slots, self.count)).sum(dim=2)

    def look_up(self, table: Tensor) -> Tensor:
        """The entry (n, C, count) of each pixel's box, (n, C, H, W)."""
        return table.repeat(1, 1, self.slots).gather(2, self.place).view(self.shape)


def _to_bins(before: Tensor, behind: Tensor) -> Tensor:
    """The sums of soft bins, (n, C, bins).

    Args:
        before: What the pixels of each box count in the bin before it, (n, C, bins + 1).
        behind: What they count in the bin behind it, (n, C, bins + 1).
    """
    totals = behind[..., :-1] + before[..., 1:]
    totals[..., 0] += before[..., 0]
    totals[..., -1] += behind[..., -1]
    return totals


def _step(table: Tensor) -> Tensor:
    """What the bin behind each box has more than the one before it; (n, C, bins) to (n, C, bins + 1)."""
    return F.pad(table.diff(dim=2), (1, 1))


def _mean_gap(errors: Tensor, weights: Tensor, smallest: float) -> tuple[Tensor, Tensor, Tensor]:
    """The images' sum of the mean of |errors / weights| over classes and bins, and its derivatives by the two.

    Args:
        errors: (n, C, bins).
        weights: (n, C, bins); where they are below the smallest the bin is empty.
        smallest: Above 0.
    """
    filled = weights >= smallest
    gap = torch.where(filled, errors / weights, 0.0)
    share = 1 / (filled.sum(dim=2, keepdim=True).clamp_min(1) * errors.shape[1]).to(errors.dtype)
    by_error = torch.where(filled, share * gap.sign() / weights, 0.0)
    return (share * gap.abs()).sum(), by_error, -by_error * gap
