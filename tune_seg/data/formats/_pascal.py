"""What VOC, SBD and COCO share: the twenty classes of PASCAL VOC, and lists of image names."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tune_seg.data.dataset import SPLITS, Sample, SplitName, problems_error
from tune_seg.data.splitting import text
from tune_seg.errors import InputError

CLASS_NAMES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

VOID = 255
"""The label of the borders of objects and of what is too hard to classify."""


def home_of(root: Path, homes: Iterable[str], folders: Sequence[str]) -> Path | None:
    """The first of the folders `homes` in `root` that holds all `folders`; None where there is none."""
    found = (root / home for home in homes)
    return next((home for home in found if all((home / folder).is_dir() for folder in folders)), None)


def listed(path: Path) -> list[str]:
    """The names in a list, one a line, each once.

    Raises:
        InputError: it cannot be read, or it is empty.
    """
    names = dict.fromkeys(line.split()[0] for line in text(path).splitlines() if line.strip())
    if not names:
        raise InputError(f"{path}: the list is empty; it needs one image name a line")
    return list(names)


def listed_split(folder: Path) -> tuple[list[str], list[str]]:
    """The names in train.txt and in val.txt.

    Raises:
        InputError: as :func:`listed`, or a name is in both, as with SBD's train.txt beside VOC's val.txt.
    """
    train, val = (listed(folder / f"{split}.txt") for split in SPLITS)
    both = sorted(set(train) & set(val))
    if both:
        raise problems_error(f"{folder / 'train.txt'} and val.txt both name these images; take each out of one:", both)
    return train, val


def samples_of(names: list[str], source: Path, images: Path, masks: Path, suffix: str, split: SplitName) -> list[Sample]:
    """The samples of these names: IMAGES/name.jpg and MASKS/name with `suffix`.

    Args:
        names: those of the images.
        source: the file that names them, for messages.
        images, masks: the folders.
        suffix: that of a mask.
        split: that of all of them.

    Raises:
        InputError: a file is missing.
    """
    samples = [Sample(name, split, images / f"{name}.jpg", masks / f"{name}{suffix}") for name in names]
    missing = [
        str(path) for sample in samples for path in (sample.image, sample.mask) if path is not None and not path.is_file()
    ]
    if missing:
        raise problems_error(f"{source} names samples that are not there; unpack the whole set. Missing:", missing)
    return samples
