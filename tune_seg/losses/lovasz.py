"""Lovász-Softmax loss."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss
from tune_seg.losses._fused import KeptGradient


class LovaszSoftmaxLoss(SegmentationLoss):
    """The Lovász extension of the Jaccard loss ``1 - IoU_c``, averaged over the classes present in the batch.

    Berman et al. 2018, arXiv 1705.08790. With the errors ``e_c = |P_c - p_c|`` of a class sorted from
    the largest down, its loss is ``sum_k e_(k) (J(k) - J(k - 1))``, where J(k) is the Jaccard loss of a prediction that
    is wrong at the first k pixels. All valid pixels of the batch count as one image; a class that none of them shows is
    left out. Where every output is 0 or 1 this is the mean Jaccard loss.

    Args:
        num_classes: C.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = LovaszSoftmaxLoss(num_classes=3)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.6667)
    """

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        loss: Tensor = _apply(logits, index.unsqueeze(1), valid.unsqueeze(1))
        return loss


class _LovaszSoftmax(KeptGradient):
    """The order of the errors stays the same around almost every point, so that there the loss is linear in them.

    The factor of an error e_(k) is J(k) - J(k - 1). With G true pixels in all, and t true and f false ones among the
    first k, J(k) = 1 - (G - t) / (G + f). At a true pixel J grows by 1 / (G + f), at a false one by
    (G - t) / ((G + f - 1) (G + f)): no difference of two nearly equal numbers. Behind the last true pixel it stays as it
    is; the pixels that are not valid are put there, and so have no effect.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, valid: Tensor) -> Tensor:
        p = logits.softmax(dim=1)
        p_true = p.gather(1, index)
        # At the true class, 1 - p is the sum of the others.
        error = p.scatter_(1, index, 0.0)
        error.scatter_(1, index, error.sum(dim=1, keepdim=True))
        total, factor = (_on_cpu if logits.device.type == "cpu" else _on_gpu)(error, index, valid)
        p = error.scatter_(1, index, p_true)
        gradient = factor.scatter_(1, index, -factor.gather(1, index))
        ctx.save_for_backward(gradient.sub_((gradient * p).sum(dim=1, keepdim=True)).mul_(p))
        return total


# A compiled program calls this as it is: NumPy's part cannot be traced.
_apply = torch.compiler.disable(_LovaszSoftmax.apply)


def _on_gpu(error: Tensor, index: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the factor of each error (N, C, H, W); all classes at once.

    Args:
        error: |P - p|, (N, C, H, W).
        index: (N, 1, H, W).
        valid: (N, 1, H, W).
    """
    classes = torch.arange(error.shape[1], device=error.device).view(1, -1, 1, 1)
    rows = error.masked_fill(~valid, -1.0).transpose(0, 1).flatten(1)
    is_true = ((index == classes) & valid).transpose(0, 1).flatten(1)
    order = rows.argsort(dim=1, descending=True)
    hit = is_true.gather(1, order)
    hits = hit.cumsum(dim=1)
    count = is_true.sum(dim=1, keepdim=True)
    union = count + torch.arange(1, rows.shape[1] + 1, device=error.device) - hits
    growth = torch.where(hit, 1.0, (count - hits) / (union - 1).clamp_min(1).to(error.dtype)) / union
    growth /= (count > 0).sum().clamp_min(1)
    factor = torch.empty_like(rows).scatter_(1, order, growth)
    factor = factor.unflatten(1, (len(error), *error.shape[2:])).transpose(0, 1).contiguous()
    return (factor * error).sum(), factor


def _on_cpu(error: Tensor, index: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """As `_on_gpu`, but class by class with NumPy, which sorts integers 20 times as fast as torch sorts floats."""
    images, classes = error.numpy(), error.shape[1]
    label = np.where(valid.flatten().numpy(), index.flatten().numpy(), classes).astype(np.int32)
    ignored = np.flatnonzero(label == classes)
    counts = np.bincount(label, minlength=classes + 1)[:classes]
    present = np.flatnonzero(counts)
    factors = np.zeros_like(images)

    def solve(c: int) -> float:
        errors, is_true = images[:, c].flatten(), label == c
        errors[ignored] = -1.0
        # The pixels behind the last true one need no sorting; early in a training these are nearly all. Errors that are
        # not numbers compare as False: then all matter.
        matters = np.flatnonzero(~(errors < np.maximum(errors, ~is_true).min()))
        if len(matters) < len(errors) / 2:
            growth = np.zeros_like(errors)
            growth[matters] = _growth(errors[matters], is_true[matters])
        else:
            growth = _growth(errors, is_true)
        growth /= len(present)
        factors[:, c] = growth.reshape(factors[:, c].shape)
        return float((growth * errors).sum(dtype=np.float64))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        total = sum(pool.map(solve, present))
    return error.new_tensor(total), torch.from_numpy(factors)


def _growth(error: NDArray[Any], is_true: NDArray[np.bool_]) -> NDArray[Any]:
    """J(k) - J(k - 1) for each pixel of one class, (n,)."""
    places = np.arange(len(error))
    if error.dtype == np.float32:
        # One integer holds the error, whose bits have the order of the numbers, and its place. (The bits of -1, the
        # error of an ignored pixel, are a negative integer.)
        order = error.view(np.int32).astype(np.int64)
        order <<= 32
        np.subtract(places, order, out=order)
        order.sort()
        order &= 0xFFFFFFFF
    else:
        order = np.argsort(-error)
    hit = is_true[order]
    hits = hit.cumsum(dtype=np.int32)
    left = hits[-1] - hits
    union = (places + 1 + left).astype(error.dtype)
    growth = left.astype(error.dtype)
    growth /= np.maximum(union - 1, 1)
    np.maximum(growth, hit, out=growth)
    growth /= union
    result = np.empty_like(error)
    result[order] = growth
    return result
