"""Where in a folder the images and the masks lie, by the names of its folders and files; nothing is opened."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import Literal, NamedTuple

from tune_seg.data.dataset import SPLITS, SplitName, problems_error
from tune_seg.data.images.files import MASK_SUFFIXES
from tune_seg.data.images.pairing import IMAGE_WORDS, MASK_WORDS, bare, words_removed
from tune_seg.data.images.pictures import IMAGE_SUFFIXES

_OF_IMAGES = (
    "images image imgs img inputs input photos photo pictures rgb frames jpegimages original originals originalimages raw "
    "rawimages sat"
)
_OF_MASKS = (
    "masks mask labels label lbl lbls annotations annotation annots annot annos anno anns ann gts gt groundtruth "
    "groundtruths truth segmentations segmentation segs seg segmaps segmentationclass segmentationmasks targets target "
    "manual stmanual labelimages labelmasks labelmaps labelimagessemantic maskimages"
)
_SAYS_NOTHING = "set data dir folder all png jpg tif"

IMAGE_FOLDERS = frozenset(_OF_IMAGES.split())
MASK_FOLDERS = frozenset(_OF_MASKS.split())
"""Names of folders, in lower case, their letters alone."""

_SPLITS: Mapping[str, SplitName] = {
    "training": "train",
    "train": "train",
    "validation": "val",
    "valid": "val",
    "val": "val",
    "dev": "val",
    "testing": "test",
    "test": "test",
}
_SAY_NOTHING = frozenset(_SAYS_NOTHING.split())
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_NUMBER = re.compile(r"[ _.\-]+\d+$")
_LOSSY = (".jpg", ".jpeg")
_MAX_DEPTH = 5
_MAX_FOLDERS = 50_000

Role = Literal["image", "mask"]


@dataclass
class Side:
    """The files of one side of the split, by their names: paths from the folder of their kind."""

    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """Where the files lie.

    Attributes:
        sides: the files of each side of the split; under None those of no side.
        images, masks: the folders, for messages; with `*` where there are several.
        above: the folder that all images, and all masks, are below.
        left_out: folders of pictures that are neither, with the number of pictures.
    """

    sides: Mapping[SplitName | None, Side]
    images: str
    masks: str
    above: Mapping[Role, str]
    left_out: Mapping[str, int]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found, in sentences."""
        notes = [f"The images are in {self.images}, their masks in {self.masks}."]
        if self.images in ("images", "images/*") and self.masks in ("masks", "masks/*"):
            notes = []
        if self.left_out:
            shown = ", ".join(f"{folder} ({count})" for folder, count in list(self.left_out.items())[:3])
            more = f" and {len(self.left_out) - 3} more folders" if len(self.left_out) > 3 else ""
            notes.append(
                f"Pictures that are taken for neither are left out: {shown}{more}. Name the folders that count with "
                "--set data.options.images=FOLDER and --set data.options.masks=FOLDER."
            )
        return tuple(notes)


class _Folder(NamedTuple):
    """A folder of pictures: its path, what it holds, and what is left of its path without that."""

    parts: tuple[str, ...]
    role: Role | None
    split: SplitName | None
    kind: str
    rest: tuple[str, ...]


def find_layout(root: Path, images: str | None = None, masks: str | None = None) -> Layout | None:
    """Where the images and the masks under `root` lie; None where they cannot be told.

    Args:
        root: the folder.
        images, masks: folders from `root`, or patterns of paths from there, that say it.

    Raises:
        InputError: several folders may hold the masks, or the images.
    """
    files = _pictures(root)
    if not files:
        return None
    usual = all((root / name).is_dir() for name in ("images", "masks"))
    placed: list[tuple[_Folder, str]] = []
    for parts, names in files.items():
        folder = _meaning(parts)
        if usual and parts[:1] not in (("images",), ("masks",)):
            folder = folder._replace(role=None)
        placed += [(_by_option(folder, name, images, masks), name) for name in names]
    roles = {folder.role for folder, _ in placed}
    if "mask" not in roles and masks is None:
        placed = _told_by_their_names(placed)
        roles = {folder.role for folder, _ in placed}
    elif "image" not in roles and images is None:
        placed = [
            (f if f.role or f.kind else f._replace(role="image", rest=_without_split(f.parts)), name) for f, name in placed
        ]
        roles = {folder.role for folder, _ in placed}
    if not {"image", "mask"} <= roles:
        return None
    _reject_several_kinds({folder for folder, _ in placed})
    return _layout(root, placed)


