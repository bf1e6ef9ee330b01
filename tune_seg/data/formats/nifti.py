"""NIfTI volumes with label volumes: the Medical Segmentation Decathlon and nnU-Net, two folders, or pairs of files."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tune_seg.config import DataConfig
from tune_seg.data.dataset import problems_error
from tune_seg.data.images.pictures import Raw
from tune_seg.data.labels import Labels, declared
from tune_seg.data.options import read_options
from tune_seg.data.volumes.case import Case, Volume
from tune_seg.data.volumes.dataset import IGNORE_LABEL, VolumeDataset, dataset_of
from tune_seg.data.volumes.files import by_name, collected, reading, stem, visible, whole_numbers
from tune_seg.data.volumes.geometry import Grid, Voxels, axial, fits, onto, other_grid_error
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.errors import InputError

LAYOUT = "imagesTr/, labelsTr/; or images/, labels/ (or masks/); or NAME.nii.gz with NAME_seg.nii.gz (_label, _segmentation)"

SUFFIXES = (".nii", ".nii.gz")

_FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"), ("images", "masks"))
_LABEL = re.compile(r"(.+)_(seg|label|labels|segmentation)")
_CHANNEL = re.compile(r"(.+)_(\d{4})")
_IGNORE = "ignore"  # the name of nnU-Net's ignored label


@dataclass(frozen=True, eq=False)
class Nifti:
    """The header of a NIfTI file of one or more channels."""

    path: Path
    grid: Grid
    channels: int


@dataclass(frozen=True, eq=False)
class NiftiCase(Case):
    """A volume and its labels.

    Attributes:
        images: the headers of its files; several hold one channel each.
        label: the header of its labels.
    """

    images: tuple[Nifti, ...]
    label: Nifti

    @property
    def files(self) -> tuple[Path, ...]:
        return (*(image.path for image in self.images), self.label.path)

    def volume(self) -> Volume:
        channels = [read_voxels(image) for image in self.images]
        return Volume(axial(np.concatenate(channels, axis=-1), self.images[0].grid.affine))

    def labels(self) -> Raw:
        grid = self.images[0].grid
        return whole_numbers(axial(onto(read_voxels(self.label)[..., 0], self.label.grid, grid), grid.affine), self.mask)


def looks_like(root: Path) -> bool:
    """Whether two folders hold NIfTI files, or the folder, or one in it, holds the labels of a pair."""
    if _folders(root) is not None:
        return True
    return any(
        _LABEL.fullmatch(stem(path)) for depth in ("", "*/") for path in root.glob(f"{depth}*.nii*") if _is_nifti(path)
    )


def read_nifti(root: Path, config: DataConfig) -> VolumeDataset:
    """The data set under `root`: the axial slices of every volume, one patient a volume.

    Files NAME_0000, NAME_0001, ... are the channels of one volume, and so is the fourth dimension of a file. A
    dataset.json in the root names the classes.

    Raises:
        InputError: a volume without labels or the other way round, one that cannot be read, grids that differ, a
            dataset.json that cannot be read, or as :func:`~tune_seg.data.volumes.dataset.dataset_of`.
    """
    options = read_options(config.options, VolumeOptions)
    named = None if config.classes is not None else _named(root / "dataset.json", config.ignore_label)
    cases = [_case(name, images, label, options) for name, (images, label) in _pairs(root).items()]
    return dataset_of(root, config, options, collected(cases, root), named)


def header(path: Path) -> Nifti:
    """The header of a NIfTI file; the channels are its fourth dimension, or its fifth.

    Raises:
        InputError: it cannot be read, it is no volume, or it holds colours.
    """
    import nibabel

    with reading(path, "NIfTI"):
        image: Any = nibabel.load(path)
        space, rest = image.shape[:3], image.shape[3:]
        if len(space) != 3 or sum(length > 1 for length in rest) > 1:
            raise InputError(
                f"{path}: {len(image.shape)} dimensions {image.shape}; a volume has 3, and a fourth for channels"
            )
        if image.get_data_dtype().fields is not None:
            raise InputError(f"{path}: holds colours or other compound voxels; write each channel as a number")
        grid = Grid.of(path, space, np.asarray(image.affine, np.float64))
        return Nifti(path, grid, int(np.prod(rest, dtype=np.int64)))


def read_voxels(header: Nifti) -> Voxels:
    """The voxels (I, J, K, C) of a NIfTI file, scaled as its header says.

    Raises:
        InputError: they cannot be read.
    """
    import nibabel

    with reading(header.path, "NIfTI"):
        image: Any = nibabel.load(header.path)
        return np.asanyarray(image.dataobj).reshape(*header.grid.shape, header.channels)


def _is_nifti(path: Path) -> bool:
    return path.name.endswith(SUFFIXES) and not path.name.startswith(".")


def _niftis(folder: Path) -> dict[str, Path]:
    """The NIfTI files of a folder by name without extension."""
    return by_name(path for path in visible(folder) if _is_nifti(path))


def _folders(root: Path) -> tuple[Path, Path] | None:
    """The folder of the images and that of the labels."""
    for images, labels in _FOLDERS:
        pair = root / images, root / labels
        if all(folder.is_dir() and _niftis(folder) for folder in pair):
            return pair
    return None


def _pairs(root: Path) -> dict[str, tuple[list[Path], Path]]:
    """By name: the files of a volume, in the order of its channels, and that of its labels."""
    folders = _folders(root)
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    if folders is not None:
        images, labels = _niftis(folders[0]), _niftis(folders[1])
    else:
        for folder in (root, *(path for path in visible(root) if path.is_dir())):
            for name, path in _niftis(folder).items():
                label = _LABEL.fullmatch(name)
                at, key = (labels, label[1]) if label else (images, name)
                if key in at:
                    raise InputError(f"{path} and {at[key]} are both of {key}; rename one, or take one of them elsewhere")
                at[key] = path
    channels: dict[str, list[Path]] = {}
    problems: list[str] = []
    for name, path in images.items():  # sorted, so channels come in order
        numbered = _CHANNEL.fullmatch(name)
        if name in labels:
            channels.setdefault(name, []).append(path)
        elif numbered and numbered[1] in labels:
            files = channels.setdefault(numbered[1], [])
            if int(numbered[2]) != len(files):
                problems.append(
                    f"{path}: channel {int(numbered[2])}, but channel {len(files)} of {numbered[1]} is not there"
                )
            files.append(path)
        else:
            problems.append(f"{path}: a volume without labels (no label volume has its name); add them or move it elsewhere")
    problems += [f"{path}: labels without a volume" for name, path in labels.items() if name not in channels]
    if problems:
        raise problems_error(f"{root}: each volume needs labels ({len(problems)} problems):", problems)
    if not channels:
        raise InputError(f"{root}: no NIfTI volume here; looked for {LAYOUT}")
    return {name: (files, labels[name]) for name, files in channels.items()}


def _case(name: str, files: list[Path], mask: Path, options: VolumeOptions) -> NiftiCase | str:
    try:
        images, label = tuple(map(header, files)), header(mask)
        grid = images[0].grid
        for image in images[1:]:
            if image.grid.shape != grid.shape or not np.allclose(image.grid.affine, grid.affine, atol=1e-3):
                raise InputError(
                    f"{image.path}: its grid is {image.grid.describe()}, but that of the first channel is "
                    f"{grid.describe()}; the channels of a volume share one"
                )
        if label.channels != 1:
            raise InputError(f"{mask}: {label.channels} values in a voxel; a label volume has one class number")
        if not options.resample_labels and not fits(label.grid, grid):
            raise other_grid_error(mask, label.grid, files[0], grid)
    except InputError as error:
        return str(error)
    channels = sum(image.channels for image in images)
    return NiftiCase(name, name, files[0], mask, grid.axial_shape, channels, grid.spacing, images, label)


def _named(path: Path, ignore_label: int | None) -> Labels | None:
    """The classes as dataset.json names them: {"0": "background"} in the Decathlon, {"background": 0} in nnU-Net."""
    if not path.is_file():
        return None
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
        names = {int(key): str(value) for key, value in labels.items()} if _numbered(labels) else _numbers(labels)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: its labels cannot be read ({type(error).__name__}: {error}); they are a mapping of numbers to names, "
            "or of names to numbers. Correct it, or declare data.classes"
        ) from error
    ignored = next((value for value, name in names.items() if name == _IGNORE), None)
    if ignored is not None and ignore_label is None:
        ignore_label = ignored
        names.pop(ignored)
    return declared(names, ignore_label, IGNORE_LABEL)


def _numbered(labels: Mapping[str, Any]) -> bool:
    return all(key.isdigit() for key in labels)


def _numbers(labels: Mapping[str, Any]) -> dict[int, str]:
    names = {int(value): name for name, value in labels.items()}
    if len(names) != len(labels):
        raise ValueError("two names have one number")
    return names
