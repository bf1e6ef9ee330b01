"""Finds what the values of the masks of a folder mean, by reading each of them once."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tune_seg.data.images.mask_meaning import Asked, Meaning, meaning
from tune_seg.data.images.mask_statistics import WHITE, MaskStatistics, Reader, statistics
from tune_seg.data.images.mask_totals import MaskTotals
from tune_seg.data.images.pictures import mask_pixels
from tune_seg.data.images.scan import Scan, stamp
from tune_seg.data.labels import Labels
from tune_seg.errors import InputError

_VERSION: Final = 2
"""Raise it when the same masks get another meaning, so that they are packed anew."""


class MaskScan(Scan):
    """Finds what the values mean, also where classes were named: it is the masks that tell whether 255 is one of them.

    Args:
        masks: the masks.
        asked: what somebody said of them.
        read: gives the pixels of a page.

    Raises:
        InputError: what was said is not possible.
    """

    def __init__(self, masks: tuple[Path, ...], asked: Asked, read: Reader = mask_pixels) -> None:
        super().__init__(masks, WHITE if asked.ignore_label is None else asked.ignore_label, asked.where)
        self._asked, self._said = asked, asked.labels
        self._reader = read
        self._notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...] | None:
        return None if self._said is None else self._said.class_names

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes

    def describe(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "masks": [stamp(mask) for mask in self._masks],
            "asked": {**asdict(self._asked), "where": None, "in_folder": None, "as_folder": None},
        }

    def _read(self, progress: Callable[[int], None] | None) -> Labels:
        totals = MaskTotals()
        unreadable: list[str] = []
        for path, answer in self._each(self._look, progress):
            if isinstance(answer, InputError):
                unreadable.append(str(answer))
            else:
                totals.add(path, answer)
        if unreadable and len(totals.pixels.keys() - {self._ignore_label}) < 2:
            if self._said is None:
                raise self._unclear(unreadable)
            return self._said
        found = self._judge(totals)
        self._notes = found.notes
        return found.labels

    def _look(self, mask: Path) -> MaskStatistics | InputError:
        return statistics(mask, self._reader)

    def _judge(self, totals: MaskTotals) -> Meaning:
        return meaning(totals, self._asked)
