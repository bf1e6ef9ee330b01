"""What the masks of one's own mean: by the names that somebody gave, by the list beside them, by what they show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tune_seg.config import DataConfig
from tune_seg.data.dataset import IGNORE_INDEX, TEST, Sample
from tune_seg.data.images.class_lists import ClassList
from tune_seg.data.images.mask_meaning import Asked, option
from tune_seg.data.images.mask_scan import Masks, MaskScan
from tune_seg.data.images.pictures import CLASS_NUMBERS, MaskFiles
from tune_seg.data.images.scan import Scan
from tune_seg.data.labels import Labels, declared
from tune_seg.errors import InputError


class OwnMasks(NamedTuple):
    """How masks are read.

    Args:
        classes: the meaning of their values, or the scan that finds it.
        reader: what gives the values.
        notes: where the names come from.
    """

    classes: Labels | Scan
    reader: MaskFiles
    notes: tuple[str, ...]


def own_masks(
    samples: Sequence[Sample],
    config: DataConfig,
    class_list: ClassList | None,
    where: Path,
    *,
    in_folder: bool = False,
    as_folder: bool = True,
) -> OwnMasks:
    """How the masks of samples are read.

    Args:
        samples: all of them.
        config: whose names take precedence over those of the list.
        class_list: what lies beside the masks.
        where: the folder of the masks, for messages.
        in_folder: whether the format is `folder`.
        as_folder: whether that format reads the masks at all.

    Raises:
        InputError: as :func:`~tune_seg.data.labels.declared`.
    """
    masks = masks_of(samples)
    reader: MaskFiles = CLASS_NUMBERS if class_list is None else class_list.reader(masks.all_but_test)
    classes, notes = config.classes, tuple[str, ...]()
    if classes is None and class_list is not None:
        classes = {number: name for number, name in class_list.names.items() if number != config.ignore_label}
        notes = (class_list.note,)
        if len(names_there := set(classes.values())) < 2:
            names = ["background", *(names_there or {"object"})]
            raise InputError(
                f"{class_list.where}: names {len(names_there)} classes; there must be at least two. If only the background "
                f"is missing, name it first, there or with {option('data.classes', names)}"
            )
    if classes is not None and reader is not CLASS_NUMBERS:
        return OwnMasks(declared(classes, config.ignore_label, IGNORE_INDEX), reader, notes)
    named = None if classes is None else dict(classes if isinstance(classes, Mapping) else enumerate(classes))
    asked = Asked(named, isinstance(config.classes, Mapping), config.ignore_label, where, in_folder, as_folder)
    return OwnMasks(MaskScan(masks, asked), reader, notes)


def masks_of(samples: Sequence[Sample]) -> Masks:
    """Their mask files, each once."""
    of_test = [sample.split == TEST and not sample.drawn_from for sample in samples]
    told, held_out = (
        tuple(dict.fromkeys(s.mask for s, is_test in zip(samples, of_test, strict=True) if is_test is side and s.mask))
        for side in (False, True)
    )
    return Masks(told, held_out)
