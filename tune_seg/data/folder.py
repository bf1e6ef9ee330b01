"""A folder of images and masks: ROOT/images and ROOT/masks, matched by file name without extension."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from tune_seg.config import DataConfig, SplitConfig
from tune_seg.data.dataset import SPLITS, Sample, SplitName, problems_error
from tune_seg.data.files import FileDataset, Scan, match
from tune_seg.data.labels import declared
from tune_seg.errors import InputError

FOLDERS = ("images", "masks")

IGNORE_LABEL = 255
VAL_FRACTION = 0.2


def read_folder(config: DataConfig) -> FileDataset:
    """The data set under `config.root`.

    The split is, in this order: the folders images/train, images/val, masks/train, masks/val; what `config.split` says;
    the lists train.txt and val.txt in the root; a seeded fraction of 0.2. The class names are those of
    `config.classes`; of ROOT/classes.txt, one a line, the first for the value 0; or one for each distinct value.

    Raises:
        InputError: a folder is missing or empty, or a list names what is not there.
    """
    assert config.root is not None
    samples = _split(config.root, config.split)
    classes = config.classes or _class_file(config.root)
    if classes is not None:
        return FileDataset(samples, declared(classes, config.ignore_label, IGNORE_LABEL))
    ignore_label = IGNORE_LABEL if config.ignore_label is None else config.ignore_label
    masks = tuple(sample.mask for sample in samples if sample.mask is not None)
    return FileDataset(samples, Scan(masks, ignore_label, config.root / "masks"))


def _split(root: Path, split: SplitConfig) -> tuple[Sample, ...]:
    images, masks = root / "images", root / "masks"
    folders = [folder / name for folder in (images, masks) for name in SPLITS]
    if any(folder.is_dir() for folder in folders):
        missing = [str(folder) for folder in folders if not folder.is_dir()]
        if missing:
            raise problems_error("a split by folders needs images and masks for train and val; missing:", missing)
        if split != SplitConfig(seed=split.seed):
            raise InputError(f"data.split: {images} is split by its folders train and val; leave data.split out")
        return tuple(sample for name in SPLITS for sample in match(images / name, masks / name, name))
    samples = match(images, masks, "train")
    if split.train is not None and split.val is not None:
        return _by_lists(samples, {"train": root / split.train, "val": root / split.val})
    if split.val_fraction is not None:
        return _by_fraction(samples, split.val_fraction, split.seed)
    lists: dict[SplitName, Path] = {name: root / f"{name}.txt" for name in SPLITS}
    there = [path for path in lists.values() if path.is_file()]
    if len(there) == 1:
        raise InputError(f"{there[0]} stands alone; a split by lists needs both train.txt and val.txt in {root}")
    if there:
        return _by_lists(samples, lists)
    return _by_fraction(samples, VAL_FRACTION, split.seed)


def _by_lists(samples: list[Sample], lists: Mapping[SplitName, Path]) -> tuple[Sample, ...]:
    by_id = {sample.id: sample for sample in samples}
    split: dict[str, SplitName] = {}
    problems: list[str] = []
    for name, path in lists.items():
        lines = [line.strip() for line in _text(path).splitlines()]
        entries = [line for line in lines if line]
        if not entries:
            problems.append(f"{path}: the list is empty; it needs one file name a line")
        for entry in entries:
            sample = by_id.get(Path(entry).name) or by_id.get(Path(entry).stem)
            if sample is None:
                problems.append(f"{path}: {entry} is neither an image nor a mask")
            elif split.setdefault(sample.id, name) != name:
                problems.append(f"{path}: {entry} is in the list of {split[sample.id]} too")
    if problems:
        raise problems_error("the lists of the split do not fit the files:", problems)
    return tuple(replace(by_id[id], split=name) for name in SPLITS for id in sorted(split) if split[id] == name)


def _by_fraction(samples: list[Sample], fraction: float, seed: int) -> tuple[Sample, ...]:
    if len(samples) < 2:
        raise InputError(f"{samples[0].image or samples[0].mask}: one sample cannot both train and validate; add more")
    # each sample draws its own place, so that a file that is added later moves at most one other to the other side
    shuffled = sorted((sample.id for sample in samples), key=lambda id: _drawn(id, seed))
    val = set(shuffled[: min(max(round(len(samples) * fraction), 1), len(samples) - 1)])
    return (
        *(sample for sample in samples if sample.id not in val),
        *(replace(sample, split="val") for sample in samples if sample.id in val),
    )


def _drawn(id: str, seed: int) -> bytes:
    return blake2b(f"{seed}/{id}".encode("utf-8", "surrogateescape"), digest_size=8).digest()


def _class_file(root: Path) -> tuple[str, ...] | None:
    path = root / "classes.txt"
    if not path.is_file():
        return None
    names = tuple(line.strip() for line in _text(path).rstrip().splitlines())
    if "" in names:
        raise InputError(f"{path}: line {names.index('') + 1} is empty; line n names the class of the value n - 1")
    if len(set(names)) != len(names):
        raise InputError(f"{path}: a class name stands twice; line n names the class of the value n - 1")
    return names


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error
