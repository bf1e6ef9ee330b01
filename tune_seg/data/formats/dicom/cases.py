"""DICOM volumes with their masks, which may be of several kinds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tune_seg.data.formats.dicom.segmentations import read_segmentations
from tune_seg.data.formats.dicom.stack import Stack, decode
from tune_seg.data.formats.dicom.structures import read_structures
from tune_seg.data.images.class_numbers import Raw, class_numbers
from tune_seg.data.images.pictures import read_mask
from tune_seg.data.volumes import volume_file
from tune_seg.data.volumes.case import Case, Volume
from tune_seg.data.volumes.geometry import onto
from tune_seg.data.volumes.header import Header
from tune_seg.errors import InputError


@dataclass(frozen=True, eq=False)
class DicomCase(Case):
    """A volume whose labels are of some format.

    Attributes:
        stack: its slices.
        resample: whether labels may lie on another grid.
    """

    stack: Stack
    resample: bool

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self.stack.files, *self.mask_files)

    @property
    def mask_files(self) -> tuple[Path, ...]:
        """The files that its labels are read from."""
        return (self.mask,)

    def volume(self) -> Volume:
        return decode(self.stack)


@dataclass(frozen=True, eq=False)
class PngCase(DicomCase):
    """A volume with a PNG mask for each slice.

    Attributes:
        masks: in the order of the slices.
    """

    masks: tuple[Path, ...]

    @property
    def mask_files(self) -> tuple[Path, ...]:
        return self.masks

    def labels(self) -> Raw:
        masks = [read_mask(path) for path in self.masks]
        size = (self.stack.rows, self.stack.columns)
        wrong = [
            f"{path}: {mask.shape[1]} x {mask.shape[0]} pixels, but the slices of {self.name} are {size[1]} x {size[0]}"
            for path, mask in zip(self.masks, masks, strict=True)
            if mask.shape != size
        ]
        if wrong:
            raise InputError("\n".join(wrong))
        return np.stack(masks)


@dataclass(frozen=True, eq=False)
class GridCase(DicomCase):
    """A volume with one label volume.

    Attributes:
        label: the header of the label volume.
    """

    label: Header

    @property
    def mask_files(self) -> tuple[Path, ...]:
        return self.label.files

    def labels(self) -> Raw:
        label, voxels = self.label, volume_file.read_voxels(self.label)
        image = self.stack.grid()
        placed = voxels[..., 0] if image is None else onto(voxels[..., 0], label.grid, image)
        return class_numbers(placed.transpose(2, 1, 0), self.mask)


@dataclass(frozen=True, eq=False)
class SegCase(DicomCase):
    """A volume with DICOM segmentations, or with RT structure sets.

    Attributes:
        segments: by file, the label of each segment or region by its number.
        structures: whether the files are structure sets.
        layered: whether, where some overlap, the larger value is taken; otherwise that is an error.
        values: the raw value of each label; segments of other labels are left out.
    """

    segments: Mapping[Path, Mapping[int, str]]
    structures: bool
    layered: bool
    values: Mapping[str, int]

    @property
    def mask_files(self) -> tuple[Path, ...]:
        return tuple(self.segments)

    def labels(self) -> Raw:
        if self.structures:
            return read_structures(self.segments, self.values, self.stack, layered=self.layered)
        return read_segmentations(self.segments, self.values, self.stack, layered=self.layered, resample=self.resample)
