"""COCO instances, drawn as masks of VOC's twenty classes: annotations/instances_*.json and the folders of images.

The classes are those of the training script of torchvision's segmentation models, with which Taubert's *refine* models were
pretrained. As there, pixels on which objects of different classes overlap are ignored; unlike there, an overlap within one
class is of that class, and crowds are ignored.
"""

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from tune_seg.config import DataConfig
from tune_seg.data.dataset import IGNORE_INDEX, SPLITS, Dataset, Image, Mask, Sample, SplitName
from tune_seg.data.formats._json_lists import members, unescaped
from tune_seg.data.formats._pascal import CLASS_NAMES
from tune_seg.data.groups import GroupPattern, grouped
from tune_seg.data.images.files import stamp
from tune_seg.data.images.pictures import RGB
from tune_seg.data.options import Options, read_options
from tune_seg.data.splitting import divide
from tune_seg.errors import InputError

LAYOUT = "annotations/instances_train*.json, annotations/instances_val*.json, and the folders of their images"

_NAMES_IN_COCO = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
_LABELS = {_NAMES_IN_COCO.get(name, name): label for label, name in enumerate(CLASS_NAMES)}
_MIN_NUMBERS = 6  # of a polygon: three points


class CocoOptions(Options):
    """`data.options` of COCO."""

    only_labelled: bool = True
    """Leave out images in which none of the twenty classes occurs, on both sides of the split."""

    group: GroupPattern = None
    """A regular expression found in the name of an image, whose first group (or all of it) names the video, the patient or
    the image that it is a part of; these are kept on one side of the split. `.*` takes every image by itself. null: detected
    from names such as `vid1_0001`, where a split is drawn."""


class Region(NamedTuple):
    """An object, or a crowd of them.

    Args:
        label: its class index, 1 to 20.
        crowd: whether it is a crowd, in which single objects were not told apart.
        segmentation: as COCO has it: polygons, or run lengths as numbers or compressed.
    """

    label: int
    crowd: bool
    segmentation: Any


class Annotation(NamedTuple):
    """The (H, W) of an image, and where its objects are in the file, (n, 2): the first byte, and the one after the last."""

    size: tuple[int, int]
    places: npt.NDArray[np.int64]


@dataclass(frozen=True)
class CocoDataset(Dataset):
    """Images with their objects, which stay in the JSON file until they are drawn.

    Attributes:
        samples: `mask` is the JSON file.
        annotations: by file name of the image.
        labels: of each JSON file, the class indices of its categories.
    """

    annotations: Mapping[Path, Annotation]
    labels: Mapping[Path, Mapping[int, int]]

    holds_lock: ClassVar[bool] = True  # pycocotools does, while it draws

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASS_NAMES

    def shape(self, sample: Sample) -> tuple[int, int] | None:
        return None if sample.image is None else self.annotations[sample.image].size

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        assert sample.image is not None and sample.mask is not None
        image = RGB.read(sample.image)
        size, places = self.annotations[sample.image]
        if image.shape[:2] != size:
            raise InputError(
                f"{sample.image}: {image.shape[1]} x {image.shape[0]} pixels, but {sample.mask} says {size[1]} x {size[0]}"
            )
        try:
            return image, draw(_regions(sample.mask, places, self.labels[sample.mask]), size)
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
            places = self.annotations[sample.image].places
            return frozenset({0, *(region.label for region in _regions(sample.mask, places, self.labels[sample.mask]))})
        except (InputError, LookupError, ValueError):
            return frozenset()

    def source(self) -> dict[str, Any]:
        return {
            "annotations": [stamp(path) for path in sorted({sample.mask for sample in self.samples if sample.mask})],
            "samples": [(sample.id, sample.split, stamp(sample.image)) for sample in self.samples],
        }


def looks_like(root: Path) -> bool:
    """Whether both files of instances are there."""
    return all(any((root / "annotations").glob(f"instances_{split}*.json")) for split in SPLITS)


