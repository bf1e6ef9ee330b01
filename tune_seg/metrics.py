"""Metrics of a segmentation over a whole data set: overlap, recall, accuracy and calibration."""

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Final, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from tune_seg.errors import InputError
from tune_seg.image_counts import GROUP_METRICS, mean_over_groups

_CPU_BLOCK: Final = 2**17
"""Logits to work on at a time on a CPU, so that the temporaries, of up to 8 bytes each, stay in the cache."""
_GPU_BLOCK: Final = 2**25
"""The same on a GPU: enough to launch few kernels, and few enough that the temporaries stay below 2 GB."""
_MANTISSA_BITS: Final = 7
"""Leading bits of an output's mantissa that choose its cell: a cell is 2^-7 wide relative to its end nearer to 0 or 1."""
_LOWEST: Final = -24
"""An exponent of 2: outputs nearer than this to 0, or to 1, share a cell, as float32 does not separate them near 1."""
_SIDE: Final = ((-1 - _LOWEST) << _MANTISSA_BITS) + 2
"""Cells on each side of 1/2: those of the octaves from 2^-24 to 1/2, one for what lies below them, one for 1/2 itself."""
_RELIABILITY: Final = ("calibration", "ece", "sce", "ace", "brier", "nll")
_STATE: Final = ("confusion", "_group_pixels", "_cell_count", "_cell_gap", "_confidence_gap", "_brier", "_nll")


