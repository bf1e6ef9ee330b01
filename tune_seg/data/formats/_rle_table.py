"""A table of run lengths, as Kaggle has them: a row for each object, with its image and pairs `start length`."""

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import problems_error
from tune_seg.data.images.pictures import IMAGE_SUFFIXES
from tune_seg.errors import InputError

Role = Literal["image", "runs", "class"]

_NAMES: Mapping[str, tuple[str, ...]] = {
    "image": (
        *("imageid", "imagename", "imagefilename", "image", "img", "imgid", "filename", "file", "imageidclassid"),
        *("imagelabel", "imageidlabel", "imageclass", "imageclassid", "id", "name"),
    ),
    "runs": (
        *("encodedpixels", "rle", "rles", "rlemask", "maskrle", "rleencoding", "encodedmask", "encoding", "runs"),
        *("segmentation", "annotation", "pixels", "mask"),
    ),
    "class": ("classid", "classname", "class", "labelid", "labelname", "label", "categoryid", "categoryname", "category"),
    "height": ("height", "imageheight"),
    "width": ("width", "imagewidth"),
}
"""Names of columns, in lower case without what is between words; the first that is there counts."""

_BOTH = re.compile(r"(image|img|id|file).*(class|label|category)")
_WITH_CLASS = re.compile(rf"(.+({'|'.join(map(re.escape, IMAGE_SUFFIXES))}))_(.+)", re.IGNORECASE)
_NOTHING = ("", "nan", "-1")
_RUNS = re.compile(r"\s*\d+(\s+\d+)+\s*")
_NUMBER = re.compile(r"\d+\.0")
_MAX_LOOKED_AT = 1000

Runs = npt.NDArray[np.int64]
"""(n, 2): where each run begins, from 0, and its length."""


class Object(NamedTuple):
    """The class of an object as the table has it, empty where there are no classes, and its runs."""

    label: str
    runs: Runs


@dataclass(frozen=True)
class Table:
    """What a table says.

    Attributes:
        path: its file.
        objects: of each image, in order; none where the image is background.
        labels: all classes, sorted; empty where there are none.
        sizes: the (H, W) of images, where the table has them.
        where: the columns, in a sentence.
    """

    path: Path
    objects: Mapping[str, Sequence[Object]]
    labels: tuple[str, ...]
    sizes: Mapping[str, tuple[int, int]]
    where: str


def is_table(path: Path) -> bool:
    """Whether a file has columns of images and of run lengths."""
    try:
        with _rows(path) as (header, rows):
            at = _columns(path, header, {})
            for _, (_, row) in zip(range(_MAX_LOOKED_AT), rows, strict=False):
                if row[at["runs"]].strip().casefold() not in _NOTHING:
                    return _RUNS.fullmatch(row[at["runs"]]) is not None
    except InputError:
        pass
    return False


def read_table(path: Path, columns: Mapping[Role, str], first: int) -> Table:
    """What a table says.

    Args:
        path: its file.
        columns: their names, of those that are not told by their names.
        first: the number of the first pixel.

    Raises:
        InputError: there is no such column, or a cell does not hold runs.
    """
    found: list[tuple[str, str, Runs]] = []
    sizes: dict[str, tuple[int, int]] = {}
    problems: list[str] = []
    with _rows(path) as (header, rows):
        at = _columns(path, header, columns)
        for line, row in rows:
            image, label = row[at["image"]].strip(), row[at["class"]].strip() if "class" in at else ""
            label = (
                label.removesuffix(".0") if _NUMBER.fullmatch(label) else label
            )  # as pandas writes numbers of which some are missing
            try:
                found.append((image, label, _runs(row[at["runs"]], first)))
                if "height" in at and "width" in at:
                    sizes[image] = int(float(row[at["height"]])), int(float(row[at["width"]]))
            except (ValueError, OverflowError) as error:
                problems.append(f"{path}: line {line} ({image}) {error}")
    if problems:
        raise problems_error(f"{len(problems)} rows cannot be used:", problems)
    where = f"{path.name}: images are in the column {header[at['image']]}, runs in {header[at['runs']]}"
    if "class" in at:
        where += f", classes in {header[at['class']]}"
    else:
        found, split = _with_classes(path, header[at["image"]], found)
        where += ", classes behind the names of the images" * split
    if unused := [name for place, name in enumerate(header) if place not in at.values() and name.strip()]:
        where += f"; not used: {', '.join(unused)}"
    bare = [image for image, label, runs in found if len(runs) and not label]
    labels = {label for _, label, _ in found if label}
    if labels and bare:
        raise problems_error(f"{path}: {len(bare)} objects have no class, others have one:", sorted(set(bare)))
    objects: dict[str, list[Object]] = {}
    for image, label, runs in found:
        objects.setdefault(image, []).extend([Object(label, runs)] * bool(len(runs)))
    return Table(path, objects, tuple(sorted(labels, key=_order)), sizes, f"{where}.")


