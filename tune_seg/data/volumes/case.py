"""A volume with its labels, as a reader finds it and as it is decoded."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.volumes.remarks import Remark


class Volume(NamedTuple):
    """A decoded volume.

    Args:
        values: intensities (S, H, W, C) of any type; uint8 where they are colours.
        colour: whether they are colours, which are not rescaled.
        inverted: whether large values are dark.
    """

    values: npt.NDArray[Any]
    colour: bool = False
    inverted: bool = False


@dataclass(frozen=True, eq=False)
class Case(ABC):
    """One volume and its labels.

    Attributes:
        name: of the volume, without a slash, unique in the data set.
        patient: the patient it is of.
        image, mask: the file or folder of the volume, and that of its labels.
        shape: (S, H, W): the number of slices, and the pixels of each.
        channels: of each slice.
        spacing: millimetres between two rows, and two columns; None where it is not stated.
        remarks: what was taken for granted about it.
    """

    name: str
    patient: str
    image: Path
    mask: Path
    shape: tuple[int, int, int]
    channels: int
    spacing: tuple[float, float] | None
    remarks: tuple[Remark, ...] = field(default=(), kw_only=True)

    @property
    def slices(self) -> int:
        return self.shape[0]

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """All files that it is read from."""

    @abstractmethod
    def volume(self) -> Volume:
        """The intensities.

        Raises:
            InputError: naming the file that cannot be read.
        """

    @abstractmethod
    def labels(self) -> Raw:
        """The raw values of the mask (S, H, W), slice by slice those of :meth:`volume`.

        Raises:
            InputError: naming the file that cannot be read or does not fit.
        """
