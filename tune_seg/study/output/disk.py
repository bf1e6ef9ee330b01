"""What a study takes on the disk, in words."""

import os
from pathlib import Path

from tune_seg.study.files import bytes_of
from tune_seg.study.output.words import size_of
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
    return size_of(bytes_of(Path(parent, name) for parent, _, names in os.walk(folder) for name in names))