class SegmentationMetrics:
    """Collects predictions batch by batch, on the device they are on, and reads them once at the end, in one transfer.

    :meth:`compute` returns, all as floats and nan where no valid pixel was seen:

    - ``accuracy``: share of the valid pixels whose class is predicted.
    - ``recall``, ``f1``, ``miou``, ``mdice``: means over the classes that occur in the truth, a class weighing the same
      whatever its size. A class that is predicted but never occurs has no term of its own; it lowers the others'
      scores. ``f1`` is nan when an occurring class is never predicted, as its precision is then undefined (Taubert,
      section 5.1); ``miou`` and ``mdice`` count 0 for such a class, and leave out ``background`` where it is given
      (Hossain).
    - ``group_recall``, ``group_miou``, ``group_mdice``, where ``num_groups`` is given: the same of the pixels of each group
      of images, then the mean over the groups, each weighing the same whatever its size. In a group the mean is over the
      classes that occur in its truth. A class that is absent there has no term, as above: where it is predicted it lowers
      the others' scores. A group in which none of these classes occurs has no term either: one without a valid pixel, or,
      for ``group_miou`` and ``group_mdice``, one of ``background`` alone.
    - ``calibration``: ``1 - 4/N sum_i |fraction of positives - mean output|`` over the N equal bins i into which the
      outputs of all pixels and classes fall; an empty bin adds 0 (Taubert eq. (7)). At most 1. An output of exactly 1
      belongs to the last bin.
    - ``s_acc``, ``s_rec``: harmonic mean of calibration with accuracy, with recall (Taubert, section 5.1). 0, the
      worst, where calibration is 0 or below, as the harmonic mean has a pole among negative numbers and could rank such
      a model above every other, and where both are 0, as it is 0 in the limit.
    - ``ece``, ``sce``, ``ace``: calibration errors, 0 at best. Expected: ``sum_b n_b/n |accuracy - mean confidence|``
      over the N equal bins, the confidence being the output of the predicted class (Naeini et al. 2015; Guo et al. 2017
      eq. (3)). Static: ``sum_b n_b/n |fraction of positives - mean output|`` for each class, then the mean of the C
      classes; adaptive: the same with N ranges that hold equally many pixels each (Nixon et al. 2019).
    - ``brier``: mean over the valid pixels of ``sum_c (p_c - P_c)^2``, 0 at best, 2 at worst (Brier 1950).
    - ``nll``: mean over the valid pixels of ``-log p_y``, taken from the logits in float32 and finite for those of 1e4.
    - ``class_recall``, ``class_precision``, ``class_iou``, ``class_dice``: lists with one value per class, nan for a
      class that does not occur in the truth; precision also for one that is never predicted.

    For ``ace`` the outputs are counted in cells, which are 2^-7 wide relative to the distance of an output from 0 or 1,
    whichever is nearer. It is exact where no range ends inside a cell. A cell in which one ends is shared in proportion:
    equal outputs, such as saturated ones, thus need no order, and outputs that agree to 2^-7 are taken for equal. The
    cells take 94 kB for each class.

    Logits that are nan make the calibration, its errors, ``brier`` and ``nll`` nan, and raise nothing.

    Args:
        num_classes: C, at least 1.
        ignore_index: Label of the pixels that count nowhere.
        num_bins: N of the calibration and of its errors.
        background: Class that ``miou`` and ``mdice`` leave out, for groups too; None leaves out none.
        num_groups: How many groups of images there are; None: there are no metrics of groups.

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
        num_groups: SupportsIndex | None = None,
    ) -> None:
        self.num_classes = _count("num_classes", num_classes)
        self.num_bins = _count("num_bins", num_bins)
        self.num_groups = None if num_groups is None else _count("num_groups", num_groups)
        if background is not None and background not in range(self.num_classes):
            raise InputError(
                f"metrics: background = {background!r} is not possible; "
                f"allowed: a class from 0 to {self.num_classes - 1}, or None"
            )
        self.ignore_index = ignore_index
        self.background = background
        self._cells_per_class = 2 * _SIDE + self.num_bins - 1
        self.reset()

    def reset(self) -> None:
        """Forget everything seen so far."""
        self._begin(torch.device("cpu"))

    def _begin(self, device: torch.device) -> None:
        self._empty = True
        # by class and cell of the output; the last entry takes all that is ignored
        size = self.num_classes * self._cells_per_class + 1
        self.confusion = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64, device=device)
        # hits, truths and predictions of each class in each group
        groups = self.num_groups or 0
        self._group_pixels = torch.zeros(3, groups, self.num_classes, dtype=torch.int64, device=device)
        self._cell_count = torch.zeros(size, dtype=torch.int64, device=device)
        self._cell_gap = torch.zeros(size, dtype=torch.float64, device=device)
        self._confidence_gap = torch.zeros(self.num_bins, dtype=torch.float64, device=device)
        self._brier = torch.zeros((), dtype=torch.float64, device=device)
        self._nll = torch.zeros((), dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(self, logits: Tensor, target: Tensor, groups: Tensor | None = None) -> None:
        """Add a batch; nothing is read back from the device.

        Args:
            logits: (N, C, H, W), any floating type.
            target: (N, H, W), int64, values in [0, C) or ``ignore_index``; another value is the caller's error.
            groups: (N,), int64, the group of each image, in [0, ``num_groups``), on the device of the logits; needed where
                ``num_groups`` is given, and only there.

        Raises:
            InputError: The shapes do not fit, or groups are missing.
        """
        if (groups is None) != (self.num_groups is None) or (groups is not None and groups.shape != logits.shape[:1]):
            raise InputError(
                f"metrics: num_groups = {self.num_groups} and groups {None if groups is None else tuple(groups.shape)} do "
                f"not fit; needed: the group of each of the {len(logits)} images with num_groups, and None without"
            )
        if logits.ndim < 2 or logits.shape[1] != self.num_classes or target.shape != (len(logits), *logits.shape[2:]):
            raise InputError(
                f"metrics: logits {tuple(logits.shape)} and target {tuple(target.shape)} do not fit; "
                f"needed: (N, {self.num_classes}, H, W) and (N, H, W)"
            )
        if self._empty:
            self._begin(logits.device)  # zeros are made there: to send them would wait for the device
            self._empty = False
        self._to(logits.device)
        scores, labels = logits.unsqueeze(-1).flatten(2), target.unsqueeze(-1).flatten(1)
        block = _CPU_BLOCK if logits.device.type == "cpu" else _GPU_BLOCK
        pixels = max(1, block // self.num_classes)
        images = max(1, pixels // max(1, scores.shape[2]))
        for image in range(0, len(scores), images):
            for pixel in range(0, scores.shape[2], pixels):
                part = slice(image, image + images), slice(pixel, pixel + pixels)
                self._add(scores[part[0], :, part[1]], labels[part], None if groups is None else groups[part[0]])

    def merge(self, other: "SegmentationMetrics") -> None:
        """Add all that `other` has seen, as if :meth:`update` had been given it here.

        Raises:
            InputError: `other` was made with other arguments.
        """
        for key in ("num_classes", "ignore_index", "num_bins", "background", "num_groups"):
            if getattr(other, key) != getattr(self, key):
                raise InputError(
                    f"metrics: {key} = {getattr(other, key)!r} does not merge into {key} = {getattr(self, key)!r}; "
                    "both must be made with the same arguments"
                )
        for name in _STATE:
            state: Tensor = getattr(self, name)
            state += getattr(other, name).to(state.device)
        self._empty = self._empty and other._empty

    def _add(self, logits: Tensor, target: Tensor, groups: Tensor | None) -> None:
        """Add logits (N, C, M), their target (N, M) and the groups (N,)."""
        ignored = target == self.ignore_index
        truth = target.masked_fill(ignored, 0)

        classes = self.num_classes
        # On a CPU max is 4 times as fast as argmax for the same indices.
        top, prediction = logits.max(dim=1)
        pair = (truth * classes + prediction).masked_fill_(ignored, classes * classes)
        if groups is None:
            self.confusion += _tally(pair, classes * classes + 1)[:-1].view(classes, classes)
        else:
            self._add_images(pair, groups)

        output = logits.softmax(dim=1, dtype=torch.float32)
        confidence = _pick(output, prediction)
        excess = (confidence.double() - (prediction == truth).double()).masked_fill_(ignored, 0)
        self._confidence_gap += _tally(_bins(confidence, self.num_bins), self.num_bins, excess)
        # -log p_y by way of the largest output: it is at least 1/C, and so never the logarithm of 0.
        surprise = top.float() - _pick(logits, truth).float() - confidence.log()
        self._nll += surprise.masked_fill_(ignored, 0).sum(dtype=torch.float64)

        # The bins are read off the cells in the end: counting in few bins is slower, each sum waiting for the one before.
        cell = _cells(output, self.num_bins)
        offsets = torch.arange(classes, dtype=torch.int32, device=cell.device) * self._cells_per_class
        cell += offsets.unsqueeze(1)
        # Filling with a mask of one value a pixel takes four times as long.
        last = classes * self._cells_per_class
        cell = cell.add_((ignored.to(torch.int32) * last).unsqueeze(1)).clamp_(max=last).flatten().to(torch.int64)
        self._cell_count.scatter_add_(0, cell, torch.ones_like(cell))
        error = output.double()
        error.scatter_add_(1, truth.unsqueeze(1), torch.full_like(excess, -1).unsqueeze(1))
        self._cell_gap.scatter_add_(0, cell, error.flatten())
        self._brier += error.square_().sum(dim=1).masked_fill_(ignored, 0).sum()

    def _add_images(self, pair: Tensor, groups: Tensor) -> None:
        """Add the pairs of truth and prediction (N, M) to the confusion, and to the pixels of the groups (N,)."""
        images, cells = len(pair), self.num_classes**2 + 1
        first = torch.arange(images, device=pair.device).unsqueeze(1) * cells
        each = _tally(pair + first, images * cells).view(images, cells)[:, :-1].unflatten(1, (self.num_classes, -1))
        self.confusion += each.sum(dim=0)
        pixels = torch.stack([each.diagonal(dim1=1, dim2=2), each.sum(dim=2), each.sum(dim=1)])
        self._group_pixels.index_add_(1, groups, pixels)

    def compute(self) -> dict[str, float | list[float]]:
        """The metrics of everything seen since the last reset; the class's docstring says what each one is."""
        classes = self.num_classes
        state = self._read()
        cells = state["confusion"].flatten().tolist()
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
        reliability = self._reliability(state, sum(truths))
        calibration = reliability["calibration"]
        return {
            "accuracy": accuracy,
            "recall": mean_recall,
            "f1": _mean(dice[c] if predictions[c] > 0 else math.nan for c in seen),
            "miou": _mean(iou[c] for c in foreground),
            "mdice": _mean(dice[c] for c in foreground),
            **self._of_groups(state),
            **reliability,
            "s_acc": _harmonic_mean(calibration, accuracy),
            "s_rec": _harmonic_mean(calibration, mean_recall),
            "class_recall": recall,
            "class_precision": precision,
            "class_iou": iou,
            "class_dice": dice,
        }

    def _read(self) -> dict[str, Tensor]:
        """All that was counted, on the host: from a GPU in one transfer. Every number of it has 8 bytes."""
        state: dict[str, Tensor] = {name: getattr(self, name) for name in _STATE}
        if self.confusion.device.type == "cpu":
            return state
        words = torch.cat([numbers.flatten().view(torch.int64) for numbers in state.values()]).cpu()
        parts = words.split([numbers.numel() for numbers in state.values()])
        return {
            name: part.view(numbers.dtype).view(numbers.shape)
            for (name, numbers), part in zip(state.items(), parts, strict=True)
        }

    def _of_groups(self, state: dict[str, Tensor]) -> dict[str, float]:
        """The metrics that are means over groups."""
        if self.num_groups is None:
            return {}
        pixels, once = state["_group_pixels"].numpy(), np.ones((1, self.num_groups))
        return {
            name: mean_over_groups(name, *pixels, background=self.background, weights=once).item() for name in GROUP_METRICS
        }

    def _reliability(self, state: dict[str, Tensor], pixels: int) -> dict[str, float]:
        """The metrics that take the outputs for probabilities."""
        if pixels == 0:
            return dict.fromkeys(_RELIABILITY, math.nan)
        classes, bins = self.num_classes, self.num_bins
        count = state["_cell_count"][:-1].view(classes, -1).numpy()
        gap = state["_cell_gap"][:-1].view(classes, -1).numpy()

        starts = _first_cells(bins)
        bin_gap = np.add.reduceat(gap, starts, axis=1)
        bin_count = np.add.reduceat(count, starts, axis=1).sum(axis=0)
        filled = bin_count > 0

        # A range's gap is the difference between the running gaps at its ends, in between linear in the pixels.
        ends = np.linspace(0, pixels, bins + 1)
        running = (np.pad(values.cumsum(axis=1), ((0, 0), (1, 0))) for values in (count, gap))
        at_ends = np.array([np.interp(ends, *pair) for pair in zip(*running, strict=True)])
        return {
            "calibration": 1 - 4 / bins * float(np.sum(np.abs(bin_gap.sum(axis=0)[filled]) / bin_count[filled])),
            "ece": state["_confidence_gap"].abs().sum().item() / pixels,
            "sce": float(np.abs(bin_gap).sum()) / (classes * pixels),
            "ace": float(np.abs(np.diff(at_ends)).sum()) / (classes * pixels),
            "brier": state["_brier"].item() / pixels,
            "nll": state["_nll"].item() / pixels,
        }

    def _to(self, device: torch.device) -> None:
        for name in _STATE:
            setattr(self, name, getattr(self, name).to(device))


