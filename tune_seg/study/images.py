"""The counts of each validation image, a file for each trial that ran to its end, in the study directory."""

import os
from pathlib import Path

from tune_seg.image_counts import ImageCounts
from tune_seg.study.files import IMAGES


def write_images(directory: Path, trial: int, counts: ImageCounts) -> None:
    """Write the counts of a trial, by its number; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path = _path(directory, trial)
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(counts.to_bytes())
    os.replace(partial, path)


def read_images(directory: Path, trial: int) -> ImageCounts | None:
    """The counts of a trial; None where there are none, or the file is damaged."""
    try:
        return ImageCounts.from_bytes(_path(directory, trial).read_bytes())
    except (OSError, ValueError):
        return None


def _path(directory: Path, trial: int) -> Path:
    return directory / IMAGES / f"{trial:05d}.npz"
