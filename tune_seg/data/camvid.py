"""CamVid in the layout of the SegNet tutorial: train/, trainannot/, val/, valannot/."""

from tune_seg.config import DataConfig, SplitConfig
from tune_seg.data.files import FileDataset, match
from tune_seg.data.labels import declared
from tune_seg.errors import InputError

FOLDERS = ("train", "trainannot", "val", "valannot")

CLASS_NAMES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
VOID = 11


def read_camvid(config: DataConfig) -> FileDataset:
    """The data set under `config.root`; label 11 (void) is ignored unless `config.ignore_label` says otherwise.

    Raises:
        InputError: a folder is missing or empty, or the configuration asks for another split than the folders'.
    """
    assert config.root is not None
    if config.split != SplitConfig(seed=config.split.seed):
        raise InputError("data.split: CamVid is split by its folders train and val; leave data.split out")
    return FileDataset(
        samples=(
            *match(config.root / "train", config.root / "trainannot", "train"),
            *match(config.root / "val", config.root / "valannot", "val"),
        ),
        classes=declared(config.classes or CLASS_NAMES, config.ignore_label, VOID),
    )
