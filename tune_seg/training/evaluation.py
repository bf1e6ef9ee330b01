"""The metrics of a model over a validation split, as it is and with a temperature; after training, adjusted as well."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tune_seg.boundary import BoundaryMetrics
from tune_seg.config import TrialConfig
from tune_seg.data import PackedData
from tune_seg.data.loading.sampling import sampling, trained_on
from tune_seg.metrics import SegmentationMetrics, with_calibration
from tune_seg.temperature import PixelSample, fit_temperature, is_extreme
from tune_seg.training.frozen_features import Features
from tune_seg.training.image_tally import ImageTally
from tune_seg.training.outputs import outputs
from tune_seg.training.result import ADJUSTED, CLASS_TEMPERATURE, TEMPERATURE, Evaluation, ScaledScores

_SAMPLED_PIXELS: Final = 2**16
"""Pixels of both halves to which temperatures are fitted, and on which calibration with a temperature is measured."""
_SPARSE: Final = 4
"""Where few pixels are labelled, at most so many times the memory of the sampled pixels is used to find them."""
_TAUS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Strengths of the logit adjustment out of which the best is chosen."""

Half = npt.NDArray[np.intp]


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    data: PackedData,
    config: TrialConfig,
    *,
    device: torch.device,
    autocast: AbstractContextManager[None],
    final: bool = False,
    features: Features | None = None,
) -> Evaluation:
    """The metrics of :class:`~tune_seg.metrics.SegmentationMetrics` over the validation images, also with a temperature.

    The images are divided into two halves (:func:`halves`). A temperature
    (:func:`~tune_seg.temperature.fit_temperature`) is fitted to each half, and the outputs of each are divided by that of
    the other, so that no image is judged with a temperature that knows its labels. Where a half does not tell its
    temperature, as it has no labelled pixel, or no error, both halves get that of all pixels.

    With a temperature the calibration and its errors are the mean of those of the two halves: together, one half's outputs
    that are too high would make up for the other's that are too low. What counts predictions is of all images together, as
    a half may lack a rare class. One temperature changes no prediction, so that only the calibration and its errors are
    measured anew, on a sample of the pixels (:class:`~tune_seg.temperature.PixelSample`). Outputs of overlapping tiles are
    blended before anything is measured (:func:`~tune_seg.training.blending.blended`).

    Args:
        model: images (N, 3, h, w) to logits (N, C, h, w); left in evaluation mode.
        data: the packed data.
        config: the trial; its batch size, normalisation, background and objective are used.
        device: where the model is.
        autocast: the context that the model computes in.
        final: whether to see every image a second time, with one temperature a class, and with adjusted logits:
            ``(x - tau log(class frequency)) / T`` (Menon et al. 2021, the post-hoc variant), tau being the best for the
            objective on the half that T is fitted to. The counts of each image are then known as well.
        features: what the model takes in place of the validation images, where its encoder is frozen.

    Returns:
        the metrics over all images, as they are and by :data:`~tune_seg.training.result.SCALINGS`; the latter, and what
        was fitted, are nan with fewer than two images.
    """

    def outputs_of_halves() -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        """The outputs, first those of one half, then those of the other, each with the number of its half."""
        # where one image is divided into tiles of both halves, each tile is blended with those of the other half too
        runs = [np.concatenate(both)] if any(data.val_tiles) else both
        seen = 0
        for run in runs:
            for output in outputs(model, data, config, device=device, autocast=autocast, indices=run, features=features):
                border = min(max(len(both[0]) - seen, 0), len(output[1]))
                seen += len(output[1])
                for half, part in enumerate((slice(border), slice(border, None))):
                    logits, target, groups = (values[part] for values in output)
                    if len(target):
                        yield half, logits, target, groups

    model.eval()
    both = halves(_divided_by(data))
    whole = metrics_of_groups(data, config)
    outlines = BoundaryMetrics(data.num_classes, background=whole.background) if config.evaluation.boundary else None
    samples = [PixelSample(_share(data)) for _ in both]
    # Always in one order, so that the sums agree to the last bit: a longer training takes over what a shorter one has
    # measured in its last epoch.
    for half, logits, target, groups in outputs_of_halves():
        whole.update(logits, target, groups)
        if outlines is not None:
            outlines.update(logits, target)
        samples[half].update(logits, target)
    metrics, per_class = by_kind(whole)
    metrics |= {} if outlines is None else outlines.compute()
    if not all(len(half) for half in both):
        return _unknown(metrics, per_class, data.num_classes, final=final)

    pixels = [sample.pixels() for sample in samples]
    temperatures = [fit_temperature(*of_half).float() for of_half in pixels]
    fitted = torch.stack(temperatures).tolist()
    sources = pixels  # what the temperature of each half is fitted to
    if any(is_extreme(one) or not len(target) for one, (_, target) in zip(fitted, pixels, strict=True)):
        everything = torch.cat([logits for logits, _ in pixels]), torch.cat([target for _, target in pixels])
        sources = [everything, everything]
        temperatures = [fit_temperature(*everything).float()] * 2
        fitted = torch.stack(temperatures).tolist()
    scaled = ScaledScores(with_calibration(metrics, _cross_fitted(pixels, temperatures, data, config)), _mean_of(fitted))
    if not final:
        return Evaluation(metrics, per_class, {TEMPERATURE: scaled})

    each_class = [fit_temperature(*source, per_class=True).float() for source in sources]
    adjustments = [_adjustment(*source, data, config) for source in sources]
    class_scaled, adjusted = ([metrics_of_groups(data, config) for _ in both] for _ in range(2))
    tally = ImageTally(data.num_classes)
    for this, logits, target, groups in outputs_of_halves():
        other = 1 - this
        adjustment, logits = adjustments[other], logits.float()
        class_scaled[this].update(logits / each_class[other].view(-1, 1, 1), target, groups)
        adjusted[this].update((logits - adjustment.shift.view(-1, 1, 1)) / adjustment.temperature, target, groups)
        tally.update(logits, temperatures[other], target)
    class_metrics, class_recalls = _of_both(class_scaled)
    adjusted_metrics, adjusted_per_class = _of_both(adjusted)
    order = np.argsort(np.concatenate(both))
    half_of = np.repeat([0, 1], [len(images) for images in both])
    return Evaluation(
        metrics,
        per_class,
        {
            TEMPERATURE: scaled,
            CLASS_TEMPERATURE: ScaledScores(
                class_metrics, _mean_of(torch.stack(each_class).tolist()), class_recall=class_recalls["class_recall"]
            ),
            ADJUSTED: ScaledScores(
                adjusted_metrics,
                _mean_of(torch.stack([adjustment.temperature for adjustment in adjustments]).tolist()),
                tau=sum(adjustment.tau for adjustment in adjustments) / len(adjustments),
                class_recall=adjusted_per_class["class_recall"],
            ),
        },
        tally.counts(order, whole.confusion, whole.background, half_of),
    )


