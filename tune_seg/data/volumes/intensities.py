"""From the intensities of a volume to images of 8 or 16 bits."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import Image
from tune_seg.data.volumes.case import Volume
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.errors import InputError


def levels(volume: Volume, options: VolumeOptions) -> Image:
    """The intensities as uint8 or uint16 (S, H, W, C): `low` is 0, `high` is 255 or 65535, in between to the nearest level.

    Where large values are dark, the levels are inverted. `low` and `high` are the window, or percentiles of the volume's
    finite values in each channel; where these are equal, the smallest and the largest value. nan becomes 0. Colours are not
    rescaled.

    Raises:
        InputError: not one value is finite.
    """
    top = 2**options.bits - 1
    images: Image = np.empty(volume.values.shape, np.uint16 if options.bits == 16 else np.uint8)
    if volume.colour:
        images[:] = volume.values
        images *= top // 255
        return images
    for channel in range(volume.values.shape[-1]):
        values = volume.values[..., channel]
        low, high = options.window or _range(values, options.percentiles)
        for part, plane in enumerate(values):
            scaled = np.clip((plane.astype(np.float64) - low) / (high - low), 0.0, 1.0)
            seen = 1.0 - scaled if volume.inverted else scaled
            images[part, ..., channel] = np.rint(np.nan_to_num(seen) * top)
    return images


def _range(values: npt.NDArray[Any], percentiles: tuple[float, float]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise InputError("not one value is a finite number; is it damaged?")
    # np.percentile would need all values as float64: the differences of 16-bit ones overflow
    places = np.divide(percentiles, 100.0) * (finite.size - 1)
    below = places.astype(np.intp)
    above = np.minimum(below + 1, finite.size - 1)
    finite.partition(np.unique([below, above]))
    low, high = (finite[below] + (places - below) * (finite[above].astype(np.float64) - finite[below])).tolist()
    if low == high:  # as in a volume that is nearly everywhere empty
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if low < high else (low, low + 1.0)
