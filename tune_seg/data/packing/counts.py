"""How many pixels of each class the masks have, and how many are left of them at the size of the pack.

A pixel is left where the resized mask, enlarged again, still has its class: no model that sees the images at this size can
find the others in the full picture. Of an object thinner than a pixel little is left, or nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import IGNORE_INDEX, NOT_OF_FILE, Mask, histogram

_CHECK_BYTES: Final = 4
_COLUMNS: Final = 3  # the value, its pixels, and those that are left


@dataclass(frozen=True)
class Counts:
    """Of the masks of a subset, at the size of their files.

    Attributes:
        full: the number of pixels of each class.
        kept: how many of them are left at the size of the pack.
        ignored: the number of pixels that are ignored.
    """

    full: tuple[int, ...]
    kept: tuple[int, ...]
    ignored: int

    @property
    def ignored_share(self) -> float:
        """Of all pixels."""
        return self.ignored / max(self.ignored + sum(self.full), 1)

    @property
    def lost(self) -> tuple[float, ...]:
        """The share of the pixels of each class that is not left; nan for a class without any."""
        return tuple(1.0 - kept / full if full else float("nan") for full, kept in zip(self.full, self.kept, strict=True))

    @classmethod
    def of(cls, counts: npt.NDArray[np.int64], classes: int) -> "Counts":
        """Of int64 (256, 2): the pixels of each value, and those that are left."""
        full, kept = counts[:classes].T.tolist()
        return cls(tuple(full), tuple(kept), int(counts[IGNORE_INDEX, 0]))

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Counts":
        """As JSON has them.

        Raises:
            TypeError, KeyError, ValueError: they are something else.
        """
        return cls(tuple(map(int, values["full"])), tuple(map(int, values["kept"])), int(values["ignored"]))


def together(counts: Sequence[Counts]) -> Counts:
    """The counts of several subsets as one.

    Example:
        >>> together([Counts((4, 2), (4, 1), 0), Counts((6, 0), (5, 0), 4)])
        Counts(full=(10, 2), kept=(9, 1), ignored=4)
    """
    full, kept = (tuple(map(sum, zip(*each, strict=True))) for each in ([c.full for c in counts], [c.kept for c in counts]))
    return Counts(full, kept, sum(each.ignored for each in counts))


_ALL: Final = (slice(None), slice(None))


def counted(mask: Mask, resized: Mask, used: tuple[slice, slice] = _ALL) -> bytes:
    """What a row of a pack keeps of a mask (H, W) and of the part of it that is `used`, at the size of the pack.

    Pixels of the mask that are :data:`~tune_seg.data.dataset.NOT_OF_FILE` count nowhere.
    """
    full = kept = histogram(mask)
    part = mask[used]
    if part.shape != mask.shape:
        kept = histogram(part)
    if part.shape != resized.shape:
        rows, columns = (
            (2 * np.arange(large) + 1) * small // (2 * large) for large, small in zip(part.shape, resized.shape, strict=True)
        )
        other = resized[:, columns].take(rows, axis=0) != part
        kept = kept - np.bincount(part[other], minlength=2**8)
    values = np.flatnonzero(full)
    values = values[values != NOT_OF_FILE]
    cell = np.stack([values, full[values], kept[values]], axis=1).astype("<i8").tobytes()
    return cell + crc32(cell).to_bytes(_CHECK_BYTES)


def restored(cell: bytes) -> npt.NDArray[np.int64] | None:
    """The counts of a row, int64 (256, 2): the pixels of each value and those that are left; None if it is damaged."""
    values, check = cell[:-_CHECK_BYTES], cell[-_CHECK_BYTES:]
    if crc32(values).to_bytes(_CHECK_BYTES) != check:
        return None
    table = np.zeros((2**8, _COLUMNS - 1), np.int64)
    for value, *counts in np.frombuffer(values, "<i8").reshape(-1, _COLUMNS).tolist():
        table[value] = counts
    return table
