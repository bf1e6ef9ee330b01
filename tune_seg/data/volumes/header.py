"""What the header of a volume's file says, whatever its format."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tune_seg.data.volumes.geometry import Grid
from tune_seg.data.volumes.remarks import Remark


class Segment(NamedTuple):
    """A named part of a label volume.

    Args:
        name: what it is called.
        value: that of its voxels.
        layer: the channel in which it has that; segments that overlap are in several.
    """

    name: str
    value: int
    layer: int = 0


@dataclass(frozen=True, eq=False)
class Header:
    """The header of a file.

    Attributes:
        path: the file.
        files: those that hold it: itself, and the one with its voxels where that is another.
        grid: of its voxels.
        channels: in each voxel.
        segments: those of a label volume that names them.
        remarks: what was taken for granted about it.
    """

    path: Path
    files: tuple[Path, ...]
    grid: Grid
    channels: int
    segments: tuple[Segment, ...] = ()
    remarks: tuple[Remark, ...] = ()
