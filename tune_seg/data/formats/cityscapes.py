"""Cityscapes: leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_labelIds.png (Cordts et al. 2016)."""

from pathlib import Path
from typing import Literal

from tune_seg.config import DataConfig
from tune_seg.data.dataset import SPLITS, TEST, Sample, SplitName
from tune_seg.data.images.files import FileDataset
from tune_seg.data.labels import Labels
from tune_seg.data.options import Options, read_options
from tune_seg.data.splitting import divide
from tune_seg.errors import InputError

LAYOUT = "leftImg8bit/, gtFine/"

LABEL_NAMES = (
    "unlabeled",
    "ego vehicle",
    "rectification border",
    "out of roi",
    "static",
    "dynamic",
    "ground",
    "road",
    "sidewalk",
    "parking",
    "rail track",
    "building",
    "wall",
    "fence",
    "guard rail",
    "bridge",
    "tunnel",
    "pole",
    "polegroup",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "caravan",
    "trailer",
    "train",
    "motorcycle",
    "bicycle",
)
"""By label id, 0 to 33; the label -1, license plate, is never drawn."""

_IMAGE_ENDING = "_leftImg8bit.png"
_MASK_ENDING = "_gtFine_labelIds.png"

_CLASSES: dict[str, tuple[int, ...]] = {
    "all": tuple(range(34)),
    "ids": tuple(range(4, 34)),
    "train": (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
}


class CityscapesOptions(Options):
    """`data.options` of Cityscapes."""

    labels: Literal["ids", "all", "train"] = "ids"
    """Which label ids are classes; all others are ignored. `ids`: 4 to 33, the 30 classes that the data set's paper counts
    and Taubert section 4 names. `all`: 0 to 33, as Taubert's code trains them, nothing ignored, so that "unlabeled", "ego
    vehicle", "rectification border" and "out of roi" are classes too. `train`: the 19 that the benchmark evaluates, in the
    order of their train ids."""


def looks_like(root: Path) -> bool:
    """Whether the folders are there."""
    return (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir()


def read_cityscapes(root: Path, config: DataConfig) -> FileDataset:
    """The finely labelled images under `root`: 2,975 train and 500 validate. The labels of `test` are not public:
    the published files of gtFine/test hold no class, so that these images can be held out only with labels of one's own.

    The images of a city are one group where `config.split` divides them anew, as in the published split.

    Raises:
        InputError: a folder is missing or empty, `data.classes` is given, or as :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, CityscapesOptions)
    for key in ("classes", "ignore_label"):
        if getattr(config, key) is not None:
            raise InputError(f"data.{key}: the classes of Cityscapes are chosen with data.options.labels; leave it out")
    ids = _CLASSES[options.labels]
    labels = Labels(
        tuple(LABEL_NAMES[id] for id in ids),
        {id: index for index, id in enumerate(ids)},
        frozenset(range(len(LABEL_NAMES))) - set(ids),
    )
    published = [sample for split in SPLITS for sample in _samples(root, split)]
    if config.split.test == "published" and (root / "gtFine" / TEST).is_dir():
        published += _samples(root, TEST)
    return FileDataset(divide(published, config.split, root), labels)


def _samples(root: Path, split: SplitName) -> list[Sample]:
    images = _files(root / "leftImg8bit" / split, _IMAGE_ENDING)
    masks = _files(root / "gtFine" / split, _MASK_ENDING)
    return [
        Sample(name, split, images.get(name), masks.get(name), group=name.split("_")[0]) for name in sorted(images | masks)
    ]


def _files(folder: Path, ending: str) -> dict[str, Path]:
    """The files of all cities by city, sequence and frame."""
    files = {path.name.removesuffix(ending): path for path in folder.glob(f"*/*{ending}") if not path.name.startswith(".")}
    if not files:
        raise InputError(f"{folder}: no CITY/*{ending} here; unpack both leftImg8bit_trainvaltest and gtFine_trainvaltest")
    return files
