"""COCO panoptic segments: a JSON file that lists the segments of each image, and a PNG with their ids for each.

The id of a segment is R + 256 G + 65536 B of its pixels; 0 is void, which nobody labelled (Kirillov et al. 2019, and
https://cocodataset.org/#format-data).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tune_seg.config import DataConfig
from tune_seg.data.dataset import IGNORE_INDEX, MAX_CLASSES, Mask, Sample, problems_error
from tune_seg.data.formats._coco_files import locate, panoptic_files
from tune_seg.data.formats._panoptic_json import PanopticFile, read_file
from tune_seg.data.groups import GroupOptions, grouped
from tune_seg.data.images.files import FileDataset
from tune_seg.data.images.pictures import RGB
from tune_seg.data.images.scan import stamp
from tune_seg.data.labels import Labels
from tune_seg.data.options import read_options
from tune_seg.data.splitting import divide
from tune_seg.errors import InputError

LAYOUT = (
    "annotations/panoptic_train*.json, annotations/panoptic_val*.json, for each a folder of PNG files with its name, and "
    "the folders of their images"
)

_PLACES = np.array([1, 2**8, 2**16], np.int64)


class PanopticOptions(GroupOptions):
    """`data.options` of COCO panoptic."""

    void: Literal["ignore", "background"] = "ignore"
    """What the pixels of id 0 are, which have no segment: unlabelled, to `ignore` them, as the format has it, or the class
    `background`, where everything else was labelled and is in no category."""


@dataclass(frozen=True)
class PanopticMasks:
    """Reads PNG files of segment ids as class indices.

    Attributes:
        segments: of each PNG, int64 (n, 2): the ids of its segments in ascending order, and their class indices.
        void: the class index of pixels without a segment.
    """

    segments: Mapping[Path, npt.NDArray[np.int64]] = field(repr=False)
    void: int

    def read(self, path: Path, part: int | None = None) -> Mask:
        """The class indices of a PNG, (H, W).

        Raises:
            InputError: it cannot be decoded, it holds an id that is not listed, or none that is.
        """
        pixels = RGB.read(path).astype(np.int64)
        ids = pixels @ _PLACES
        listed = np.concatenate([[[0, self.void]], self.segments[path]])
        at = np.minimum(np.searchsorted(listed[:, 0], ids), len(listed) - 1)
        unknown = np.unique(ids[listed[at, 0] != ids])
        if len(unknown):
            raise InputError(f"{path}: {_unknown(unknown, pixels, listed)}")
        if len(listed) > 1 and not at.any():
            raise InputError(f"{path}: none of its {len(listed) - 1} segments is in it, every pixel is 0 (void)")
        return listed[at, 1].astype(np.uint8)


@dataclass(frozen=True)
class PanopticDataset(FileDataset):
    """Images with PNG files of segment ids.

    Attributes:
        masks: reads the segments.
        lists: the JSON files.
    """

    masks: PanopticMasks = field(kw_only=True)
    lists: tuple[Path, ...] = field(kw_only=True)

    def classes_in(self, samples: Sequence[Sample]) -> list[frozenset[int]]:
        """What the files say is there, without reading the PNG files."""
        always = {self.masks.void} - {IGNORE_INDEX}
        return [frozenset({*always, *self.masks.segments[s.mask][:, 1].tolist()}) for s in samples if s.mask is not None]

    def source(self) -> dict[str, Any]:
        return super().source() | {"lists": [stamp(path) for path in self.lists]}


def looks_like(root: Path) -> bool:
    """Whether there are JSON files that list segments."""
    try:
        return bool(panoptic_files(root))
    except InputError:  # reading says which files are one too many
        return True


def read_panoptic(root: Path, config: DataConfig) -> PanopticDataset:
    """The data set under `root`: the files of segments, each with its PNG files and the images that it names.

    The classes are the categories of the files in the order of their ids, things and stuff. Void is ignored. A crowd is of
    its category, as all of its pixels are.

    Raises:
        InputError: a file or a folder is missing, a file does not list what another names, `data.classes` is given, or as
            :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, PanopticOptions)
    paths = panoptic_files(root, held_out=config.split.test == "published")
    if not paths:
        raise InputError(f"{root}: no file of panoptic segments that trains")
    for key in ("classes", "ignore_label"):
        if getattr(config, key) is not None:
            raise InputError(f"data.{key}: panoptic segments are read with the categories of their file; leave it out")
    files = {path: read_file(path) for path in paths.values()}
    names, notes = _classes(files, options)
    samples: list[Sample] = []
    segments: dict[Path, npt.NDArray[np.int64]] = {}
    for side, path in paths.items():
        file = files[path]
        labels = {number: names.index(category.name) for number, category in file.categories.items()}
        pngs = _pngs(root, path, file)
        images = locate(root, path, file.pngs, frozenset(pngs.values()))
        segments |= {pngs[name]: _sorted(file.segments[name], labels) for name in file.pngs}
        samples += [Sample(_id(name), side, images[name], pngs[name]) for name in sorted(file.pngs)]
        notes += _left_out(path, file)
    indices = {index: index for index in range(len(names))}
    masks = PanopticMasks(segments, 0 if options.void == "background" else IGNORE_INDEX)
    return PanopticDataset(
        divide(grouped(samples, options.group), config.split, root),
        Labels(names, indices, frozenset({IGNORE_INDEX})),
        layout=tuple(notes),
        masks=masks,
        lists=tuple(files),
    )


