"""What a JSON file of COCO instances says, without the outlines of its objects, which stay in the file."""

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from tune_seg.data.formats._coco_classes import Categories, Category
from tune_seg.data.formats._json_lists import members, unescaped
from tune_seg.errors import InputError


class Annotation(NamedTuple):
    """The (H, W) of an image, and where its objects are in the file, (n, 2): the first byte, and the one after the last."""

    size: tuple[int, int]
    places: npt.NDArray[np.int64]


@dataclass(frozen=True)
class CocoFile:
    """What a JSON file says.

    Attributes:
        categories: by id.
        images: the name and the (H, W) of each image, by id.
        rows: int64 (n, 6), for each object: image, category, whether it is a crowd, whether it has an outline, and where in
            the file it is, as :class:`Annotation` has it.
    """

    categories: Categories
    images: Mapping[int, tuple[str, tuple[int, int]]]
    rows: npt.NDArray[np.int64]


def read_file(path: Path) -> CocoFile:
    """What a JSON file says.

    Raises:
        InputError: it is no file of COCO instances.
    """
    key = ""
    categories: dict[int, tuple[str, str]] = {}
    images: dict[int, tuple[str, tuple[int, int]]] = {}
    columns = array("q")
    try:
        seen: set[str] = set()
        for key, entry, start, stop in members(path):
            seen.add(key)
            if key == "images":
                size = _number(key, entry, "height"), _number(key, entry, "width")
                _enter(key, images, _number(key, entry, "id"), (unescaped(entry["file_name"]), size))
            elif key == "annotations":
                crowd, outlined = bool(entry.get("iscrowd", 0)), bool(entry.get("segmentation"))
                ids = _number(key, entry, "image_id"), _number(key, entry, "category_id")
                columns.extend((*ids, crowd, outlined, start, stop))
            elif key == "categories":
                names = unescaped(str(entry["name"])), unescaped(str(entry.get("supercategory") or ""))
                _enter(key, categories, _number(key, entry, "id"), names)
        missing = [key for key in ("images", "annotations", "categories") if key not in seen]
        if missing:
            raise ValueError(f"no {missing[0]}")
        rows = np.array(columns, np.int64).reshape(-1, 6)
        unknown = set(rows[:, 0].tolist()) - images.keys()
        if unknown:
            raise ValueError(f"annotations refer to image {min(unknown)}, which the file does not list")
        twice = [name for name, count in Counter(name for name, _ in images.values()).items() if count > 1]
        if twice:
            raise ValueError(f"it lists the image {twice[0]} twice")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        what = f"a member of {key} has no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{path}: not a file of COCO instances with images, annotations and categories ({what}); export it again"
        ) from error
    objects = Counter(rows[:, 1].tolist())
    return CocoFile({number: Category(*names, objects[number]) for number, names in categories.items()}, images, rows)


def _number(of: str, entry: Mapping[str, Any], key: str) -> int:
    """A whole number; some tools write theirs as text."""
    value = entry[key]
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(f"{key} of a member of {of} is {value!r}, not a whole number")


_Entry = TypeVar("_Entry", bound=tuple[str, Any])


def _enter(of: str, known: dict[int, _Entry], number: int, entry: _Entry) -> None:
    """Objects name images and categories by their numbers, so that each must be of one."""
    if known.setdefault(number, entry) != entry:
        raise ValueError(f"two members of {of} have the id {number}, {known[number][0]} and {entry[0]}")


def used_images(file: CocoFile, labels: Mapping[int, int], only_labelled: bool, *, crowds: bool) -> dict[str, Annotation]:
    """The images that are used, by name.

    Args:
        file: that names them.
        labels: the class index of each category that is a class.
        only_labelled: whether images without an object of these are left out.
        crowds: whether a crowd is such an object.
    """
    rows = file.rows[np.isin(file.rows[:, 1], list(labels)) & (file.rows[:, 3] > 0)]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    numbers, firsts = np.unique(rows[:, 0], return_index=True)
    of_image = dict(zip(numbers.tolist(), np.split(rows, firsts[1:]), strict=True)) if len(rows) else {}
    nothing = rows[:0]
    found: dict[str, Annotation] = {}
    for number, (name, size) in file.images.items():
        mine = of_image.get(number, nothing)
        if not only_labelled or (len(mine) if crowds else not mine[:, 2].all()):
            found[name] = Annotation(size, mine[:, 4:])
    return found