def with_calibration(metrics: Mapping[str, float], reliability: Mapping[str, float]) -> dict[str, float]:
    """`metrics` with the calibration and its errors of `reliability`: of outputs that one temperature has changed.

    Args:
        metrics: those of :meth:`SegmentationMetrics.compute` that are one number.
        reliability: the same of the changed outputs, perhaps of some of the pixels.
    """
    calibration = reliability["calibration"]
    return {
        **metrics,
        **{name: reliability[name] for name in _RELIABILITY},
        "s_acc": _harmonic_mean(calibration, metrics["accuracy"]),
        "s_rec": _harmonic_mean(calibration, metrics["recall"]),
    }


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


def _pick(scores: Tensor, index: Tensor) -> Tensor:
    """The score (N, M) of the class that `index` (N, M) gives for each pixel, out of (N, C, M)."""
    return scores.gather(1, index.unsqueeze(1)).squeeze(1)


def _bins(output: Tensor, num_bins: int) -> Tensor:
    """The equal bin that each output lies in, int32."""
    return (output * num_bins).to(torch.int32).clamp_(0, num_bins - 1)


def _cells(output: Tensor, num_bins: int) -> Tensor:
    """The cell of each float32 output, int32, rising with the output; no cell lies in two bins.

    It counts the leading bits of the distance from 0 or 1 that the output has passed, plus the bins: either number only
    rises with the output, so that their sum tells both.
    """
    # In place wherever possible: new memory costs more than the arithmetic.
    distance = 1 - output
    torch.minimum(output, distance, out=distance)
    below = ((127 + _LOWEST) << _MANTISSA_BITS) - 1  # the leading bits of what is just below 2^-24
    side = distance.view(torch.int32).bitwise_right_shift_(23 - _MANTISSA_BITS).sub_(below).clamp_(0, _SIDE - 1)
    # All bits set above 1/2, none below: `torch.where` takes longer than all the rest.
    upper = (0.5 - output).view(torch.int32).bitwise_right_shift_(31)
    return side.bitwise_xor_(upper).add_(upper.bitwise_and_(2 * _SIDE)).add_(_bins(output, num_bins))


def _first_cells(num_bins: int) -> list[int]:
    """The first cell of each bin."""
    edges = torch.arange(1, num_bins) / num_bins
    # The product that chooses the bin is rounded: the first output of a bin can be a neighbour of the bin's edge.
    nearby = torch.stack([edges.nextafter(torch.tensor(0.0)), edges, edges.nextafter(torch.tensor(1.0))])
    inside = _bins(nearby, num_bins) == torch.arange(1, num_bins)
    first = nearby.masked_fill(~inside, 2.0).amin(dim=0)
    return [0, *_cells(first, num_bins).tolist()]


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else math.nan


def _harmonic_mean(calibration: float, score: float) -> float:
    if calibration <= 0 or score == 0:
        return 0.0
    return 2 * calibration * score / (calibration + score)
