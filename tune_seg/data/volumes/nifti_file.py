"""NIfTI files, read by nibabel."""

import gzip
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tune_seg.data.volumes.files import reading
from tune_seg.data.volumes.geometry import Affine, Grid, Voxels, apart
from tune_seg.data.volumes.header import Header
from tune_seg.data.volumes.remarks import Remark
from tune_seg.errors import InputError

SUFFIXES = (".nii", ".nii.gz")

_GZIP = b"\x1f\x8b"
_SMALLEST_HEADER = 348
_NIFTI2 = 540  # the size of its header, with which it begins
_QFORM_TOLERANCE = 0.1  # voxels
_ODD = "Headers with something wrong in them (nibabel: {})"
_QFORM = "The qform differs from the sform, by which the volume was placed (another program may take the qform)"


class _Sayings(logging.Filter):
    """Hears what nibabel's log says of a header, which it would print alone, without the name of the file."""

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        said: list[str] | None = getattr(self._of_thread, "said", None)
        if said is None:
            return True
        said.append(record.getMessage())
        return False

    @contextmanager
    def heard(self) -> Iterator[list[str]]:
        """Gathers what is said in this thread."""
        self._of_thread.said = said = list[str]()
        try:
            yield said
        finally:
            self._of_thread.said = None


_SAYINGS = _Sayings()


def header(path: Path) -> Header:
    """The header of a NIfTI file of one or more channels, which are its fourth dimension, or its fifth.

    A file of two dimensions is a volume of one slice.

    Raises:
        InputError: it cannot be read, it is no volume, or it holds colours.
    """
    with reading(path, "NIfTI"), _SAYINGS.heard() as said, _opened(path) as image:
        space, rest = (*image.shape[:3], 1)[:3], image.shape[3:]
        if len(image.shape) < 2 or sum(length > 1 for length in rest) > 1:
            raise InputError(
                f"{path}: {len(image.shape)} dimensions {image.shape}; a volume has 3, and a fourth for channels"
            )
        if image.get_data_dtype().fields is not None:
            raise InputError(f"{path}: holds colours or other compound voxels; write each channel as a number")
        if image.get_data_dtype().kind == "c":
            raise InputError(f"{path}: complex numbers; write their magnitude")
        if image.dataobj.offset < _SMALLEST_HEADER:  # nibabel would take the header for voxels
            raise InputError(
                f"{path}: by its header (vox_offset) the voxels begin at byte {image.dataobj.offset}, within the header; "
                "write the file anew with another program"
            )
        affine = _with_thickness(np.asarray(image.affine, np.float64))
        grid = Grid.of(path, space, affine)
        channels = int(np.prod(rest, dtype=np.int64))
        odd = [Remark(_ODD.format(text), path.name) for text in dict.fromkeys(said)]
        return Header(path, (path,), grid, channels, remarks=(*odd, *_remarks(path, image, grid)))


def read_voxels(header: Header) -> Voxels:
    """The voxels (I, J, K, C) of a NIfTI file, scaled as its header says.

    Raises:
        InputError: they cannot be read.
    """
    with reading(header.path, "NIfTI"), _SAYINGS.heard(), _opened(header.path) as image:
        return np.asanyarray(image.dataobj).reshape(*header.grid.shape, header.channels)


def image_like(header: Header, voxels: Voxels) -> Any:
    """nibabel's image of voxels (I, J, K) or (I, J, K, C) that lie where those of a NIfTI file do: its affine, its codes.

    Raises:
        InputError: the file cannot be read.
    """
    with reading(header.path, "NIfTI"), _SAYINGS.heard(), _opened(header.path) as image:
        flat = voxels.ndim == 3 and len(image.shape) == 2
        own = image.header.copy()
        own.extensions.clear()  # whatever programs have noted of the intensities, or of the patient
        own.set_data_dtype(voxels.dtype)
        own.set_intent("none")
        own["cal_min"] = own["cal_max"] = 0  # between which intensities are shown
        return type(image)(voxels[..., 0] if flat else voxels, image.affine, own)


def image_of(grid: Grid | None, voxels: Voxels) -> Any:
    """nibabel's image of voxels (I, J, K) or (I, J, K, C) on a grid; None: nobody knows where they lie."""
    import nibabel

    if grid is None:
        return nibabel.Nifti1Image(voxels, None)
    image = nibabel.Nifti1Image(voxels, grid.affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(grid.affine, code="scanner")
    image.set_sform(grid.affine, code="scanner")
    return image


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The image of a file, until its content was read.

    nibabel takes a file for compressed by its name, which is wrong where somebody renamed it, and `A.Nii` for `A.nii`.
    """
    import nibabel
    from nibabel import imageglobals

    imageglobals.logger.addFilter(_SAYINGS)  # once, however often it is added
    with path.open("rb") as file:
        compressed = file.read(len(_GZIP)) == _GZIP
    with gzip.open(path) if compressed else path.open("rb") as stream:
        size = np.frombuffer(stream.read(4), np.int32)
        kind: Any = nibabel.Nifti2Image if _NIFTI2 in (size, size.byteswap()) else nibabel.Nifti1Image
        named_so = compressed == path.name.lower().endswith(".gz")
        yield kind.from_file_map(kind.make_file_map({"image": str(path) if named_so else stream}))


def _with_thickness(affine: Affine) -> Affine:
    """The affine of a slice, whose thickness may be stated as 0."""
    if not affine[:3, 2].any() and affine[:3, 0].any():
        affine[:3, 2] = np.cross(affine[:3, 0], affine[:3, 1]) / np.linalg.norm(affine[:3, 0])
    return affine


def _remarks(path: Path, image: Any, grid: Grid) -> tuple[Remark, ...]:
    (qform, _), (sform, _) = image.get_qform(coded=True), image.get_sform(coded=True)
    if qform is None or sform is None:
        return ()
    away = apart(qform, sform, grid.shape)
    if away <= _QFORM_TOLERANCE * np.linalg.norm(grid.affine[:3, :3], axis=0).min():
        return ()
    return (Remark(_QFORM, f"{path.name} (up to {away:.3g} mm)"),)
