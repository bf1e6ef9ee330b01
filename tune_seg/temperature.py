"""Temperature scaling: the scalar, or one scalar a class, by which a trained model's logits are best divided."""

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from tune_seg.errors import InputError

_BOUNDS: Final = (1e-2, 1e2)
"""Smallest and largest 1/T. Logits that separate the classes without an error would take it to infinity."""
_TOLERANCES: Final = {"ftol": 1e-14, "gtol": 1e-8}
"""L-BFGS-B's defaults stop too early: a rare class's temperature, on which little depends, would be a guess."""
_COARSE: Final = 1e-3
_FINE: Final = 1e-6
"""Relative steps of 1/T at which Newton's method ends, on some of the pixels and on all; the error is about their square."""
_GOLDEN_RATIO: Final = (5**0.5 - 1) / 2
_MAX_STEPS: Final = 100
_STRIDE: Final = 8
_MIN_PIXELS_IN_TWO_STAGES: Final = 2**13


def fit_temperature(logits: Tensor, target: Tensor, *, per_class: bool = False, ignore_index: int = 255) -> Tensor:
    """The T that minimises the mean negative log-likelihood of ``logits / T`` (Guo et al. 2017, section 4.2).

    One T for all classes leaves every prediction as it is. One T a class, by which this class's logit is divided, can
    change them; it is the diagonal of their vector scaling, without the bias. Either problem is convex in 1/T, which is
    kept between 0.01 and 100.

    Args:
        logits: (M, C), any floating type; the work is done in float64 on their device.
        target: (M,), int64, values in [0, C) or ``ignore_index``.
        per_class: whether to fit one T a class.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        T, float64, on the device of the logits; of shape (C,) if ``per_class``, else (). 1 where no pixel is valid, nan
        where a logit of a valid pixel is not finite.

    Raises:
        InputError: The shapes do not fit.

    Example:
        >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
        >>> fit_temperature(logits, torch.tensor([0, 0, 0, 1])).item()  # 3 of 4 are right: 4 / T is log(3)
        3.64...
    """
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        raise InputError(
            f"temperature: logits {tuple(logits.shape)} and target {tuple(target.shape)} do not fit; needed: (M, C) and (M,)"
        )
    valid = (target != ignore_index).nonzero().squeeze(1)
    # Classes first: sums over a few classes are then sums of long rows, which takes a tenth of the time.
    scores = logits.detach().T.index_select(1, valid).double()
    truth = target.index_select(0, valid).unsqueeze(0)
    shape = logits.shape[1:] if per_class else ()
    if truth.numel() == 0:
        return scores.new_ones(shape)
    if not torch.stack(scores.aminmax()).isfinite().all():  # nan goes through; new memory for each score takes longer
        return scores.new_full(shape, float("nan"))
    inverse = _one_per_class(scores, truth) if per_class else scores.new_tensor(_one_for_all(scores, truth))
    return 1 / inverse


def is_extreme(temperature: float) -> bool:
    """Whether a T that was fitted is one of its bounds: the pixels say that it is beyond them, and not what it is."""
    smallest, largest = _BOUNDS
    return not smallest * (1 + _COARSE) < 1 / temperature < largest * (1 - _COARSE)


def _one_for_all(scores: Tensor, truth: Tensor) -> float:
    """The best 1/T for logits (C, M), which are overwritten, and labels (1, M)."""
    below = scores.sub_(scores.amax(dim=0))  # no output changes, and no exponential overflows
    of_truth = below.gather(0, truth)
    start = 1.0
    if below.shape[1] >= _MIN_PIXELS_IN_TWO_STAGES:  # most steps are taken on an eighth of the pixels
        start = _newton(below[:, ::_STRIDE].contiguous(), of_truth[:, ::_STRIDE], start, _COARSE)
    return _newton(below, of_truth, start, _FINE)


def _newton(below: Tensor, of_truth: Tensor, point: float, tolerance: float) -> float:
    """Where the derivative of the negative log-likelihood by 1/T, which rises with 1/T, is 0.

    Newton's method; where a step leaves what is known to enclose the solution, or does not halve the step before, the
    geometric middle is taken instead.
    """
    lower, upper = _BOUNDS
    step = upper
    total = of_truth.sum()
    buffer = torch.empty_like(below)
    for _ in range(_MAX_STEPS):
        torch.mul(below, point, out=buffer)
        weight = buffer.exp_().sum(dim=0)
        mean = buffer.mul_(below).sum(dim=0) / weight
        variance = buffer.mul_(below).sum(dim=0) / weight - mean.square()
        slope, curvature = torch.stack([mean.sum() - total, variance.sum()]).tolist()
        lower, upper = (lower, point) if slope > 0 else (point, upper)
        before, step = step, -slope / curvature if curvature > 0 else math.inf
        if not (lower <= point + step <= upper and abs(step) < before / 2):
            step = math.sqrt(lower * upper) - point
        point, step = point + step, abs(step)
        if step <= tolerance * point:
            break
    return point


