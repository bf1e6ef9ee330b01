"""CamVid in the layout of the SegNet tutorial: train/, trainannot/, val/, valannot/."""

from pathlib import Path

from tune_seg.config import DataConfig
from tune_seg.data.files import FileDataset, match
from tune_seg.data.labels import declared
from tune_seg.data.splitting import divide

LAYOUT = "train/, trainannot/, val/, valannot/"

_FOLDERS = ("train", "trainannot", "val", "valannot")

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


def looks_like(root: Path) -> bool:
    """Whether the folders are there."""
    return all((root / name).is_dir() for name in _FOLDERS)


def read_camvid(config: DataConfig) -> FileDataset:
    """The data set under `config.root`; label 11 (void) is ignored unless `config.ignore_label` says otherwise.

    Raises:
        InputError: a folder is missing or empty, or as :func:`~tune_seg.data.splitting.divide`.
    """
    assert config.root is not None
    published = [
        *match(config.root / "train", config.root / "trainannot", "train"),
        *match(config.root / "val", config.root / "valannot", "val"),
    ]
    return FileDataset(
        samples=divide(published, config.split, config.root),
        classes=declared(config.classes or CLASS_NAMES, config.ignore_label, VOID),
    )
