"""Metrics of a segmentation over a whole data set: overlap, recall, accuracy and calibration."""

import math
import operator
from collections.abc import Iterable
from typing import Final, SupportsIndex

import torch
from torch import Tensor

from tune_seg.errors import InputError

_CPU_BLOCK: Final = 2**19
"""Logits to work on at a time on a CPU, so that the temporaries, of up to 8 bytes each, stay in the cache. A GPU takes
the whole batch, to launch few kernels."""


class SegmentationMetrics:
    """Collects predictions batch by batch, on the device they are on, and reads them once at the end.

    :meth:`compute` returns, all as floats and nan where no valid pixel was seen:

    - ``accuracy``: share of the valid pixels whose class is predicted.
    - ``recall``, ``f1``, ``miou``, ``mdice``: means over the classes that occur in the truth, a class weighing the same
      whatever its size. A class that is predicted but never occurs has no term of its own; it lowers the others'
      scores. ``f1`` is nan when an occurring class is never predicted, as its precision is then undefined (Taubert,
      section 5.1); ``miou`` and ``mdice`` count 0 for such a class, and leave out ``background`` where it is given
      (Hossain).
    - ``calibration``: ``1 - 4/N sum_i |fraction of positives - mean output|`` over the N equal bins i into which the
      outputs of all pixels and classes fall; an empty bin adds 0 (Taubert eq. (7)). At most 1. An output of exactly 1
      belongs to the last bin.
    - ``s_acc``, ``s_rec``: harmonic mean of calibration with accuracy, with recall (Taubert, section 5.1). 0, the
      worst, where calibration is 0 or below, as the harmonic mean has a pole among negative numbers and could rank such
      a model above every other, and where both are 0, as it is 0 in the limit.
    - ``class_recall``, ``class_precision``, ``class_iou``, ``class_dice``: lists with one value per class, nan for a
      class that does not occur in the truth; precision also for one that is never predicted.

    Logits that are nan make the calibration nan and raise nothing.

    Args:
        num_classes: C, at least 1.
        ignore_index: Label of the pixels that count nowhere.
        num_bins: N of the calibration.
        background: Class that ``miou`` and ``mdice`` leave out; None leaves out none.

    Attributes:
        confusion: Valid pixels by truth and prediction, shape (C, C) [truth, prediction], int64.

    Raises:
        InputError: An argument is not possible.

    Example:
        >>> metrics = SegmentationMetrics(num_classes=2)
        >>> metrics.update(torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]]]]), torch.tensor([[[0, 0]]]))
        >>> metrics.compute()["accuracy"]
        0.5
    """

    confusion: Tensor

    def __init__(
        self,
        num_classes: SupportsIndex,
        ignore_index: int = 255,
        num_bins: SupportsIndex = 10,
        background: int | None = None,
    ) -> None:
        self.num_classes = _count("num_classes", num_classes)
        self.num_bins = _count("num_bins", num_bins)
        if background is not None and background not in range(self.num_classes):
            raise InputError(
                f"metrics: background = {background!r} is not possible; "
                f"allowed: a class from 0 to {self.num_classes - 1}, or None"
            )
        self.ignore_index = ignore_index
        self.background = background
        self.reset()

    def reset(self) -> None:
        """Forget everything seen so far."""
        self.confusion = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)
        self._bin_count = torch.zeros(self.num_bins, dtype=torch.int64)
        self._bin_positive = torch.zeros(self.num_bins, dtype=torch.int64)
        self._bin_output = torch.zeros(self.num_bins, dtype=torch.float64)

    @torch.no_grad()
    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch; nothing is read back from the device.

        Args:
            logits: (N, C, H, W), any floating type.
            target: (N, H, W), int64, values in [0, C) or ``ignore_index``; another value is the caller's error.

        Raises:
            InputError: The shapes do not fit.
        """
        if logits.ndim < 2 or logits.shape[1] != self.num_classes or target.shape != (len(logits), *logits.shape[2:]):
            raise InputError(
                f"metrics: logits {tuple(logits.shape)} and target {tuple(target.shape)} do not fit; "
                f"needed: (N, {self.num_classes}, H, W) and (N, H, W)"
            )
        self._to(logits.device)
        images = len(logits)
        if logits.device.type == "cpu":
            images = max(1, _CPU_BLOCK // max(1, math.prod(logits.shape[1:])))
        for start in range(0, len(logits), max(1, images)):
            self._add(logits[start : start + images], target[start : start + images])

    def _add(self, logits: Tensor, target: Tensor) -> None:
        ignored = target == self.ignore_index
        truth = target.masked_fill(ignored, 0)

        classes = self.num_classes
        # On a CPU max is 4 times as fast as argmax for the same indices.
        prediction = logits.max(dim=1).indices
        cell = (truth * classes + prediction).masked_fill_(ignored, classes * classes)
        self.confusion += _tally(cell, classes * classes + 1)[:-1].view(classes, classes)

        output = logits.softmax(dim=1, dtype=torch.float32)
        bins = (output * self.num_bins).to(torch.int32).clamp_(0, self.num_bins - 1)
        # The ignored pixels go into as many bins of their own: cheaper than taking them out of a tensor of this size.
        bins += (ignored.to(torch.int32) * self.num_bins).unsqueeze(1)
        size = 2 * self.num_bins
        self._bin_output += _tally(bins, size, output.double())[: self.num_bins]
        self._bin_count += _tally(bins, size)[: self.num_bins]
        self._bin_positive += _tally(bins.gather(1, truth.unsqueeze(1)), size)[: self.num_bins]

    def compute(self) -> dict[str, float | list[float]]:
        """The metrics of everything seen since the last reset; the class's docstring says what each one is."""
        # One transfer from the device. Counts are exact in float64 up to 2^53 pixels.
        parts = (self.confusion.flatten(), self._bin_count, self._bin_positive, self._bin_output)
        numbers = torch.cat([part.double() for part in parts]).tolist()
        classes, bins = self.num_classes, self.num_bins
        cells, count, positive, output = (
            numbers[: classes * classes],
            *(numbers[classes * classes + k * bins :][:bins] for k in range(3)),
        )
        hits = cells[:: classes + 1]
        truths = [sum(cells[c * classes : (c + 1) * classes]) for c in range(classes)]
        predictions = [sum(cells[c::classes]) for c in range(classes)]
        seen = [c for c in range(classes) if truths[c] > 0]
        foreground = [c for c in seen if c != self.background]

        recall, precision, iou, dice = ([math.nan] * classes for _ in range(4))
        for c in seen:
            recall[c] = hits[c] / truths[c]
            precision[c] = hits[c] / predictions[c] if predictions[c] > 0 else math.nan
            iou[c] = hits[c] / (truths[c] + predictions[c] - hits[c])
            dice[c] = 2 * hits[c] / (truths[c] + predictions[c])

        accuracy = sum(hits) / sum(truths) if seen else math.nan
        mean_recall = _mean(recall[c] for c in seen)
        gaps = (abs(positive[b] - output[b]) / count[b] for b in range(bins) if count[b] > 0)
        calibration = 1 - 4 / bins * sum(gaps) if seen else math.nan
        return {
            "accuracy": accuracy,
            "recall": mean_recall,
            "f1": _mean(dice[c] if predictions[c] > 0 else math.nan for c in seen),
            "miou": _mean(iou[c] for c in foreground),
            "mdice": _mean(dice[c] for c in foreground),
            "calibration": calibration,
            "s_acc": _harmonic_mean(calibration, accuracy),
            "s_rec": _harmonic_mean(calibration, mean_recall),
            "class_recall": recall,
            "class_precision": precision,
            "class_iou": iou,
            "class_dice": dice,
        }

    def _to(self, device: torch.device) -> None:
        self.confusion = self.confusion.to(device)
        self._bin_count = self._bin_count.to(device)
        self._bin_positive = self._bin_positive.to(device)
        self._bin_output = self._bin_output.to(device)


def _count(key: str, value: SupportsIndex) -> int:
    """`value`, of NumPy's integers too, as a whole number of at least 1."""
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if isinstance(value, bool) or count < 1:
        raise InputError(f"metrics: {key} = {value!r} is not possible; allowed: a whole number >= 1")
    return count


def _tally(index: Tensor, size: int, weights: Tensor | None = None) -> Tensor:
    """How often each of 0..size-1 occurs in an index tensor, or the sum of the weights where it does; (size,)."""
    index = index.flatten()
    weights = None if weights is None else weights.flatten()
    if index.device.type == "cpu":
        return torch.bincount(index, weights, minlength=size)
    # On a GPU bincount waits for the device, to learn the largest index.
    amounts = torch.ones_like(index, dtype=torch.int64) if weights is None else weights
    return torch.zeros(size, dtype=amounts.dtype, device=index.device).index_add_(0, index, amounts)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else math.nan


def _harmonic_mean(calibration: float, score: float) -> float:
    if calibration <= 0 or score == 0:
        return 0.0
    return 2 * calibration * score / (calibration + score)
