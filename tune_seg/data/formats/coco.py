"""COCO instances, drawn as masks: exports of annotation tools with their own categories, COCO itself with VOC's classes.

VOC's twenty are those of the training script of torchvision's segmentation models, with which Taubert's *refine* models
were pretrained. As there, pixels on which objects of different classes overlap are ignored; unlike there, an overlap within
one class is of that class, and crowds are ignored.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tune_seg.config import DataConfig
from tune_seg.data.dataset import IGNORE_INDEX, Dataset, Image, Mask, Sample
from tune_seg.data.formats._coco_classes import VOC_LABELS, Categories, are_cocos, own_classes
from tune_seg.data.formats._coco_files import instance_files, locate, published, published_images
from tune_seg.data.formats._coco_json import Annotation, CocoFile, read_file, used_images
from tune_seg.data.formats._pascal import CLASS_NAMES
from tune_seg.data.groups import GroupOptions, grouped
from tune_seg.data.images.pictures import RGB
from tune_seg.data.images.scan import stamp
from tune_seg.data.options import read_options
from tune_seg.data.splitting import divide, unlisted
from tune_seg.errors import InputError

LAYOUT = (
    "annotations/instances_train*.json, annotations/instances_val*.json, and the folders of their images; or an export, "
    "such as annotations/*.json, train/_annotations.coco.json, result.json"
)

_MIN_NUMBERS = 6  # of a polygon: three points


class CocoOptions(GroupOptions):
    """`data.options` of COCO."""

    classes: Literal["file", "voc"] | None = None
    """`file`: background and the categories of the file. `voc`: background and VOC's twenty classes, all else is background.
    null: `voc` for the files of COCO itself (instances_train2017.json with its own categories), else `file`."""

    only_labelled: bool | None = None
    """Leave out images in which none of the classes occurs, on all sides of the split. null: with VOC's classes alone."""

    overlap: Literal["last", "ignore"] | None = None
    """Which class pixels have on which objects of two classes lie: that of the `last` in the file, or none, `ignore`. null:
    `ignore` with VOC's classes, else `last`."""


class Region(NamedTuple):
    """An object, or a crowd of them.

    Args:
        label: its class index.
        crowd: whether it is a crowd, in which single objects were not told apart.
        segmentation: as COCO has it: polygons, or run lengths as numbers or compressed.
    """

    label: int
    crowd: bool
    segmentation: Any


@dataclass(frozen=True)
class CocoDataset(Dataset):
    """Images with their objects, which stay in the JSON file until they are drawn.

    Attributes:
        samples: `mask` is the JSON file.
        annotations: by the JSON file and the image, which may be in several of these files.
        labels: of each JSON file, the class indices of its categories.
        names: of the classes.
        on_top: whether an object covers those before it.
        taken: what was taken for granted.
    """

    annotations: Mapping[tuple[Path, Path], Annotation]
    labels: Mapping[Path, Mapping[int, int]]
    names: tuple[str, ...] = CLASS_NAMES
    on_top: bool = False
    taken: tuple[str, ...] = ()

    holds_lock: ClassVar[bool] = True  # pycocotools does, while it draws

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.names

    @property
    def notes(self) -> tuple[str, ...]:
        return self.taken

    def shape(self, sample: Sample) -> tuple[int, int] | None:
        return None if sample.image is None or sample.mask is None else self.annotations[sample.mask, sample.image].size

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        assert sample.image is not None and sample.mask is not None
        image = RGB.read(sample.image)
        size, places = self.annotations[sample.mask, sample.image]
        if image.shape[:2] != size:
            raise InputError(
                f"{sample.image}: {image.shape[1]} x {image.shape[0]} pixels, but {sample.mask} says {size[1]} x {size[0]}"
            )
        try:
            return image, draw(_regions(sample.mask, places, self.labels[sample.mask]), size, on_top=self.on_top)
        except MemoryError:
            raise
        except Exception as error:  # pycocotools raises whatever it met
            reason = str(error) or type(error).__name__
            raise InputError(
                f"{sample.mask}: a segmentation on {sample.image.name} cannot be drawn ({reason}); is the file damaged?"
            ) from error

    def classes_in(self, samples: Sequence[Sample]) -> list[frozenset[int]]:
        return [self._named(sample) for sample in samples]

    def _named(self, sample: Sample) -> frozenset[int]:
        """What the file says is there, without drawing it."""
        assert sample.image is not None and sample.mask is not None
        try:
            places = self.annotations[sample.mask, sample.image].places
            return frozenset({0, *(region.label for region in _regions(sample.mask, places, self.labels[sample.mask]))})
        except (InputError, LookupError, ValueError):
            return frozenset()

    def source(self) -> dict[str, Any]:
        return {
            **({} if self.names == CLASS_NAMES and not self.on_top else {"classes": self.names, "on_top": self.on_top}),
            "annotations": [stamp(path) for path in sorted({sample.mask for sample in self.samples if sample.mask})],
            "samples": [(sample.id, sample.split, stamp(sample.image)) for sample in self.samples],
        }