def _pictures(root: Path) -> dict[tuple[str, ...], list[str]]:
    """The names of the pictures in each folder that has some."""
    found: dict[tuple[str, ...], list[str]] = {}
    for seen, (folder, folders, names) in enumerate(os.walk(root, followlinks=True)):
        if seen > _MAX_FOLDERS:
            return {}
        parts = Path(folder).relative_to(root).parts
        deeper = len(parts) < _MAX_DEPTH
        folders[:] = sorted(name for name in folders if deeper and not name.startswith(".") and name != "__MACOSX")
        pictures = [
            name for name in names if name.lower().endswith((*IMAGE_SUFFIXES, *MASK_SUFFIXES)) and not name.startswith(".")
        ]
        if pictures:
            found[parts] = sorted(pictures)
    return found


def _meaning(parts: tuple[str, ...]) -> _Folder:
    """What the names of a folder and of those above it say."""
    role: Role | None = None
    split: SplitName | None = None
    kind, rest = "", []
    for part in parts:
        its_role, its_split = _words(part)
        if its_role is not None and not (kind and part[-1].isdigit()):  # img7 below the masks is an image and has some
            if kind:
                rest.append(kind)  # the folder that is nearest to the files says what they are
            role, kind = its_role, part
        elif its_split is None or split is not None or its_role is not None:
            rest.append(part)
        split = split or its_split
    return _Folder(parts, role, split, kind, tuple(rest))


def _words(part: str) -> tuple[Role | None, SplitName | None]:
    """What the name of one folder says, such as `train_labels` or `SegmentationClass`."""
    words = [word.lower() for word in _PART.findall(part) if len(word) > 1 and word[0].isalpha()]
    text = "".join(word for word in words if word not in _SAY_NOTHING)
    split = None
    for name, meant in _SPLITS.items():
        rest = text.removeprefix(name) if text.startswith(name) else text.removesuffix(name)
        if rest != text and (not rest or rest in IMAGE_FOLDERS | MASK_FOLDERS):
            split, text = meant, rest
            break
    return "image" if text in IMAGE_FOLDERS else "mask" if text in MASK_FOLDERS else None, split


def _without_split(parts: Sequence[str]) -> tuple[str, ...]:
    """The parts without the first that names a side."""
    at = next((place for place, part in enumerate(parts) if _words(part)[1] is not None), None)
    return tuple(part for place, part in enumerate(parts) if place != at)


def _by_option(folder: _Folder, name: str, images: str | None, masks: str | None) -> _Folder:
    """What a file is where options say it."""
    asked: tuple[tuple[Role, str | None], ...] = (("mask", masks), ("image", images))
    for role, pattern in asked:
        if pattern is None:
            continue
        if (rest := _below(folder.parts, name, pattern)) is not None:
            return folder._replace(role=role, kind=pattern, split=_split(folder.parts), rest=_without_split(rest))
        if folder.role == role:
            folder = folder._replace(role=None)
    return folder


def _split(parts: Iterable[str]) -> SplitName | None:
    return next((split for part in parts if (split := _words(part)[1]) is not None), None)


def _below(parts: tuple[str, ...], name: str, pattern: str) -> tuple[str, ...] | None:
    """The folders of a file below the one that a pattern names; None where it does not fit."""
    wanted = tuple(part for part in pattern.replace("\\", "/").split("/") if part not in ("", "."))
    plain = next((n for n, part in enumerate(wanted) if any(sign in part for sign in "*?[")), len(wanted))
    if plain == len(wanted):
        return parts[plain:] if parts[:plain] == wanted else None
    return parts[plain:] if fnmatchcase("/".join((*parts, name)), "/".join(wanted)) else None


