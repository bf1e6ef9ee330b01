"""What is said where the memory of a device does not suffice for an image."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from tune_seg.errors import InputError

_SAID = ("not enough memory", "can't allocate memory", "CUDA error: out of memory", "_ALLOC_FAILED")
"""In a RuntimeError: by PyTorch's allocator of a CPU, by CUDA, and by its libraries, which take memory of their own."""


@contextmanager
def memory_errors(path: Path, shape: tuple[int, ...], device: torch.device) -> Iterator[None]:
    """Turns a lack of memory into an error that says what to do.

    Args:
        path: of the image in work.
        shape: (H, W, ...) of it.
        device: where it is computed.

    Raises:
        InputError: the memory does not suffice.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        of_memory = not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError)
        if not of_memory and not any(text in str(error) for text in _SAID):
            raise
        elsewhere = "" if device.type == "cpu" else "compute on the processor, which is slower, with --device cpu; "
        raise InputError(
            f"{path}: the memory of {device} does not suffice for an image of {shape[1]} x {shape[0]} pixels; {elsewhere}"
            "cut it into tiles; or take the model of a study with data.tiles, which sees one part after the other"
        ) from error
