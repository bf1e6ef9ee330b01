"""Losses with a term for every class, the false ones too: ``true(p_y) + sum over c != y of false(p_c)``."""

from abc import abstractmethod

import torch
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss, as_numbers, log1p, shares
from tune_seg.losses._fused import fused_sum


class AllClassesLoss(SegmentationLoss):
    """``true(p_y) + sum_{c != y} false(p_c)``, y the true class, averaged over the valid pixels.

    Subclasses give the two functions and their derivatives by the logarithm of p, v = p df/dp.
    """

    @abstractmethod
    def true(self, p: Tensor, q: Tensor, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, q v) of the true class; q = 1 - p. All (n, 1, H, W). At q = 0, v can be infinite, the product not."""

    @abstractmethod
    def false(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, v) of a false class with p <= 1/2. All (n, 1, H, W)."""

    @abstractmethod
    def false_sum(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`false` of all classes: the losses' sum (n, 1, H, W), and v (n, C, H, W), which may be p itself."""

    @abstractmethod
    def false_top(self, p: Tensor, q: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, q v) of a false class with the largest p."""

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        weight = shares(valid, logits.dtype)
        if self.num_classes == 1:
            # p is 1 whatever the logit, and there is no second class for the identities below.
            p = torch.ones_like(logits)
            loss, _ = self.true(p, torch.zeros_like(p), torch.zeros_like(p), torch.full_like(p, -torch.inf))
            return (loss * weight.unsqueeze(1)).sum() + logits.sum() * 0.0
        return fused_sum(logits, index, weight, self._value_and_gradient)

    def _value_and_gradient(self, logits: Tensor, index: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
        """The loss summed over the pixels, and its gradient; C is at least 2. See `fused.ValueAndGradient`.

        Only the class with the largest logit can have p > 1/2. Call it t, the true class y, and take every other class
        relative to the second largest logit, so that nothing is lost where p_t rounds to 1 and the others' p to 0:

            rest_c = exp(x_c - second),  odds = (1 - p_t) / p_t = exp(second - x_t) sum_{c != t} rest_c,
            p_c = scale rest_c

        The sum over the false classes runs over t and y too, which costs less than leaving them out, and what they added
        is taken off again for each pixel; rest_t is held at 1, the value of the second class, so that this is never
        more than what remains.

        The gradient is that of a softmax, dL/dx_j = v_j - p_j sum_c v_c. The v of t, true or false, may be infinite, but
        its share is finite: h = q_t v_t at t, and -h rest_j / sum_{c != t} rest_c at any other j.
        """
        top, second = _two_largest(logits)
        rest = torch.sub(torch.minimum(logits, second, out=gradient), second).exp_()
        rest_sum = rest.sum(dim=1, keepdim=True) - 1
        gap = second - top
        ratio = gap.exp()
        odds = ratio * rest_sum
        log_p_top = -log1p(odds)
        p_top = 1 / (1 + odds)
        q_top = odds * p_top
        scale = ratio * p_top
        rest_true = rest.gather(1, index)
        p_true = rest_true * scale
        logit_true = logits.gather(1, index)
        hit = as_numbers(logit_true == top, logits.dtype)

        losses, v = self.false_sum(torch.mul(rest, scale, out=gradient))
        fake_top, v_fake_top = self.false(scale)
        fake_true, v_fake_true = self.false(p_true)
        # lerp(a, b, hit) is b where the true class has the largest logit, else a: torch.where takes 30 times as long.
        q_true = 1 - p_true
        log_q_top = gap + rest_sum.log() + log_p_top
        true, h_true = self.true(
            torch.lerp(p_true, p_top, hit),
            torch.lerp(q_true, q_top, hit),
            log_p_top + (logit_true - top),
            torch.lerp(log1p(-p_true), log_q_top, hit),
        )
        loss_top, h = self.false_top(p_top, q_top, log_q_top)
        miss = 1 - hit
        losses = losses - fake_top + true + (loss_top - fake_true) * miss

        v_true = h_true / q_true * miss
        v_rest = v.sum(dim=1, keepdim=True) - v_fake_top - v_fake_true * miss
        pull = scale * (v_rest + v_true) + torch.lerp(h, h_true, hit) / rest_sum
        gradient_top = h - p_top * (v_rest + v_true)
        gradient_true = torch.lerp(v_true - rest_true * pull, h_true - p_top * v_rest, hit)
        torch.mul(v, weight, out=gradient).addcmul_(rest, pull * weight, value=-1)
        is_top = torch.sub(logits, second, out=rest).clamp_min_(0.0).sign_()
        gradient.addcmul_(is_top, (gradient_top - (v_fake_top - pull)) * weight)
        gradient.scatter_(1, index, gradient_true * weight)
        return (losses * weight).sum()


def sum_log_complement(terms: Tensor) -> Tensor:
    """``sum_c log(1 - terms_c)`` over the classes, (n, 1, H, W), for terms (n, C, H, W) in [0, 1/2] that sum to 2 at most.

    One logarithm for each pixel instead of each class: with 1 - u = product of the 1 - terms_c, u is built up as
    u + term (1 - u), in which nothing cancels, so that a small sum keeps its digits.
    """
    first, *others = torch.split(terms, 1, dim=1)
    u = first
    one = u.new_ones(())
    for term in others:
        u = torch.lerp(u, one, term)
    return log1p(-u)


def _two_largest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The largest and the second largest logit of each pixel, (N, 1, H, W); equal where the largest occurs twice."""
    # Class by class: on a CPU 6 times as fast as max with indices and a masked max, 25 times as fast as topk.
    first, *others = torch.split(logits, 1, dim=1)
    top, second = torch.maximum(first, others[0]), torch.minimum(first, others[0])
    for logit in others[1:]:
        second = torch.maximum(second, torch.minimum(top, logit))
        top = torch.maximum(top, logit)
    return top, second
