"""The metrics of a model over a whole validation split, in one pass; after training, also with its logits scaled."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tune_seg.config import CALIBRATION_ERRORS, TrialConfig
from tune_seg.data import PackedData, batches, feature_batches
from tune_seg.metrics import SegmentationMetrics
from tune_seg.temperature import PixelSample, fit_temperature
from tune_seg.training.frozen_features import Features
from tune_seg.training.result import CLASS_TEMPERATURE, TEMPERATURE, UNSCALED, Evaluation, ScaledScores

SCALED = ("calibration", *CALIBRATION_ERRORS, "s_rec", "s_acc", "recall", "accuracy")
"""The metrics that :func:`evaluate` computes of scaled logits."""


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    data: PackedData,
    config: TrialConfig,
    *,
    device: torch.device,
    autocast: AbstractContextManager[None],
    scaling: bool = False,
    features: Features | None = None,
) -> Evaluation:
    """Every metric of :class:`~tune_seg.metrics.SegmentationMetrics` over the validation images of `data`.

    With `scaling`, temperatures (:func:`~tune_seg.temperature.fit_temperature`) are fitted to the images of even index,
    and the metrics of the scaled logits taken over the others. Neighbouring frames of a video fall into both halves, so
    that these are alike: with one parameter, or one a class, fitted to 10^5 pixels, overfitting is no concern.

    Args:
        model: images (N, 3, h, w) to logits (N, C, h, w); left in evaluation mode.
        data: the packed data.
        config: the trial; its batch size, normalisation and background are used.
        device: where the model is.
        autocast: the context that the model computes in.
        scaling: whether to scale the logits, too. The model sees every image once all the same.
        features: what the model takes in place of the validation images, where its encoder is frozen.

    Returns:
        the metrics over all images. With `scaling` also :data:`SCALED` of the logits scaled in each of
        :data:`~tune_seg.training.result.SCALINGS`, over the images of odd index; these and the temperatures are nan with
        fewer than two images.
    """

    def outputs(indices: npt.NDArray[np.integer]) -> Iterator[tuple[Tensor, Tensor]]:
        order: dict[str, Any] = {"epoch": 0, "seed": 0, "batch_size": config.training.batch_size, "indices": indices}
        inputs: Iterator[tuple[Tensor | list[Tensor], Tensor]] = (
            batches(data.val, **order, augmentation=config.augmentation, device=device, train=False)
            if features is None
            else feature_batches(data.val, features, **order, device=device, train=False)
        )
        for images, target in inputs:
            with autocast:
                logits = model(images)
            yield logits, target

    model.eval()
    # With scaling or without, the images come in one order, so that the sums agree to the last bit: a longer training
    # takes over what a shorter one has measured in its last epoch.
    everything = np.arange(len(data.val))
    fitting, scoring = everything[::2], everything[1::2]
    whole, second_half = _metrics(data, config), _metrics(data, config)
    sample = PixelSample(len(fitting)) if scaling else None
    for logits, target in outputs(fitting):
        whole.update(logits, target)
        if sample is not None:
            sample.update(logits, target)
    scaled = [] if sample is None else _scaled(sample, data, config)
    for logits, target in outputs(scoring):
        second_half.update(logits, target)
        for scores in scaled:
            scores.update(logits, target)
    whole.merge(second_half)
    metrics, per_class = _by_kind(whole)
    if sample is None:
        return Evaluation(metrics, per_class)
    unscaled = ScaledScores(_of_scaled(second_half))
    one, each_class = (scores.compute(known=len(scoring) > 0) for scores in scaled)
    return Evaluation(metrics, per_class, {UNSCALED: unscaled, TEMPERATURE: one, CLASS_TEMPERATURE: each_class})


def _scaled(sample: PixelSample, data: PackedData, config: TrialConfig) -> list["_Scaled"]:
    """What is to be measured with one temperature, and with one a class."""
    logits, target = sample.logits, sample.target  # each is put together when it is asked for
    return [_Scaled(fit_temperature(logits, target, per_class=each), _metrics(data, config)) for each in (False, True)]


class _Scaled:
    """The metrics of logits that are divided by a temperature, () or (C,)."""

    def __init__(self, temperature: Tensor, metrics: SegmentationMetrics) -> None:
        self._temperature = temperature
        self._metrics = metrics

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add logits (N, C, H, W), not scaled yet, and their target (N, H, W)."""
        temperature = self._temperature.float()
        self._metrics.update(logits.float() / (temperature.view(-1, 1, 1) if temperature.ndim else temperature), target)

    def compute(self, *, known: bool) -> ScaledScores:
        """The metrics with the temperature; nan for that where it is not `known` what becomes of other images."""
        temperature = self._temperature if known else self._temperature * math.nan
        values = temperature.tolist()
        return ScaledScores(_of_scaled(self._metrics), tuple(values) if isinstance(values, list) else values)


def _by_kind(metrics: SegmentationMetrics) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
    """The metrics that are one number, and those that are one number a class."""
    single: dict[str, float] = {}
    per_class: dict[str, tuple[float, ...]] = {}
    for name, value in metrics.compute().items():
        if isinstance(value, list):
            per_class[name] = tuple(value)
        else:
            single[name] = value
    return single, per_class


def _of_scaled(metrics: SegmentationMetrics) -> dict[str, float]:
    single, _ = _by_kind(metrics)
    return {name: single[name] for name in SCALED}


def _metrics(data: PackedData, config: TrialConfig) -> SegmentationMetrics:
    background = config.evaluation.background
    return SegmentationMetrics(
        data.num_classes, background=None if background is None else data.class_names.index(background)
    )
