"""Max-pooled cross entropy."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tune_seg.losses._base import SegmentationLoss


class MaxPooledCrossEntropyLoss(SegmentationLoss):
    """``max_w sum_u w_u ce_u`` over weights w >= 0 with ``|w|_p <= n^(-1/q)`` and ``w_u <= n^(-1/q) (m n)^(-1/p)``.

    Taubert eq. (4); Rota Bulò et al. 2017, *Loss Max-Pooling for Semantic Image Segmentation*. u runs
    over the n valid pixels of the whole batch, and 1/p + 1/q = 1. The weights move from pixels that are classified well
    to those that are not, and carry no gradient.

    Args:
        num_classes: C.
        p: Norm that bounds the weights, above 1. Towards infinity the loss becomes the mean.
        m: At least this share of the pixels is given weight.
        ignore_index: Label of the pixels that count nowhere.

    Example:
        >>> loss = MaxPooledCrossEntropyLoss(num_classes=3)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(1.0986)
    """

    def __init__(self, num_classes: int, *, p: float = 1.3, m: float = 0.1, ignore_index: int = 255) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        self.p = p
        self.m = m

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, target, ignore_index=self.ignore_index, reduction="none")
        valid = target != self.ignore_index
        # Left out of a compiled program: on a CPU the number of steps depends on the data.
        weights = torch.compiler.disable(max_pooling_weights)(losses.detach(), valid, p=self.p, m=self.m)
        return (losses * weights).sum()


def max_pooling_weights(losses: Tensor, valid: Tensor, *, p: float, m: float) -> Tensor:
    """The weights that maximise the weighted sum of the losses; of the losses' shape, 0 where a pixel does not count.

    With c_u = losses_u^q the optimum is ``w_u = cap min(1, c_u / t)^(1/p)``, cap the bound on a weight: in proportion to
    losses^(q - 1), as Hölder's inequality has it, up to the bound. The threshold t solves ``sum_u min(c_u, t) = m n t``,
    which says that the norm of w is used up. All of it is done with logarithms in float64: for p near 1 the c_u span more
    than any float does.

    Args:
        losses: Non-negative; 0 where ``valid`` is False.
        valid: Which pixels count.
        p: As :class:`MaxPooledCrossEntropyLoss`.
        m: As :class:`MaxPooledCrossEntropyLoss`, a share of the valid pixels.
    """
    count = valid.sum().to(torch.float64)
    allowed = m * count
    powers = p / (p - 1) * losses.to(torch.float64).log()
    threshold = (_threshold_on_cpu if losses.device.type == "cpu" else _threshold_on_gpu)(powers.flatten(), allowed)
    cap = count ** (1 / p - 1) * allowed ** (-1 / p)
    weights = cap * ((powers - threshold).clamp_max(0) / p).exp()
    return torch.where(losses > 0, weights, 0).to(losses.dtype)


def _threshold_on_cpu(powers: Tensor, allowed: Tensor) -> Tensor:
    """log t, by Newton's method from the right: ``t <- (sum of the c_u <= t) / (m n - number of c_u > t)``.

    The left side of the equation less the right is concave and piecewise linear in t, so that t falls monotonically and
    ends, after 5 to several hundred steps, exactly on the solution's piece. Each step is a pass over the pixels: nothing is
    sorted.

    Args:
        powers: log c_u, (n,), float64.
        allowed: m n.
    """
    threshold, above = powers.logsumexp(dim=0) - allowed.log(), 0
    while True:
        beyond = powers > threshold
        now_above = int(beyond.sum())
        # A threshold that rounds to just below losses that are all equal would put these beyond it as well.
        if now_above <= above or now_above >= allowed:
            return threshold
        above = now_above
        threshold = powers.masked_fill(beyond, -torch.inf).logsumexp(dim=0) - (allowed - above).log()


def _threshold_on_gpu(powers: Tensor, allowed: Tensor) -> Tensor:
    """As `_threshold_on_cpu`, but without a step that asks whether it was the last: a read would make the host wait.

    With the k largest c_u held to be above t, the equation is linear: ``sum of the others = (m n - k) t``. Each k < m n
    gives a line through a piece of the concave curve, and so above all of it, that falls to 0 where the curve does or
    later: t is the smallest of their roots. Once the c_u are sorted, a running sum gives all of these.
    """
    # a pixel of loss 0 more, so that there is one
    others = F.pad(powers.sort().values, (1, 0), value=-torch.inf).logcumsumexp(dim=0).flip(0)
    left = allowed - torch.arange(len(others), device=powers.device)
    return (others - left.log()).masked_fill_(left <= 0, torch.inf).amin()
