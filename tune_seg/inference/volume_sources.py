"""Volumes to predict: files of NIfTI, MetaImage and NRRD, and DICOM series, and where what is predicted of them lies."""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tune_seg.data.formats._volume_names import image_keys, label_key
from tune_seg.data.formats.dicom.files import is_dicom
from tune_seg.data.formats.dicom.series import series_in
from tune_seg.data.formats.dicom.stack import Stack, decode
from tune_seg.data.images.pictures import IMAGE_SUFFIXES
from tune_seg.data.volumes import itk_file, nifti_file, volume_file
from tune_seg.data.volumes.case import Volume
from tune_seg.data.volumes.files import stem
from tune_seg.data.volumes.geometry import Plane, Voxels, unsliced
from tune_seg.data.volumes.header import Header
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.errors import InputError
from tune_seg.format_names import need_packages

ENDING = ".nii.gz"
"""Of what is written, whatever the format of the volume."""


@dataclass(frozen=True, eq=False)
class VolumeSource(ABC):
    """A volume to predict.

    Attributes:
        path: its file or folder.
        name: of what is written of it, without an ending.
    """

    path: Path
    name: str

    @property
    @abstractmethod
    def channels(self) -> int:
        """Of each slice."""

    @property
    @abstractmethod
    def spacing(self) -> tuple[float, float] | None:
        """Millimetres between two rows, and two columns, of its slices; None where it is not stated."""

    @abstractmethod
    def volume(self) -> Volume:
        """The intensities (S, H, W, C).

        Raises:
            InputError: naming the file that cannot be read.
        """

    @abstractmethod
    def placed(self, slices: Voxels) -> Any:
        """nibabel's image of what was predicted of the slices, (S, H, W) or (S, H, W, C), where the volume lies.

        Raises:
            InputError: there is no such place, because the slices do not lie at equal distances.
        """


@dataclass(frozen=True, eq=False)
class FileSource(VolumeSource):
    """A volume in files of its own.

    Attributes:
        headers: of its files; several hold one channel each.
        plane: of its slices.
    """

    headers: tuple[Header, ...]
    plane: Plane

    @property
    def channels(self) -> int:
        return sum(header.channels for header in self.headers)

    @property
    def spacing(self) -> tuple[float, float] | None:
        return self.headers[0].grid.spacing_in(self.plane)

    def volume(self) -> Volume:
        return volume_file.intensities_of(self.headers, self.plane)

    def placed(self, slices: Voxels) -> Any:
        first = self.headers[0]
        voxels = unsliced(slices, first.grid.affine, self.plane)
        if volume_file.has_suffix(first.path, nifti_file.SUFFIXES):
            return nifti_file.image_like(first, voxels)
        return nifti_file.image_of(first.grid, voxels)


@dataclass(frozen=True, eq=False)
class SeriesSource(VolumeSource):
    """A DICOM series.

    Attributes:
        stack: its slices.
    """

    stack: Stack

    @property
    def channels(self) -> int:
        return 3 if self.stack.colour else 1

    @property
    def spacing(self) -> tuple[float, float] | None:
        return self.stack.spacing

    @cached_property
    def _grid(self) -> Any:
        return self.stack.grid()

    def volume(self) -> Volume:
        _ = self._grid  # before it is computed what nobody could write
        return decode(self.stack)

    def placed(self, slices: Voxels) -> Any:
        return nifti_file.image_of(self._grid, slices.transpose(2, 1, 0, *range(3, slices.ndim)))


class Found(NamedTuple):
    """What there is to predict.

    Args:
        sources: the volumes.
        labels: files of folders that were left out, as by their names they are labels.
    """

    sources: list[VolumeSource]
    labels: list[Path]


