"""What the losses share that compare prediction and truth class by class: sums over an image, and the way back."""

from typing import NamedTuple

import torch
from torch import Tensor


class Overlap(NamedTuple):
    """Sums over the valid pixels of each image; P the truth, p the softmax output. Or a loss's derivatives by them.

    Attributes:
        hits: sum_x P p, (n, C).
        misses: sum_x P (1 - p), (n, C).
        alarms: sum_x (1 - P) p, (n, C).
    """

    hits: Tensor
    misses: Tensor
    alarms: Tensor


def measure(p: Tensor, index: Tensor, valid: Tensor, scratch: Tensor) -> tuple[Overlap, Tensor]:
    """The overlap, and 1 - p_y at each pixel, y the true class, (n, 1, H, W); 0 where a pixel does not count.

    1 - p_y is summed up from the other outputs, so that it keeps its digits where p_y rounds to 1.

    Args:
        p: (n, C, H, W).
        index: (n, 1, H, W).
        valid: (n, 1, H, W), 0.0 or 1.0.
        scratch: (n, C, H, W), overwritten.
    """
    over_pixels = (2, 3)
    p_true = p.gather(1, index).mul_(valid)
    scratch.copy_(p).scatter_(1, index, 0.0).mul_(valid)
    missing = scratch.sum(dim=1, keepdim=True)
    alarms = scratch.sum(dim=over_pixels)
    hits = scratch.zero_().scatter_(1, index, p_true).sum(dim=over_pixels)
    misses = scratch.scatter_(1, index, missing).sum(dim=over_pixels)
    return Overlap(hits, misses, alarms), missing


def tversky_power(
    seen: Overlap, *, alpha: float, beta: float, smoothing: float, exponent: float | Tensor
) -> tuple[Tensor, Overlap]:
    """``(1 - T)^exponent`` per image and class, (n, C), and its derivatives.

    T = (hits + s) / (hits + alpha misses + beta alarms + s), s the smoothing; 1 - T is taken as
    (alpha misses + beta alarms) / (hits + alpha misses + beta alarms + s), in which nothing cancels.

    Args:
        seen: The sums.
        alpha: Cost of a missed pixel.
        beta: Cost of a false alarm.
        smoothing: s.
        exponent: Above 0, one number or one per class (C,).
    """
    cost = alpha * seen.misses + beta * seen.alarms
    whole = seen.hits + cost + smoothing
    distance = cost / whole
    # An exponent below 1 has an infinite derivative at 0, where nothing is left to gain: it is taken as 0 there, and
    # below the smallest normal number, whose inverse, which bounds the derivatives, a float can just hold.
    nothing = torch.minimum(cost, distance) < torch.finfo(distance.dtype).tiny
    base = distance.masked_fill(nothing, 1.0)
    slope = (exponent * base ** (exponent - 1)).masked_fill(nothing, 0.0)
    by_cost = slope * (seen.hits + smoothing) / whole.square()
    by_hits = -slope * distance / whole
    return (base**exponent).masked_fill(nothing, 0.0), Overlap(by_hits, alpha * by_cost, beta * by_cost)


def differentiate(
    gradient: Tensor,
    p: Tensor,
    index: Tensor,
    valid: Tensor,
    missing: Tensor,
    by: Overlap,
    by_missing: Tensor | float = 0.0,
) -> None:
    """Fill the gradient (n, C, H, W) with respect to the logits from the derivatives by the sums.

    With v_j = p_j dL/dp_j of the false classes, and b the derivative by q = 1 - p_y, the softmax makes of them
    v_j + p_j (p_y b - sum v) at a false class and -p_y (q b + sum v) at the true one: nothing cancels where p_y is near
    1, nor where b is large.

    Args:
        gradient: Filled.
        p, index, valid: As for :func:`measure`.
        missing: 1 - p_y, which it returns.
        by: The derivatives, (n, C) each.
        by_missing: What else depends on 1 - p_y at each pixel, its derivative (n, 1, H, W).
    """
    by_missing = by_missing + (by.misses - by.hits).gather(1, index.flatten(1)).view_as(index)
    p_true = p.gather(1, index)
    torch.mul(p, by.alarms[:, :, None, None], out=gradient).scatter_(1, index, 0.0)
    total = gradient.sum(dim=1, keepdim=True)
    gradient.addcmul_(p, p_true * by_missing - total)
    gradient.scatter_(1, index, -p_true * (missing * by_missing + total)).mul_(valid)
