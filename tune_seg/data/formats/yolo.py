"""YOLO's segmentation labels, as Ultralytics reads them: data.yaml, images, and a file of outlines for each.

https://docs.ultralytics.com/datasets/segment/
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from tune_seg.config import DataConfig
from tune_seg.data.dataset import IGNORE_INDEX, MAX_CLASSES, SPLITS, TEST, Mask, Sample, SplitName, problems_error
from tune_seg.data.formats._yolo_files import YoloSet, find_yaml, label_of, read_set
from tune_seg.data.formats._yolo_labels import LabelFile, read_labels
from tune_seg.data.formats.coco import Region, draw
from tune_seg.data.groups import GroupOptions, grouped
from tune_seg.data.images.files import FileDataset
from tune_seg.data.images.pictures import shape_of
from tune_seg.data.labels import Labels
from tune_seg.data.options import read_options
from tune_seg.data.splitting import divide
from tune_seg.errors import InputError

LAYOUT = "data.yaml with train, val and names, images/, and labels/NAME.txt with lines `class x1 y1 x2 y2 x3 y3 ...`"


class YoloOptions(GroupOptions):
    """`data.options` of YOLO."""

    overlap: Literal["last", "ignore"] = "last"
    """Which class pixels have on which objects of two classes lie: that of the `last` in the file, or none, `ignore`."""


@dataclass(frozen=True)
class OutlineMasks:
    """Draws the outlines in label files.

    Attributes:
        images: the image of each label file.
        names: of the class numbers.
        labels: the class index of each class number.
        on_top: whether an object covers those before it.
    """

    images: Mapping[Path, Path] = field(repr=False)
    names: Mapping[int, str]
    labels: Mapping[int, int]
    on_top: bool

    def read(self, path: Path, part: int | None = None) -> Mask:
        """The class indices of a label file, (H, W) of its image.

        Raises:
            InputError: a line is no object, or the size of its image cannot be read.
        """
        size = shape_of(self.images[path])
        if size is None:
            raise InputError(f"{path}: the size of its image {self.images[path]} cannot be read")
        height, width = size
        regions = [
            Region(self.labels[number], False, [(points * (width, height)).ravel().tolist()])
            for number, points in read_labels(path, self.names).outlines
        ]
        return draw(regions, size, on_top=self.on_top)

    def classes(self, path: Path) -> frozenset[int]:
        """The class indices that a label file says are there, and the background."""
        return frozenset({0, *(self.labels[number] for number, _ in read_labels(path, self.names).outlines)})


@dataclass(frozen=True)
class YoloDataset(FileDataset):
    """Images with files of outlines; without one they are background.

    Attributes:
        masks: draws the outlines.
    """

    masks: OutlineMasks = field(kw_only=True)

    holds_lock: ClassVar[bool] = True  # pycocotools does, while it draws

    def classes_in(self, samples: Sequence[Sample]) -> list[frozenset[int]]:
        """What the files say is there, without drawing it."""
        return [self._said(sample.mask) for sample in samples]

    def _said(self, path: Path | None) -> frozenset[int]:
        try:
            return frozenset({0}) if path is None else self.masks.classes(path)
        except InputError:
            return frozenset()


def looks_like(root: Path) -> bool:
    """Whether there is a data.yaml that names classes and sides."""
    try:
        return find_yaml(root) is not None
    except InputError:  # reading says which files are one too many
        return True


def read_yolo(root: Path, config: DataConfig) -> YoloDataset:
    """The data set under `root`: background, and the classes that data.yaml names.

    The split is that of data.yaml, unless it names the same images to train and to validate. An image without a label file,
    or with an empty one, is background.

    Raises:
        InputError: a file is missing or wrong, no object has an outline, `data.classes` is given, or as
            :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, YoloOptions)
    for key in ("classes", "ignore_label"):
        if getattr(config, key) is not None:
            raise InputError(f"data.{key}: YOLO is read with background and the names of data.yaml as classes; leave it out")
    file = find_yaml(root)
    assert file is not None
    found = read_set(file, held_out=config.split.test == "published")
    names, labels = _classes(found)
    sides = _sides(found)
    samples = [
        Sample(name, side, image, label if label.is_file() else None)
        for side, images in sides.items()
        for name, image in _named(images).items()
        for label in [label_of(image, file.parent)]
    ]
    notes = [*found.notes, *_checked(file, samples, found.names)]
    if options.overlap == "last":
        notes.append(
            "Where objects of two classes overlap, the later one in the file counts; --set data.options.overlap=ignore "
            "leaves these pixels out."
        )
    masks = OutlineMasks(
        {sample.mask: sample.image for sample in samples if sample.mask is not None and sample.image is not None},
        found.names,
        labels,
        options.overlap == "last",
    )
    return YoloDataset(
        divide(grouped(samples, options.group), config.split, root),
        Labels(names, {index: index for index in range(len(names))}, frozenset({IGNORE_INDEX})),
        layout=tuple(notes),
        blank=True,
        masks=masks,
    )