def volume_sources(paths: Iterable[Path], options: VolumeOptions, channels: int) -> Found:
    """The volumes that files and folders hold, those of folders by the names they have there.

    Files NAME_0000, NAME_0001, ... or NAME_flair, NAME_t1, ... are the channels of one volume where the model takes several.

    Args:
        paths: files, and folders of files and of DICOM series.
        options: how the model's volumes were read.
        channels: that the model takes.

    Raises:
        InputError: something is not there, is no volume, or a volume of other channels; a folder has none; or two would be
            written as one.
    """
    found, labels = Found([], []), []
    files: dict[Path, str] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if volume_file.has_suffix(file, volume_file.SUFFIXES))
            labels += [file for file in inside if _is_label(file)]
            files |= {file: _named(file, path) for file in inside if not _is_label(file)}
            series = [] if inside else list(_series(path))
            found.sources.extend(series)
            if not inside and not series:
                raise InputError(f"{path}: no volume in this folder (looked for {_LOOKED_FOR})")
        elif volume_file.has_suffix(path, volume_file.SUFFIXES) and path.exists():
            files[path] = stem(path)
        elif is_dicom(path):
            found.sources.extend(_series(path))
        else:
            raise InputError(f"{path}: {_what_it_is(path)}")
    found.sources.extend(_of_files(files, options, channels))
    found.labels.extend(labels)
    _reject(found.sources, options, channels)
    return found


_FIRST = "0000"
"""How nnU-Net numbers the file of the first channel of a volume, also where that is the only one."""
_LOOKED_FOR = f"{', '.join(volume_file.SUFFIXES)}, and DICOM"


def is_volume(path: Path) -> bool:
    """Whether something is a volume, or a folder that holds volumes."""
    files = path.rglob("*") if path.is_dir() else [path]
    return any(volume_file.has_suffix(file, volume_file.SUFFIXES) or is_dicom(file) for file in files)


def _what_it_is(path: Path) -> str:
    if not path.exists():
        return "no such file"
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return (
            "a picture, but the model is of slices of volumes, whose intensities a picture does not have; give it volumes "
            f"({_LOOKED_FOR})"
        )
    return f"no volume that is read ({_LOOKED_FOR})"


def _named(file: Path, folder: Path) -> str:
    return (file.relative_to(folder).parent / stem(file)).as_posix()


def _is_label(file: Path) -> bool:
    return label_key(stem(file), alone=False) is not None


def _series(path: Path) -> Iterator[VolumeSource]:
    need_packages("dicom", "nibabel")
    for name, stack in series_in(path.absolute()).items():
        yield SeriesSource(stack.path, name, stack)


def _of_files(files: dict[Path, str], options: VolumeOptions, channels: int) -> Iterator[VolumeSource]:
    """The volumes in files, of which the names are given."""
    parts: defaultdict[str, dict[str, Header]] = defaultdict(dict)
    numbered = Counter(path.parent / key for path in files for key, channel in image_keys(stem(path)) if channel.isdecimal())
    for path, name in files.items():
        need_packages("mhd" if volume_file.has_suffix(path, itk_file.SUFFIXES) else "nifti")
        header = volume_file.header(path)
        key, channel = next(((key, channel) for key, channel in image_keys(stem(path)) if channel), ("", ""))
        if header.channels < channels and channel:
            parts[str(Path(name).parent / (key or Path(name).parent.name))][channel] = header
        else:
            alone = channel == _FIRST and numbered[path.parent / key] == 1
            named = (Path(name).parent / key).as_posix() if alone else name  # as its labels are called
            yield FileSource(path, named, (header,), header.grid.cut(options.plane))
    for name, by_channel in parts.items():
        headers = tuple(by_channel[channel] for channel in sorted(by_channel))  # the order that they were trained in
        volume_file.reject_other_grids(headers)
        yield FileSource(headers[0].path, name, headers, headers[0].grid.cut(options.plane))


def _reject(sources: Sequence[VolumeSource], options: VolumeOptions, channels: int) -> None:
    first: dict[str, VolumeSource] = {}
    for source in sources:
        if source.channels != channels:
            raise InputError(
                f"{source.path}: a volume of {source.channels} channel{'s' * (source.channels > 1)}, but the model takes "
                f"{channels}; several files are the channels of one volume where they are called NAME_0000, NAME_0001, ..."
            )
        if options.spacing is not None and source.spacing is None:
            raise InputError(
                f"{source.path}: no pixel spacing is stated, but the model is of pixels of {options.spacing:g} mm; export "
                "the volume with its spacing"
            )
        other = first.setdefault(source.name, source)
        if other is not source:
            raise InputError(
                f"{source.path} and {other.path} would both be written as {source.name}; predict them into two folders"
            )
