"""The classes of a COCO set: the categories of its files, or VOC's twenty, of which COCO has objects."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tune_seg.data.dataset import MAX_CLASSES
from tune_seg.data.formats._pascal import CLASS_NAMES
from tune_seg.errors import InputError

_NAMES_IN_COCO = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
VOC_LABELS = {_NAMES_IN_COCO.get(name, name): label for label, name in enumerate(CLASS_NAMES)}
"""VOC's labels by the names of COCO's categories."""

_COCO = (
    "1 person,2 bicycle,3 car,4 motorcycle,5 airplane,6 bus,7 train,8 truck,9 boat,10 traffic light,11 fire hydrant,"
    "13 stop sign,14 parking meter,15 bench,16 bird,17 cat,18 dog,19 horse,20 sheep,21 cow,22 elephant,23 bear,24 zebra,"
    "25 giraffe,27 backpack,28 umbrella,31 handbag,32 tie,33 suitcase,34 frisbee,35 skis,36 snowboard,37 sports ball,"
    "38 kite,39 baseball bat,40 baseball glove,41 skateboard,42 surfboard,43 tennis racket,44 bottle,46 wine glass,47 cup,"
    "48 fork,49 knife,50 spoon,51 bowl,52 banana,53 apple,54 sandwich,55 orange,56 broccoli,57 carrot,58 hot dog,59 pizza,"
    "60 donut,61 cake,62 chair,63 couch,64 potted plant,65 bed,67 dining table,70 toilet,72 tv,73 laptop,74 mouse,75 remote,"
    "76 keyboard,77 cell phone,78 microwave,79 oven,80 toaster,81 sink,82 refrigerator,84 book,85 clock,86 vase,87 scissors,"
    "88 teddy bear,89 hair drier,90 toothbrush"
)
_CATEGORIES = {int(number): name for number, _, name in (entry.partition(" ") for entry in _COCO.split(","))}


class Category(NamedTuple):
    """A category of a file: its name, that of the group it is in, and the number of its objects."""

    name: str
    group: str
    objects: int


Categories = Mapping[int, Category]
"""The categories of a file by their ids."""


def are_cocos(categories: Categories) -> bool:
    """Whether all of these are categories of COCO itself, by id and name."""
    return all(_CATEGORIES.get(number) == category.name for number, category in categories.items())


def own_classes(files: Sequence[Categories]) -> tuple[tuple[str, ...], list[dict[int, int]], list[str]]:
    """The classes of files with categories of one's own: background, and the categories in the order of their ids.

    Returns:
        The names of the classes; of each file, the class index of each category; and the categories that are left out,
        because they only stand for a group of others, as Roboflow has one.

    Raises:
        InputError: there are too many categories.
    """
    names = ["background"]
    drawn = {category.name for categories in files for category in categories.values() if category.objects}
    labels: list[dict[int, int]] = []
    left_out: dict[str, None] = {}
    for categories in files:
        indices: dict[int, int] = {}
        for number, category in sorted(categories.items()):
            others = [other.group for key, other in categories.items() if key != number]
            if category.name not in drawn and others and all(group == category.name for group in others):
                left_out[category.name] = None
            elif category.name.strip("_ ").casefold() == "background":
                indices[number] = 0
            else:
                if category.name not in names:
                    names.append(category.name)
                indices[number] = names.index(category.name)
        labels.append(indices)
    if not 2 <= len(names) <= MAX_CLASSES:
        raise InputError(
            f"data.root: {len(names) - 1} categories; with the background there must be 2 to {MAX_CLASSES} classes"
        )
    return tuple(names), labels, list(left_out)
