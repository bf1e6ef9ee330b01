"""The series in a folder, each a volume, whether or not there are masks of them."""

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from tune_seg.data.formats.dicom.files import read_headers
from tune_seg.data.formats.dicom.masks import CLASSES, called
from tune_seg.data.formats.dicom.slices import stack_of
from tune_seg.data.formats.dicom.stack import Stack
from tune_seg.data.volumes.files import reading
from tune_seg.errors import InputError


def series_in(entry: Path) -> dict[str, Stack]:
    """The series of a folder, or of a file alone, by the names of their folders in it; a single one has that of `entry`.

    A folder without DICOM has none.

    Raises:
        InputError: a file cannot be read, the slices of a series make no volume, or two series lie in one folder.
    """
    with reading(entry, "DICOM"):
        files: defaultdict[str, list[tuple[Path, Any]]] = defaultdict(list)
        for path, header in read_headers(entry):
            if "Rows" in header and header.get("SOPClassUID") not in CLASSES:
                files[str(header.get("SeriesInstanceUID") or "").strip()].append((path, header))
        if len(files) == 1:
            return {called(entry): stack_of(entry, slices) for slices in files.values()}
        found: dict[str, Stack] = {}
        for slices in files.values():
            paths = [path for path, _ in slices]
            folder = Path(os.path.commonpath([path.parent for path in paths]))
            inside = folder / called(paths[0]) if len(paths) == 1 else folder
            name = inside.relative_to(entry).as_posix()
            if name == "." or name in found:
                raise InputError(
                    f"{folder}: {len(files)} series, of which several lie in one folder; give each a folder of its own"
                )
            found[name] = stack_of(folder, slices)
        return found
