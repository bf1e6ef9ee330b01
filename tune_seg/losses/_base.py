"""What all losses have in common: the precision they compute in and how they leave pixels out."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from tune_seg.errors import InputError


class SegmentationLoss(nn.Module, ABC):
    """A loss of logits (N, C, H, W) against a target (N, H, W).

    Subclasses implement :meth:`compute`, which sees logits in float32 (or float64) with autocast off: half precision
    cannot hold a sum over an image's pixels, nor 1 - p where p is near 1.

    Args:
        num_classes: C.
        ignore_index: Label of the pixels that count nowhere.
    """

    waits_for_device = False
    """Whether a value is read back from a GPU while the loss is computed, so that no CUDA graph can hold it.

    None of the package's losses does; those of the user's own do, see :mod:`tune_seg.losses.own`.
    """

    def __init__(self, num_classes: int, *, ignore_index: int = 255) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss, a scalar; ``build_loss`` says what the arguments must be."""
        if logits.ndim != 4 or logits.shape[1] != self.num_classes:
            raise InputError(
                f"logits have shape {tuple(logits.shape)}; the loss was built for (N, {self.num_classes}, H, W)"
            )
        if target.shape != (logits.shape[0], *logits.shape[2:]):
            raise InputError(
                f"target has shape {tuple(target.shape)}; logits of shape {tuple(logits.shape)} need "
                f"{(logits.shape[0], *logits.shape[2:])}"
            )
        with torch.autocast(device_type=logits.device.type, enabled=False):
            return self.compute(logits.to(torch.promote_types(logits.dtype, torch.float32)), target)

    @abstractmethod
    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of logits in float32 or float64."""

    def split_target(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Class indices that are safe to gather with, and which pixels count; both (N, H, W), int64 and bool."""
        valid = target != self.ignore_index
        return target * valid, valid


def as_numbers(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A bool tensor as 0.0 and 1.0."""
    # From bytes, which torch converts on a CPU 7 times as fast as bools.
    return mask.view(torch.uint8).to(dtype)


def log1p(x: Tensor) -> Tensor:
    """log(1 + x) for x > -1, to two units in the last place."""
    if x.device.type != "cpu":
        return torch.log1p(x)
    # torch's own takes up to 13 times as long as its log. What 1 + x loses of x is made good to first order.
    shifted = 1 + x
    return shifted.log().sub_((shifted - 1).sub_(x).div_(shifted))


def of_class(table: Tensor, index: Tensor) -> Tensor:
    """The entry of each pixel's class, of the index's shape, in a table (C,)."""
    # table[index] takes 10 times as long on a CPU.
    return table.index_select(0, index.flatten()).view_as(index)


def shares(valid: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight of each pixel in a mean over the valid ones, (N, H, W): 1 / their number, or 0."""
    return as_numbers(valid, dtype) / valid.sum().clamp_min(1)


def safe_ratio(total: Tensor, count: Tensor) -> Tensor:
    """total / count, where a count of 0 (nothing valid, so that the total is 0 as well) gives 0 with gradient 0."""
    return total / torch.where(count > 0, count, 1)
