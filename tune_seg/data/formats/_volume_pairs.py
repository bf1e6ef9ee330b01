"""Volumes and their labels, found in a folder: in two folders, or side by side in it or in folders of it."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tune_seg.data.dataset import problems_error
from tune_seg.data.formats._volume_names import OTHER_VERDICTS, image_keys, label_key, patient
from tune_seg.data.volumes.files import by_name, stem, visible
from tune_seg.data.volumes.volume_file import has_suffix
from tune_seg.errors import InputError

_IMAGES = ("imagestr", "images", "image", "imgs", "img", "volumes", "volume", "scans")
_LABELS = ("labelstr", "labels", "label", "masks", "mask", "segmentations", "segmentation", "segs", "seg", "gt")
_DEPTH = 3  # BraTS 2018 has ROOT/HGG/CASE/CASE_seg.nii.gz
_UNLABELLED = re.compile(r"test|valid|unlabel|instances", re.IGNORECASE)
_NO_VOLUME = re.compile(r".*_4d", re.IGNORECASE)  # ACDC: the whole cycle of the heart, beside its labelled frames
_SHOWN = 3


@dataclass
class Pair:
    """The files of one volume.

    Attributes:
        label: its labels.
        key: its name; "" for the volume of a folder whose files have no name of their own.
        channels: its images, by what is behind the name in theirs; "" for one that has the name alone.
    """

    label: Path
    key: str
    channels: dict[str, Path] = field(default_factory=dict)

    @property
    def images(self) -> list[Path]:
        """In the order of the channels."""
        return [self.channels[channel] for channel in sorted(self.channels)]

    @property
    def name(self) -> str:
        """That of the volume."""
        if self.key == "":
            return self.label.parent.name
        return stem(self.channels[""]) if "" in self.channels else self.key


class Found(NamedTuple):
    """What was found.

    Args:
        pairs: the volumes with their labels.
        patients: the patient of each.
        remarks: what was taken for granted.
    """

    pairs: Sequence[Pair]
    patients: Sequence[str]
    remarks: tuple[str, ...]


class Words(NamedTuple):
    """How a format speaks of its labels.

    Args:
        labels: what they are.
        hint: why none were found, with the name and the extension of the volume.
        alone: what labels without a volume are called.
    """

    labels: str
    hint: str
    alone: str


def has_volumes(root: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether two folders hold volumes and labels, or a volume and the labels of one lie in the folder or in one of it."""
    if _two_folders(root, suffixes) is not None:
        return True
    labels = volumes = False
    for _, files in _walk(root, suffixes):
        kinds = {label_key(stem(path), alone=False) is None for path in files}
        labels, volumes = labels or False in kinds, volumes or True in kinds
        if labels and volumes:
            return True
    return False


def find_pairs(root: Path, suffixes: tuple[str, ...], words: Words, layout: str) -> Found:
    """The volumes of a folder with their labels.

    Raises:
        InputError: there are none, or some lack labels or a volume, or belong together in no clear way.
    """
    two = _two_folders(root, suffixes)
    finder = _Finder(root, words)
    if two is not None:
        finder.add_two(*(by_name(_volumes(folder, suffixes)) for folder in two))
    else:
        for folder, files in _walk(root, suffixes):
            finder.add(folder, by_name(files))
    finder.match()
    finder.reject()
    if not finder.pairs:
        raise InputError(f"{root}: no volume with labels here; looked for {layout}")
    pairs = sorted(finder.pairs.values(), key=lambda pair: (pair.images[0].parent, pair.name))
    patients = _patients(pairs)
    return Found(pairs, patients, (*finder.remarks(), *_remarks(pairs, patients)))