def _classes(files: Mapping[Path, PanopticFile], options: PanopticOptions) -> tuple[tuple[str, ...], list[str]]:
    """The names of the classes, and what to say of them."""
    categories = [category for file in files.values() for _, category in sorted(file.categories.items())]
    named = list(dict.fromkeys(category.name for category in categories))
    twice = next((path for path, file in files.items() if len(file.categories) > len(set(file.names))), None)
    if twice is not None:
        raise InputError(f"{twice}: two categories have one name; give each a name of its own")
    things = len({category.name for category in categories if category.thing})
    said = f"The classes are the {len(named)} categories of the file ({things} things, {len(named) - things} stuff): "
    said += f"{', '.join(named[:8])}{', ...' * (len(named) > 8)}."
    if options.void == "background":
        names = ("background", *(name for name in named if name != "background"))
        void = "Pixels without a segment (void, id 0) are background."
    else:
        names = tuple(named)
        void = (
            "Pixels without a segment (void, id 0) are unlabelled and ignored, as the format has it; if they are "
            "background, say so with --set data.options.void=background."
        )
    if not 2 <= len(names) <= MAX_CLASSES:
        advice = "; --set data.options.void=background makes a class of the rest" if options.void == "ignore" else ""
        raise InputError(f"{next(iter(files))}: {len(names)} classes; there must be 2 to {MAX_CLASSES}{advice}")
    return names, [said, void]


def _left_out(path: Path, file: PanopticFile) -> list[str]:
    """What of a file does not count, or counts otherwise than it may be expected."""
    notes: list[str] = []
    if file.unlabelled:
        notes.append(f"{path.name}: {len(file.unlabelled)} of its images have no segments listed and are left out.")
    if file.crowds:
        notes.append(f"{path.name}: {file.crowds} segments are marked as crowds (iscrowd: 1) and are like the others.")
    return notes


def _sorted(segments: npt.NDArray[np.int64], labels: Mapping[int, int]) -> npt.NDArray[np.int64]:
    found = np.array([(number, labels[category]) for number, category in segments.tolist()], np.int64).reshape(-1, 2)
    return found[np.argsort(found[:, 0])]


def _pngs(root: Path, path: Path, file: PanopticFile) -> dict[str, Path]:
    """The PNG file of each image, by the name of the image."""
    side = path.stem.removeprefix("panoptic_")
    usual = path.parent / path.stem
    folders = [usual, root / path.stem, path.parent / side, path.parent / "panoptic", root / "panoptic"]
    folders += [root / "panoptic" / side, root / "masks" / side, root / "masks", root / "labels" / side, root / "labels"]
    folders += [path.parent, root]
    first = _names(next(iter(file.pngs.values())))
    folder = next((folder for name in first for folder in folders if (folder / name).is_file()), None)
    if folder is None:
        there = sorted({Path(at) for at, _, names in os.walk(root) for name in first if Path(name).name in names})
        if len(there) == 1:
            folder = there[0]
        else:
            archive = usual.with_name(f"{usual.name}.zip")
            how = f"unpack {archive}" if archive.is_file() else f"put them into {usual}"
            found = f"; {first[0]} is in {there[0]} and in {there[1]}" if there else ""
            raise InputError(f"{path}: its PNG files of segments, such as {first[0]}, are not found{found}; {how}")
    pngs: dict[str, Path] = {}
    problems: list[str] = []
    for image, entry in file.pngs.items():
        ends = [end for name in _names(entry) for end in (name, Path(name).name)]
        png = next((folder / end for end in ends if (folder / end).is_file()), None)
        if png is None:
            problems.append(f"{folder / ends[0]}: no such file")
        else:
            pngs[image] = png
    if problems:
        raise problems_error(f"{path} lists segments of PNG files that are not there:", problems)
    return pngs


def _names(entry: str) -> list[str]:
    """How the PNG file of an entry may be called: some tools write the name of the image."""
    path = PurePosixPath(entry.replace("\\", "/"))
    return [str(path).lstrip("/")] * (path.suffix.lower() == ".png") or [str(path.with_suffix(".png")).lstrip("/")]


def _id(name: str) -> str:
    return str(PurePosixPath(name.replace("\\", "/")).with_suffix("")).lstrip("./")


def _unknown(unknown: npt.NDArray[np.int64], pixels: npt.NDArray[np.int64], listed: npt.NDArray[np.int64]) -> str:
    """What to say of ids that are not listed."""
    number = int(unknown[0])
    what = "a segment id that its list does not have" if len(unknown) == 1 else "segment ids that its list does not have"
    said = f"{what}, such as {number} (the colour {number % 256}, {number // 256 % 256}, {number // 65536})"
    if np.isin(pixels[..., ::-1] @ _PLACES, listed[:, 0]).all():
        return f"{said}; all would fit with red and blue exchanged, as OpenCV writes them, so exchange these channels"
    if (pixels == pixels[..., :1]).all():
        return f"{said}; it is grey, but an id is R + 256 G + 65536 B, so write ids below 256 into the red channel alone"
    return f"{said}; it must be stored without loss and resized without interpolation"
