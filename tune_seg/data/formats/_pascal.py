"""What VOC, SBD and COCO share: the twenty classes of PASCAL VOC, and lists of image names."""

from collections.abc import Container, Iterable, Sequence
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from tune_seg.data.dataset import SPLITS, Sample, SplitName, problems_error
from tune_seg.data.images.pictures import IMAGE_SUFFIXES
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


def listed(path: Path, known: Container[str] = ()) -> list[str]:
    """The names in a list, one a line, each once: without folders and extensions, which they may have.

    Args:
        path: the list.
        known: the names of images, which tell a name with blanks from a name with more columns behind it.

    Raises:
        InputError: it cannot be read, or it is empty.
    """
    names = dict.fromkeys(_name(line.strip(), known) for line in text(path).splitlines() if line.strip())
    if not names:
        raise InputError(f"{path}: the list is empty; it needs one image name a line")
    return list(names)


def _name(line: str, known: Container[str]) -> str:
    for entry in (line, line.split()[0]):
        file = PurePosixPath(entry.replace("\\", "/"))
        for name in (entry, file.stem if file.suffix.lower() in IMAGE_SUFFIXES else file.name):
            if (name := normalize("NFC", name)) in known:
                return name
    return line.split()[0]


def images_in(folder: Path) -> dict[str, Path]:
    """The images in a folder by name; of several formats, JPEG.

    Raises:
        InputError: two of one name, none of which ends in .jpg.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found.setdefault(normalize("NFC", path.stem), []).append(path)
    chosen = {name: next((path for path in paths if path.suffix == ".jpg"), paths[0]) for name, paths in found.items()}
    twice = [
        f"{paths[0]} and {paths[1].name}" for name, paths in found.items() if paths[1:] and chosen[name].suffix != ".jpg"
    ]
    if twice:
        raise problems_error("two images have one name; take one of them away:", twice)
    return chosen


def listed_split(folder: Path, known: Container[str] = ()) -> tuple[list[str], list[str]]:
    """The names in train.txt and in val.txt.

    Raises:
        InputError: as :func:`listed`, or a name is in both, as with SBD's train.txt beside VOC's val.txt.
    """
    train, val = (listed(folder / f"{split}.txt", known) for split in SPLITS)
    both = sorted(set(train) & set(val))
    if both:
        raise problems_error(f"{folder / 'train.txt'} and val.txt both name these images; take each out of one:", both)
    return train, val


def samples_of(names: list[str], source: Path, images: Path, masks: Path, suffix: str, split: SplitName) -> list[Sample]:
    """The samples of these names: IMAGES/name.jpg, or of another format, and MASKS/name with `suffix`.

    Args:
        names: those of the images.
        source: the file that names them, for messages.
        images, masks: the folders.
        suffix: that of a mask.
        split: that of all of them.

    Raises:
        InputError: a file is missing.
    """
    files = images_in(images)
    samples = [Sample(name, split, files.get(name, images / f"{name}.jpg"), masks / f"{name}{suffix}") for name in names]
    missing = [
        str(path) for sample in samples for path in (sample.image, sample.mask) if path is not None and not path.is_file()
    ]
    if missing:
        raise problems_error(f"{source} names samples that are not there; unpack the whole set. Missing:", missing)
    return samples