class _Finder:
    """Puts the files of a data set together.

    Args:
        root: the data set.
        words: for messages.
    """

    def __init__(self, root: Path, words: Words) -> None:
        self.root, self.words = root, words
        self.pairs: dict[tuple[Path, str], Pair] = {}
        self.unmatched: dict[Path, list[Path]] = {}
        self.problems: list[str] = []
        self.left_out: list[Path] = []

    def add_two(self, images: Mapping[str, Path], labels: Mapping[str, Path]) -> None:
        """The files of a folder of images and of one of labels, by name."""
        meant = {key for name in images for key, _ in image_keys(name)}
        for name, path in labels.items():
            key = name if name in meant else label_key(name, alone=True)
            assert key is not None
            self._add_label(self.root, key or name, path)
        self.unmatched[self.root] = list(images.values())

    def add(self, folder: Path, files: Mapping[str, Path]) -> None:
        """The files of a folder, by name."""
        for name, path in files.items():
            key = label_key(name, alone=False)
            if key is None:
                self.unmatched.setdefault(folder, []).append(path)
            else:
                self._add_label(folder, key, path)

    def _add_label(self, folder: Path, key: str, path: Path) -> None:
        other = self.pairs.setdefault((folder, key), Pair(path, key))
        if other.label != path:
            self.problems.append(
                f"{path} and {other.label} are both of {key or folder.name}; rename one, or take one of them elsewhere"
            )

    def match(self) -> None:
        """Give each image to its labels: those beside it, or else the only ones of its name."""
        for folder, paths in self.unmatched.items():
            self.unmatched[folder] = [path for path in paths if not self._give(path, [folder])]
            alone = self.pairs.get((folder, ""))
            if alone is not None and not alone.channels and len(self.unmatched[folder]) == 1:
                alone.channels[""] = self.unmatched[folder].pop()
        folders: defaultdict[str, list[Path]] = defaultdict(list)
        for (folder, key), pair in self.pairs.items():
            if key and not pair.channels:
                folders[key].append(folder)
        for folder, paths in self.unmatched.items():
            self.unmatched[folder] = [
                path
                for path in paths
                if not any(len(folders[key]) == 1 and self._give(path, folders[key]) for key, _ in image_keys(stem(path)))
            ]

    def _give(self, path: Path, folders: Iterable[Path]) -> bool:
        for key, channel in image_keys(stem(path)):
            for folder in folders:
                pair = self.pairs.get((folder, key))
                if pair is None:
                    continue
                other = pair.channels.setdefault(channel, path)
                if other != path:
                    self.problems.append(f"{path} and {other} are both of {pair.label.name}; take one of them elsewhere")
                return True
        return False

    def reject(self) -> None:
        """Raise an InputError for what is left, and for volumes that lack a channel."""
        labelled = {folder for folder, _ in self.pairs}
        for folder, paths in self.unmatched.items():
            for path in paths:
                inside = path.parent.relative_to(self.root)
                other = folder not in labelled and (_UNLABELLED.search(str(inside)) or len(inside.parts) > 1)
                if other or _NO_VOLUME.fullmatch(stem(path)) or OTHER_VERDICTS.fullmatch(stem(path)):
                    self.left_out.append(path)
                else:
                    hint = self.words.hint.format(name=stem(path), ending=path.name[len(stem(path)) :])
                    self.problems.append(f"{path}: a volume without {self.words.labels} {hint}")
        for pair in self.pairs.values():
            if not pair.channels:
                self.problems.append(f"{pair.label}: {self.words.alone}")
            elif "" in pair.channels and len(pair.channels) > 1:
                files = ", ".join(map(str, pair.images))
                self.problems.append(f"{files}: several files for {pair.label.name}; which is its image?")
            numbered = sorted(channel for channel in pair.channels if channel.isdecimal())
            for expected, channel in enumerate(numbered):
                if int(channel) != expected:
                    at = pair.channels[channel]
                    missing = f"channel {expected} of {pair.name} is not there"
                    self.problems.append(f"{at}: channel {int(channel)}, but {missing}")
                    break
        self._reject_other_channels()
        if self.problems:
            raise problems_error(
                f"{self.root}: each volume needs {self.words.labels} ({len(self.problems)} problems):", self.problems
            )

    def _reject_other_channels(self) -> None:
        """Volumes whose channels are others, though as many, would be mixed up."""
        kinds: dict[tuple[str, ...], Pair] = {}
        for pair in self.pairs.values():
            if any(not channel.isdecimal() for channel in pair.channels if channel):
                kinds.setdefault(tuple(sorted(pair.channels)), pair)
        if len(kinds) > 1 and not self.problems:
            shown = "; ".join(f"{pair.name}: {', '.join(kind)}" for kind, pair in list(kinds.items())[:_SHOWN])
            self.problems.append(f"the volumes have different channels ({shown}); take the other files away")

    def remarks(self) -> tuple[str, ...]:
        if not self.left_out:
            return ()
        shown = ", ".join(str(path.relative_to(self.root)) for path in self.left_out[:_SHOWN])
        more = f" and {len(self.left_out) - _SHOWN} more" if len(self.left_out) > _SHOWN else ""
        return (f"Volumes without labels of their own, which are left out: {shown}{more}",)


def _patients(pairs: Sequence[Pair]) -> list[str]:
    """Volumes that begin with the name of their folder, where it holds several, are of one patient."""
    folders = [pair.images[0].parent.name for pair in pairs]
    inside = [
        re.match(rf"{re.escape(folder)}[-_. ]", pair.name) is not None for pair, folder in zip(pairs, folders, strict=True)
    ]
    several = Counter(folder for folder, begins in zip(folders, inside, strict=True) if begins)
    return [
        folder if begins and several[folder] > 1 else patient(pair.name)
        for pair, folder, begins in zip(pairs, folders, inside, strict=True)
    ]


def _remarks(pairs: Sequence[Pair], patients: Sequence[str]) -> tuple[str, ...]:
    remarks = []
    first = pairs[0]
    if first.images[0].name.partition(".")[0] != first.label.name.partition(".")[0]:
        images = ", ".join(path.name for path in first.images)
        remarks.append(f"Labels found by name, such as {first.label.name} for {images}")
    shared = [name for name, count in Counter(patients).items() if count > 1]
    if shared:
        remarks.append(
            f"Volumes of one patient, by their names, are on one side of the split: {', '.join(shared[:_SHOWN])}"
            f"{f' and {len(shared) - _SHOWN} more' * (len(shared) > _SHOWN)} (data.options.patient tells otherwise)"
        )
    return tuple(remarks)


def _two_folders(root: Path, suffixes: tuple[str, ...]) -> tuple[Path, Path] | None:
    """The folder of the images and that of the labels."""
    there = {path.name.lower(): path for path in visible(root) if path.is_dir()} if root.is_dir() else {}
    for images in _IMAGES:
        for labels in _LABELS:
            if images in there and labels in there:
                pair = there[images], there[labels]
                if all(_volumes(folder, suffixes) for folder in pair):
                    return pair
    return None


def _volumes(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [path for path in visible(folder) if has_suffix(path, suffixes)]


def _walk(root: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, list[Path]]]:
    """The folders that hold volumes, with them, at most a few levels below the root."""
    for name, folders, files in os.walk(root, followlinks=True):
        folder = Path(name)
        folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
        if len(folder.relative_to(root).parts) >= _DEPTH:
            folders.clear()
        volumes = [path for path in (folder / file for file in sorted(files)) if has_suffix(path, suffixes)]
        if volumes:
            yield folder, volumes
