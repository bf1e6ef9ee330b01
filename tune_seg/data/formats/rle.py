"""A folder of images with a table of run lengths (CSV), as Kaggle's competitions have them."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tune_seg.config import DataConfig
from tune_seg.data.dataset import (
    IGNORE_INDEX,
    MAX_CLASSES,
    TEST,
    Dataset,
    Image,
    Mask,
    Sample,
    SplitName,
)
from tune_seg.data.formats._rle_files import beside, images_by_name, locate, tables_by_side, tables_in
from tune_seg.data.formats._rle_table import Role, Runs, Table, read_table
from tune_seg.data.groups import GroupOptions, grouped
from tune_seg.data.images.pictures import RGB, shape_of
from tune_seg.data.images.scan import stamp
from tune_seg.data.options import read_options
from tune_seg.data.splitting import divide
from tune_seg.errors import InputError

LAYOUT = "a table such as train.csv with columns ImageId, EncodedPixels (start length ...) and perhaps ClassId, and images"

_LOOKED_AT = 32
_CLEARLY = 1.1  # so many times better fit runs the one order than the other


class RleOptions(GroupOptions):
    """`data.options` of tables of run lengths."""

    table: str | None = None
    """The table, a CSV file in the root. null: the one that has columns of images and run lengths; `train.csv` and `val.csv`
    are the two sides of a split."""

    columns: dict[Role, str] | None = None
    """The columns of the table, where their names do not tell it, such as `{image: photo, runs: crack, class: kind}`."""

    images: str | None = None
    """The folder of the images, in the root. null: they are found by their names."""

    order: Literal["columns", "rows"] | None = None
    """How pixels are counted: down the `columns`, the left one first, or along the `rows`, the upper one first. null: down
    the columns, as Kaggle does; refused where runs fit rows better."""

    first: Literal[0, 1] = 1
    """The number of the first pixel."""

    overlap: Literal["last", "ignore"] = "last"
    """Which class pixels have on which objects of two classes lie: that of the `last` in the table, or none, `ignore`."""

    without_rows: Literal["leave_out", "background"] = "leave_out"
    """What an image is that is beside the others but has no row: `leave_out`, or `background` throughout."""


@dataclass(frozen=True)
class RleDataset(Dataset):
    """Images with the runs of their objects.

    Attributes:
        samples: `mask` is the table.
        names: of the classes, background first.
        objects: the class index and the runs of each object, by image.
        sizes: the (H, W) of images, where the table has them.
        down: whether runs go down the columns, and not along the rows.
        on_top: whether an object covers those before it.
        taken: what was taken for granted.
        described: the options that change masks.
    """

    names: tuple[str, ...]
    objects: Mapping[Path, Sequence[tuple[int, Runs]]]
    sizes: Mapping[Path, tuple[int, int]]
    down: bool
    on_top: bool
    taken: tuple[str, ...]
    described: str

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.names

    @property
    def notes(self) -> tuple[str, ...]:
        return self.taken

    def shape(self, sample: Sample) -> tuple[int, int] | None:
        return None if sample.image is None else shape_of(sample.image)

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        assert sample.image is not None
        image = RGB.read(sample.image)
        height, width = size = image.shape[0], image.shape[1]
        said = self.sizes.get(sample.image, size)
        if said != size:
            raise InputError(f"{sample.image}: {width} x {height} pixels, but {sample.mask} says {said[1]} x {said[0]}")
        objects = self.objects[sample.image]
        last = max((int(runs[-1].sum()) for _, runs in objects), default=0)
        if last > height * width:
            raise InputError(
                f"{sample.image}: {width} x {height} pixels are {height * width}, but {sample.mask} has a run to "
                f"pixel {last}; was the image made smaller after it was labelled?"
            )
        return image, draw(objects, size, down=self.down, on_top=self.on_top)

    def classes_in(self, samples: Sequence[Sample]) -> list[frozenset[int]]:
        """What the table says is there, without drawing it."""
        return [frozenset({0, *(label for label, _ in self.objects[s.image])}) for s in samples if s.image is not None]

    def source(self) -> dict[str, Any]:
        return {
            "classes": self.names,
            "options": self.described,
            "tables": [stamp(path) for path in sorted({sample.mask for sample in self.samples if sample.mask})],
            "samples": [(sample.id, sample.split, stamp(sample.image)) for sample in self.samples],
        }


def looks_like(root: Path) -> bool:
    """Whether there is a table of run lengths."""
    return bool(tables_in(root))


def read_rle(root: Path, config: DataConfig) -> RleDataset:
    """The data set under `root`: background, and the classes of the table, or `object` where it has none.

    Raises:
        InputError: there are several tables, a cell does not hold runs, a row has no image, `data.classes` is given, or as
            :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, RleOptions)
    for key in ("classes", "ignore_label"):
        if getattr(config, key) is not None:
            raise InputError(f"data.{key}: run lengths are read with background and the classes of the table; leave it out")
    paths = tables_by_side(root, options.table)
    tables = {side: read_table(path, options.columns or {}, options.first) for side, path in paths.items()}
    names, labels, notes = _classes(tables)
    folder = root / (options.images or "")
    files = images_by_name(folder)
    located = {side: locate(folder, table.path, table.objects, files) for side, table in tables.items()}
    samples: list[Sample] = []
    objects: dict[Path, list[tuple[int, Runs]]] = {}
    sizes: dict[Path, tuple[int, int]] = {}
    listed = {path for images in located.values() for path in images.values()}
    for side, table in tables.items():
        if side == TEST and config.split.test != "published":
            continue
        images = located[side]
        notes.append(table.where)
        for image, path in images.items():
            objects[path] = [(labels[each.label], each.runs) for each in table.objects[image]]
        sizes |= {images[image]: size for image, size in table.sizes.items()}
        if not any(objects[path] for path in images.values()):
            raise InputError(f"{table.path}: no row has a run, so there is nothing to learn")
        home = Path(os.path.commonpath([path.parent for path in images.values()]))  # from which their names are told
        samples += [Sample(_id(home, path), side, path, table.path) for path in images.values()]
        empty = sum(not objects[path] for path in images.values())
        if empty:
            notes.append(f"{table.path.name}: {empty} of {len(images)} images have no object and are background throughout.")
        others = beside(images.values(), files, listed)
        if others and options.without_rows == "background":
            listed.update(others)
            objects |= {path: [] for path in others}
            samples += [Sample(_id(home, path), side, path, table.path) for path in others]
            notes.append(f"{len(others)} images have no row in {table.path.name} and are background throughout.")
        elif others:
            notes.append(
                f"{len(others)} images beside the others have no row in {table.path.name} and are left out, such as "
                f"{others[0].name}; if they are background, say so with --set data.options.without_rows=background."
            )
    notes += _order_of(objects, options)
    if len(names) > 2 and options.overlap == "last":
        notes.append(
            "Where objects of two classes overlap, the later one in the table counts; --set data.options.overlap=ignore "
            "leaves these pixels out."
        )
    divided = divide(grouped(sorted(samples, key=lambda sample: sample.id), options.group), config.split, root)
    described = repr((options.columns, options.order, options.first, options.overlap))
    down, on_top = options.order != "rows", options.overlap == "last"
    return RleDataset(divided, names, objects, sizes, down, on_top, tuple(notes), described)


