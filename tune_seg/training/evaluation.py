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

SCALED = ("calibration", *CALIBRATION_ERRORS, "s_rec", "s_acc", "recall", "accuracy")
"""The metrics that :func:`evaluate` gives of scaled logits."""


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
) -> dict[str, Any]:
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
        the metrics over all images. With `scaling` also, over the images of odd index: `unscaled/NAME`,
        `temperature/NAME` and `class_temperature/NAME` for every NAME of :data:`SCALED`, of the logits as they are,
        divided by one temperature, and divided by one a class; `temperature/T`, a float, and `class_temperature/T`, a
        list of C. All of these are nan with fewer than two images.
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
    whole, unscaled = _metrics(data, config), _metrics(data, config)
    if not scaling:
        for metrics, indices in ((whole, fitting), (unscaled, scoring)):
            for logits, target in outputs(indices):
                metrics.update(logits, target)
        whole.merge(unscaled)
        return whole.compute()

    sample = PixelSample(len(fitting))
    for logits, target in outputs(fitting):
        whole.update(logits, target)
        sample.update(logits, target)
    pixels = sample.logits, sample.target
    one, per_class = (fit_temperature(*pixels, per_class=each) for each in (False, True))
    if len(scoring) == 0:
        one, per_class = one * math.nan, per_class * math.nan

    scored = {"unscaled": unscaled, "temperature": _metrics(data, config), "class_temperature": _metrics(data, config)}
    for logits, target in outputs(scoring):
        unscaled.update(logits, target)
        scored["temperature"].update(logits.float() / one.float(), target)
        scored["class_temperature"].update(logits.float() / per_class.float().view(-1, 1, 1), target)
    whole.merge(unscaled)
    results = {name: metrics.compute() for name, metrics in scored.items()}
    return {
        **whole.compute(),
        **{f"{name}/{metric}": result[metric] for name, result in results.items() for metric in SCALED},
        "temperature/T": one.item(),
        "class_temperature/T": per_class.tolist(),
    }


def _metrics(data: PackedData, config: TrialConfig) -> SegmentationMetrics:
    background = config.evaluation.background
    return SegmentationMetrics(
        data.num_classes, background=None if background is None else data.class_names.index(background)
    )