def read_coco(root: Path, config: DataConfig) -> CocoDataset:
    """The data set under `root`, with the images in ROOT/train2017 or ROOT/images/train2017.

    Raises:
        InputError: a file or a folder is missing, a file is no COCO file or there are several, `data.classes` is given, or
            as :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, CocoOptions)
    for key in ("classes", "ignore_label"):
        if getattr(config, key) is not None:
            raise InputError(f"data.{key}: COCO is read with the twenty classes of VOC; leave it out")
    annotations: dict[Path, Annotation] = {}
    labels: dict[Path, dict[int, int]] = {}
    published: list[Sample] = []
    for split in SPLITS:
        path = _instances(root, split)
        labels[path], found = _annotations(path, _images(root, path), options.only_labelled)
        if not found:
            raise InputError(f"{path}: none of its images shows one of VOC's twenty classes")
        annotations |= found
        published += [Sample(image.stem, split, image, path) for image in sorted(found)]
    return CocoDataset(divide(grouped(published, options.group), config.split, root), annotations, labels)


def draw(regions: Iterable[Region], size: tuple[int, int]) -> Mask:
    """Class indices, uint8 (H, W): background is 0.

    No object covers another: where objects of different classes overlap, the pixel is ignored, and where they are of one
    class, it is of that class. A crowd is ignored where no object lies on it. So the order of the regions changes nothing.

    Args:
        regions: the objects and crowds.
        size: (H, W).

    Example:
        >>> square = [[0, 0, 2, 0, 2, 2, 0, 2]]
        >>> draw([Region(7, False, square), Region(15, False, [[1, 0, 3, 0, 3, 1, 1, 1]])], (2, 3)).tolist()
        [[7, 255, 15], [7, 7, 0]]
    """
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
            polygons = [polygon for polygon in shape if len(polygon) >= _MIN_NUMBERS]
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


def _instances(root: Path, split: SplitName) -> Path:
    there = sorted((root / "annotations").glob(f"instances_{split}*.json"))
    if len(there) > 1:
        raise InputError(f"{there[0]} and {there[1].name} are of two sets; take all but one of them away")
    return there[0]


def _images(root: Path, instances: Path) -> Path:
    """The folder of the images of a file of instances."""
    name = instances.stem.removeprefix("instances_")
    folders = [root / name, root / "images" / name]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise InputError(f"{folders[0]}: no such folder; the images of {instances} belong there or in {folders[1]}")


def _annotations(path: Path, images: Path, only_labelled: bool) -> tuple[dict[int, int], dict[Path, Annotation]]:
    """The class indices of the categories of a file of instances, and its images."""
    labels: dict[int, int] = {}
    sizes: dict[int, tuple[Path, tuple[int, int]]] = {}
    columns = array("q")
    try:
        seen: set[str] = set()
        for key, entry, start, stop in members(path):
            seen.add(key)
            if key == "images":
                sizes[entry["id"]] = images / unescaped(entry["file_name"]), (entry["height"], entry["width"])
            elif key == "annotations":
                crowd = bool(entry.get("iscrowd", 0))
                columns.extend((entry["image_id"], entry["category_id"], crowd, start, stop))
            elif key == "categories" and entry["name"] in _LABELS:
                labels[entry["id"]] = _LABELS[entry["name"]]
        missing = [key for key in ("images", "annotations", "categories") if key not in seen]
        if missing:
            raise ValueError(f"no {missing[0]}")
        return labels, _by_image(sizes, labels, np.array(columns, np.int64).reshape(-1, 5), only_labelled)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path}: not a file of COCO instances with images, annotations and categories ({type(error).__name__}: {error})"
        ) from error


def _by_image(
    sizes: Mapping[int, tuple[Path, tuple[int, int]]],
    labels: Mapping[int, int],
    rows: npt.NDArray[np.int64],
    only_labelled: bool,
) -> dict[Path, Annotation]:
    """The images, from the rows (image, category, crowd, start, stop) of a file's annotations."""
    rows = rows[np.isin(rows[:, 1], list(labels))]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    found: dict[Path, Annotation] = {}
    numbers, firsts = np.unique(rows[:, 0], return_index=True)
    unknown = set(numbers.tolist()) - sizes.keys()
    if unknown:
        raise ValueError(f"annotations refer to image {min(unknown)}, which the file does not list")
    of_image = dict(zip(numbers.tolist(), np.split(rows, firsts[1:]), strict=True)) if len(rows) else {}
    nothing = rows[:0]
    for number, (image, size) in sizes.items():
        mine = of_image.get(number, nothing)
        if not only_labelled or not mine[:, 2].all():
            found[image] = Annotation(size, mine[:, 3:])
    return found


def _regions(path: Path, places: npt.NDArray[np.int64], labels: Mapping[int, int]) -> list[Region]:
    """The objects and crowds at these positions in a file."""
    regions: list[Region] = []
    with path.open("rb") as file:
        for start, stop in places.tolist():
            file.seek(start)
            entry = json.loads(file.read(stop - start))
            regions.append(Region(labels[entry["category_id"]], bool(entry.get("iscrowd", 0)), entry["segmentation"]))
    return regions
