"""Losses that compute their gradient together with their value.

For a loss of many steps autograd keeps a tensor of the logits' size for nearly every step and walks over each of them
again. Written down by hand the gradient shares most of the value's work, and only the gradient itself is kept.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ValueAndGradient = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Logits (n, C, H, W), class index (n, 1, H, W), valid (n, 1, H, W) as 0.0 or 1.0, gradient (n, C, H, W) -> the sum of
the images' losses, a scalar. Fills the gradient, which must be 0 at pixels that are not valid and may serve as work
space until then; leaves its other arguments as they are."""

_CPU_BLOCK: Final = 2**20
"""Logits to work on at a time on a CPU: temporaries of 4 MiB stay in the cache, and the allocator need not ask the
system for fresh pages, which costs more than the arithmetic. A GPU takes the whole batch, to launch few kernels."""


def fused_sum(logits: Tensor, index: Tensor, valid: Tensor, value_and_gradient: ValueAndGradient) -> Tensor:
    """The sum of the images' losses, a scalar that can be differentiated once with respect to the logits.

    Args:
        logits: (N, C, H, W), float32 or float64.
        index: True class, one that exists where the pixel is not valid, (N, H, W) int64.
        valid: Which pixels count, (N, H, W) bool.
        value_and_gradient: The loss.
    """
    channel = valid.unsqueeze(1).to(logits.dtype)
    total: Tensor = _FusedSum.apply(logits, index.unsqueeze(1), channel, value_and_gradient)
    return total


class _FusedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, valid: Tensor, value_and_gradient: ValueAndGradient) -> Tensor:
        images = len(logits)
        if logits.device.type == "cpu":
            images = max(1, _CPU_BLOCK // max(1, math.prod(logits.shape[1:])))
        gradient = torch.empty_like(logits)
        total = logits.new_zeros(())
        blocks = zip(*(torch.split(tensor, images) for tensor in (logits, index, valid, gradient)), strict=True)
        for block_logits, block_index, block_valid, block_gradient in blocks:
            total += value_and_gradient(block_logits, block_index, block_valid, block_gradient)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None, None