def _classes(found: YoloSet) -> tuple[tuple[str, ...], dict[int, int]]:
    """The names of the classes, background first, and the class index of each class number."""
    others = [name for name in found.names.values() if not _is_background(name)]
    if not 1 <= len(others) < MAX_CLASSES:
        raise InputError(f"{found.file}: {len(others)} names; with the background there must be 2 to {MAX_CLASSES} classes")
    names = ("background", *others)
    labels = {number: 0 if _is_background(name) else names.index(name) for number, name in found.names.items()}
    found.notes.append(f"The classes are background and the names of {found.file.name}: {', '.join(others)}.")
    return names, labels


def _is_background(name: str) -> bool:
    return name.strip("_ ").casefold() == "background"


def _sides(found: YoloSet) -> dict[SplitName, list[Path]]:
    """The images of each side that is read; all are on the side of `train` where there are not both sides."""
    sides = {side: list(dict.fromkeys(images)) for side, images in found.images.items()}
    if sides.keys() >= set(SPLITS):
        both = set(sides["train"]) & set(sides["val"])
        if not both:
            return sides
        if both != set(sides["train"]) | set(sides["val"]):
            raise problems_error(
                f"{found.file}: train and val have {len(both)} images in common; take each out of one:",
                sorted(map(str, both)),
            )
        found.notes.append(f"{found.file.name} names the same images to train and to validate, so a split is drawn.")
    merged = list(dict.fromkeys(image for side in SPLITS for image in sides.get(side, [])))
    return {"train": merged, **({TEST: sides[TEST]} if TEST in sides else {})}


def _named(images: Sequence[Path]) -> dict[str, Path]:
    """The images of a side by their names: their paths from the folder that all are in, without suffix."""
    folder = os.path.commonpath([image.parent for image in images])
    named: dict[str, Path] = {}
    twice: list[str] = []
    for image in images:
        name = str(image.relative_to(folder).with_suffix(""))
        if name in named:
            twice.append(f"{image} and {named[name].name}")
        named[name] = image
    if twice:
        raise problems_error("two images have one label file, so it is not clear whose labels these are:", twice)
    return named


def _checked(file: Path, samples: Sequence[Sample], names: Mapping[int, str]) -> list[str]:
    """What to say of the label files, all of which are read once.

    Raises:
        InputError: lines are wrong, or a side has no outline.
    """
    labels: dict[Path, LabelFile] = {}
    problems: list[str] = []
    for sample in samples:
        if sample.mask is not None:
            try:
                labels[sample.mask] = read_labels(sample.mask, names)
            except InputError as error:
                problems.append(str(error))
    if problems:
        raise problems_error(f"{len(problems)} label files cannot be used:", problems)
    for side in dict.fromkeys(sample.split for sample in samples):
        mine = [sample for sample in samples if sample.split == side]
        if not any(labels[sample.mask].outlines for sample in mine if sample.mask is not None):
            raise InputError(f"{file}: {side}: {_nothing_shown(file.parent, mine, labels)}")
    boxes = sum(each.boxes for each in labels.values())
    outside = sum(each.outside for each in labels.values())
    without = sum(sample.mask is None for sample in samples)
    empty = sum(not each.outlines and not each.boxes for each in labels.values())
    beside = {sample.image.parent for sample in samples if sample.image is not None}  # with lists of images, perhaps
    folders = {path.parent for path in labels} - beside
    stray = sorted({path for at in folders for path in at.glob("*.txt") if path.stem != "classes"} - labels.keys())
    return [
        note
        for count, note in (
            (boxes, f"{boxes} lines are boxes (four numbers), which have no outline, and are left out."),
            (outside, f"{outside} outlines go beyond their image; what lies outside is cut off."),
            (without, f"{without} of {len(samples)} images have no label file and are background throughout."),
            (empty, f"{empty} of {len(samples)} images have an empty label file and are background throughout."),
            (len(stray), f"{len(stray)} label files have no image and are not used, such as {stray[0] if stray else ''}."),
        )
        if count
    ]


def _nothing_shown(root: Path, samples: Sequence[Sample], labels: Mapping[Path, LabelFile]) -> str:
    mine = [labels[sample.mask] for sample in samples if sample.mask is not None]
    if not mine:
        image = samples[0].image
        assert image is not None
        return f"none of {len(samples)} images has a label file; that of {image} is {label_of(image, root)}"
    if any(each.boxes for each in mine):
        return "no object has an outline; boxes alone make no masks, so export the outlines (segmentation, polygons)"
    return "all label files are empty, so there is nothing to learn"
