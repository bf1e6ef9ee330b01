"""From a configuration to a data set: which reader fits, and how much of the set is used."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tune_seg.config import DataConfig
from tune_seg.data.dataset import Dataset, Sample, spread
from tune_seg.data.formats import camvid, cityscapes, coco, folder, mhd, nifti, sbd, voc
from tune_seg.data.formats.dicom import reader as dicom
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
    "cityscapes": _Reader(cityscapes.looks_like, cityscapes.LAYOUT, cityscapes.read_cityscapes),
    "voc": _Reader(voc.looks_like, voc.LAYOUT, voc.read_voc),
    "sbd": _Reader(sbd.looks_like, sbd.LAYOUT, sbd.read_sbd),
    "coco": _Reader(coco.looks_like, coco.LAYOUT, coco.read_coco),
    "mhd": _Reader(mhd.looks_like, mhd.LAYOUT, mhd.read_mhd),
    "nifti": _Reader(nifti.looks_like, nifti.LAYOUT, nifti.read_nifti),
    "dicom": _Reader(dicom.looks_like, dicom.LAYOUT, dicom.read_dicom),
    "folder": _Reader(folder.looks_like, folder.LAYOUT, folder.read_folder),
}


def read(config: DataConfig) -> Dataset:
    """The data set that `config` describes; without a root, the generated one.

    No image is decoded yet, so this takes as long as listing the folders.

    Arguments:
        config: `format` (else it is detected from what is in `root`), `root`, `classes`, `ignore_label`, `split`,
            `options`; `max_train` and `max_val` keep so many samples, spread evenly over the set sorted by id. Of data in
            folds, `max_val` is what each fold keeps at most, and no fold has more than `max_train` to train on.

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
    return replace(dataset, samples=_limited(dataset.samples, config))


def _limited(samples: Sequence[Sample], config: DataConfig) -> tuple[Sample, ...]:
    subsets: dict[str, list[Sample]] = {"train": []}
    for sample in samples:
        subsets.setdefault(sample.subset, []).append(sample)
    train, folds = config.max_train, config.split.folds
    most = {"train": train, "val": config.max_val}
    if folds is not None:
        share = None if train is None else max(1, train // (folds - 1))
        each = min((limit for limit in (share, config.max_val) if limit is not None), default=None)
        sizes = [len(spread(subsets[str(fold)], each)) for fold in range(folds)]
        used = sum(sizes) - min(sizes)
        most = {"train": None if train is None else max(0, train - used), **{str(fold): each for fold in range(folds)}}
    return tuple(sample for subset, kept in subsets.items() for sample in spread(kept, most[subset]))


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
