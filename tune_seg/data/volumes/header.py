"""What the header of a volume's file says, whatever its format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tune_seg.data.volumes.geometry import Grid
from tune_seg.data.volumes.remarks import Remark


@dataclass(frozen=True, eq=False)
class Header:
    """The header of a file.

    Attributes:
        path: the file.
        files: those that hold it: itself, and the one with its voxels where that is another.
        grid: of its voxels.
        channels: in each voxel.
        names: the meaning of the values of a label volume that names them.
        remarks: what was taken for granted about it.
    """

    path: Path
    files: tuple[Path, ...]
    grid: Grid
    channels: int
    names: Mapping[int, str] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
