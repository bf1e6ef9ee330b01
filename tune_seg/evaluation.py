"""The metrics of a model over a whole validation split, in one pass."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from tune_seg.config import TrialConfig
from tune_seg.data import PackedData, batches
from tune_seg.metrics import SegmentationMetrics


def evaluate(
    model: nn.Module,
    data: PackedData,
    config: TrialConfig,
    *,
    device: torch.device,
    autocast: AbstractContextManager[None],
) -> dict[str, Any]:
    """Every metric of :class:`~tune_seg.metrics.SegmentationMetrics` over the validation images of `data`."""
    background = config.evaluation.background
    metrics = SegmentationMetrics(
        data.num_classes, background=None if background is None else data.class_names.index(background)
    )
    model.eval()
    with torch.inference_mode():
        for images, target in batches(
            data.val,
            epoch=0,
            seed=0,
            batch_size=config.training.batch_size,
            augmentation=config.augmentation,
            device=device,
            train=False,
        ):
            with autocast:
                logits = model(images)
            metrics.update(logits, target)
    return metrics.compute()
