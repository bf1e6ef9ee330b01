"""Where the files of a YOLO set lie: data.yaml, the images that it names on each side, and their label files."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tune_seg.data.dataset import TEST, SplitName, problems_error
from tune_seg.data.images.pictures import IMAGE_SUFFIXES
from tune_seg.data.splitting import text
from tune_seg.errors import InputError

_KEYS: Mapping[str, SplitName] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_USUAL = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_MAX_BYTES = 2**20  # of a list of classes; larger files are something else
_MAX_LOOKED_AT = 20


@dataclass
class YoloSet:
    """What data.yaml says.

    Attributes:
        file: data.yaml itself.
        names: the name of each class number.
        images: the images of each side, in order.
        notes: what was taken for granted about where they are.
    """

    file: Path
    names: Mapping[int, str]
    images: dict[SplitName, list[Path]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_yaml(root: Path) -> Path | None:
    """The file that names the classes and the sides of the split.

    Raises:
        InputError: there are several.
    """
    usual = [root / name for name in _USUAL]
    others = sorted(path for suffix in ("*.yaml", "*.yml") for path in root.glob(suffix) if path not in usual)
    for paths in (usual, others[:_MAX_LOOKED_AT]):
        found = [path for path in paths if _is_yolo(path)]
        if len(found) > 1:
            raise InputError(f"{found[0]} and {found[1].name} are of two sets; take all but one of them away")
        if found:
            return found[0]
    return None


def _is_yolo(path: Path) -> bool:
    try:
        if path.name.startswith(".") or not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return False
        content = yaml.safe_load(text(path))
    except (OSError, InputError):
        return False
    except (yaml.YAMLError, ValueError):
        return path.name in _USUAL[:2]  # reading says what is wrong with it
    return (
        isinstance(content, dict)
        and {"names", "nc"} & content.keys() != set()
        and {"train", "val"} & content.keys() != set()
    )


def read_set(path: Path, *, held_out: bool) -> YoloSet:
    """What data.yaml says, with the images of train and val, and of test where that is held out.

    Raises:
        InputError: it cannot be read, names and numbers do not fit, or images are not there.
    """
    try:
        content = yaml.safe_load(text(path))
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: it needs the keys train, val and names")
    found = YoloSet(path, _class_names(path, content))
    base = _base(path, content, found.notes)
    for key, side in _KEYS.items():
        if content.get(key) and side not in found.images and (held_out or side != TEST):
            entries = content[key] if isinstance(content[key], list) else [content[key]]
            found.images[side] = [image for entry in entries for image in _images(path, key, entry, base, found.notes)]
    if not any(found.images.get(side) for side in ("train", "val")):
        raise InputError(f"{path}: it needs train and val, the folders of their images (or lists of them)")
    return found


def _class_names(path: Path, content: Mapping[str, Any]) -> dict[int, str]:
    given = content.get("names")
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not isinstance(given, dict) or not given:
        raise InputError(f"{path}: it needs names, the names of the classes, such as names: [crack, spall]")
    try:
        names = {int(number): str(name).strip() for number, name in given.items()}
    except (TypeError, ValueError):
        raise InputError(f"{path}: names must be a list, or have a number before each name, such as 0: crack") from None
    if len(set(names.values())) < len(names):
        raise InputError(f"{path}: names has a name twice; give each class a name of its own")
    count = content.get("nc")
    if count is not None and count != len(names):
        raise InputError(
            f"{path}: nc is {count}, but names has {len(names)} ({', '.join(list(names.values())[:8])}); mend it"
        )
    return names


def _base(path: Path, content: Mapping[str, Any], notes: list[str]) -> Path:
    """The folder to which the sides are relative: `path`, or where that is not there, the folder of data.yaml."""
    given = content.get("path")
    if not given:
        return path.parent
    base = path.parent / str(given).replace("\\", "/")  # `/` keeps what is absolute
    if base.is_dir():
        base = Path(os.path.normpath(base))
        if not base.is_relative_to(Path(os.path.normpath(path.parent))):
            notes.append(f"{path.name} says path: {given}, which is elsewhere: the images and labels in {base} are read.")
        return base
    notes.append(f"{path.name} says path: {given}, which is not there; its own folder is taken instead.")
    return path.parent


def _images(path: Path, key: str, entry: object, base: Path, notes: list[str]) -> list[Path]:
    """The images of an entry: a folder, or a list of files."""
    there = _found(str(entry), [base, path.parent])
    if there is None:
        raise InputError(
            f"{path}: {key}: {entry} is neither in {base} nor below {path.parent}; write the folder of the images as it is "
            "from data.yaml"
        )
    at, exact = there
    if not exact:
        notes.append(f"{path.name} says {key}: {entry}, which is not there; {os.path.relpath(at, path.parent)} is taken.")
    if at.is_dir():
        images = sorted(_pictures(at))
        if not images:
            raise InputError(f"{path}: {key}: no image in {at} (looked for {', '.join(IMAGE_SUFFIXES)})")
        return images
    return _listed(at, [at.parent, base, path.parent], notes)


def _listed(path: Path, folders: list[Path], notes: list[str]) -> list[Path]:
    lines = [line.strip() for line in text(path).splitlines() if line.strip()]
    found = {line: _found(line, folders) for line in lines}
    missing = [f"{path}: {line} is not there" for line, there in found.items() if there is None]
    if missing or not lines:
        raise problems_error(f"the list {path} must name images that are there:", missing or [f"{path}: it is empty"])
    moved = [line for line, there in found.items() if there is not None and not there[1]]
    if moved:
        at = found[moved[0]]
        assert at is not None
        notes.append(f"{path.name}: {len(moved)} images are not where it says, such as {moved[0]}; {at[0]} is taken.")
    return [there[0] for there in found.values() if there is not None]


def _found(entry: str, folders: list[Path]) -> tuple[Path, bool] | None:
    """A file or folder, and whether it is where the entry says; else the longest end of the entry that is there.

    Ends are tried since exports write ../train/images for train/images, and the folders of another machine.
    """
    parts = PurePosixPath(entry.replace("\\", "/")).parts or (".",)
    for cut in range(len(parts)):
        for folder in folders:
            path = folder.joinpath(*parts[cut:])
            if parts[cut:] != ("..",) and path.exists() and (cut == 0 or parts[cut] not in ("..", "/")):
                return Path(os.path.normpath(path)), cut == 0
    return None


def _pictures(folder: Path) -> Iterator[Path]:
    for at, _, names in os.walk(folder, followlinks=True):
        for name in names:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield Path(at, name)


def label_of(image: Path, root: Path) -> Path:
    """Where the labels of an image are: in its path below `root` the last folder `images` is `labels`, else beside it."""
    inside = image.is_relative_to(root)
    parts = list(image.relative_to(root).parts if inside else image.parts)
    at = next((place for place in range(len(parts) - 2, -1, -1) if parts[place] == "images"), None)
    if at is not None:
        parts[at] = "labels"
    return (root if inside else Path()).joinpath(*parts).with_suffix(".txt")
