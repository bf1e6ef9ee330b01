"""What a study takes on the disk, in words."""

import os
from pathlib import Path

from tune_seg.training.checkpoints import CheckpointStore


def disk_line(directory: Path, store: CheckpointStore | None) -> str:
    """What the study's folder takes, and the checkpoints of all studies beside it.

    Args:
        directory: of the study.
        store: the checkpoint store; one that lies elsewhere is not looked at.
    """
    line = f"disk: {_size(directory)} for this study"
    if store is None or "://" in store.location:
        return line
    return f"{line}, {_size(Path(store.location))} for the checkpoints of all"


def _size(folder: Path) -> str:
    """How large the files in a folder are together: what is removed meanwhile counts nothing."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    units = ("B", "kB", "MB", "GB")
    place = next((place for place in range(3) if size < 1000 ** (place + 1)), 3)
    return f"{size / 1000**place:.3g} {units[place]}"
