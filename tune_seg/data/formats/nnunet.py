"""Pictures in the folders of nnU-Net: imagesTr with a file for each channel, labelsTr, and dataset.json."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as pillow

from tune_seg.config import DataConfig
from tune_seg.data.dataset import Sample, problems_error
from tune_seg.data.formats._dataset_json import Named, named
from tune_seg.data.groups import GroupOptions, grouped
from tune_seg.data.images.files import FileDataset
from tune_seg.data.images.intensities import IntensityOptions, intensities_of
from tune_seg.data.images.mask_meaning import Asked
from tune_seg.data.images.mask_scan import MaskScan
from tune_seg.data.images.own_masks import masks_of, own_masks
from tune_seg.data.images.pictures import CLASS_NUMBERS, RGB, Pictures, depth, page_numbers, reject_no_file
from tune_seg.data.images.scan import Scan, stamp
from tune_seg.data.images.tiff import Stored
from tune_seg.data.labels import Labels
from tune_seg.data.options import read_options
from tune_seg.data.splitting import divide, unlisted
from tune_seg.errors import InputError

LAYOUT = "imagesTr/NAME_0000.png (or .tif, .bmp), labelsTr/NAME.png, dataset.json"

_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_CHANNEL = re.compile(r"(.+)_(\d{4})")
_GREY = ("1", "L", "I", "F")


class NnunetOptions(GroupOptions, IntensityOptions):
    """`data.options` of nnU-Net's folders."""


@dataclass(frozen=True)
class ChannelFiles(Pictures):
    """Reads images whose channels are in several files.

    Attributes:
        channels, dtype: of each file.
        files: by the first file of an image, all of them.
    """

    files: Mapping[Path, tuple[Path, ...]] = field(default_factory=dict, repr=False)

    def values(self, path: Path, part: int | None = None) -> Stored:
        parts = [super(ChannelFiles, self).values(file, part) for file in self.files[path]]
        shapes = {stored.pixels.shape[:2] for stored in parts}
        if len(shapes) > 1:
            raise InputError(f"{path}: its channels are of different sizes: {', '.join(f'{w} x {h}' for h, w in shapes)}")
        return parts[0]._replace(pixels=np.concatenate([stored.pixels for stored in parts], axis=2))


@dataclass(frozen=True)
class NnunetDataset(FileDataset):
    """Images and masks in the folders of nnU-Net.

    Attributes:
        pictures: reads the images.
        remarks: what was taken for granted about dataset.json.
    """

    pictures: ChannelFiles = field(default_factory=ChannelFiles)
    remarks: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        return self.pictures.channels * len(next(iter(self.pictures.files.values())))

    @property
    def notes(self) -> tuple[str, ...]:
        return (*super().notes, *self.remarks)

    def source(self) -> dict[str, Any]:
        others = [stamp(file) for files in self.pictures.files.values() for file in files]
        return super().source() | {"files": others}


def looks_like(root: Path) -> bool:
    """Whether both folders hold pictures."""
    return all((root / folder).is_dir() and any(_pictures(root / folder)) for folder in ("imagesTr", "labelsTr"))


def read_nnunet(root: Path, config: DataConfig) -> NnunetDataset:
    """The data set under `root`. The pages of a TIFF are the slices of a volume, each a sample.

    Raises:
        InputError: an image lacks a mask or a channel, a mask lacks an image, a dataset.json that cannot be read, or as
            :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, NnunetOptions)
    files = _files(root)
    first = next(iter(files.values()))[0][0]
    pictures = ChannelFiles(_channels(first), depth(first), files={images[0]: images for images, _ in files.values()})
    samples = [sample for name, (images, mask) in files.items() for sample in _samples(name, images[0], mask)]
    labels, remarks = named(root, config.ignore_label) if config.classes is None else Named(None)
    divided = divide(grouped(samples, options.group), config.split, root)
    return NnunetDataset(
        divided,
        _classes(divided, config, labels, root / "labelsTr"),
        pictures,
        CLASS_NUMBERS,
        intensities_of(divided, pictures, options),
        remarks=(*remarks, *unlisted(samples, divided)),
    )


def _classes(samples: Sequence[Sample], config: DataConfig, named: Labels | None, where: Path) -> Labels | Scan:
    """What the values mean: what dataset.json says, unless it leaves open what 255 is."""
    if named is None:
        return own_masks(samples, config, None, where, as_folder=False).classes
    if named.ignored:
        return named
    names = {value: named.class_names[index] for value, index in named.indices.items()}
    return MaskScan(masks_of(samples), Asked(names, False, None, where, in_folder=False, as_folder=False))


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."))


def _files(root: Path) -> dict[str, tuple[tuple[Path, ...], Path]]:
    """By name: the files of an image, in the order of its channels, and its mask."""
    masks = {path.stem: path for path in _pictures(root / "labelsTr")}
    images: dict[str, list[Path]] = {}
    problems: list[str] = []
    for path in _pictures(root / "imagesTr"):
        numbered = _CHANNEL.fullmatch(path.stem)
        if numbered is None or numbered[1] not in masks:
            problems.append(f"{path}: an image without a mask; it is called NAME_0000, and its mask labelsTr/NAME")
            continue
        channels = images.setdefault(numbered[1], [])
        if int(numbered[2]) != len(channels):
            problems.append(f"{path}: channel {int(numbered[2])}, but channel {len(channels)} of {numbered[1]} is not there")
        channels.append(path)
    problems += [f"{path}: a mask without an image" for name, path in masks.items() if name not in images]
    counts = {len(channels) for channels in images.values()}
    if len(counts) > 1:
        problems.append(f"images have {' or '.join(map(str, sorted(counts)))} channels; all of a data set have the same")
    if problems:
        raise problems_error(f"{root}: each image needs a mask and all channels ({len(problems)} problems):", problems)
    return {name: (tuple(channels), masks[name]) for name, channels in images.items()}


def _samples(name: str, image: Path, mask: Path) -> list[Sample]:
    pages, mask_pages = page_numbers(image), page_numbers(mask)
    if pages != mask_pages:
        raise InputError(f"{mask}: {len(mask_pages)} pages, but its image {image.name} has {len(pages)}; each needs a mask")
    if len(pages) == 1:
        return [Sample(name, "train", image, mask)]
    width = len(str(pages[-1]))
    return [Sample(f"{name}#{page:0{width}}", "train", image, mask, group=name, part=page) for page in pages]


def _channels(path: Path) -> int:
    """Those of a file: 1 where it is grey, or else 3."""
    reject_no_file(path)  # whose opening would wait for whoever writes to it
    try:
        with pillow.open(path) as image:
            return 1 if image.mode.startswith(_GREY) and image.mode != "LAB" else RGB.channels
    except Exception:  # a kind of TIFF that Pillow does not know: a measurement, not colours
        return 1
