"""A folder of images and masks: ROOT/images and ROOT/masks, matched by file name without extension."""

from pathlib import Path

from tune_seg.config import DataConfig
from tune_seg.data.dataset import SPLITS, Sample, problems_error
from tune_seg.data.files import FileDataset, Scan, match
from tune_seg.data.labels import declared
from tune_seg.data.splitting import divide, text
from tune_seg.errors import InputError

LAYOUT = "images/, masks/"

IGNORE_LABEL = 255


def looks_like(root: Path) -> bool:
    """Whether the folders are there."""
    return (root / "images").is_dir() and (root / "masks").is_dir()


def read_folder(config: DataConfig) -> FileDataset:
    """The data set under `config.root`.

    The published split is the folders images/train, images/val, masks/train, masks/val, if there are such. The class names
    are those of `config.classes`; of ROOT/classes.txt, one a line, the first for the value 0; or one for each distinct
    value.

    Raises:
        InputError: a folder is missing or empty, or as :func:`~tune_seg.data.splitting.divide`.
    """
    assert config.root is not None
    samples = divide(_samples(config.root), config.split, config.root)
    classes = config.classes or _class_file(config.root)
    if classes is not None:
        return FileDataset(samples, declared(classes, config.ignore_label, IGNORE_LABEL))
    ignore_label = IGNORE_LABEL if config.ignore_label is None else config.ignore_label
    masks = tuple(sample.mask for sample in samples if sample.mask is not None)
    return FileDataset(samples, Scan(masks, ignore_label, config.root / "masks"))


def _samples(root: Path) -> list[Sample]:
    images, masks = root / "images", root / "masks"
    folders = [folder / name for folder in (images, masks) for name in SPLITS]
    if not any(folder.is_dir() for folder in folders):
        return match(images, masks, "train")
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise problems_error("a split by folders needs images and masks for train and val; missing:", missing)
    return [sample for name in SPLITS for sample in match(images / name, masks / name, name)]


def _class_file(root: Path) -> tuple[str, ...] | None:
    path = root / "classes.txt"
    if not path.is_file():
        return None
    names = tuple(line.strip() for line in text(path).rstrip().splitlines())
    if "" in names:
        raise InputError(f"{path}: line {names.index('') + 1} is empty; line n names the class of the value n - 1")
    if len(set(names)) != len(names):
        raise InputError(f"{path}: a class name stands twice; line n names the class of the value n - 1")
    return names
