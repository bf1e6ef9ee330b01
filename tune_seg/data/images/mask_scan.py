"""Finds what the values of the masks of a folder mean, by reading each of them once."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from tune_seg.data.images.mask_meaning import Asked, Meaning, contradictions, meaning
from tune_seg.data.images.mask_statistics import WHITE, MaskStatistics, Reader, statistics
from tune_seg.data.images.mask_totals import MaskTotals
from tune_seg.data.images.pictures import mask_pixels
from tune_seg.data.images.scan import Scan, stamp
from tune_seg.data.labels import Labels
from tune_seg.errors import InputError

_VERSION: Final = 3
"""Raise it when the same masks get another meaning, so that they are packed anew."""


class Masks(NamedTuple):
    """The mask files of a data set.

    Args:
        all_but_test: those that tell what the values mean. Masks of a test that is drawn are among them: they may as well
            train.
        test: those of a published or listed test. It does not decide what there is to learn: values that only its masks
            have are refused when it is packed.
    """

    all_but_test: tuple[Path, ...]
    test: tuple[Path, ...] = ()


class MaskScan(Scan):
    """Finds what the values mean, also where classes were named: it is the masks that tell whether 255 is one of them.

    Masks of the test must not say the contrary.

    Args:
        masks: the masks.
        asked: what somebody said of them.
        read: gives the pixels of a page.

    Raises:
        InputError: what was said is not possible.
    """

    def __init__(self, masks: Masks, asked: Asked, read: Reader = mask_pixels) -> None:
        super().__init__(masks.all_but_test, WHITE if asked.ignore_label is None else asked.ignore_label, asked.where)
        self._test = masks.test
        self._asked, self._said = asked, asked.labels
        self._reader = read
        self._notes: tuple[str, ...] = ()
        self._values: dict[Path, frozenset[int]] = {}

    @property
    def names(self) -> tuple[str, ...] | None:
        return None if self._said is None else self._said.class_names

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes

    def of_some(self, masks: set[Path]) -> Self:
        some = super().of_some(masks)
        some._test = tuple(mask for mask in self._test if mask in masks)
        return some

    def values_in(self, mask: Path) -> frozenset[int] | None:
        return self._values.get(mask)

    def describe(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "masks": [stamp(mask) for mask in self._masks],
            "test": [stamp(mask) for mask in self._test],
            "asked": {**asdict(self._asked), "where": None, "in_folder": None, "as_folder": None},
        }

    def _read(self, progress: Callable[[int], None] | None) -> Labels:
        totals = MaskTotals()
        unreadable: list[str] = []
        once: dict[frozenset[int], frozenset[int]] = {}  # most masks hold the same few values
        for path, answer in self._each(self._masks, self._look, progress):
            if isinstance(answer, InputError):
                unreadable.append(str(answer))
            else:
                totals.add(path, answer)
                values = frozenset(answer.pixels)
                self._values[path] = once.setdefault(values, values)
        if unreadable and len(totals.pixels.keys() - {self._ignore_label}) < 2:
            if self._said is None:
                raise self._unclear(unreadable)
            return self._said
        found = self._judge(totals)
        self._notes = found.notes
        for path, answer in self._each(self._test, self._look):
            if not isinstance(answer, InputError):  # who packs it says what is wrong with it
                totals.add(path, answer)
        if self._test:
            said = contradictions(totals, self._asked, found.labels)
            self._notes = (*found.notes, *(note for note in said if note not in found.notes))
        return found.labels

    def _look(self, mask: Path) -> MaskStatistics | InputError:
        return statistics(mask, self._reader)

    def _judge(self, totals: MaskTotals) -> Meaning:
        return meaning(totals, self._asked)