def _divided_by(data: PackedData) -> npt.NDArray[np.integer]:
    """What the validation images are divided into halves by: their groups; of one group, the images of which tiles are."""
    groups = data.val_groups
    images = [tile.image for tile in data.val_tiles if tile is not None]
    if groups.any() or len(images) < len(groups):  # the first group is number 0
        return groups
    return np.unique(images, return_inverse=True)[1]


def halves(groups: npt.NDArray[np.integer]) -> tuple[Half, Half]:
    """The images of two halves of about equal size; those of a group, such as a patient, are in one half.

    Where all are of one group, its images are divided: neighbouring frames or slices then fall into both halves.

    Args:
        groups: (images,), the number of each image's group.

    Example:
        >>> [half.tolist() for half in halves(np.array([0, 1, 1, 1, 2, 3]))]
        [[1, 2, 3], [0, 4, 5]]
    """
    names, members = np.unique(groups, return_counts=True)
    if len(names) == 1:
        groups = np.arange(len(groups))
        names, members = groups, np.ones_like(groups)
    sizes = [0, 0]
    chosen = np.empty(len(names), np.intp)
    for place in np.argsort(-members, kind="stable"):  # large ones first, so that small ones can even out the sizes
        chosen[place] = sizes[1] < sizes[0]
        sizes[chosen[place]] += members[place]
    side = chosen[np.searchsorted(names, groups)]
    return np.flatnonzero(side == 0), np.flatnonzero(side == 1)


def _share(data: PackedData) -> float:
    """The share of the pixels of each image that is sampled."""
    labelled, all_pixels = int(data.val_pixels.sum()), len(data.val) * math.prod(data.size)
    return min(1.0, _SAMPLED_PIXELS / max(1, labelled), _SPARSE * _SAMPLED_PIXELS / max(1, all_pixels))


