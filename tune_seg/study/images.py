"""The counts of each validation image, a file for each trial that ran to its end, in the study directory."""

from pathlib import Path

from tune_seg._whole_file import whole_file
from tune_seg.image_counts import ImageCounts
from tune_seg.study.files import IMAGES


def write_images(directory: Path, trial: int, counts: ImageCounts) -> None:
    """Write the counts of a trial, by its number; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with whole_file(_path(directory, trial)) as partial:
        partial.write_bytes(counts.to_bytes())


def read_images(directory: Path, trial: int) -> ImageCounts | None:
    """The counts of a trial; None where there are none, or the file is damaged."""
    try:
        return ImageCounts.from_bytes(_path(directory, trial).read_bytes())
    except (OSError, ValueError):
        return None


def _path(directory: Path, trial: int) -> Path:
    return directory / IMAGES / f"{trial:05d}.npz"
