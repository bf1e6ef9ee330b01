"""Finds what the values of label volumes mean, by reading each of them once."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tune_seg.config import DataConfig
from tune_seg.data.cores import available_cores
from tune_seg.data.images.mask_meaning import Asked, Meaning, meaning_of_numbers
from tune_seg.data.images.mask_scan import Masks, MaskScan
from tune_seg.data.images.mask_statistics import WHITE, MaskStatistics, count
from tune_seg.data.images.mask_totals import MaskTotals
from tune_seg.data.labels import Labels
from tune_seg.data.volumes.case import Case
from tune_seg.errors import InputError

BACKGROUND = "background"
_UNNAMED = "class 0"  # what 0 is called in pictures, where it may be anything


def asked_labels(cases: Mapping[Path, Case], config: DataConfig, root: Path) -> "Labels | VolumeScan":
    """The meaning of the values by what the configuration says, or the scan that finds what it leaves open: 255, or all.

    Args:
        cases: by their mask.
        config: of which `classes` and `ignore_label` are read.
        root: the folder of the data set, for messages.

    Raises:
        InputError: as :func:`~tune_seg.data.labels.declared`.
    """
    classes = config.classes
    names = None if classes is None else dict(classes if isinstance(classes, Mapping) else enumerate(classes))
    asked = Asked(names, isinstance(classes, Mapping), config.ignore_label, root)
    if asked.labels is not None and (config.ignore_label is not None or WHITE in asked.labels.indices):
        return asked.labels
    return VolumeScan(cases, asked)


class VolumeScan(MaskScan):
    """Finds what the values of label volumes mean: 0 is the background, unless somebody named it.

    Args:
        cases: by their mask.
        asked: what somebody said of them.

    Raises:
        InputError: what was said is not possible.
    """

    def __init__(self, cases: Mapping[Path, Case], asked: Asked) -> None:
        super().__init__(Masks(tuple(cases)), asked)
        self._cases = cases
        self._threads = available_cores()  # a label volume for each is in memory

    def _look(self, mask: Path) -> MaskStatistics | InputError:
        found = MaskStatistics()
        try:
            for plane in self._cases[mask].labels():
                count(found, plane)
        except InputError as error:
            return error
        return found

    def _judge(self, totals: MaskTotals) -> Meaning:
        answer = meaning_of_numbers(totals, self._asked)
        if self._asked.names is not None:
            return answer
        names = tuple(BACKGROUND if name == _UNNAMED else name for name in answer.labels.class_names)
        return replace(answer, labels=replace(answer.labels, class_names=names))
