"""MetaImage and NRRD files, read by SimpleITK."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tune_seg.data.volumes.files import reject_pointer
from tune_seg.data.volumes.geometry import LPS_TO_RAS, Grid, Voxels
from tune_seg.data.volumes.header import Header, Segment
from tune_seg.errors import InputError

SUFFIXES = (".mhd", ".mha", ".nrrd", ".nhdr")

_NRRD = (".nrrd", ".nhdr")
_DATA_FILE = {
    "MetaImageIO": re.compile(rb"^ElementDataFile *=(.*)$", re.MULTILINE),
    "NrrdImageIO": re.compile(rb"^data ?file:(.*)$", re.MULTILINE | re.IGNORECASE),
}
_SEVERAL = ("LOCAL", "LIST")  # in place of the name of the file of the voxels
_HEADER_BYTES = 2**16
_SEGMENT = re.compile(r"Segment(\d+)_LabelValue")  # of 3D Slicer's .seg.nrrd


def header(path: Path) -> Header:
    """The header of a MetaImage or NRRD file; one of two dimensions is a volume of one slice.

    Raises:
        InputError: it cannot be read, or it has more than three dimensions.
    """
    import SimpleITK as sitk

    with _reading(path):
        reader = sitk.ImageFileReader()
        reader.SetImageIO(_io(path))
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        dimensions = reader.GetDimension()
        if dimensions not in (2, 3):
            raise InputError(f"{path}: {dimensions} dimensions; a volume has 3")
        affine = np.eye(4)
        affine[:dimensions, :dimensions] = np.reshape(reader.GetDirection(), (dimensions,) * 2) * reader.GetSpacing()
        affine[:dimensions, 3] = reader.GetOrigin()
        voxels = _voxel_file(path)
        if not voxels.is_file():
            raise InputError(f"{voxels}: not there, but {path.name} says that it holds its voxels; put it beside it")
        grid = Grid.of(path, (*reader.GetSize(), 1)[:3], LPS_TO_RAS @ affine)
        return Header(path, tuple(dict.fromkeys((path, voxels))), grid, reader.GetNumberOfComponents(), _segments(reader))


def read_voxels(header: Header) -> Voxels:
    """The voxels (I, J, K, C) of a MetaImage or NRRD file.

    Raises:
        InputError: they cannot be read.
    """
    import SimpleITK as sitk

    with _reading(header.path):
        voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(header.path), imageIO=_io(header.path)))
    return voxels.reshape(*header.grid.shape[::-1], header.channels).transpose(2, 1, 0, 3)


def _io(path: Path) -> str:
    return "NrrdImageIO" if path.suffix.lower() in _NRRD else "MetaImageIO"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # in whose text ITK names its own source files, but no reason
        reject_pointer(path)
        what = "NRRD" if path.suffix.lower() in _NRRD else "a MetaImage"
        raise InputError(f"{path}: cannot be read as {what}; is it damaged, or the file of its voxels truncated?") from error


def _voxel_file(path: Path) -> Path:
    with path.open("rb") as file:
        named = _DATA_FILE[_io(path)].search(file.read(_HEADER_BYTES))
    name = "LOCAL" if named is None else named[1].decode("utf-8", "surrogateescape").strip()
    several = name.startswith(_SEVERAL) or "%" in name
    return path if several else path.parent / name


def _segments(reader: Any) -> tuple[Segment, ...]:
    """What 3D Slicer says of the segments of a segmentation."""
    said = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    numbers = sorted(int(found[1]) for found in map(_SEGMENT.fullmatch, said) if found)
    return tuple(
        Segment(
            said[f"Segment{number}_Name"].strip(),
            int(said[f"Segment{number}_LabelValue"]),
            int(said.get(f"Segment{number}_Layer", 0)),
        )
        for number in numbers
        if f"Segment{number}_Name" in said
    )
