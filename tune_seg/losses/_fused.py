"""Losses that compute their gradient together with their value.

For a loss of many steps autograd keeps a tensor of the logits' size for nearly every step and walks over each of them
again. Written down by hand the gradient shares most of the value's work, and only the gradient itself is kept.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from tune_seg.losses._base import as_numbers, log1p

ValueAndGradient = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Logits (n, C, H, W), class index (n, 1, H, W), weight (n, 1, H, W), gradient (n, C, H, W) -> the sum of the images'
losses, a scalar. A pixel that does not count has weight 0; any other has one weight, or for a loss over regions 1. Fills
the gradient, which must be 0 at pixels of weight 0 and may serve as work space until then; leaves its other arguments
as they are."""

Curve = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""log p_y, p_y and 1 - p_y, all (n, 1, H, W) -> the loss of each pixel and its derivative with respect to log p_y."""

_CPU_BLOCK: Final = 2**20
"""Logits to work on at a time on a CPU: temporaries of 4 MiB stay in the cache, and the allocator need not ask the
system for fresh pages, which costs more than the arithmetic. A GPU takes the whole batch, to launch few kernels."""


def fused_sum(logits: Tensor, index: Tensor, weight: Tensor, value_and_gradient: ValueAndGradient) -> Tensor:
    """The sum of the images' losses, a scalar that can be differentiated once with respect to the logits.

    Args:
        logits: (N, C, H, W), float32 or float64.
        index: True class, one that exists where the pixel does not count, (N, H, W) int64.
        weight: Of each pixel, 0 where it does not count, (N, H, W), bool or of the logits' type.
        value_and_gradient: The loss.
    """
    numbers = as_numbers(weight, logits.dtype) if weight.dtype is torch.bool else weight
    total: Tensor = _apply(logits, index.unsqueeze(1), numbers.unsqueeze(1), value_and_gradient)
    return total


def true_class_sum(logits: Tensor, index: Tensor, weight: Tensor, curve: Curve) -> Tensor:
    """The weighted sum over the pixels of a loss that depends on log p_y alone, y the true class; as :func:`fused_sum`.

    Args:
        logits, index, weight: As for :func:`fused_sum`.
        curve: The loss of a pixel.
    """
    return fused_sum(logits, index, weight, partial(true_class, curve=curve))


def true_class(logits: Tensor, index: Tensor, weight: Tensor, gradient: Tensor, *, curve: Curve) -> Tensor:
    """The weighted sum over a block's pixels, and its gradient. See `ValueAndGradient`.

    1 - p_y is summed up from the other outputs, so that sure and right predictions keep their digits.
    """
    top = logits.amax(dim=1, keepdim=True)
    outputs = torch.sub(logits, top, out=gradient).exp_()
    true = outputs.gather(1, index)
    rest = outputs.scatter_(1, index, 0.0).sum(dim=1, keepdim=True)
    total = rest + true
    # Where y has the largest logit, true is 1, and what is left of the logarithm's argument is the rest.
    log_p = (logits.gather(1, index) - top) - log1p(rest + (true - 1))
    q = rest / total
    loss, slope = curve(log_p, true / total, q)
    slope = slope * weight
    # d log p_y / dx_j = P_j - p_j
    gradient.mul_(-slope / total).scatter_(1, index, slope * q)
    return (loss * weight).sum()


def blocks(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """The tensors, the first of them logits (N, C, H, W), cut into pieces of some images each."""
    logits = tensors[0]
    images = len(logits)
    if logits.device.type == "cpu":
        images = _CPU_BLOCK // max(1, math.prod(logits.shape[1:]))
    return list(zip(*(torch.split(tensor, max(1, images)) for tensor in tensors), strict=True))


class KeptGradient(torch.autograd.Function):
    """A function of the logits, its first argument, whose forward pass saves the gradient with respect to them."""

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph: the gradient that was kept would pass for a constant
            raise RuntimeError("this loss can be differentiated once only, so that create_graph=True is not possible")
        (gradient,) = ctx.saved_tensors
        # Reading a factor back makes a GPU wait; on a CPU it saves a pass over a tensor of the logits' size.
        if upstream.device.type != "cpu" or upstream.item() != 1.0:
            gradient = gradient * upstream
        return gradient, *(None for _ in ctx.needs_input_grad[1:])


class _FusedSum(KeptGradient):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, weight: Tensor, value_and_gradient: ValueAndGradient) -> Tensor:
        gradient = torch.empty_like(logits)
        total = logits.new_zeros(())
        for block in blocks(logits, index, weight, gradient):
            total += value_and_gradient(*block)
        ctx.save_for_backward(gradient)
        return total


# A compiled program calls this as it is: it is fused already, and tracing would unroll its blocks.
_apply = torch.compiler.disable(_FusedSum.apply)
