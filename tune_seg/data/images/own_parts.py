"""What the masks in several files of one's own mean: which class each file is of."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tune_seg.config import DataConfig
from tune_seg.data.dataset import IGNORE_INDEX, SplitName, problems_error
from tune_seg.data.images.class_lists import ClassList
from tune_seg.data.images.grouping import Grouping
from tune_seg.data.images.layout import Side
from tune_seg.data.images.mask_meaning import option
from tune_seg.data.images.parts import PartMasks
from tune_seg.data.images.pictures import MaskFiles
from tune_seg.data.labels import Labels, declared
from tune_seg.errors import InputError


def own_parts(
    sides: Mapping[SplitName, Side],
    found: Mapping[SplitName, Grouping],
    config: DataConfig,
    class_list: ClassList | None,
    reader: MaskFiles,
) -> tuple[Labels, PartMasks]:
    """The classes, and what reads the masks.

    Args:
        sides: the files of each side.
        found: which masks belong to which image, on each side.
        config: whose names take precedence over those of the list.
        class_list: what lies beside the masks.
        reader: of each file.

    Raises:
        InputError: the names leave out a class that has masks, or the background.
    """
    names, ordered = _names(tuple(found.values()), config, class_list)
    numbers = {"background": 0} | {name: number for number, name in names.items()}
    parts: dict[Path, tuple[tuple[int, Path], ...]] = {}
    for side, grouping in found.items():
        for classes in grouping.parts.values():
            files = [
                (numbers.get(name, 0 if _is_background(name) else 1), sides[side].masks[mask])
                for name, masks in classes.items()
                for mask in masks
            ]
            parts[files[0][1]] = tuple(files)
    return declared(names, None, IGNORE_INDEX), PartMasks(parts, names, ordered, reader, config.ignore_label)


def _names(groupings: Sequence[Grouping], config: DataConfig, class_list: ClassList | None) -> tuple[dict[int, str], bool]:
    """The class numbers of masks in several files, and whether somebody said which class lies on top."""
    if config.ignore_label == 0:
        raise InputError(
            "data.ignore_label: 0, but of masks in several files 0 is what they do not mark, the background; leave it out"
        )
    found = frozenset[str]().union(*(grouping.classes for grouping in groupings))
    given = config.classes if config.classes is not None else None if class_list is None else class_list.names
    in_order = [name for _, name in sorted(given.items())] if isinstance(given, Mapping) else given or ()
    names = dict(enumerate(dict.fromkeys(in_order)))  # the values in the files say nothing of the class
    if not found:
        by_place = config.classes is not None and (not isinstance(config.classes, Mapping) or 0 in config.classes)
        return _of_objects(list(names.values()), by_place=by_place), False
    if not names:
        classes = sorted(name for name in found if not _is_background(name))
        return dict(enumerate(["background", *classes])), False
    unknown = sorted(name for name in found - set(names.values()) if not (_is_background(name) and _is_background(names[0])))
    if unknown:
        raise problems_error(
            f"these classes have masks, but are not among {', '.join(names.values())}; name them in data.classes (or in the "
            "list of classes), the background first:",
            unknown,
        )
    if names.get(0) in found and not _is_background(names[0]):
        raise InputError(
            f"the class {names[0]} is the first of the list, that of pixels in no mask, but it has masks of its own; name "
            f"the background first: {option('data.classes', ['background', *names.values()])}"
        )
    return names, config.classes is not None


def _of_objects(names: Sequence[str], *, by_place: bool) -> dict[int, str]:
    """The classes of masks of objects; `by_place`: somebody has named them in data.classes, the background first."""
    if len(names) > 2:
        raise InputError(
            f"each mask is of one object, so there are two classes, but {len(names)} are named; name the background and the "
            f"objects, such as {option('data.classes', ['background', names[-1]])}"
        )
    if not names:
        return {0: "background", 1: "object"}
    if len(names) == 2 and not by_place and not _is_background(names[0]):
        raise InputError(
            f"each mask is of one object, so there are two classes, the background and the object, but {names[0]} and "
            f"{names[1]} are named; say which is which: {option('data.classes', ['background', names[1]])}, or "
            f"{option('data.classes', list(names))} if {names[0]} is the background"
        )
    return dict(enumerate(names if len(names) == 2 else ["background", *names]))


def _is_background(name: str) -> bool:
    return name.strip("_ ").casefold() in ("background", "bg")