@contextmanager
def _rows(path: Path) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """The header, and the rows with the numbers of their lines."""
    limit = csv.field_size_limit(sys.maxsize)  # an object of a large image has more than 128 KiB of runs
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = max(",;\t", key=header.count)
            names = next(csv.reader([header], delimiter=delimiter), [])
            yield names, _whole(path, csv.reader(file, delimiter=delimiter), len(names))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    finally:
        csv.field_size_limit(limit)


def _whole(path: Path, rows: Iterable[list[str]], count: int) -> Iterator[tuple[int, list[str]]]:
    for line, row in enumerate(rows, 2):
        if row and len(row) != count:
            raise InputError(f"{path}: line {line} has {len(row)} cells, its first line {count}")
        if row:
            yield line, row


def _columns(path: Path, header: Sequence[str], given: Mapping[Role, str]) -> dict[str, int]:
    """The place of each column that is there."""
    plain = [re.sub(r"[\W_]", "", name).casefold() for name in header]
    at: dict[str, int] = {}
    for asked, name in given.items():
        if name not in header:
            raise InputError(f"data.options.columns: {path} has no column {name}; it has {', '.join(header)}")
        at[asked] = header.index(name)
    for role, names in _NAMES.items():
        place = next((plain.index(name) for name in names if name in plain), None)
        if role not in at and place is not None and place not in at.values():
            at[role] = place
    for role in ("image", "runs"):
        if role not in at:
            raise InputError(
                f"{path}: no column of {'images' if role == 'image' else 'runs'} is known by its name among "
                f"{', '.join(header)}; say which it is with --set 'data.options.columns={{{role}: NAME}}'"
            )
    return at


def _runs(cell: str, first: int) -> Runs:
    """The runs in a cell.

    Raises:
        ValueError: it does not hold runs.
    """
    if cell.strip().casefold() in _NOTHING:
        return np.zeros((0, 2), np.int64)
    words = cell.split()
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise ValueError(
            f"has no pairs of whole numbers but {cell.strip()[:30]!r}; each object is 'start length start length'"
        )
    if len(words) % 2:
        raise ValueError(f"has {len(words)} numbers; starts and lengths come in pairs, so was it cut off?")
    runs = np.array(words, np.int64).reshape(-1, 2)
    if (runs[:, 0] < first).any():
        raise ValueError(
            f"has a run from {runs[:, 0].min()}, but pixels count from {first}; if the first pixel is 0, say so with "
            "--set data.options.first=0"
        )
    if (runs[:, 1] < 1).any():
        raise ValueError("has a run of length 0")
    if (runs[1:, 0] < runs[:-1].sum(axis=1)).any():
        raise ValueError(
            "has runs that go back; starts count from the beginning of the image and ascend, so distances from the run "
            "before (SIIM) must be summed up, and pairs 'start end' made 'start length'"
        )
    return runs - (first, 0)


def _with_classes(
    path: Path, header: str, found: Sequence[tuple[str, str, Runs]]
) -> tuple[list[tuple[str, str, Runs]], bool]:
    """The same with the class that stands behind the name of each image, as in `a.jpg_Fish`, and whether one does."""
    matches = [_WITH_CLASS.fullmatch(image) for image, _, _ in found]
    if any(matches):
        if not all(matches):
            plain = next(image for (image, _, _), match in zip(found, matches, strict=True) if match is None)
            raise InputError(f"{path}: some names have a class behind them, as in a.jpg_Fish, but {plain} has none")
        return [(m[1], m[3], runs) for (_, _, runs), m in zip(found, matches, strict=True) if m is not None], True
    if _BOTH.search(header.casefold()) and all("_" in image for image, _, _ in found):
        parted = [(image.rpartition("_"), runs) for image, _, runs in found]
        return [(image, label, runs) for (image, _, label), runs in parted], True
    return list(found), False


def _order(label: str) -> tuple[bool, float, str]:
    """Numbers in their order, before words."""
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label