def looks_like(root: Path) -> bool:
    """Whether there are files of instances, and no folders of images and masks beside them."""
    if all((root / name).is_dir() for name in ("images", "masks")):
        return False
    try:
        return bool(instance_files(root))
    except InputError:  # reading says which files are one too many
        return True


def read_coco(root: Path, config: DataConfig) -> CocoDataset:
    """The data set under `root`: the files of objects, each with the images that it names.

    The images of COCO itself are in ROOT/train2017 or ROOT/images/train2017; those of other files where they say, or below
    ROOT.

    Raises:
        InputError: a file or a folder is missing, a file is no COCO file or there are several, `data.classes` is given, or
            as :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, CocoOptions)
    paths = instance_files(root, held_out=config.split.test == "published")
    if not paths:
        raise InputError(f"{root}: no file of COCO instances that trains")
    files = {path: read_file(path) for path in paths.values()}
    cocos = all(published(path) and are_cocos(file.categories) for path, file in files.items())
    voc = options.classes == "voc" or (options.classes is None and cocos)
    for key in ("classes", "ignore_label"):
        if getattr(config, key) is not None:
            which = "the twenty classes of VOC" if voc else "background and the categories of its file as classes"
            raise InputError(f"data.{key}: COCO is read with {which}; leave it out")
    notes: list[str] = []
    if voc:
        names: tuple[str, ...] = CLASS_NAMES
        labels = [
            {
                number: VOC_LABELS[category.name]
                for number, category in file.categories.items()
                if category.name in VOC_LABELS
            }
            for file in files.values()
        ]
        notes += _voc_notes([file.categories for file in files.values()])
    else:
        for path, file in files.items():
            _reject_unlisted(path, file)
        names, labels, left_out = own_classes([file.categories for file in files.values()])
        notes.append(f"The classes are background and the categories of the file: {', '.join(names[1:])}.")
        notes += [f"The category {name} has no objects and stands for the others; it is no class." for name in left_out]
    only_labelled = voc if options.only_labelled is None else options.only_labelled
    on_top = (options.overlap or ("ignore" if voc else "last")) == "last"
    annotations: dict[tuple[Path, Path], Annotation] = {}
    samples: list[Sample] = []
    for (side, path), own in zip(paths.items(), labels, strict=True):
        file = files[path]
        found = _located(root, path, file)
        kept = used_images(file, own, only_labelled, crowds=not voc)
        if not any(len(annotation.places) for annotation in kept.values()):
            raise InputError(f"{path}: {_nothing_shown(file, voc)}")
        notes += _left_out(path, file, kept, only_labelled, crowds=not voc)
        annotations |= {(path, found[name]): annotation for name, annotation in kept.items()}
        samples += [Sample(_id(name, cocos), side, found[name], path) for name in sorted(kept)]
    if on_top:
        notes.append(
            "Where objects of two classes overlap, the later one in the file counts; --set data.options.overlap=ignore "
            "leaves these pixels out."
        )
    labels_of = dict(zip(paths.values(), labels, strict=True))
    divided = divide(grouped(samples, options.group), config.split, root)
    notes += unlisted(samples, divided)
    return CocoDataset(divided, annotations, labels_of, names, on_top, tuple(notes))


def draw(regions: Iterable[Region], size: tuple[int, int], *, on_top: bool = False) -> Mask:
    """Class indices, uint8 (H, W): background is 0.

    No object covers another, unless later ones are `on_top`. Where objects of different classes overlap, the pixel is
    ignored, and where they are of one class, it is of that class. A crowd is ignored where no object lies on it. So
    the order of the regions changes nothing.

    Args:
        regions: the objects and crowds.
        size: (H, W).
        on_top: whether a region covers those before it; crowds are then objects like others.

    Example:
        >>> square = [[0, 0, 2, 0, 2, 2, 0, 2]]
        >>> draw([Region(7, False, square), Region(15, False, [[1, 0, 3, 0, 3, 1, 1, 1]])], (2, 3)).tolist()
        [[7, 255, 15], [7, 7, 0]]
    """
    if on_top:
        stacked = np.zeros(size, np.uint8)
        for region in regions:
            stacked[_covered([region], size)] = region.label
        return stacked
    by_label: dict[int, list[Region]] = {}
    crowds: list[Region] = []
    for region in regions:
        (crowds if region.crowd else by_label.setdefault(region.label, [])).append(region)
    mask = np.zeros(size, np.uint8)
    for label, objects in by_label.items():
        covered = _covered(objects, size)
        mask[covered] = np.where(mask[covered] == 0, np.uint8(label), np.uint8(IGNORE_INDEX))
    mask[_covered(crowds, size) & (mask == 0)] = IGNORE_INDEX
    return mask


def _covered(regions: Iterable[Region], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Where any of the regions lies, (H, W)."""
    from pycocotools import mask as runs

    height, width = size
    coded: list[Any] = []
    for region in regions:
        shape = region.segmentation
        if isinstance(shape, list):
            # fewer points enclose no pixel, and pycocotools takes four numbers for a box
            polygons = [polygon for polygon in _polygons(shape) if len(polygon) >= _MIN_NUMBERS]
            coded += runs.frPyObjects(polygons, height, width) if polygons else []
        elif isinstance(shape["counts"], list):
            coded.append(runs.frPyObjects(shape, height, width))
        else:
            coded.append(shape)
    if not coded:
        return np.zeros(size, np.bool_)
    covered: npt.NDArray[np.bool_] = runs.decode(runs.merge(coded)).astype(np.bool_)
    if covered.shape != size:
        raise ValueError(f"run lengths of {covered.shape[1]} x {covered.shape[0]} pixels on {width} x {height}")
    return covered


