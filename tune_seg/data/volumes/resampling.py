"""A slice with pixels of a given size in millimetres."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from tune_seg.data.dataset import IGNORE_INDEX, Image, Mask


def resampled(
    image: Image, mask: Mask, spacing: tuple[float, float] | None, wanted: float | None, size: tuple[int, int]
) -> tuple[Image, Mask]:
    """A slice (H, W, C) and its mask with pixels of `wanted` mm, cut or filled up to `size`; or with square ones."""
    if spacing is None:
        return image, mask
    height, width = pixels(mask.shape, spacing, wanted)
    if (height, width) != mask.shape:
        image = scaled(image, (height, width))
        mask = np.asarray(pillow.fromarray(np.ascontiguousarray(mask)).resize((width, height), pillow.Resampling.NEAREST))
    if wanted is None:
        return image, mask
    return centred(image, size, 0), centred(mask, size, IGNORE_INDEX)


def scaled(image: Image, shape: tuple[int, int]) -> Image:
    """A slice (H, W, C) with `shape` (H, W) pixels."""
    if image.shape[:2] == shape:
        return image
    planes = [
        pillow.fromarray(np.ascontiguousarray(plane, np.float32)).resize(shape[::-1], pillow.Resampling.BILINEAR)
        for plane in np.moveaxis(image, -1, 0)
    ]
    return np.rint(np.stack([np.asarray(plane) for plane in planes], axis=-1)).astype(image.dtype)


def pixels(shape: Sequence[int], spacing: tuple[float, float], wanted: float | None) -> tuple[int, int]:
    """(H, W) of a slice once its pixels have `wanted` mm; or are square, with the finer spacing."""
    pixel = wanted or min(spacing)
    height, width = (max(round(length * mm / pixel), 1) for length, mm in zip(shape, spacing, strict=True))
    return height, width


def centred(array: npt.NDArray[Any], size: tuple[int, int], filling: int) -> npt.NDArray[Any]:
    """The middle of an image or a mask, `size` large; `filling` where it is smaller."""
    centred = np.full((*size, *array.shape[2:]), filling, array.dtype)
    to, taken = [], []
    for length, there in zip(size, array.shape[:2], strict=True):
        both = min(length, there)
        to.append(slice((length - both) // 2, (length - both) // 2 + both))
        taken.append(slice((there - both) // 2, (there - both) // 2 + both))
    centred[tuple(to)] = array[tuple(taken)]
    return centred
