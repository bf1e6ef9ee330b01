"""A split that lies on the GPU: no batch of it crosses the bus."""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from tune_seg.data.packed import PackedData, Split

_SHARE: Final = 0.25
"""Of a GPU's free memory, what a split may take."""
_CHUNK: Final = 64  # samples copied at a time

_resident: dict[tuple[str, str, torch.device], tuple[Tensor, Tensor]] = {}


def resident(split: Split, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """All images uint8 (S, H, W, 3) and masks uint8 (S, H, W) of a split on a GPU.

    None on a CPU, where the pack is mapped, and where they would take more than a quarter of the free memory. A process
    holds the splits of one pack, once, whatever the number of its trials.
    """
    if device.type != "cuda":
        return None
    data: PackedData = split.data
    key = (data.content_id, split.name, device)
    if key not in _resident:
        for other in [other for other in _resident if other[0] != data.content_id]:
            del _resident[other]
        height, width = data.size
        free, _ = torch.cuda.mem_get_info(device)
        if len(split) * height * width * 4 > _SHARE * free:
            return None
        images = torch.empty((len(split), height, width, 3), dtype=torch.uint8, device=device)
        masks = torch.empty((len(split), height, width), dtype=torch.uint8, device=device)
        for start in range(0, len(split), _CHUNK):
            stop = min(start + _CHUNK, len(split))
            for whole, part in zip((images, masks), split.gather(np.arange(start, stop)), strict=True):
                whole[start:stop] = part.to(device)
        _resident[key] = images, masks
    return _resident[key]
