"""DICOM files: which they are, their headers, and their pixels as they are stored."""

import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.data.volumes.files import reading
from tune_seg.errors import InputError, first_line
from tune_seg.format_names import need_packages

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""The SOP classes Segmentation Storage and Label Map Segmentation Storage."""


STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
"""The SOP class RT Structure Set Storage."""

_TAGS = [
    "BitsAllocated",
    "Columns",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "InstanceNumber",
    "MaximumFractionalValue",
    "NumberOfFrames",
    "PatientID",
    "PerFrameFunctionalGroupsSequence",
    "PhotometricInterpretation",
    "PixelSpacing",
    "ROIContourSequence",
    "ReferencedFrameOfReferenceSequence",
    "ReferencedSeriesSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SegmentSequence",
    "SegmentationType",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SharedFunctionalGroupsSequence",
    "StructureSetROISequence",
]
_DECODERS = ("pylibjpeg", "libjpeg", "openjpeg")
"""The packages with which pydicom decodes JPEG."""

_MAGIC_AT, _MAGIC = 128, b"DICM"
_FIRST_GROUPS, _FIRST_ELEMENTS = (0x0002, 0x0008), 0x0070  # with which a file without a preamble begins
_FIRST_VALUE = 256  # bytes, at most


def is_dicom(path: Path) -> bool:
    """Whether it is a DICOM file: by the letters DICM after the preamble, or by its first element where it has none."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_MAGIC_AT + len(_MAGIC))
    return head[_MAGIC_AT:] == _MAGIC or _begins_with_an_element(head)


def _begins_with_an_element(head: bytes) -> bool:
    for order in "<>":
        if len(head) >= 8:
            group, element = struct.unpack_from(f"{order}HH", head)
            explicit = head[4:6].isalpha() and head[4:6].isupper()
            length = struct.unpack_from(f"{order}I", head, 4)[0]
            if group in _FIRST_GROUPS and element <= _FIRST_ELEMENTS and (explicit or length <= _FIRST_VALUE):
                return True
    return False


def read_header(path: Path) -> Any:
    """The attributes of a file that identify and place it, without its pixels.

    Raises:
        InputError: it cannot be read.
    """
    with reading(path, "DICOM"):
        return read_file(path, stop_before_pixels=True, specific_tags=_TAGS)


def walk(entry: Path) -> Iterator[Path]:
    """All files of a folder, also those in folders of it; a file alone is itself. Links may lead nowhere."""
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return (path for path in files if not path.is_dir() and not path.name.startswith("."))


def read_headers(volume: Path) -> list[tuple[Path, Any]]:
    """The DICOM files of a folder, in the order of their names, or a file alone, each with its header.

    Raises:
        InputError: one of them cannot be read.
    """
    headers = []
    for path in sorted(walk(volume)):
        if not path.exists():
            raise InputError(f"{path}: a link to a file that is not there; fetch the file, or take the link out")
        if is_dicom(path):
            headers.append((path, read_header(path)))
        elif path.suffix.lower() == ".dcm":
            raise InputError(f"{path}: no DICOM file (no DICM after 128 bytes); is it damaged? Replace it or take it out")
    return headers


def read_file(path: Path, **how: Any) -> Any:
    """A file as pydicom reads it, also one without a preamble.

    Its warnings of values that are not to the letter of the standard (`Invalid value for VR UI`) are not shown: they do not
    name the file, there is one for each slice, and what cannot be used is refused.
    """
    import pydicom

    warnings.filterwarnings("ignore", module="pydicom")
    return pydicom.dcmread(path, force=True, **how)


def states_syntax(dataset: Any) -> bool:
    """Whether a file says how it is encoded."""
    return "TransferSyntaxUID" in dataset.file_meta


def pixels(path: Path) -> npt.NDArray[Any]:
    """The frames of a file, (F, H, W) or, where they are colours, uint8 RGB (F, H, W, 3); not rescaled, except by a table.

    Raises:
        InputError: it cannot be decoded.
    """
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

    dataset, frames = decoded(path)
    with reading(path, "DICOM"):
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            frames = apply_color_lut(frames, dataset)
            return (frames >> 8).astype(np.uint8) if frames.dtype == np.uint16 else frames
        return apply_modality_lut(frames, dataset) if "ModalityLUTSequence" in dataset else frames


def decoded(path: Path) -> tuple[Any, npt.NDArray[Any]]:
    """A file's attributes, and its frames as they are stored, (F, H, W) or (F, H, W, 3); YBR is RGB already.

    Raises:
        InputError: it cannot be decoded.
    """
    with reading(path, "DICOM"):
        dataset = read_file(path)
        if not states_syntax(dataset):
            _assume_syntax(path, dataset)
        try:
            frames = dataset.pixel_array
        except (NotImplementedError, RuntimeError) as error:
            need_packages("dicom", *_DECODERS)
            syntax = dataset.file_meta.get("TransferSyntaxUID")
            raise InputError(
                f"{path}: its pixels cannot be decoded ({first_line(error)}); the transfer syntax is "
                f"{syntax.name if syntax else 'not stated'}. Convert it to an uncompressed one, for instance "
                "with gdcmconv --raw"
            ) from error
        return dataset, frames if int(dataset.get("NumberOfFrames") or 1) > 1 else frames[None]


def _assume_syntax(path: Path, dataset: Any) -> None:
    """Take the pixels of a file that does not say how it is encoded for uncompressed.

    Raises:
        InputError: they are compressed.
    """
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        raise InputError(
            f"{path}: its pixels are compressed, but it does not state its transfer syntax; export it again as a DICOM file "
            "with its header of group 2 (Part 10)"
        )
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
