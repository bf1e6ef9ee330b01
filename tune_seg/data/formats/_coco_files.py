"""Where the files of a COCO set lie: its JSON files, by the sides of the split, and the images that they name."""

import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from tune_seg.data.dataset import SPLITS, TEST, SplitName, problems_error
from tune_seg.data.images.pictures import IMAGE_SUFFIXES
from tune_seg.errors import InputError

_SIDES: dict[str, SplitName] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_SURE = re.compile(r"instances_.*\.json|.*\.coco\.json", re.IGNORECASE)
_OTHER = re.compile(r"(person_keypoints|captions|panoptic|image_info|stuff)_.*", re.IGNORECASE)
_COCO = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_PUBLISHED = re.compile(r"instances_(train|val)20\d\d\.json")
_HEAD = 2**16
_SEGMENTS = b'"segments_info"'
_MAX_LOOKED_AT = 20


def published(path: Path) -> bool:
    """Whether a file is called like one of COCO itself."""
    return _PUBLISHED.fullmatch(path.name) is not None


def instance_files(root: Path, *, held_out: bool = True) -> dict[SplitName, Path]:
    """The JSON files of objects by side of the split; all is on the side of `train` where there are not both sides.

    Args:
        root: the folder of the data set.
        held_out: whether that of the test is among them.

    Raises:
        InputError: two files are of one side.
    """
    return _by_side(root, _is_coco, held_out=held_out)


def panoptic_files(root: Path, *, held_out: bool = True) -> dict[SplitName, Path]:
    """The JSON files of panoptic segments, as :func:`instance_files`.

    Raises:
        InputError: two files are of one side.
    """
    return _by_side(root, _is_panoptic, held_out=held_out)


def _by_side(root: Path, wanted: Callable[[Path], bool], *, held_out: bool) -> dict[SplitName, Path]:
    found: dict[SplitName | None, list[Path]] = {}
    for path in _candidates(root, wanted):
        found.setdefault(_side(path, root), []).append(path)
    if not all(side in found for side in SPLITS):
        found = {"train": [path for side, paths in found.items() for path in paths if side != TEST]} if found else {}
    for paths in found.values():
        if len(paths) > 1:
            raise InputError(f"{paths[0]} and {paths[1].name} are of two sets; take all but one of them away")
    used = ((side, paths[0]) for side, paths in found.items() if paths and (held_out or side != TEST))
    return {side: path for side, path in used if side is not None}


def _candidates(root: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """The files that are wanted: in annotations/, beside the images of a side, or in the root."""
    folders = [root / "annotations", root, *(root / name for name in _SIDES)]
    for folder in (folders[:1], folders[2:], folders[1:2]):
        found = [path for each in folder for path in sorted(each.glob("*.json"))[:_MAX_LOOKED_AT] if wanted(path)]
        if found:
            return found
    return []


def _is_coco(path: Path) -> bool:
    if path.name.startswith(".") or _OTHER.fullmatch(path.name) or not path.is_file():
        return False
    if _SURE.fullmatch(path.name):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return _COCO.search(head) is not None and not _is_panoptic(path)


def _is_panoptic(path: Path) -> bool:
    """Whether a file lists segments; where its images come first, they are near its end."""
    if path.name.startswith(".") or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            if _SEGMENTS in file.read(_HEAD):
                return True
            file.seek(max(path.stat().st_size - _HEAD, 0))
            return _SEGMENTS in file.read(_HEAD)
    except OSError:
        return False


def _side(path: Path, root: Path) -> SplitName | None:
    """What the name of a file, or of its folder below the root, says."""
    for text in (path.stem, "" if path.parent == root else path.parent.name):
        for word in re.findall("[a-z]+", text.casefold()):
            if word in _SIDES:
                return _SIDES[word]
    return None


def published_images(root: Path, instances: Path) -> Path:
    """The folder of the images of one of COCO's own files.

    Raises:
        InputError: there is none.
    """
    name = instances.stem.removeprefix("instances_")
    folders = [root / name, root / "images" / name]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise InputError(f"{folders[0]}: no such folder; the images of {instances} belong there or in {folders[1]}")


def locate(root: Path, instances: Path, names: Iterable[str], masks: Collection[Path] = ()) -> dict[str, Path]:
    """The image files that a JSON file names, as annotation tools write names: with folders, or with those of another disk.

    Args:
        root: below which they are.
        instances: the file.
        names: those that it has for them.
        masks: files that are no images, although they may be called like one.

    Raises:
        InputError: images are not there, several files have the name of one, or one file would be two images.
    """
    side = instances.stem.removeprefix("instances_").removeprefix("panoptic_")
    images = root / "images"
    folders = [instances.parent, root, images, images / side, root / side, root / "JPEGImages", root / "data"]
    found: dict[str, Path] = {}
    by_name: dict[str, list[Path]] | None = None
    problems: list[str] = []
    for name in names:
        entry = PurePosixPath(name.replace("\\", "/"))
        ends = [str(entry).lstrip("/"), entry.name]
        paths = (folder / end for end in ends for folder in folders)
        path = next((path for path in paths if path not in masks and path.is_file()), None)
        if path is None:
            by_name = _by_name(root) if by_name is None else by_name
            others = [other for other in by_name.get(normalize("NFC", entry.name), []) if other not in masks]
            if len(others) != 1:
                problems.append(name if not others else f"{name}: {others[0]} or {others[1]}")
                continue
            path = others[0]
        found[name] = path
        folders.sort(key=lambda folder: folder not in path.parents)  # where the next one is, most likely
    of_file: dict[Path, str] = {}
    problems += [
        f"{name}: only {path} is there, which is {of_file[path]} too"
        for name, path in found.items()
        if of_file.setdefault(path, name) != name
    ]
    if problems:
        raise problems_error(
            f"{instances}: {len(problems)} of its images are not below {root}, or several files have their names; put "
            "them into ROOT/images:",
            problems,
        )
    return found


def _by_name(root: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder, _, names in os.walk(root):
        for name in names:
            if name.lower().endswith(IMAGE_SUFFIXES):
                found.setdefault(normalize("NFC", name), []).append(Path(folder, name))
    return found
