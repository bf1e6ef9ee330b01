"""A data set that lies on the GPU: no batch of it crosses the bus."""

from threading import Lock
from typing import Final

import numpy as np
import torch
from torch import Tensor

from tune_seg.data.packing.packed import PackedData

_SHARE: Final = 0.25
"""Of a GPU's free memory, what a data set may take."""
_CHUNK: Final = 64  # samples copied at a time

_resident: dict[tuple[str, torch.device], tuple[Tensor, Tensor]] = {}
_one_copy: Final = Lock()


def take(whole: Tensor, rows: Tensor) -> Tensor:
    """The `rows` (B,) of a tensor (S, ...)."""
    # PyTorch selects from no unsigned type of more than 8 bits
    signed = whole.view(torch.int16) if whole.dtype == torch.uint16 else whole
    return signed.index_select(0, rows).view(whole.dtype)


def resident(data: PackedData, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """All images (S, H, W, C) and masks uint8 (S, H, W) of a pack on a GPU, by the numbers of their rows.

    None on a CPU, where the pack is mapped, and where they would take more than a quarter of the free memory. A process
    holds one pack, once, whatever the number of its trials and of the folds that these are of.
    """
    if device.type != "cuda":
        return None
    with _one_copy:  # trials may be threads
        return _resident_on_gpu(data, device)


def _resident_on_gpu(data: PackedData, device: torch.device) -> tuple[Tensor, Tensor] | None:
    key = (data.content_id, device)
    if key not in _resident:
        for other in [other for other in _resident if other[0] != data.content_id]:
            del _resident[other]
        height, width = data.size
        free, _ = torch.cuda.mem_get_info(device)
        images = torch.empty((len(data), height, width, data.channels), dtype=getattr(torch, data.dtype), device="meta")
        masks = torch.empty((len(data), height, width), dtype=torch.uint8, device="meta")
        if images.nbytes + masks.nbytes > _SHARE * free:
            return None
        images, masks = (torch.empty_like(whole, device=device) for whole in (images, masks))
        for start in range(0, len(data), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(data)))
            for whole, row in ((images, data.image), (masks, data.mask)):
                # from the host without a copy on the GPU between, so that it is there for every stream when this returns
                whole[start : rows.stop] = torch.from_numpy(np.stack([row(number) for number in rows]))
        _resident[key] = images, masks
    return _resident[key]
