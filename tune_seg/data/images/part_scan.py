"""Whether masks in several files mark their class or object alike, found by reading each of them once."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tune_seg.data.dataset import IGNORE_INDEX
from tune_seg.data.images.mask_meaning import option
from tune_seg.data.images.mask_statistics import MaskStatistics, statistics
from tune_seg.data.images.mask_totals import MaskTotals
from tune_seg.data.images.parts import PartMasks
from tune_seg.data.images.scan import Scan
from tune_seg.data.labels import Labels
from tune_seg.errors import InputError


class PartScan(Scan):
    """The classes of masks in several files, which are known, once the files were seen to be alike.

    Args:
        masks: the first file of each image.
        parts: reads all of them.
        labels: the classes.
        by_value: whether somebody gave each class its number, which says that the masks are right as they are.
        where: the folder of the masks, for messages.
    """

    def __init__(self, masks: tuple[Path, ...], parts: PartMasks, labels: Labels, by_value: bool, where: Path) -> None:
        super().__init__(masks, IGNORE_INDEX, where)
        self._parts, self._known, self._by_value = parts, labels, by_value

    @property
    def names(self) -> tuple[str, ...]:
        return self._known.class_names

    def describe(self) -> dict[str, Any]:
        return {"parts": self._known.describe(), "by_value": self._by_value}

    def _read(self, progress: Callable[[int], None] | None) -> Labels:
        totals: dict[int, MaskTotals] = {}
        for _, answers in self._each(self._masks, self._look, progress):
            for file, (number, answer) in answers.items():
                if not isinstance(answer, InputError):  # loading says what is wrong with it
                    totals.setdefault(number, MaskTotals()).add(file, answer)
        for number, total in sorted(totals.items()):
            self._reject_inverted(number, total)
            self._reject_ignored(number, total)
        return self._known

    def _look(self, mask: Path) -> Mapping[Path, tuple[int, MaskStatistics | InputError]]:
        return {file: (number, statistics(file, self._parts.pixels)) for number, file in self._parts.parts[mask]}

    def _reject_inverted(self, number: int, totals: MaskTotals) -> None:
        if number and not self._by_value and (inverted := totals.inverted) is not None:
            dark, bright = inverted
            raise InputError(
                f"{self._folder}: masks of {self._parts.names[number]}: {dark} have 0 all around, {bright} have another "
                "value, so one kind seems inverted. Invert these; if all are right, say so with "
                f"{option('data.classes', self._parts.names)}"
            )

    def _reject_ignored(self, number: int, totals: MaskTotals) -> None:
        ignored = self._parts.ignored
        if ignored is not None and totals.negative and 1 not in totals.pixels:
            raise InputError(
                f"data.ignore_label: {ignored} is the one value beside 0 in all masks of {self._parts.names[number]}, so "
                "nothing of it is left. Where masks are in several files, the value of an object needs no name: leave it out"
            )
