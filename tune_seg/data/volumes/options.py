"""The keys of `data.options` that volumes have: mhd, dicom and nifti."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tune_seg.config import AboveZero, Number
from tune_seg.data.options import Options

_Percentage = Annotated[Number, Field(ge=0.0, le=100.0)]


class VolumeOptions(Options):
    """`data.options` of volumes: how one becomes images."""

    percentiles: tuple[
        Annotated[_Percentage, Field(description="black")], Annotated[_Percentage, Field(description="white")]
    ] = (0.5, 99.5)
    """Which percentiles of the intensities of the whole volume become black and white, a channel at a time."""

    window: tuple[Annotated[Number, Field(description="black")], Annotated[Number, Field(description="white")]] | None = None
    """The intensities that become black and white, after rescaling, so in Hounsfield units for CT; for example [-160, 240].
    null: `percentiles`."""

    bits: Literal[8, 16] = 8
    """The bits of an image: 8 (0 to 255) or 16 (0 to 65535)."""

    foreground_only: bool = False
    """Leave out slices whose mask has only 0 and ignored pixels. All masks are then read in advance."""

    spacing: AboveZero | None = None
    """Millimetres from one pixel to the next, both ways: slices are resampled to it and cut or filled up (ignored) around
    their centre to `data.size`. null: pixels that are not square are made square, with the finer of their two spacings, and
    the whole slice is brought to `data.size`, as other images are (`data.resize`)."""

    resample_labels: bool = False
    """Take the nearest label where labels lie on another grid than their image; otherwise that is an error."""

    patient: str | None = None
    """A regular expression found in the name of a volume, whose first group (or all of it) names the patient, such as
    `^(p[0-9]+)_`. null: DICOM's PatientID, and elsewhere each volume is a patient."""

    plane: Literal["auto", "axial", "coronal", "sagittal"] = "auto"
    """The plane of the slices. auto: the plane that a volume was taken in, which is across its longest voxel edge where that
    is at least 1.5 times the next, and else axial. The slices of DICOM are those of its files, so there it stays auto."""

    segments: tuple[str, ...] | None = None
    """Of DICOM's segmentations and RT structure sets, and of 3D Slicer's `.seg.nrrd`: the segments or regions that are read,
    by their labels. Each is a class, and where some overlap, the later one of this list lies above. null: all of them, and
    an overlap is an error."""

    @field_validator("segments")
    @classmethod
    def _distinct(cls, segments: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if segments is not None and (not segments or len(set(segments)) < len(segments)):
            raise ValueError("name at least one segment, and each once")
        return segments

    @field_validator("patient")
    @classmethod
    def _expression(cls, patient: str | None) -> str | None:
        try:
            re.compile(patient or "")
        except re.error as error:
            raise ValueError(f"is not a valid regular expression ({error})") from None
        return patient

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for key, pair in (("percentiles", self.percentiles), ("window", self.window)):
            if pair is not None and pair[0] >= pair[1]:
                raise ValueError(f"data.options.{key}: black must lie below white, got {list(pair)}")
        return self
