"""What a model gives for images that validate or are held out, with their targets and groups."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tune_seg.config import TrialConfig
from tune_seg.data import PackedData, batches, feature_batches
from tune_seg.data.loading.transfer import send
from tune_seg.training.blending import Output, blended
from tune_seg.training.frozen_features import Features


def outputs(
    model: nn.Module,
    data: PackedData,
    config: TrialConfig,
    *,
    device: torch.device,
    autocast: AbstractContextManager[None],
    indices: npt.NDArray[np.integer] | None = None,
    features: Features | None = None,
) -> Iterator[Output]:
    """The logits of the images that validate, or are held out; those of overlapping tiles are blended.

    Args:
        model: images (N, 3, h, w), or their features, to logits (N, C, h, w).
        data: the packed data.
        config: the trial; its batch size and normalisation are used.
        device: where the model is.
        autocast: the context that the model computes in.
        indices: the images to take, (images,); all by default.
        features: what the model takes in place of the images, where its encoder is frozen.

    Yields:
        logits (N, C, h, w), targets int64 (N, h, w) and the number of each image's group (N,), on the device.
    """
    taken = np.arange(len(data.val)) if indices is None else indices
    order: dict[str, Any] = {"epoch": 0, "seed": 0, "batch_size": config.training.batch_size, "indices": taken}
    inputs: Iterator[tuple[Tensor | list[Tensor], Tensor]] = (
        batches(data.val, **order, augmentation=config.augmentation, device=device, train=False)
        if features is None
        else feature_batches(data.val, features, **order, device=device, train=False)
    )

    def computed() -> Iterator[Output]:
        groups, seen = send(torch.from_numpy(data.val_groups[taken]), device), 0
        for images, target in inputs:
            with autocast:
                logits = model(images)
            yield logits, target, groups[seen : seen + len(target)]
            seen += len(target)

    return blended(computed(), [data.val_tiles[index] for index in taken], data.size)
