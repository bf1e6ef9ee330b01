"""From a configuration, or a folder, to a data set: which reader fits, and how much of the set is used."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, overload

from tune_seg.config import DataConfig, parse
from tune_seg.data.dataset import TEST, Dataset, Sample, spread
from tune_seg.data.groups import (
    detected,
    has_groups,
    names_of,
    note_of_detected,
    note_of_few,
    notes_of_divided,
    notes_of_one,
    of_published,
)
from tune_seg.data.options import options_of
from tune_seg.data.stratifying import stratified
from tune_seg.data.synthetic import SyntheticDataset
from tune_seg.data.tiled import tiled
from tune_seg.errors import InputError
from tune_seg.format_names import FORMATS, FormatName, need_packages


class _Reader(NamedTuple):
    """Whether a root looks like a format, the layout of the format in one line, and what reads it."""

    looks_like: Callable[[Path], bool]
    layout: str
    read: Callable[[Path, DataConfig], Dataset]

    @classmethod
    def of(cls, name: FormatName) -> "_Reader":
        """The reader of a format."""
        module_name, _, function = FORMATS[name].reader.partition(":")
        module = import_module(module_name)
        return cls(module.looks_like, module.LAYOUT, getattr(module, function))


@overload
def read(source: DataConfig, /) -> Dataset: ...
@overload
def read(source: str | Path | None = None, /, **fields: Any) -> Dataset: ...
def read(source: DataConfig | str | Path | None = None, /, **fields: Any) -> Dataset:
    """The data set in a folder, or the one that a configuration describes; without either, the generated one.

    These are the samples that train and validate; those that `split.test` holds out are given by :func:`read_test`.

    No image is decoded yet, so this takes as long as listing the folders.

    Args:
        source: the folder, or a configuration that names it in `root`.
        fields: of :class:`~tune_seg.config.DataConfig`, where `source` is a folder: `format` (else it is detected from what
            is in the folder), `classes`, `ignore_label`, `split`, `options`, and `max_train` and `max_val`, the largest
            numbers of samples to keep, spread evenly over the set sorted by id. Of data in folds, `max_val` is the largest
            number of each fold, and no fold has more than `max_train` to train on. `size` is (H, W) of generated images and
            of volumes with `options.spacing`; other images keep their size until they are packed.

    Raises:
        InputError: there is no such folder, no layout is recognised, the layout is incomplete, a package that the format
            needs is not installed, or a field is unknown or not possible.
        TypeError: fields beside a configuration.

    Example:
        >>> dataset = read(size=(64, 96), max_train=8, max_val=4)
        >>> image, mask = dataset.load(dataset.samples[0])
        >>> image.shape, mask.shape
        ((64, 96, 3), (64, 96))
        >>> read(DataConfig(size=(64, 96), max_train=8, max_val=4)).samples == dataset.samples
        True
    """
    if isinstance(source, DataConfig):
        if fields:
            raise TypeError(f"read(DataConfig) takes no fields, got {', '.join(fields)}; set them in the configuration")
        config = source
    else:
        config = parse(DataConfig, fields if source is None else {**fields, "root": source}, prefix="data")
    return _seen(_whole(config), config)


def read_test(config: DataConfig) -> Dataset | None:
    """The images that `config.split.test` holds out; None where it holds out none.

    :func:`read` never gives one of them. They are for a single test of what was decided without them: `pack` them apart,
    and open the pack with :class:`~tune_seg.data.PackedTest`. The classes are those of the data that :func:`read` gives.
    `max_train` and `max_val` do not limit them.

    Raises:
        InputError: as :func:`read`.

    Example:
        >>> config = DataConfig.model_validate({"size": (64, 96), "split": {"test": "published"}})
        >>> len(read_test(config).samples), {sample.split for sample in read(config).samples} == {"train", "val"}
        (48, True)
    """
    return None if config.split.test is None else _held_out(_whole(config), config)


def read_both(config: DataConfig, packs: Path, *, quick: bool = False) -> tuple[Dataset, Dataset | None]:
    """What :func:`read` and :func:`read_test` give, read once.

    Args:
        config: of the data.
        packs: a folder, if there is one, in which is kept what was read of masks to divide them.
        quick: for a look at the data: no mask is read to put rare classes on every side of a drawn split, so that some
            images may be on another side.
    """
    whole = _whole(config, balance=not quick, packs=packs)
    return _seen(whole, config), None if config.split.test is None else _held_out(whole, config)


def _seen(dataset: Dataset, config: DataConfig) -> Dataset:
    used = _limited([sample for sample in dataset.samples if sample.split != TEST], config)
    return tiled(replace(dataset, samples=used), config)


def _held_out(dataset: Dataset, config: DataConfig) -> Dataset:
    held_out = tuple(sample for sample in dataset.samples if sample.split == TEST)
    return tiled(replace(dataset, samples=held_out), config)


def _whole(config: DataConfig, *, balance: bool = True, packs: Path | None = None) -> Dataset:
    """All samples that are used, also those that are held out; with `balance`, rare classes are on every drawn side."""
    if config.root is None:
        return SyntheticDataset.generate(config.size, config.split.seed)
    name = _detected(config.root, config)
    need_packages(name)
    read = partial(_Reader.of(name).read, config.root)
    dataset = replace(read(config), resize=config.resize)
    if not any(sample.drawn_from for sample in dataset.samples):
        said = dataset.split_notes or tuple(notes_of_divided(dataset.samples))
        if not _takes_groups(name, config):
            return replace(dataset, split_notes=said)
        samples, notes = of_published(dataset.samples)
        return replace(dataset.redivided(tuple(samples)), split_notes=(*said, *notes))
    dataset, notes = _of_groups(dataset, name, config, read)
    dataset, moved = stratified(dataset, config.split.seed, packs) if balance else (dataset, 0)
    if moved:
        notes.append(f"{moved} groups or images of the drawn split changed places, so that rare classes are on every side")
    return replace(dataset, split_notes=(*dataset.split_notes, *notes))


def _of_groups(
    dataset: Dataset, name: FormatName, config: DataConfig, read: Callable[[DataConfig], Dataset]
) -> tuple[Dataset, list[str]]:
    """The data set divided by the groups that the names of its images tell, if they are not known, and what to say of it."""
    if not _takes_groups(name, config):
        return dataset, []
    if has_groups(dataset.samples):  # the reader knows them
        by_name = all(sample.part is None for sample in dataset.samples)
        return dataset, [note_of_detected(dataset.samples)] if by_name else []
    names = names_of(dataset.samples)
    pattern = detected(names)
    if pattern is None:
        return dataset, notes_of_one(names)
    try:
        grouped = read(config.model_copy(update={"options": {**config.options, "group": pattern}}))
    except InputError:  # as if it had not been detected
        return dataset, [note_of_few(pattern, dataset.samples)]
    return replace(grouped, resize=config.resize), [note_of_detected(grouped.samples)]


def _takes_groups(name: FormatName, config: DataConfig) -> bool:
    """Whether groups may be told by names: of formats in which they can be named, where nobody did."""
    return config.options.get("group") is None and "group" in options_of(name).model_fields


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
    return "synthetic" if config.root is None else _detected(config.root, config)


def _detected(root: Path, config: DataConfig) -> FormatName:
    if not root.is_dir():
        raise InputError(f"data.root: {root} is not a folder")
    candidates = [name for name in FORMATS if config.format in (None, name)]
    if config.format == "folder" and {"images", "masks"} <= config.options.keys():
        return "folder"  # which says where the files are, however the folders are called
    if config.format == "rle" and "table" in config.options:
        return "rle"
    for name in candidates:  # the modules of those that follow are not loaded
        if _Reader.of(name).looks_like(root):
            return name
    wanted = "\n              ".join(f"{name}: {_Reader.of(name).layout}" for name in candidates)
    there = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    found = ", ".join(there[:10]) + (", ..." if len(there) > 10 else "") if there else "nothing"
    raise InputError(
        f"data.root: {root} matches no known layout.\n"
        f"  looked for  {wanted}\n"
        f"  found       {found}\n"
        "Point data.root (--data) at the folder that holds these; or say where images and masks are, with --set "
        "data.format=folder --set data.options.images=FOLDER --set data.options.masks=FOLDER"
    )
