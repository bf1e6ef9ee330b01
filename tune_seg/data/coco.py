"""COCO instances, drawn as masks of VOC's twenty classes: annotations/instances_*.json and the folders of images.

The classes are those of the training script of torchvision's segmentation models, with which Taubert's *refine* models were
pretrained. As there, pixels on which objects of different classes overlap are ignored; unlike there, an overlap within one
class is of that class, and crowds are ignored.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tune_seg.config import DataConfig
from tune_seg.data.dataset import IGNORE_INDEX, SPLITS, Dataset, Image, Mask, Sample, SplitName
from tune_seg.data.files import stamp
from tune_seg.data.options import Options, read_options
from tune_seg.data.pascal import CLASS_NAMES
from tune_seg.data.pictures import RGB
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
_FEWEST_NUMBERS = 6  # of a polygon: three points


class CocoOptions(Options):
    """`data.options` of COCO.

    Arguments:
        only_labelled: whether images in which none of the twenty classes occurs are left out, on both sides of the split.
    """

    only_labelled: bool = True


class Region(NamedTuple):
    """An object, or a crowd of them.

    Arguments:
        label: its class index, 1 to 20.
        crowd: whether it is a crowd, in which single objects were not told apart.
        segmentation: as COCO has it: polygons, or run lengths as numbers or compressed.
    """

    label: int
    crowd: bool
    segmentation: Any


class Annotation(NamedTuple):
    """What is drawn on an image of this height and width."""

    size: tuple[int, int]
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class CocoDataset(Dataset):
    """Images and the objects on them.

    Arguments:
        samples: `mask` is the JSON file.
        annotations: by file name of the image.
    """

    annotations: Mapping[Path, Annotation]

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASS_NAMES

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        assert sample.image is not None
        image = RGB.read(sample.image)
        size, regions = self.annotations[sample.image]
        if image.shape[:2] != size:
            raise InputError(
                f"{sample.image}: {image.shape[1]} x {image.shape[0]} pixels, but {sample.mask} says {size[1]} x {size[0]}"
            )
        try:
            return image, draw(regions, size)
        except MemoryError:
            raise
        except Exception as error:  # pycocotools raises whatever it met
            raise InputError(
                f"{sample.mask}: a segmentation on {sample.image.name} cannot be drawn ({error}); is the file damaged?"
            ) from error

    def source(self) -> dict[str, Any]:
        return {
            "annotations": [stamp(path) for path in sorted({sample.mask for sample in self.samples if sample.mask})],
            "samples": [(sample.id, sample.split, stamp(sample.image)) for sample in self.samples],
        }


def looks_like(root: Path) -> bool:
    """Whether both files of instances are there."""
    return all(any((root / "annotations").glob(f"instances_{split}*.json")) for split in SPLITS)


def read_coco(config: DataConfig) -> CocoDataset:
    """The data set under `config.root`, with the images in ROOT/train2017 or ROOT/images/train2017.

    Raises:
        InputError: a file or a folder is missing, a file is no COCO file or there are several, `data.classes` is given, or
            as :func:`~tune_seg.data.splitting.divide`.
    """
    assert config.root is not None
    options = read_options(config, CocoOptions)
    for key in ("classes", "ignore_label"):
        if getattr(config, key) is not None:
            raise InputError(f"data.{key}: COCO is read with the twenty classes of VOC; leave it out")
    annotations: dict[Path, Annotation] = {}
    published: list[Sample] = []
    for split in SPLITS:
        path = _instances(config.root, split)
        found = _annotations(path, _images(config.root, path))
        if options.only_labelled:
            found = {image: entry for image, entry in found.items() if any(not region.crowd for region in entry.regions)}
        if not found:
            raise InputError(f"{path}: none of its images shows one of VOC's twenty classes")
        annotations |= found
        published += [Sample(image.stem, split, image, path) for image in sorted(found)]
    return CocoDataset(divide(published, config.split, config.root), annotations)


def draw(regions: Iterable[Region], size: tuple[int, int]) -> Mask:
    """Class indices, uint8 (H, W): background is 0.

    No object wins over another: where objects of different classes overlap, the pixel is ignored, and where they are of one
    class, it is of that class. A crowd is ignored where no object lies on it. So the order of the regions changes nothing.

    Arguments:
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
            polygons = [polygon for polygon in shape if len(polygon) >= _FEWEST_NUMBERS]
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


def _annotations(path: Path, images: Path) -> dict[Path, Annotation]:
    """All images of a file of instances, with their objects of the twenty classes."""
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file)
        labels = {
            category["id"]: label
            for label, name in enumerate(CLASS_NAMES)
            for category in content["categories"]
            if category["name"] == _NAMES_IN_COCO.get(name, name)
        }
        regions: dict[int, list[Region]] = {image["id"]: [] for image in content["images"]}
        for entry in content["annotations"]:
            if entry["category_id"] in labels:
                region = Region(labels[entry["category_id"]], bool(entry.get("iscrowd", 0)), entry["segmentation"])
                regions[entry["image_id"]].append(region)
        return {
            images / image["file_name"]: Annotation((image["height"], image["width"]), tuple(regions[image["id"]]))
            for image in content["images"]
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a file of COCO instances with images, annotations and categories ({type(error).__name__}: {error})"
        ) from error
