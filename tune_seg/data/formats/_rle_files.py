"""Where the files of a set with tables of run lengths lie: the tables, by the sides of the split, and their images."""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from tune_seg.data.dataset import SPLITS, TEST, SplitName, problems_error
from tune_seg.data.formats._rle_table import is_table
from tune_seg.data.images.pictures import IMAGE_SUFFIXES
from tune_seg.errors import InputError

_SIDES: dict[str, SplitName] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_MAX_TABLES = 20


def tables_in(root: Path) -> list[Path]:
    """The tables of run lengths in a folder."""
    paths = (path for path in sorted(root.glob("*.csv"))[:_MAX_TABLES] if "submission" not in path.name.casefold())
    return [path for path in paths if not path.name.startswith(".") and is_table(path)]


def tables_by_side(root: Path, table: str | None) -> dict[SplitName, Path]:
    """The table of each side of the split; all is on the side of `train` where there are not both sides.

    Raises:
        InputError: there are several of one side, or none has the name `table`.
    """
    if table is not None:
        path = root / table
        if not path.is_file():
            raise InputError(f"data.options.table: {path} is no file; it is a CSV file in {root}")
        return {"train": path}
    sides: dict[SplitName | None, list[Path]] = {}
    for path in tables_in(root):
        words = re.findall("[a-z]+", path.stem.casefold())
        sides.setdefault(next((_SIDES[word] for word in words if word in _SIDES), None), []).append(path)
    test = sides.pop(TEST, [])
    if not all(side in sides for side in SPLITS):
        sides = {"train": [path for paths in sides.values() for path in paths] or test}
    elif None in sides:
        sides = {"train": [path for paths in sides.values() for path in paths]}
    found: dict[SplitName, Path] = {}
    if test and sides["train"] != test:
        sides[TEST] = test
    for side, paths in sides.items():
        if len(paths) > 1:
            raise InputError(
                f"{paths[0]} and {paths[1].name} both have run lengths; name the one that counts with "
                f"--set data.options.table={paths[0].name}"
            )
        assert side is not None
        found[side] = paths[0]
    return found


def images_by_name(folder: Path) -> dict[str, list[Path]]:
    """The images below a folder by their names, with and without suffix."""
    found: dict[str, list[Path]] = {}
    for at, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(names):
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                for key in {name, Path(name).stem}:
                    found.setdefault(normalize("NFC", key), []).append(Path(at, name))
    return found


def locate(folder: Path, table: Path, images: Iterable[str], files: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """The file of each image of a table.

    Args:
        folder: below which they are.
        table: the table, for messages.
        images: the names that it has for them.
        files: as :func:`images_by_name` gives them.

    Raises:
        InputError: images are not there, or several files have the name of one.
    """
    found: dict[str, Path] = {}
    missing: list[str] = []
    unclear: list[str] = []
    names = list(images)
    for image in names:
        name = PurePosixPath(image.replace("\\", "/"))
        paths = files.get(normalize("NFC", name.name), [])
        paths = [path for path in paths if path.parts[-len(name.parts) :] == name.parts] or paths
        if len(paths) == 1:
            found[image] = paths[0]
        elif paths:
            unclear.append(f"{image}: {paths[0]} or {paths[1]}")
        else:
            missing.append(f"{image}: no image has its name")
    if unclear:
        raise problems_error(f"{table}: several images have one name; name the folder with data.options.images:", unclear)
    if missing:
        raise problems_error(
            f"{table}: {len(missing)} of its {len(names)} images are not below {folder}; take their rows out of "
            "the table, or add the images:",
            missing,
        )
    twice = len(found) - len(set(found.values()))
    if twice:
        raise InputError(f"{table}: {twice} images are named in two ways, with and without suffix; name each in one way")
    return found


def beside(images: Iterable[Path], files: Mapping[str, Sequence[Path]], listed: Collection[Path]) -> list[Path]:
    """The images in the folders of those of a table that are in no table."""
    folders = {path.parent for path in images}
    return sorted({path for paths in files.values() for path in paths if path.parent in folders} - set(listed))
