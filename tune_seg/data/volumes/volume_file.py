"""Files that hold a whole volume, an image or its labels: NIfTI, MetaImage and NRRD."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tune_seg.data.images.class_numbers import Raw, class_numbers
from tune_seg.data.images.pictures import reject_no_file
from tune_seg.data.volumes import itk_file, nifti_file
from tune_seg.data.volumes.case import Case, Volume
from tune_seg.data.volumes.geometry import Plane, Voxels, onto, sliced
from tune_seg.data.volumes.header import Header
from tune_seg.errors import InputError

SUFFIXES = (*nifti_file.SUFFIXES, *itk_file.SUFFIXES)


def header(path: Path) -> Header:
    """The header of a file.

    Raises:
        InputError: it cannot be read, or it is no volume.
    """
    reject_no_file(path)
    return nifti_file.header(path) if _is_nifti(path) else itk_file.header(path)


def read_voxels(header: Header) -> Voxels:
    """The voxels (I, J, K, C) of a file.

    Raises:
        InputError: they cannot be read.
    """
    return nifti_file.read_voxels(header) if _is_nifti(header.path) else itk_file.read_voxels(header)


def intensities_of(images: Sequence[Header], plane: Plane) -> Volume:
    """The slices of a volume in a plane; several files hold one channel each.

    Raises:
        InputError: they cannot be read.
    """
    channels = [read_voxels(image) for image in images]
    voxels = channels[0] if len(channels) == 1 else np.concatenate(channels, axis=-1)
    return Volume(sliced(voxels, images[0].grid.affine, plane))


def reject_other_grids(images: Sequence[Header]) -> None:
    """Raises an InputError where the files of one volume do not share a grid."""
    grid = images[0].grid
    for image in images[1:]:
        if image.grid.shape != grid.shape or not np.allclose(image.grid.affine, grid.affine, atol=1e-3):
            raise InputError(
                f"{image.path}: its grid is {image.grid.describe()}, but that of the first channel is "
                f"{grid.describe()}; the channels of a volume share one"
            )


@dataclass(frozen=True, eq=False)
class FileCase(Case):
    """A volume and its labels, each in files of their own.

    Attributes:
        images: the headers of its files; several hold one channel each.
        label: the header of its labels.
        cut: the plane of its slices.
        order: the names of the segments that are read, the later one above; their raw values are their places, from 1.
            Empty: the labels are read as they are.
    """

    images: tuple[Header, ...]
    label: Header
    cut: Plane
    order: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for header in (*self.images, self.label) for file in header.files)

    def volume(self) -> Volume:
        return intensities_of(self.images, self.cut)

    def labels(self) -> Raw:
        grid = self.images[0].grid
        placed = onto(self._one_layer(read_voxels(self.label)), self.label.grid, grid)
        return class_numbers(sliced(placed, grid.affine, self.cut), self.mask)

    def _one_layer(self, voxels: Voxels) -> Voxels:
        if not self.order:
            return voxels[..., 0]
        found = np.zeros(voxels.shape[:3], np.uint16)
        for value, name in enumerate(self.order, start=1):
            for segment in self.label.segments:
                if segment.name == name:
                    found[voxels[..., segment.layer] == segment.value] = value
        return found


def several_values_error(label: Header) -> InputError:
    """The error for a label volume with more than one channel."""
    if label.segments:
        names = ", ".join(dict.fromkeys(segment.name for segment in label.segments))
        return InputError(
            f"{label.path}: {label.channels} layers, as 3D Slicer stores segments that overlap. A pixel has one class here: "
            "say which segments are read, the one that lies above all others last, with "
            f"--set 'data.options.segments=[{names}]'"
        )
    return InputError(
        f"{label.path}: {label.channels} values in a voxel; a label volume has one class number, so write one "
        "volume with the number of its class in each voxel"
    )


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether the name of a file ends in one of `suffixes`, in whichever case."""
    return path.name.lower().endswith(suffixes) and not path.name.startswith(".")


def _is_nifti(path: Path) -> bool:
    return has_suffix(path, nifti_file.SUFFIXES)
