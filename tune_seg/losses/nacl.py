"""Neighbour-aware calibration loss."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, shares
from tune_seg.losses._fused import fused_sum


class NeighbourAwareCalibrationLoss(SegmentationLoss):
    """``-log p_y + penalty sum_c |t_c - x_c|``, averaged over the valid pixels.

    Murugesan et al. 2023, *Trust your neighbours: Penalty-based Constraints for Model Calibration* (NACL). t_c is
    the share of class c among the valid pixels of the window around the pixel, as far as the window lies in the image.
    The penalty pulls the logits themselves towards shares: adding a constant to all of them changes it. The authors' code
    takes the mean over the classes in place of the published sum: its weight is C times this one.

    Args:
        num_classes: C.
        penalty: Cost of the distance, at least 0; 0 is cross entropy.
        radius: The window has 2 radius + 1 pixels a side.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = NeighbourAwareCalibrationLoss(num_classes=3)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(1.1986)
    """

    def __init__(self, num_classes: int, *, penalty: float = 0.1, radius: int = 1, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.penalty = penalty
        self.radius = radius

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        kernel = partial(_value_and_gradient, penalty=self.penalty, radius=self.radius)
        return fused_sum(logits, index, shares(valid, logits.dtype), kernel)


def _value_and_gradient(
    logits: Tensor, index: Tensor, weight: Tensor, gradient: Tensor, *, penalty: float, radius: int
) -> Tensor:
    """The loss summed over the pixels, and its gradient. See `fused.ValueAndGradient`."""
    valid = weight > 0
    # Bytes hold a window of up to 15 pixels a side, and are a quarter of the work.
    counts = torch.uint8 if 2 * radius + 1 <= 15 else torch.int32
    truth = torch.zeros(logits.shape, dtype=counts, device=logits.device).scatter_(1, index, valid.to(counts))
    neighbours = _window_sum(valid.to(counts), radius).clamp_min_(1).to(logits.dtype)
    distance = torch.sub(logits, _window_sum(truth, radius) / neighbours)
    top = logits.amax(dim=1, keepdim=True)
    total = torch.sub(logits, top, out=gradient).exp_().sum(dim=1, keepdim=True)
    loss = (top - logits.gather(1, index)) + total.log() + penalty * distance.abs().sum(dim=1, keepdim=True)
    gradient.mul_(weight / total).scatter_add_(1, index, -weight).addcmul_(distance.sign_(), weight, value=penalty)
    return (loss * weight).sum()


def _window_sum(values: Tensor, radius: int) -> Tensor:
    """The sum of (n, C, H, W) over the window around each pixel, of the same shape and type; 0 outside the image."""
    for sides in ((radius, radius, 0, 0), (0, 0, radius, radius)):
        padded = F.pad(values, sides)
        dim = 3 if sides[0] else 2
        size = values.shape[dim]
        values = padded.narrow(dim, 0, size).clone()
        for step in range(1, 2 * radius + 1):
            values += padded.narrow(dim, step, size)
    return values