def _told_by_their_names(placed: Sequence[tuple[_Folder, str]]) -> list[tuple[_Folder, str]]:
    """The same where images and masks lie in one folder, as `a.jpg` and `a_mask.png`, or as `a.jpg` and `a.png`."""
    stems: dict[tuple[str, ...], set[str]] = {}
    for folder, name in placed:
        stem = bare(name)
        stems.setdefault(folder.parts, set()).update({stem, words_removed(stem, IMAGE_WORDS)})
    named = [_named_as_mask(name) for _, name in placed]
    if any(text is not None and text in stems[folder.parts] for (folder, _), text in zip(placed, named, strict=True)):
        are_masks = [text is not None for text in named]
    else:
        photos = {(folder.parts, bare(name)) for folder, name in placed if name.lower().endswith(_LOSSY)}
        others = [(folder.parts, bare(name)) for folder, name in placed if not name.lower().endswith(_LOSSY)]
        if not others or not photos.issuperset(others):
            return list(placed)
        are_masks = [not name.lower().endswith(_LOSSY) for _, name in placed]
    return [
        (folder._replace(role="mask" if is_mask else "image", kind="", rest=_without_split(folder.parts)), name)
        for (folder, name), is_mask in zip(placed, are_masks, strict=True)
    ]


def _named_as_mask(name: str) -> str | None:
    """The name without the words that make it a mask's; None where it has none."""
    stem = bare(name)
    for text in (stem, _NUMBER.sub("", stem)):
        if (rest := words_removed(text, MASK_WORDS - {"l"})) != text:
            return rest
    return None


def _reject_several_kinds(folders: Iterable[_Folder]) -> None:
    for role in ("image", "mask"):
        kinds: dict[SplitName | None, dict[str, _Folder]] = {}
        for folder in folders:
            if folder.role == role:
                kinds.setdefault(folder.split, {}).setdefault(folder.kind, folder)
        for found in kinds.values():
            if len(found) > 1:
                shown = sorted("/".join(folder.parts) for folder in found.values())
                raise problems_error(
                    f"several folders may hold the {role}s; name the one that does, such as "
                    f"--set data.options.{role}s={shown[0]}:",
                    shown,
                )


def _layout(root: Path, placed: Sequence[tuple[_Folder, str]]) -> Layout:
    cut = _common_folders(placed)
    sides: dict[SplitName | None, Side] = {}
    left_out: dict[str, int] = {}
    sided = any(folder.split in SPLITS for folder, _ in placed if folder.role is not None)
    where: dict[Role, set[tuple[str, ...]]] = {"image": set(), "mask": set()}
    for folder, name in placed:
        path = root.joinpath(*folder.parts, name)
        no_image = folder.role == "image" and not name.lower().endswith(IMAGE_SUFFIXES)
        if folder.role is None or no_image or (sided and folder.split is None):
            shown = "/".join(folder.parts) or "."
            left_out[shown] = left_out.get(shown, 0) + 1
            continue
        where[folder.role].add(_pattern(folder, cut[folder.role]))
        side = sides.setdefault(folder.split, Side())
        (side.images if folder.role == "image" else side.masks)["/".join((*folder.rest[cut[folder.role] :], name))] = path
    above: dict[Role, str] = {
        role: "/".join(_beginning([tuple(takewhile(lambda part: part != "*", parts)) for parts in patterns] or [()]))
        for role, patterns in where.items()
    }
    return Layout(sides, _shown(where["image"]), _shown(where["mask"]), above, left_out)


def _common_folders(placed: Sequence[tuple[_Folder, str]]) -> dict[Role, int]:
    """How many folders all images, or all masks, lie in that say nothing about which belong together."""
    rests: dict[Role, list[tuple[str, ...]]] = {
        role: list({folder.rest for folder, _ in placed if folder.role == role}) for role in ("image", "mask")
    }
    shared = {role: _beginning(found) for role, found in rests.items()}
    both = len(_beginning([shared["image"], shared["mask"]]))
    flat = {role: all(len(rest) == both for rest in found) for role, found in rests.items()}
    return {
        "image": len(shared["image"]) if flat["mask"] else both,
        "mask": len(shared["mask"]) if flat["image"] else both,
    }


def _beginning(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """What all paths begin with."""
    first, last = min(paths), max(paths)
    equal = [a == b for a, b in zip(first, last, strict=False)]
    return first[: equal.index(False) if False in equal else len(equal)]


def _pattern(folder: _Folder, cut: int) -> tuple[str, ...]:
    """The parts of the path of a folder, with `*` for what differs between folders of one kind."""
    differs = {*folder.rest[cut:], *(part for part in folder.parts if _words(part) == (None, folder.split) and folder.split)}
    return tuple("*" if part in differs else part for part in folder.parts)


def _shown(folders: set[tuple[str, ...]]) -> str:
    shown = sorted("/".join(parts) or "." for parts in folders)
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")