def _cross_fitted(
    pixels: Sequence[tuple[Tensor, Tensor]], temperatures: list[Tensor], data: PackedData, config: TrialConfig
) -> Mapping[str, float]:
    """The calibration and its errors over the sampled pixels, each half with the temperature of the other."""
    found = []
    for (logits, target), temperature in zip(pixels, reversed(temperatures), strict=True):
        metrics = _metrics(data, config)
        _update(metrics, logits / temperature, target)
        found.append(by_kind(metrics)[0])
    return _mean_of_halves(found)


def _of_both(halves: Sequence[SegmentationMetrics]) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
    """The metrics of two halves, as :func:`by_kind` gives them: what takes outputs for probabilities as a mean."""
    reliability = _mean_of_halves([by_kind(half)[0] for half in halves])
    first, second = halves
    first.merge(second)
    metrics, per_class = by_kind(first)
    return with_calibration(metrics, reliability), per_class


def _mean_of_halves(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric; of one half, where the other has no labelled pixel."""
    known = [metrics for metrics in found if not math.isnan(metrics["accuracy"])] or found
    return {name: sum(metrics[name] for metrics in known) / len(known) for name in known[0]}


@dataclass(frozen=True)
class _Adjustment:
    """A strength tau, its temperature (), and what it takes from the logit of each class, (C,)."""

    tau: float
    temperature: Tensor
    shift: Tensor


def _adjustment(logits: Tensor, target: Tensor, data: PackedData, config: TrialConfig) -> _Adjustment:
    """The adjustment that is best for the objective on these pixels."""
    log_frequency = logits.new_tensor(log_frequencies(data, config))
    found: list[tuple[float, _Adjustment]] = []
    for tau in _TAUS:
        shift = tau * log_frequency
        temperature = fit_temperature(logits - shift, target).float()
        metrics = _metrics(data, config)
        _update(metrics, (logits - shift) / temperature, target)
        found.append((by_kind(metrics)[0][config.objective_metric], _Adjustment(tau, temperature, shift)))
    return max(found, key=lambda each: -math.inf if math.isnan(each[0]) else each[0])[1]


def log_frequencies(data: PackedData, config: TrialConfig) -> npt.NDArray[np.float64]:
    """The logarithm of the share that each class has of the pixels that a trial trains on, (C,).

    A class that no training image has is taken as if one pixel had it.
    """
    pixels = trained_on(sampling(config.training), data).pixels
    shares: npt.NDArray[np.float64] = np.log(np.maximum(pixels, 1) / pixels.sum())
    return shares


def _update(metrics: SegmentationMetrics, logits: Tensor, target: Tensor) -> None:
    """Add pixels: logits (M, C) and their target (M,)."""
    metrics.update(logits.T[None, :, :, None], target[None, :, None])


def _mean_of(temperatures: Sequence[Any]) -> Any:
    """The geometric mean of the temperatures of both halves: a number, or, where each has one a class, one a class."""
    values = np.exp(np.log(np.array(temperatures)).mean(axis=0)).tolist()
    return tuple(values) if isinstance(values, list) else values


def _unknown(
    metrics: Mapping[str, float], per_class: Mapping[str, tuple[float, ...]], classes: int, *, final: bool
) -> Evaluation:
    """With a single image nothing is known of logits that are scaled."""
    nothing = dict.fromkeys(metrics, math.nan)
    each = (math.nan,) * classes
    scaled = {TEMPERATURE: ScaledScores(nothing, math.nan)}
    if final:
        scaled[CLASS_TEMPERATURE] = ScaledScores(nothing, each, class_recall=each)
        scaled[ADJUSTED] = ScaledScores(nothing, math.nan, tau=math.nan, class_recall=each)
    return Evaluation(metrics, per_class, scaled)


def by_kind(metrics: SegmentationMetrics) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
    """The metrics that are one number, and those that are one number a class."""
    single: dict[str, float] = {}
    per_class: dict[str, tuple[float, ...]] = {}
    for name, value in metrics.compute().items():
        if isinstance(value, list):
            per_class[name] = tuple(value)
        else:
            single[name] = value
    return single, per_class


def _metrics(data: PackedData, config: TrialConfig, *, num_groups: int | None = None) -> SegmentationMetrics:
    background = config.evaluation.background
    return SegmentationMetrics(
        data.num_classes,
        background=None if background is None else data.class_names.index(background),
        num_groups=num_groups,
    )


def metrics_of_groups(data: PackedData, config: TrialConfig) -> SegmentationMetrics:
    """What counts the validation images of `data`, by their groups too."""
    return _metrics(data, config, num_groups=int(data.val_groups.max()) + 1)
