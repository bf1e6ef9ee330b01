"""Host to device without waiting for it."""

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`; one that is there already as it is.

    To a GPU it goes from pinned memory, non-blocking: an ordinary copy would wait until the GPU has finished the step
    before, and the next batch could not be prepared meanwhile.
    """
    if tensor.device.type == device.type:
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
