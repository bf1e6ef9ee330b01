"""What a JSON file of COCO panoptic segments says."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tune_seg.data.formats._json_lists import members, unescaped
from tune_seg.errors import InputError


class Category(NamedTuple):
    """A category: its name, and whether its segments are things that can be counted, or else stuff."""

    name: str
    thing: bool


@dataclass(frozen=True)
class PanopticFile:
    """What a JSON file says.

    Attributes:
        categories: by id.
        pngs: the PNG file of each image, by the name of the image.
        segments: of each image, int64 (n, 2): the ids of its segments, and their categories.
        unlabelled: images of which it lists no segments.
        crowds: the number of segments that are crowds.
    """

    categories: Mapping[int, Category]
    pngs: Mapping[str, str]
    segments: Mapping[str, npt.NDArray[np.int64]]
    unlabelled: tuple[str, ...]
    crowds: int

    @property
    def names(self) -> list[str]:
        """Of the categories."""
        return [category.name for category in self.categories.values()]


def read_file(path: Path) -> PanopticFile:
    """What a JSON file says.

    Raises:
        InputError: it is no file of panoptic segments, or what it names is not in its lists.
    """
    categories: dict[int, Category] = {}
    images: dict[Hashable, str] = {}
    pngs: dict[Hashable, str] = {}
    segments: dict[Hashable, npt.NDArray[np.int64]] = {}
    crowds = 0
    try:
        for key, entry, _, _ in members(path):
            if key == "images":
                images[entry["id"]] = unescaped(entry["file_name"])
            elif key == "categories":
                categories[entry["id"]] = Category(unescaped(str(entry["name"])), bool(entry.get("isthing", 1)))
            elif key == "annotations":
                number = entry["image_id"]
                if number in pngs:
                    raise ValueError(f"it lists the segments of image {number} twice")
                pngs[number] = unescaped(entry["file_name"])
                segments[number] = _segments(entry)
                crowds += sum(bool(segment.get("iscrowd", 0)) for segment in entry["segments_info"])
        if unknown := pngs.keys() - images.keys():
            raise ValueError(f"it has segments of image {min(map(str, unknown))}, which it does not list")
        if len(set(images.values())) < len(images):
            raise ValueError("it lists an image twice")
        used = {category for each in segments.values() for category in each[:, 1].tolist()}
        if unlisted := used - categories.keys():
            raise ValueError(f"segments refer to category {min(unlisted)}, which it does not list")
        if not pngs:
            raise ValueError("it has no annotations")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: not a file of panoptic segments ({_reason(error)})") from error
    return PanopticFile(
        categories,
        {images[number]: name for number, name in pngs.items()},
        {images[number]: each for number, each in segments.items()},
        tuple(name for number, name in images.items() if number not in pngs),
        crowds,
    )


def _segments(entry: Any) -> npt.NDArray[np.int64]:
    listed = [(segment["id"], segment["category_id"]) for segment in entry["segments_info"]]
    ids = [number for number, _ in listed]
    if any(number <= 0 for number in ids):
        raise ValueError(f"image {entry['image_id']} has a segment {min(ids)}; ids begin with 1, since 0 is void")
    if len(set(ids)) < len(ids):
        raise ValueError(f"image {entry['image_id']} has two segments with one id")
    return np.array(listed, np.int64).reshape(-1, 2)


def _reason(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