def _one_per_class(scores: Tensor, truth: Tensor) -> Tensor:
    """The best 1/T of each class, (C,), for logits (C, M) and labels (1, M)."""

    def error_of(inverse: Tensor) -> tuple[Tensor, Tensor]:
        """The mean negative log-likelihood at 1/T, and p - P, shape (C, M)."""
        log_output = (scores * inverse).log_softmax(dim=0)
        nll = -log_output.gather(0, truth).mean()
        return nll, log_output.exp_().scatter_add_(0, truth, torch.full_like(truth, -1, dtype=torch.float64))

    # Little depends on the temperature of a rare class. In units of how much its gradient varies between pixels, all
    # temperatures matter about equally, and a quarter of the steps suffices.
    steepness = (error_of(scores.new_ones(()))[1] * scores).square_().mean(dim=1).sqrt()
    unit = steepness.masked_fill(steepness == 0, 1.0).cpu().numpy()

    def objective(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nll, error = error_of(scores.new_tensor(point / unit).unsqueeze(1))
        value, slope = _read(nll, error.mul_(scores).mean(dim=1))
        return value, slope / unit

    bounds = np.outer(unit, _BOUNDS)
    result = minimize(objective, unit, jac=True, method="L-BFGS-B", bounds=bounds, options=_TOLERANCES)
    return scores.new_tensor(result.x / unit)


def _read(number: Tensor, numbers: Tensor) -> tuple[float, NDArray[np.float64]]:
    """A number and some more, float64, on the host; together, because each read from a GPU waits for it."""
    read = torch.cat([number.unsqueeze(0), numbers]).cpu().numpy()
    return float(read[0]), read[1:]


class PixelSample:
    """A share of the valid pixels of each image: one out of each of as many equal stretches of them, row by row.

    So an image counts as much as it does among all pixels. Where in its stretch a pixel lies changes from stretch to stretch
    by the golden ratio, as places that are evenly spaced could all be in one column. Which pixels are taken depends on the
    targets alone; no random number is drawn.

    Args:
        share: of the valid pixels of each image, above 0 and at most 1; what is taken is rounded up.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        InputError: The share is not possible.
    """

    def __init__(self, share: float, ignore_index: int = 255) -> None:
        if not 0 < share <= 1:
            raise InputError(f"temperature: share = {share!r} is not possible; allowed: above 0 and at most 1")
        self.ignore_index = ignore_index
        self._share = share
        self._logits: list[Tensor] = []
        self._target: list[Tensor] = []

    @torch.no_grad()
    def update(self, logits: Tensor, target: Tensor) -> None:
        """Take the pixels of a batch; nothing is read back from the device.

        Args:
            logits: (N, C, H, W), any floating type.
            target: (N, H, W), int64.
        """
        scores, labels = logits.flatten(2), target.flatten(1)
        pixels = labels.shape[1]
        valid = labels != self.ignore_index
        count = valid.sum(dim=1, keepdim=True)
        taken = (count.double() * self._share).ceil().long()
        # As many of each image as there may be at most; those that there are not, are ignored: nothing is read back.
        number = torch.arange(math.ceil(pixels * self._share), device=labels.device)
        within = (number.double() * _GOLDEN_RATIO).frac_()
        rank = (number + within).mul(count.double() / taken.clamp_min(1)).long().clamp_max_(pixels)
        # the places of the valid pixels, one after the other, and behind them that of one that is not
        entry = valid.cumsum(dim=1).sub_(1).masked_fill_(~valid, pixels)
        place = torch.arange(pixels, device=labels.device).expand_as(entry)
        places = labels.new_zeros(len(labels), pixels + 1).scatter_(1, entry, place).gather(1, rank)
        chosen = scores.gather(2, places.unsqueeze(1).expand(-1, scores.shape[1], -1))
        self._logits.append(chosen.transpose(0, 1).flatten(1).float())
        self._target.append(labels.gather(1, places).masked_fill_(number >= taken, self.ignore_index).flatten())

    def pixels(self) -> tuple[Tensor, Tensor]:
        """What was taken, in the order of the images: logits, float32 (M, C), and labels, int64 (M,)."""
        target = torch.cat(self._target)
        taken = (target != self.ignore_index).nonzero().squeeze(1)
        return torch.cat(self._logits, dim=1).index_select(1, taken).T, target.index_select(0, taken)
