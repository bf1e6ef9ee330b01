"""How an image and its mask come to the size of a pack: stretched, fitted into it, or cut out of the middle.

Images are resized bilinearly with antialiasing, masks to the nearest pixel.
"""

from collections.abc import Sequence
from math import ceil, floor, log
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from tune_seg.config import Resize
from tune_seg.data.dataset import IGNORE_INDEX, Dataset, Image, Mask, spread

SAME_SHAPE: Final = 0.03
"""The largest difference between the aspect ratios of an image and of a pack that `fit` stretches away."""

_MAX_IMAGES_LOOKED_AT: Final = 256
_STEP: Final = 32  # most models need a multiple of it


def resized(image: Image, mask: Mask, size: tuple[int, int], how: Resize) -> tuple[Image, Mask]:
    """The image (*size, C) and its mask, contiguous.

    Args:
        image: (H, W, C).
        mask: (H, W).
        size: (H, W) of the result.
        how: `fit` keeps the aspect ratio, unless that differs by less than 3 % from that of `size`. What the image does not
            fill repeats its outermost pixels, because an edge between the image and a flat colour would be something to
            learn, and the flat colour would move the statistics of each batch; there the mask is ignored. `crop` keeps the
            ratio and cuts off what does not go in, on both sides.

    Example:
        >>> image, mask = resized(np.zeros((20, 40, 3), np.uint8), np.zeros((20, 40), np.uint8), (4, 4), "fit")
        >>> mask.tolist()
        [[255, 255, 255, 255], [0, 0, 0, 0], [0, 0, 0, 0], [255, 255, 255, 255]]
    """
    used, filled = placed(mask.shape, size, how)
    height, width = (part.stop - part.start for part in filled)
    mask = mask[used]
    if mask.shape != (height, width):
        mask = np.asarray(pillow.fromarray(mask).resize((width, height), pillow.Resampling.NEAREST))
    if mask.shape != size:
        mask = np.pad(mask, _margins(filled, size), constant_values=IGNORE_INDEX)
    return resized_image(image, size, how), np.ascontiguousarray(mask)


def resized_image(image: Image, size: tuple[int, int], how: Resize) -> Image:
    """As :func:`resized`, the image alone."""
    used, filled = placed(image.shape, size, how)
    inner = filled[0].stop - filled[0].start, filled[1].stop - filled[1].start
    image = image[used]
    if image.shape[:2] != inner:
        image = _stretched_image(image, inner)
    if inner != size:
        image = np.pad(image, [*_margins(filled, size), (0, 0)], mode="edge")
    return np.ascontiguousarray(image)


def _margins(filled: tuple[slice, slice], size: tuple[int, int]) -> list[tuple[int, int]]:
    return [(part.start, length - part.stop) for part, length in zip(filled, size, strict=True)]


def placed(shape: Sequence[int], size: tuple[int, int], how: Resize) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of an image of `shape` (H, W) that is used, and the part of `size` that it fills."""
    used, filled = (shape[0], shape[1]), size
    if how == "crop":
        used = _of_shape(shape, size)
    elif how == "fit" and not _alike(shape, size):
        filled = _of_shape(size, shape)
    return _middle(shape, used), _middle(size, filled)


def resize_notes(dataset: Dataset, size: tuple[int, int]) -> list[str]:
    """What `fit` does to the images of a data set, if anything, in a sentence; a sample of them is looked at."""
    looked = [dataset.shape(sample) for sample in spread(dataset.samples, _MAX_IMAGES_LOOKED_AT)]
    shapes = [shape for shape in looked if shape is not None]
    other = [shape for shape in shapes if not _alike(shape, size)]
    if dataset.resize != "fit" or not other:
        return []
    better = _better(other, size)
    advice = "" if better == size else f"--set 'data.size=[{better[0]},{better[1]}]' uses more, "
    return [
        f"{len(other)} of {len(shapes)} images{' looked at' * (len(shapes) < len(dataset.samples))} have another shape than "
        f"data.size {list(size)}, such as {other[0][1]} x {other[0][0]} pixels. Their shape is kept, and "
        f"{1 - _used(other, size):.0%} of the area is left empty and ignored. {advice}"
        "--set data.resize=crop cuts what does not go in, --set data.resize=stretch changes the shape"
    ]


def _better(shapes: Sequence[tuple[int, int]], size: tuple[int, int]) -> tuple[int, int]:
    """The size of about the same area that leaves least of it empty, images being no smaller; `size` where none does."""
    ratio = float(np.median([width / height for height, width in shapes]))
    height = (size[0] * size[1] / ratio) ** 0.5
    near = [(a, b) for a in _multiples(height) for b in _multiples(height * ratio)]
    filled = _used(shapes, size) * np.prod(size)
    return max(
        [size, *(each for each in near if _used(shapes, each) * np.prod(each) >= filled)],
        key=lambda each: _used(shapes, each),
    )


def _multiples(length: float) -> set[int]:
    """The multiples of the step on both sides of a length."""
    return {max(_STEP, steps * _STEP) for steps in (floor(length / _STEP), ceil(length / _STEP))}


def _used(shapes: Sequence[tuple[int, int]], size: tuple[int, int]) -> float:
    """The share of the area of `size` that images of these shapes fill, on average."""
    return float(np.mean([np.prod(_of_shape(size, shape)) / np.prod(size) for shape in shapes]))


def _alike(shape: Sequence[int], size: Sequence[int]) -> bool:
    return abs(log(shape[1] * size[0] / (shape[0] * size[1]))) <= SAME_SHAPE


def _of_shape(space: Sequence[int], shape: Sequence[int]) -> tuple[int, int]:
    """The largest (H, W) inside `space` with the aspect ratio of `shape`."""
    height, width = min(space[0], space[1] * shape[0] / shape[1]), min(space[1], space[0] * shape[1] / shape[0])
    return max(1, round(height)), max(1, round(width))


def _middle(shape: Sequence[int], part: tuple[int, int]) -> tuple[slice, slice]:
    top, left = (shape[0] - part[0]) // 2, (shape[1] - part[1]) // 2
    return slice(top, top + part[0]), slice(left, left + part[1])


def _stretched_image(image: Image, size: tuple[int, int]) -> Image:
    def resized(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return np.asarray(pillow.fromarray(values).resize(size[::-1], pillow.Resampling.BILINEAR))

    if image.shape[2] == 3 and image.dtype == np.uint8:
        return resized(image).astype(np.uint8, copy=False)
    # channel by channel, because Pillow takes a fourth one for transparency; 16 bits as floats, which hold them exactly
    planes = np.moveaxis(image, 2, 0)
    if image.dtype == np.uint8:
        return np.stack([resized(np.ascontiguousarray(plane)) for plane in planes], axis=2).astype(np.uint8, copy=False)
    floats = np.stack([resized(plane.astype(np.float32)) for plane in planes], axis=2)
    return np.rint(floats).clip(0, 65535).astype(np.uint16)