def _polygons(shape: list[Any]) -> list[list[float]]:
    """The polygons of an object, of which some tools write a single one without the list around it."""
    return [shape] if shape and not isinstance(shape[0], list) else shape


def _reject_unlisted(path: Path, file: CocoFile) -> None:
    unlisted = set(file.rows[:, 1].tolist()) - file.categories.keys()
    if unlisted:
        raise InputError(f"{path}: annotations refer to category {min(unlisted)}, which the file does not list")


def _located(root: Path, path: Path, file: CocoFile) -> dict[str, Path]:
    """The image files by the names that a file has for them."""
    names = [name for name, _ in file.images.values()]
    if published(path) and are_cocos(file.categories):
        folder = published_images(root, path)
        return {name: folder / name for name in names}  # too many to look for each
    return locate(root, path, names)


def _id(name: str, cocos: bool) -> str:
    path = Path(name.replace("\\", "/"))
    return path.stem if cocos else str(path.with_suffix("")).lstrip("./")


def _nothing_shown(file: CocoFile, voc: bool) -> str:
    if voc:
        return "none of its images shows one of VOC's twenty classes"
    if len(file.rows) and not file.rows[:, 3].any():
        return "none of its objects has an outline; boxes alone make no masks, so export polygons or masks"
    return "it has no object, so there is nothing to learn"


def _voc_notes(files: Iterable[Categories]) -> list[str]:
    others = dict.fromkeys(c.name for categories in files for c in categories.values() if c.name not in VOC_LABELS)
    if not others:
        return []
    shown = ", ".join(list(others)[:3]) + (", ..." if len(others) > 3 else "")
    return [
        f"The classes are VOC's twenty; objects of {len(others)} other categories ({shown}) are background. "
        "--set data.options.classes=file takes the categories of the file."
    ]


def _left_out(
    path: Path, file: CocoFile, kept: Mapping[str, Annotation], only_labelled: bool, *, crowds: bool
) -> Iterable[str]:
    """What of a file does not count, or counts as background."""
    boxes = file.rows[file.rows[:, 3] == 0]
    if len(boxes):
        images = len(np.unique(boxes[:, 0]))
        yield f"{path.name}: {len(boxes)} of {len(file.rows)} objects have no outline and are left out, on {images} images."
    if crowds and (count := int(file.rows[:, 2].sum())):
        yield f"{path.name}: {count} objects are marked as crowds (iscrowd: 1) and are drawn like the others."
    if only_labelled and len(kept) < len(file.images):
        yield (
            f"{path.name}: {len(file.images) - len(kept)} of {len(file.images)} images show none of the classes and are "
            "left out; --set data.options.only_labelled=false keeps them."
        )
    empty = sum(not len(annotation.places) for annotation in kept.values())
    if empty and not only_labelled:
        yield (
            f"{path.name}: {empty} of {len(file.images)} images have no objects and are background throughout; "
            "--set data.options.only_labelled=true leaves them out."
        )


def _regions(path: Path, places: npt.NDArray[np.int64], labels: Mapping[int, int]) -> list[Region]:
    """The objects and crowds at these positions in a file."""
    regions: list[Region] = []
    with path.open("rb") as file:
        for start, stop in places.tolist():
            file.seek(start)
            entry = json.loads(file.read(stop - start))
            regions.append(Region(labels[int(entry["category_id"])], bool(entry.get("iscrowd", 0)), entry["segmentation"]))
    return regions
