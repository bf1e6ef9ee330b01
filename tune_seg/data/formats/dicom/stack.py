"""The slices of a DICOM volume in space, and their intensities."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.data.formats.dicom.files import pixels
from tune_seg.data.volumes.case import Volume
from tune_seg.data.volumes.geometry import LPS_TO_RAS, Grid
from tune_seg.errors import InputError

_DISTANCE_TOLERANCE = 0.1  # of the distance between two slices

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice.

    Attributes:
        file: where it is.
        index: the number of the frame in the file, from 0.
        uid: the SOPInstanceUID of the file.
        position: of the centre of its first pixel, in mm: x to the left, y to the back, z up; None where it is not stated.
        slope, intercept: from stored values to intensities.
    """

    file: Path
    index: int
    uid: str
    position: Vector | None
    slope: float
    intercept: float


@dataclass(frozen=True, eq=False)
class Stack:
    """The slices of a volume.

    Attributes:
        path: the file or folder.
        frames: ordered along the normal of the slices. Where no position is stated, in the order of the file, and
            several files by InstanceNumber, then by name (10 after 9).
        rows, columns: of each slice.
        orientation: the directions (2, 3) along a row and along a column.
        spacing: millimetres between two rows, and two columns.
        colour, inverted: as of a :class:`~tune_seg.data.volumes.case.Volume`.
        patient: PatientID, which may be empty.
        series: SeriesInstanceUID.
    """

    path: Path
    frames: tuple[Frame, ...]
    rows: int
    columns: int
    orientation: Vector | None
    spacing: tuple[float, float] | None
    colour: bool
    inverted: bool
    patient: str
    series: str

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the frames, each once."""
        return tuple(dict.fromkeys(frame.file for frame in self.frames))

    @cached_property
    def numbers(self) -> Mapping[str, Sequence[int]]:
        """The slices of each file, by its SOPInstanceUID."""
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for number, frame in enumerate(self.frames):
            numbers[frame.uid].append(number)
        return numbers

    def away(self, position: Vector) -> Vector | None:
        """The distance in millimetres of each slice (S,) from a position; None where the slices have none."""
        places = [frame.position for frame in self.frames if frame.position is not None]
        if self.plane(0) is None or self.orientation is None:
            return None
        return np.abs((np.array(places) - position) @ np.cross(*self.orientation))

    def plane(self, number: int) -> Grid | None:
        """The grid of one slice as a volume (columns, rows, 1), 1 mm thick; None where its position is not stated."""
        position = self.frames[number].position
        if position is None or self.orientation is None or self.spacing is None:
            return None
        return plane_grid((self.columns, self.rows), self.orientation, self.spacing, position)

    def grid(self) -> Grid | None:
        """The grid (columns, rows, slices) of the volume; None where its position is not stated.

        Raises:
            InputError: the slices do not lie at equal distances, so there is no such grid.
        """
        first, last = self.plane(0), self.plane(len(self.frames) - 1)
        if first is None or last is None:
            return None
        affine = first.affine.copy()
        steps = len(self.frames) - 1
        if steps:
            affine[:3, 2] = (last.affine[:3, 3] - first.affine[:3, 3]) / steps
            for number, frame in enumerate(self.frames):
                plane = self.plane(number)
                assert plane is not None
                away = np.linalg.norm(plane.affine[:3, 3] - first.affine[:3, 3] - number * affine[:3, 2])
                if away > _DISTANCE_TOLERANCE * np.linalg.norm(affine[:3, 2]):
                    raise InputError(
                        f"{frame.file}: its slice lies {away:.3g} mm from where it would be at equal distances; is a slice "
                        "missing? Labels in one volume need slices at equal distances"
                    )
        return Grid((self.columns, self.rows, len(self.frames)), affine)


def plane_grid(size: tuple[int, int], orientation: Vector, spacing: tuple[float, float], position: Vector) -> Grid:
    """The grid (columns, rows, 1) of a slice 1 mm thick, by DICOM's attributes (PS3.3 C.7.6.2.1.1)."""
    affine = np.eye(4)
    affine[:3, 0] = orientation[0] * spacing[1]
    affine[:3, 1] = orientation[1] * spacing[0]
    affine[:3, 2] = np.cross(*orientation)
    affine[:3, 3] = position
    return Grid((*size, 1), LPS_TO_RAS @ affine)


def decode(stack: Stack) -> Volume:
    """The intensities of a volume, float32 (S, H, W, 1), or its colours, uint8 (S, H, W, 3).

    Raises:
        InputError: naming the file that cannot be decoded.
    """
    shape = (len(stack.frames), stack.rows, stack.columns)
    values: npt.NDArray[Any] = np.empty((*shape, 3), np.uint8) if stack.colour else np.empty((*shape, 1), np.float32)
    by_file: defaultdict[Path, list[int]] = defaultdict(list)
    for number, frame in enumerate(stack.frames):
        by_file[frame.file].append(number)
    for file, numbers in by_file.items():
        frames = pixels(file)
        for number in numbers:
            frame = stack.frames[number]
            stored = frames[frame.index]
            values[number] = stored if stack.colour else (stored * frame.slope + frame.intercept)[..., None]
    return Volume(values, stack.colour, stack.inverted)
