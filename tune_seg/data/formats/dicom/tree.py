"""Trees of DICOM series, PATIENT/STUDY/SERIES, as archives give them out."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_seg.errors import InputError


@dataclass
class Series:
    """One series of a tree.

    Attributes:
        folder: the folder that holds it alone.
        slices: its files with their headers.
        masks: the DICOM segmentations and RT structure sets that refer to it.
    """

    folder: Path
    slices: list[tuple[Path, Any]]
    masks: dict[Path, Any] = field(default_factory=dict)


def tree(entry: Path, slices: Sequence[tuple[Path, Any]], masks: Mapping[Path, Any]) -> list[Series] | None:
    """The series below a folder, each in a folder of its own; None where the folder is one volume.

    Raises:
        InputError: a segmentation refers to none of several series.
    """
    files: defaultdict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for path, header in slices:
        files[str(header.get("SeriesInstanceUID") or "").strip()].append((path, header))
    found = {uid: Series(_common(inside), inside) for uid, inside in files.items()}
    folders = {series.folder for series in found.values()}
    if len(found) < 2 or len(folders) < len(found) or entry in folders:
        return None
    for path, header in masks.items():
        referred = [found[uid] for uid in _referred(header) if uid in found]
        if not referred:
            raise InputError(
                f"{path}: refers to none of the {len(found)} series in {entry}; is the series that it belongs to missing? "
                "Add it, or take this file out"
            )
        for series in referred:
            series.masks[path] = header
    return sorted(found.values(), key=lambda series: series.folder)


def _common(files: Sequence[tuple[Path, Any]]) -> Path:
    return Path(os.path.commonpath([path.parent for path, _ in files]))


def _referred(header: Any) -> list[str]:
    """The series that a segmentation or a structure set refers to."""
    direct = [item.get("SeriesInstanceUID") for item in header.get("ReferencedSeriesSequence") or []]
    nested = [
        series.get("SeriesInstanceUID")
        for frame in header.get("ReferencedFrameOfReferenceSequence") or []
        for study in frame.get("RTReferencedStudySequence") or []
        for series in study.get("RTReferencedSeriesSequence") or []
    ]
    return [str(uid) for uid in (*direct, *nested) if uid]
