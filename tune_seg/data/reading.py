"""From a configuration to a data set: which reader fits, and how much of the set is used."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tune_seg.config import DataConfig
from tune_seg.data import camvid, folder
from tune_seg.data.dataset import Dataset, spread
from tune_seg.data.synthetic import SyntheticDataset
from tune_seg.errors import InputError


class _Reader(NamedTuple):
    """A format: whether a root looks like it, the layout that it has, in a line, and what reads it."""

    looks_like: Callable[[Path], bool]
    layout: str
    read: Callable[[DataConfig], Dataset]


# a root that looks like several is the first of them, so what is special comes before what is general
_READERS = {
    "camvid": _Reader(camvid.looks_like, camvid.LAYOUT, camvid.read_camvid),
    "folder": _Reader(folder.looks_like, folder.LAYOUT, folder.read_folder),
}


def read(config: DataConfig) -> Dataset:
    """The data set that `config` describes; without a root, the generated one.

    No image is decoded yet, so this takes as long as listing the folders.

    Arguments:
        config: `format` (else it is detected from the folders in `root`), `root`, `classes`, `ignore_label`, `split`;
            `max_train` and `max_val` keep so many samples, spread evenly over the set sorted by id.

    Raises:
        InputError: there is no such folder, no layout is recognised, or the layout is incomplete.

    Example:
        >>> dataset = read(DataConfig(size=(64, 96), max_train=8, max_val=4))
        >>> image, mask = dataset.load(dataset.samples[0])
        >>> image.shape, mask.shape
        ((64, 96, 3), (64, 96))
    """
    dataset: Dataset
    if config.root is None:
        dataset = SyntheticDataset.generate(config.size, config.split.seed)
    else:
        dataset = _READERS[detect_format(config)].read(config)
    train = [sample for sample in dataset.samples if sample.split == "train"]
    val = [sample for sample in dataset.samples if sample.split == "val"]
    return replace(dataset, samples=spread(train, config.max_train) + spread(val, config.max_val))


def detect_format(config: DataConfig) -> str:
    """The format in which `config` is read: the one that it names, else the first whose layout its root has.

    Raises:
        InputError: there is no such folder, or no layout is recognised.
    """
    if config.root is None:
        return "synthetic"
    if not config.root.is_dir():
        raise InputError(f"data.root: {config.root} is not a folder")
    root = config.root
    candidates = _READERS if config.format is None else {config.format: _READERS[config.format]}
    for name, reader in candidates.items():
        if reader.looks_like(root):
            return name
    wanted = "\n              ".join(f"{name}: {reader.layout}" for name, reader in candidates.items())
    there = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    standing = ", ".join(there[:10]) + (", ..." if len(there) > 10 else "") if there else "nothing"
    raise InputError(
        f"data.root: {root} has no layout that is known here.\n"
        f"  looked for  {wanted}\n"
        f"  found       {standing}\n"
        "Point data.root (--data) at the folder that holds these, or arrange the files as ROOT/images and ROOT/masks, "
        "with PNG masks named like their images"
    )
