"""The training-time transform: normalise, resize, crop, flip, as batched tensor operations on any device.

What is random is drawn on the host, per sample, from (seed, epoch, index of the sample) alone, and, where an epoch has a
sample several times, from which of these it is. So a sample looks the same whatever else is in its batch, whichever process
runs it and whatever that process did before.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tune_seg.config import AugmentationConfig
from tune_seg.data.dataset import IGNORE_INDEX
from tune_seg.data.loading.transfer import send

_STREAM = 1  # keeps these draws apart from the order of the epoch, which `batches` draws from stream 0


@dataclass(frozen=True)
class Draws:
    """Uniform random numbers in [0, 1) for a batch, each float64 (B,)."""

    scale: npt.NDArray[np.float64]
    top: npt.NDArray[np.float64]
    left: npt.NDArray[np.float64]
    flip: npt.NDArray[np.float64]


def draw(seed: int, epoch: int, indices: Iterable[int], before: Iterable[int] = itertools.repeat(0)) -> Draws:
    """The random numbers of the samples `indices` in an epoch.

    Args:
        seed, epoch: non-negative.
        indices: the numbers of B samples.
        before: how often the epoch had each of them before; not at all by default.

    Example:
        >>> together, alone = draw(0, 3, [5, 7]), draw(0, 3, [7])
        >>> bool(together.scale[1] == alone.scale[0])
        True
    """
    keys = ((int(index), int(times)) if times else (int(index),) for index, times in zip(indices, before, strict=False))
    numbers = [np.random.default_rng((_STREAM, seed, epoch, *key)).random(4) for key in keys]
    return Draws(*np.ascontiguousarray(np.reshape(numbers, (-1, 4)).T))


def place(draws: Draws, config: AugmentationConfig, size: tuple[int, int]) -> Tensor:
    """The scale and place of each sample of `draws`, float64 (B, 4): scale, first row, first column, 1 where flipped.

    The first row and column are those of the crop in the resized image; below 0 where the image lies inside the crop.

    Args:
        draws: of B samples, of a batch or a whole epoch.
        config: the crop, the scales and the share that is flipped.
        size: (H, W) of the images.
    """
    smallest, largest = config.resize
    scale = smallest + (largest - smallest) * draws.scale
    first = [
        _offset(length, crop, scale, number)
        for length, crop, number in zip(size, config.crop or size, (draws.top, draws.left), strict=True)
    ]
    return torch.from_numpy(np.stack([scale, *first, draws.flip < config.flip], axis=1))


def _offset(
    length: int, crop: int, scale: npt.NDArray[np.float64], number: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    free = np.rint(length * scale) - crop  # pixels to leave out; below 0: pixels to add
    # the number of places is one more than the pixels that are free; whole pixels, so that scale 1 does not blur
    offset: npt.NDArray[np.float64] = np.sign(free) * np.floor(number * (np.abs(free) + 1.0))
    return offset


def changes_nothing(config: AugmentationConfig, size: tuple[int, int]) -> bool:
    """Whether training images of `size` (H, W) stay as they are, normalised as in validation."""
    return config.flip == 0.0 and config.resize == (1.0, 1.0) and config.crop in (None, size)


def normalise(images: Tensor, config: AugmentationConfig) -> Tensor:
    """(x / largest - mean) / std of images (B, H, W, C), as float32 (B, C, H, W) in channels_last memory format.

    The largest value is 255 of uint8, 65535 of uint16 images.

    Raises:
        InputError: the configuration has the mean or the std of another number of channels.
    """
    mean, std = config.normalisation(images.shape[3])
    scale, shift = _scale_and_shift(mean, std, float(torch.iinfo(images.dtype).max), images.device)
    floats = images.to(torch.float32)
    floats *= scale
    floats += shift
    return floats.permute(0, 3, 1, 2)


@lru_cache  # on a GPU each batch would send them anew
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], largest: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    scale = [1.0 / (largest * deviation) for deviation in std]
    shift = [-centre / deviation for centre, deviation in zip(mean, std, strict=True)]
    return torch.tensor(scale, device=device), torch.tensor(shift, device=device)


def augment(images: Tensor, masks: Tensor, draws: Draws, config: AugmentationConfig) -> tuple[Tensor, Tensor]:
    """Normalised images, randomly resized, cropped and flipped, and their targets.

    The scale is uniform in `config.resize`, as in torchvision's reference training; the crop is `config.crop`, or the full
    size; where the resized image is smaller than the crop it lies at a random place in it, on the mean colour (0 after
    normalisation), and the target around it is ignored. Images are sampled bilinearly, masks at the nearest pixel.

    Args:
        images: uint8 or uint16 (B, H, W, C).
        masks: uint8 (B, H, W).
        draws: of these B samples.

    Returns:
        images float32 (B, C, h, w) in channels_last memory format, targets int64 (B, h, w).
    """
    height, width = masks.shape[1:]
    return transform(images, masks, send(place(draws, config, (height, width)), images.device), config)


def transform(images: Tensor, masks: Tensor, places: Tensor, config: AugmentationConfig) -> tuple[Tensor, Tensor]:
    """As :func:`augment`, with the places (B, 4) of these samples, which :func:`place` gave, on the images' device."""
    height, width = masks.shape[1:]
    floats = normalise(images, config)
    # exactly the image, which resampling at its own pixels gives only up to rounding
    if changes_nothing(config, (height, width)):
        return floats, masks.to(torch.int64)
    crop_height, crop_width = config.crop or (height, width)
    scale, top, left, flipped = places.unsqueeze(2).unbind(1)
    rows = _positions(crop_height, scale, top)
    columns = _positions(crop_width, scale, left)
    columns = torch.where(flipped > 0.5, columns.flip(1), columns)
    return _sample_images(floats, rows, columns), _sample_masks(masks, rows, columns)


