"""Masks whose grey values are cut into classes: those that were compressed as JPEG or smoothed, and numbered objects."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.images.pictures import MaskPixels, mask_pixels
from tune_seg.errors import InputError


@dataclass(frozen=True)
class CutMasks:
    """Masks whose class number is how many of the cuts a grey value reaches.

    Attributes:
        cuts: in ascending order, at least 1.
    """

    cuts: tuple[int, ...]

    def read(self, path: Path, part: int | None = None) -> Raw:
        """The class numbers of a mask file, or of the page `part` of it, uint8 (H, W).

        Raises:
            InputError: it cannot be decoded, it holds colours, or its values are 0 and 1, unlike those of the others.
        """
        grey = _grey(mask_pixels(path, part))
        if grey.max() == 1 < self.cuts[0]:
            raise InputError(
                f"{path}: the values are 0 and 1, so data.options.threshold: {self.cuts[0]} leaves nothing of its object; "
                "make all masks alike"
            )
        numbers = np.zeros(grey.shape, np.uint8)
        for cut in self.cuts:
            numbers += grey >= cut
        return np.where(grey < 0, -1, numbers).astype(np.int32) if grey.dtype.kind == "i" else numbers

    def pixels(self, path: Path, part: int | None = None) -> MaskPixels:
        """The same as the pixels of a mask that was stored so."""
        return MaskPixels(self.read(path, part))


def _grey(mask: MaskPixels) -> Raw:
    """The values as they look: those of a palette of greys, else the stored ones."""
    if mask.palette is None:
        return mask.values
    used = np.flatnonzero(np.bincount(mask.values.ravel()))
    colours = mask.palette[used]
    return mask.palette[:, 0][mask.values] if (colours == colours[:, :1]).all() else mask.values
