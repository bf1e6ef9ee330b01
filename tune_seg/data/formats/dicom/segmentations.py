"""Masks as DICOM segmentation objects: each frame belongs to the slice that it refers to, or else to the nearest one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.data.formats.dicom.files import decoded
from tune_seg.data.formats.dicom.slices import frame_item
from tune_seg.data.formats.dicom.stack import Stack, plane_grid
from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.volumes.files import reading
from tune_seg.data.volumes.geometry import Grid, fits, onto
from tune_seg.errors import InputError

Inside = npt.NDArray[np.bool_]

_SHOWN = 20
_MAX_DISTANCE = 1.0  # millimetres from the nearest slice, at which a frame is of none
_RESAMPLED_THICKNESS = 1e4  # millimetres of a frame that is resampled: whichever slice it is of lies within


def segment_names(header: Any, path: Path) -> dict[int, str]:
    """The label of each segment, by its number.

    Raises:
        InputError: there are no segments.
    """
    with reading(path, "a DICOM segmentation"):
        names = {int(item.SegmentNumber): str(item.get("SegmentLabel") or "").strip() for item in header.SegmentSequence}
    # a label map may list its background as a segment
    return {number: name or f"segment {number}" for number, name in names.items() if number > 0}


def read_segmentations(
    segments: Mapping[Path, Mapping[int, str]], values: Mapping[str, int], stack: Stack, *, layered: bool, resample: bool
) -> Raw:
    """The raw mask (S, H, W) of a volume, 0 where no segment is.

    Args:
        segments: by file, the label of each segment by its number; the segments of all files are combined.
        values: the raw value of each label; segments of others are left out.
        stack: the slices of the volume.
        layered: where segments overlap, take the largest value; otherwise that is an error.
        resample: take the nearest pixel where a frame has other pixels than its slice.

    Raises:
        InputError: a frame lies on no slice, it has other pixels than its slice, or two segments overlap.
    """
    mask = np.zeros((len(stack.frames), stack.rows, stack.columns), np.uint16)
    for path, labels in segments.items():
        header, frames = decoded(path)
        with reading(path, "a DICOM segmentation"):
            label_map = header.get("SegmentationType") == "LABELMAP"
            threshold = _threshold(header)
            for index, frame in enumerate(frames):
                number = _slice(path, header, index, stack)
                turned = _turned(path, header, index, frame, stack, number, resample)
                for segment in np.unique(turned[turned > 0]).tolist() if label_map else [_segment(header, index)]:
                    if segment not in labels:
                        raise InputError(
                            f"{path}: frame {index + 1} has the segment {segment}, but the segments that the file describes "
                            f"are {', '.join(map(str, labels))}; write the segmentation anew"
                        )
                    inside = turned == segment if label_map else turned > threshold
                    value = values.get(labels[segment])
                    if value is not None:
                        what = f"{path}: segment {segment} overlaps another one in frame {index + 1}"
                        paint(mask[number], inside, value, what, values, layered=layered)
    return mask


def paint(mask: Raw, inside: Inside, value: int, overlap: str, values: Mapping[str, int], *, layered: bool) -> None:
    """Give pixels of a slice (H, W) a value, or the larger one where they have one.

    Args:
        overlap: what happened where pixels have a value already.
        values: the raw value of each label.
        layered: whether they may.

    Raises:
        InputError: they have, and may not.
    """
    if not layered and mask[inside].any():
        named = [label for label, number in sorted(values.items(), key=lambda item: item[1]) if number]
        shown = ", ".join(named[:_SHOWN])
        raise InputError(
            f"{overlap}, so it is not clear which class a pixel has; name those to read, from the lowest to the one "
            f"above all others, with --set 'data.options.segments=[{shown}]'"
        )
    mask[inside] = np.maximum(mask[inside], value)


def _threshold(header: Any) -> float:
    """The value above which a pixel belongs to a segment: half of the largest in a fractional one."""
    return float(header.MaximumFractionalValue) / 2.0 if header.get("SegmentationType") == "FRACTIONAL" else 0.0


def _segment(header: Any, index: int) -> int:
    item = frame_item(header, index, "SegmentIdentificationSequence")
    return int(item.ReferencedSegmentNumber)


def _slice(path: Path, header: Any, index: int, stack: Stack) -> int:
    """The slice that a frame refers to; where it refers to none or to several, the nearest one."""
    derivation = frame_item(header, index, "DerivationImageSequence")
    sources = [] if derivation is None else list(derivation.get("SourceImageSequence") or [])
    referred = {number for source in sources for number in _referred(source, stack)}
    if len(referred) == 1:
        return referred.pop()
    position = frame_item(header, index, "PlanePositionSequence")
    away = None if position is None else stack.away(np.array(position.ImagePositionPatient, np.float64))
    if away is None:
        raise InputError(
            f"{path}: frame {index + 1} refers to no slice of {stack.path.name} and has no position; write "
            "the segmentation with references to its source images"
        )
    nearest = int(np.argmin(away))
    if away[nearest] > _MAX_DISTANCE:
        raise InputError(
            f"{path}: frame {index + 1} lies {away[nearest]:.3g} mm from the nearest slice of "
            f"{stack.path.name}; is it the segmentation of another volume?"
        )
    return nearest


def _referred(source: Any, stack: Stack) -> list[int]:
    uid = str(source.get("ReferencedSOPInstanceUID", ""))
    stated = source.get("ReferencedFrameNumber")
    frames = None if stated is None else {int(number) - 1 for number in np.atleast_1d(stated)}
    numbers = stack.numbers.get(uid, ())
    return [number for number in numbers if frames is None or stack.frames[number].index in frames]


def _grid(header: Any, index: int) -> Grid | None:
    orientation = frame_item(header, index, "PlaneOrientationSequence")
    position = frame_item(header, index, "PlanePositionSequence")
    measures = frame_item(header, index, "PixelMeasuresSequence")
    if orientation is None or position is None or measures is None:
        return None
    rows, columns = (float(value) for value in measures.PixelSpacing)
    return plane_grid(
        (int(header.Columns), int(header.Rows)),
        np.array(orientation.ImageOrientationPatient, np.float64).reshape(2, 3),
        (rows, columns),
        np.array(position.ImagePositionPatient, np.float64),
    )


def _turned(path: Path, header: Any, index: int, frame: Raw, stack: Stack, number: int, resample: bool) -> Raw:
    """A frame (H, W) brought onto the pixels of its slice."""
    labels, image = _grid(header, index), stack.plane(number)
    if labels is None or image is None:
        if frame.shape != (stack.rows, stack.columns):
            raise InputError(
                f"{path}: {frame.shape[1]} x {frame.shape[0]} pixels, but the slices of {stack.path.name} "
                f"have {stack.columns} x {stack.rows}"
            )
        return frame
    if not fits(labels, image):
        if not resample:
            raise InputError(
                f"{path}: frame {index + 1} is {labels.describe()}, but the slice {stack.frames[number].file.name} is "
                f"{image.describe()}; write both on one grid, or let data.options.resample_labels: true take the nearest "
                "label"
            )
        labels = Grid(labels.shape, labels.affine @ np.diag([1.0, 1.0, _RESAMPLED_THICKNESS, 1.0]))
    return onto(frame.T[..., None], labels, image)[..., 0].T
