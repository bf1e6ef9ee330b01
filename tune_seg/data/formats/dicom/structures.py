"""Masks as DICOM RT structure sets: polygons, filled slice by slice."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.data.formats.dicom.files import read_file
from tune_seg.data.formats.dicom.segmentations import Inside, paint
from tune_seg.data.formats.dicom.stack import Stack
from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.volumes.files import reading
from tune_seg.data.volumes.geometry import LPS_TO_RAS
from tune_seg.errors import InputError

Points = npt.NDArray[np.float64]

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_MAX_DISTANCE = 1.0  # millimetres of a point from the slice of its contour


def structure_names(header: Any, path: Path) -> dict[int, str]:
    """The name of each region of interest that has a closed contour, by its number.

    Raises:
        InputError: there are no regions.
    """
    with reading(path, "a DICOM structure set"):
        closed = {int(item.ReferencedROINumber) for item in header.ROIContourSequence if _contours(item)}
        names = {int(item.ROINumber): str(item.get("ROIName") or "").strip() for item in header.StructureSetROISequence}
        return {number: name or f"ROI {number}" for number, name in names.items() if number in closed}


def read_structures(
    regions: Mapping[Path, Mapping[int, str]], values: Mapping[str, int], stack: Stack, *, layered: bool
) -> Raw:
    """The raw mask (S, H, W) of a volume, 0 where no region is.

    A pixel belongs to a region if its centre lies inside an odd number of the region's contours on its slice, so that a
    contour inside another is a hole.

    Args:
        regions: by file, the name of each region by its number.
        values: the raw value of each name; regions of others are left out.
        stack: the slices of the volume.
        layered: where regions overlap, take the largest value; otherwise that is an error.

    Raises:
        InputError: a contour lies on no slice, or two regions overlap.
    """
    mask = np.zeros((len(stack.frames), stack.rows, stack.columns), np.uint16)
    for path, names in regions.items():
        with reading(path, "a DICOM structure set"):
            dataset = read_file(path)
            for item in dataset.ROIContourSequence:
                name = names.get(int(item.ReferencedROINumber))
                value = None if name is None else values.get(name)
                if value is None:
                    continue
                polygons: defaultdict[int, list[Points]] = defaultdict(list)
                for contour in _contours(item):
                    number, points = _placed(path, str(name), contour, stack)
                    polygons[number].append(points)
                for number, found in polygons.items():
                    inside = filled(found, stack.rows, stack.columns)
                    what = f"{path}: {name!r} overlaps another region in slice {number + 1}"
                    paint(mask[number], inside, value, what, values, layered=layered)
    return mask


def filled(polygons: Sequence[Points], rows: int, columns: int) -> Inside:
    """The pixels (rows, columns) whose centres lie inside an odd number of polygons.

    Args:
        polygons: the corners (N, 2) of each, as column and row; the centre of a pixel is at whole numbers.
    """
    crossings = np.zeros((rows, columns + 1), np.int64)
    for corners in polygons:
        ends = np.roll(corners, -1, axis=0)
        (x, y), (x_end, y_end) = corners.T, ends.T
        first, last = (np.clip(np.ceil(edge(y, y_end)), 0, rows).astype(int) for edge in (np.minimum, np.maximum))
        count = last - first  # of the rows that an edge crosses: from its upper end to above the lower one
        edges = np.repeat(np.arange(len(corners)), count)
        row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edges]
        at = x[edges] + (row - y[edges]) / (y_end - y)[edges] * (x_end - x)[edges]
        np.add.at(crossings, (row, np.clip(np.ceil(at), 0, columns).astype(int)), 1)
    return np.cumsum(crossings, axis=1)[:, :columns] % 2 == 1


def _contours(item: Any) -> list[Any]:
    return [contour for contour in item.get("ContourSequence") or [] if contour.get("ContourGeometricType") in _CLOSED]


def _placed(path: Path, name: str, contour: Any, stack: Stack) -> tuple[int, Points]:
    """The slice of a contour, and its corners in pixels: the slice that it refers to, or else the nearest one."""
    corners = np.array(contour.ContourData, np.float64).reshape(-1, 3)
    away = stack.away(corners.mean(axis=0))
    if away is None:
        raise InputError(
            f"{stack.path}: its slices do not say where they lie, so the contours of {path.name} cannot be placed; masks of "
            "another kind are needed"
        )
    referred = {
        number
        for image in contour.get("ContourImageSequence") or []
        for number in stack.numbers.get(str(image.get("ReferencedSOPInstanceUID", "")), ())
    }
    number = referred.pop() if len(referred) == 1 else int(np.argmin(away))
    plane = stack.plane(number)
    assert plane is not None
    homogeneous = np.column_stack([corners, np.ones(len(corners))])
    columns, rows, off = (homogeneous @ (np.linalg.inv(plane.affine) @ LPS_TO_RAS).T).T[:3]
    if np.abs(off).max() > _MAX_DISTANCE:
        raise InputError(
            f"{path}: a contour of {name!r} lies {np.abs(off).max():.3g} mm from the nearest slice of {stack.path.name}; is "
            "it the structure set of another series, or is a slice missing?"
        )
    return number, np.column_stack([columns, rows])