def draw(objects: Sequence[tuple[int, Runs]], size: tuple[int, int], *, down: bool = True, on_top: bool = True) -> Mask:
    """Class indices, uint8 (H, W): background is 0.

    Args:
        objects: the class index and the runs of each; all runs end within the image.
        size: (H, W).
        down: whether pixels are counted down the columns, or else along the rows.
        on_top: whether an object covers those before it; else pixels on which objects of two classes lie are ignored.

    Example:
        >>> draw([(1, np.array([[0, 2]])), (2, np.array([[4, 1]]))], (2, 3)).tolist()
        [[1, 0, 2], [1, 0, 0]]
    """
    height, width = size
    flat = np.zeros(height * width, np.uint8)
    for label, runs in objects:
        for start, length in runs.tolist():
            part = flat[start : start + length]
            part[:] = label if on_top else np.where((part == 0) | (part == label), label, IGNORE_INDEX)
    return np.ascontiguousarray(flat.reshape(width, height).T) if down else flat.reshape(height, width)


def _classes(tables: Mapping[SplitName, Table]) -> tuple[tuple[str, ...], dict[str, int], list[str]]:
    """The names of the classes, the class index of each label, and what to say of them."""
    labels = list(dict.fromkeys(label for table in tables.values() for label in table.labels))
    if not labels:
        return ("background", "object"), {"": 1}, ["The table has no classes: they are background and object."]
    bare = [table.path for table in tables.values() if not table.labels]
    if bare:
        raise InputError(f"{bare[0]}: no class, but the table of another side has classes")
    called = {label: f"class {label}" if re.fullmatch(r"[\d.]+", label) else label for label in labels}
    others = [called[label] for label in labels if label.casefold() != "background"]
    if not 1 <= len(others) < MAX_CLASSES:
        path = next(iter(tables.values())).path
        raise InputError(f"{path}: {len(others)} classes; with the background there must be 2 to {MAX_CLASSES}")
    names = ("background", *others)
    indices = {label: names.index(name) if name in others else 0 for label, name in called.items()}
    return names, indices, [f"The classes are background and those of the table: {', '.join(others)}."]


def _id(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder).with_suffix(""))


def _order_of(objects: Mapping[Path, Sequence[tuple[int, Runs]]], options: RleOptions) -> list[str]:
    """What to say of the order of pixels.

    Raises:
        InputError: nobody said it, and runs fit rows better than columns.
    """
    first = f"the first pixel is {options.first}"
    if options.order is not None:
        return [f"Pixels are counted along the {options.order}, as asked for, and {first}."]
    by_columns = by_rows = looked_at = 0
    for path, runs in objects.items():
        shape = shape_of(path) if runs else None
        if shape is not None and shape[0] != shape[1]:
            by_columns += sum(_touching(each, shape[0]) for _, each in runs)
            by_rows += sum(_touching(each, shape[1]) for _, each in runs)
            looked_at += 1
        if looked_at == _LOOKED_AT:
            break
    if by_rows > _CLEARLY * by_columns:
        raise InputError(
            "data.options.order: the runs fit together along rows better than down columns; say how pixels are counted with "
            "--set data.options.order=rows (or columns, if these shapes are right)"
        )
    unsure = "" if looked_at else ", which square images do not show"
    return [
        f"Pixels are taken to be counted down the columns{unsure}, and {first}; else --set data.options.order=rows, or "
        f"--set data.options.first={1 - options.first}."
    ]


def _touching(runs: Runs, length: int) -> int:
    """How many pixels have a pixel of the same object beside them, in the next column (or row) of this length."""
    starts, lengths = runs.T
    before = np.cumsum(lengths) - lengths

    def covered(places: Runs) -> Runs:
        """How many pixels of the object are before each of the places."""
        run = np.maximum(np.searchsorted(starts, places, side="right") - 1, 0)
        return before[run] + np.clip(places - starts[run], 0, lengths[run])

    return int((covered(starts + lengths - length) - covered(starts - length)).sum())