def _positions(crop: int, scale: Tensor, offset: Tensor) -> Tensor:
    """Where each of `crop` output pixels lies in the source, float64 (B, crop): pixel i covers [i, i + 1)."""
    return (torch.arange(crop, dtype=torch.float64, device=scale.device) + 0.5 + offset) / scale


def _inside(positions: Tensor, length: int) -> Tensor:
    return (positions >= 0.0) & (positions < length)


def _sample_images(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Bilinear samples of images (B, C, H, W) at rows (B, h) and columns (B, w); 0 outside."""
    height, width = images.shape[2:]
    size = (rows.shape[0], rows.shape[1], columns.shape[1])
    grid = torch.stack(
        (
            (2.0 * columns / width - 1.0).float()[:, None, :].expand(size),
            (2.0 * rows / height - 1.0).float()[:, :, None].expand(size),
        ),
        dim=-1,
    )
    # "border" and a mask rather than "zeros", which would fade the outermost half pixel of the image
    sampled = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    sampled *= _inside(rows, height)[:, None, :, None]
    sampled *= _inside(columns, width)[:, None, None, :]
    return sampled.contiguous(memory_format=torch.channels_last)


def _sample_masks(masks: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels of masks (B, H, W) at rows (B, h) and columns (B, w) as int64 (B, h, w); IGNORE_INDEX outside."""
    batch, height, width = masks.shape
    first = torch.arange(batch, device=masks.device)[:, None] * height
    row = (first + rows.floor().to(torch.int64).clamp_(0, height - 1)) * width
    column = columns.floor().to(torch.int64).clamp_(0, width - 1)
    target = masks.reshape(-1).take(row[:, :, None] + column[:, None, :]).to(torch.int64)
    target.masked_fill_(~_inside(rows, height)[:, :, None], IGNORE_INDEX)
    target.masked_fill_(~_inside(columns, width)[:, None, :], IGNORE_INDEX)
    return target
