"""The training-time transform: normalise, resize, crop, flip, as batched tensor operations on any device.

What is random is drawn on the host, per sample, from (seed, epoch, index of the sample) alone. So a sample looks the
same whatever else is in its batch, whichever process runs it and whatever that process did before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tune_seg.config import AugmentationConfig
from tune_seg.data.dataset import IGNORE_INDEX
from tune_seg.data.transfer import send

_STREAM = 1  # keeps these draws apart from the order of the epoch, which `batches` draws from stream 0


@dataclass(frozen=True)
class Draws:
    """Uniform random numbers in [0, 1) for a batch, each float64 (B,)."""

    scale: npt.NDArray[np.float64]
    top: npt.NDArray[np.float64]
    left: npt.NDArray[np.float64]
    flip: npt.NDArray[np.float64]


def draw(seed: int, epoch: int, indices: Iterable[int]) -> Draws:
    """What is random about the samples `indices` in an epoch.

    Example:
        >>> together, alone = draw(0, 3, [5, 7]), draw(0, 3, [7])
        >>> bool(together.scale[1] == alone.scale[0])
        True
    """
    numbers = np.array([np.random.default_rng((_STREAM, seed, epoch, int(index))).random(4) for index in indices])
    return Draws(*np.ascontiguousarray(numbers.reshape(-1, 4).T))


def normalise(images: Tensor, config: AugmentationConfig) -> Tensor:
    """(x / 255 - mean) / std of uint8 images (B, H, W, 3), as float32 (B, 3, H, W) in channels_last memory format."""
    scale = [1.0 / (255.0 * std) for std in config.std]
    shift = [-mean / std for mean, std in zip(config.mean, config.std, strict=True)]
    floats = images.to(torch.float32)
    floats *= send(torch.tensor(scale), images.device)
    floats += send(torch.tensor(shift), images.device)
    return floats.permute(0, 3, 1, 2)


def augment(images: Tensor, masks: Tensor, draws: Draws, config: AugmentationConfig) -> tuple[Tensor, Tensor]:
    """Normalised images, randomly resized, cropped and flipped, and their targets.

    The scale is log-uniform in `config.resize`; the crop is `config.crop`, or the full size; where the resized image is
    smaller than the crop it lies at a random place in it, on the mean colour (0 after normalisation), and the target
    around it is ignored. Images are sampled bilinearly, masks at the nearest pixel.

    Arguments:
        images: uint8 (B, H, W, 3).
        masks: uint8 (B, H, W).
        draws: of these B samples.

    Returns:
        images float32 (B, 3, h, w) in channels_last memory format, targets int64 (B, h, w).
    """
    height, width = masks.shape[1:]
    crop_height, crop_width = config.crop or (height, width)
    floats = normalise(images, config)
    # exactly the image, which resampling at its own pixels gives only up to rounding
    if config.flip == 0.0 and config.resize == (1.0, 1.0) and (crop_height, crop_width) == (height, width):
        return floats, masks.to(torch.int64)
    smallest, largest = config.resize
    scale = smallest * (largest / smallest) ** draws.scale
    rows = _positions(height, crop_height, scale, draws.top)
    columns = _positions(width, crop_width, scale, draws.left)
    flipped = draws.flip < config.flip
    columns[flipped] = columns[flipped, ::-1]
    return _sample_images(floats, rows, columns), _sample_masks(masks, rows, columns)


def _positions(
    length: int, crop: int, scale: npt.NDArray[np.float64], place: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Where each of `crop` output pixels lies in the source, float64 (B, crop): pixel i covers [i, i + 1)."""
    free = np.rint(length * scale) - crop  # pixels to leave out; below 0: pixels to add
    # the number of places is one more than the pixels that are free; whole pixels, so that scale 1 does not blur
    offset = np.sign(free) * np.floor(place * (np.abs(free) + 1.0))
    positions: npt.NDArray[np.float64] = (np.arange(crop) + 0.5 + offset[:, None]) / scale[:, None]
    return positions


def _inside(positions: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.bool_]:
    return (positions >= 0.0) & (positions < length)


def _sample_images(images: Tensor, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]) -> Tensor:
    """Bilinear samples of images (B, 3, H, W) at rows (B, h) and columns (B, w); 0 outside."""
    height, width = images.shape[2:]
    size = (rows.shape[0], rows.shape[1], columns.shape[1])
    grid = torch.stack(
        (
            _to((2.0 * columns / width - 1.0).astype(np.float32), images)[:, None, :].expand(size),
            _to((2.0 * rows / height - 1.0).astype(np.float32), images)[:, :, None].expand(size),
        ),
        dim=-1,
    )
    # "border" and a mask rather than "zeros", which would fade the outermost half pixel of the image
    sampled = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    sampled *= _to(_inside(rows, height), images)[:, None, :, None]
    sampled *= _to(_inside(columns, width), images)[:, None, None, :]
    return sampled.contiguous(memory_format=torch.channels_last)


def _sample_masks(masks: Tensor, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]) -> Tensor:
    """The pixels of masks (B, H, W) at rows (B, h) and columns (B, w) as int64 (B, h, w); IGNORE_INDEX outside."""
    batch, height, width = masks.shape
    first = np.arange(batch)[:, None] * height
    row = _to((first + np.clip(np.floor(rows), 0, height - 1).astype(np.int64)) * width, masks)
    column = _to(np.clip(np.floor(columns), 0, width - 1).astype(np.int64), masks)
    target = masks.reshape(-1).take(row[:, :, None] + column[:, None, :]).to(torch.int64)
    target.masked_fill_(_to(~_inside(rows, height), masks)[:, :, None], IGNORE_INDEX)
    target.masked_fill_(_to(~_inside(columns, width), masks)[:, None, :], IGNORE_INDEX)
    return target


def _to(values: npt.NDArray[Any], like: Tensor) -> Tensor:
    return send(torch.from_numpy(values), like.device)
