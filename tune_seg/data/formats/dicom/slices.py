"""The slices of a DICOM volume, found in the headers of its files and put in order by their positions."""

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tune_seg.data.formats.dicom.stack import Frame, Stack, Vector
from tune_seg.errors import InputError

_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_GREYS = ("MONOCHROME1", "MONOCHROME2")
_PLACE_TOLERANCE = 1e-3  # millimetres
_DIRECTION_TOLERANCE = 1e-3  # of direction cosines


def stack_of(volume: Path, headers: Sequence[tuple[Path, Any]]) -> Stack:
    """The slices of the files of one volume.

    Args:
        volume: its file or folder.
        headers: of its files.

    Raises:
        InputError: several series, patients, sizes, kinds of pixels or directions, two slices at one place, or none.
    """
    if not headers:
        raise InputError(f"{volume}: no DICOM image here")
    series = _only(volume, headers, "SeriesInstanceUID", "series", "SeriesDescription")
    patient = _only(volume, headers, "PatientID", "patients", "PatientID")
    _reject_differing(volume, headers)
    path, header = headers[0]
    photometric = str(header.get("PhotometricInterpretation", ""))
    if photometric not in (*_COLOURS, *_GREYS):
        raise InputError(f"{path}: PhotometricInterpretation {photometric!r}; known are {', '.join((*_GREYS, *_COLOURS))}")
    colour = photometric in _COLOURS
    if colour and photometric != "PALETTE COLOR" and header.BitsAllocated != 8:
        raise InputError(f"{path}: colours of {header.BitsAllocated} bits a channel; convert them to 8 bits")
    ordered = sorted(headers, key=lambda pair: (int(pair[1].get("InstanceNumber") or 0), _counted(pair[0].name)))
    frames = [frame for file, attributes in ordered for frame in _frames(file, attributes)]
    orientation = _orientation(volume, headers)
    return Stack(
        volume,
        _in_order(volume, frames, orientation),
        int(header.Rows),
        int(header.Columns),
        orientation,
        _spacing(path, header),
        colour,
        photometric == "MONOCHROME1",
        patient,
        series,
    )


def _frames(file: Path, header: Any) -> list[Frame]:
    count = int(header.get("NumberOfFrames") or 1)
    frames = []
    for index in range(count):
        place = _item(header, index, "PlanePositionSequence")
        # the position at the top level of a file with several frames is not that of each
        position = place.get("ImagePositionPatient") if count == 1 or place is not header else None
        scale = _item(header, index, "PixelValueTransformationSequence")
        frames.append(
            Frame(
                file,
                index,
                str(header.get("SOPInstanceUID", "")),
                None if position is None else np.array(position, np.float64),
                float(scale.get("RescaleSlope") or 1.0),  # an attribute may be there, but empty
                float(scale.get("RescaleIntercept") or 0.0),
            )
        )
    return frames


def _spacing(path: Path, header: Any) -> tuple[float, float] | None:
    """Millimetres between two rows, and two columns; None where they are not stated, or as 0."""
    stated = _item(header, 0, "PixelMeasuresSequence").get("PixelSpacing")
    if stated is None:
        return None
    values = np.atleast_1d(np.array(stated, np.float64)).tolist()
    if len(values) != 2 or not all(0.0 <= value < np.inf for value in values):
        raise InputError(f"{path}: PixelSpacing {stated}; it is two numbers, millimetres between rows and columns")
    rows, columns = values
    return (rows, columns) if rows and columns else None


def _item(header: Any, index: int, sequence: str) -> Any:
    """The item that holds attributes of a frame: its functional group, the shared one, or the top level."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    shared = header.get("SharedFunctionalGroupsSequence")
    for group in (per_frame[index] if per_frame else None, shared[0] if shared else None):
        if group is not None and group.get(sequence):
            return group[sequence][0]
    return header


def frame_item(header: Any, index: int, sequence: str) -> Any:
    """The item of a functional group sequence of a frame, or None."""
    item = _item(header, index, sequence)
    return None if item is header else item


def _orientation(volume: Path, headers: Sequence[tuple[Path, Any]]) -> Vector | None:
    found: list[Vector] = []
    for path, header in headers:
        for index in range(int(header.get("NumberOfFrames") or 1)):
            stated = _item(header, index, "PlaneOrientationSequence").get("ImageOrientationPatient")
            if stated is None:
                continue
            found.append(np.array(stated, np.float64).reshape(2, 3))
            if np.abs(found[-1] - found[0]).max() > _DIRECTION_TOLERANCE:
                raise InputError(
                    f"{volume}: slices of several directions (ImageOrientationPatient {_shown(found[0])} in "
                    f"{headers[0][0].name}, {_shown(found[-1])} in {path.name}); is a localiser among them? Take it out"
                )
    return found[0] if found else None


def _in_order(volume: Path, frames: list[Frame], orientation: Vector | None) -> tuple[Frame, ...]:
    placed = [(frame.position, number) for number, frame in enumerate(frames) if frame.position is not None]
    if not placed or orientation is None:
        return tuple(frames)
    if len(placed) < len(frames):
        missing = next(frame for frame in frames if frame.position is None)
        raise InputError(
            f"{missing.file}: no ImagePositionPatient, but {len(placed)} slices of {volume.name} have one; take "
            "out what is no slice"
        )
    normal = np.cross(*orientation)
    along = sorted((float(normal @ position), number) for position, number in placed)
    for (before, one), (after, other) in pairwise(along):
        if after - before < _PLACE_TOLERANCE:
            raise InputError(
                f"{volume}: two slices at one place: {_called(frames[one])} and {_called(frames[other])}; are several "
                "series or points in time in one folder? Give each a folder of its own"
            )
    return tuple(frames[number] for _, number in along)


def _only(volume: Path, headers: Sequence[tuple[Path, Any]], attribute: str, what: str, shown: str) -> str:
    """The one value that an attribute has in all files of a volume; empty where none states it."""
    files: defaultdict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for path, header in headers:
        files[str(header.get(attribute) or "").strip()].append((path, header))
    if len(files) > 1:
        found = ", ".join(
            f"{str(header.get(shown) or value)!r} ({len(alike)} files, {path.relative_to(volume)} first)"
            for value, alike in list(files.items())[:5]
            for path, header in alike[:1]
        )
        raise InputError(f"{volume}: {len(files)} {what} in one folder: {found}; give each a folder of its own")
    return next(iter(files))


def _counted(name: str) -> list[str | int]:
    """A sort key that puts `name10` after `name9`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _reject_differing(volume: Path, headers: Sequence[tuple[Path, Any]]) -> None:
    kinds: dict[tuple[str, ...], list[Path]] = {}
    for path, header in headers:
        kind = (f"{header.Columns} x {header.Rows} pixels", str(header.get("PhotometricInterpretation", "")))
        kinds.setdefault(kind, []).append(path)
    if len(kinds) > 1:
        shown = ", ".join(f"{' '.join(kind)} ({len(paths)} files, {paths[0].name} first)" for kind, paths in kinds.items())
        raise InputError(
            f"{volume}: slices that differ in one folder: {shown}; the slices of a volume are of one size and kind"
        )


def _called(frame: Frame) -> str:
    return f"{frame.file.name} (frame {frame.index + 1})" if frame.index else frame.file.name


def _shown(orientation: Vector) -> str:
    return "\\".join(f"{value:.4g}" for value in orientation.ravel())
