"""The keys of `data.options` that volumes have: mhd, dicom and nifti."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tune_seg.config import AboveZero, Number
from tune_seg.data.options import Options

_Percentage = Annotated[Number, Field(ge=0.0, le=100.0)]


class VolumeOptions(Options):
    """How a volume becomes images.

    Args:
        percentiles: of the intensities of the whole volume, a channel at a time: the lower one becomes black, the upper one
            white.
        window: the intensities that become black and white, in place of percentiles; after rescaling, so in Hounsfield units
            for CT.
        bits: of an image: 8 (0 to 255) or 16 (0 to 65535).
        foreground_only: leave out slices whose mask has only 0 and ignored pixels. All masks are then read in advance.
        spacing: millimetres from one pixel to the next, both ways: slices are resampled to it and cut or filled up around
            their centre to `data.size`. Left out, pixels that are not square are made square, with the finer of their two
            spacings, and the whole slice is stretched to `data.size`, as other images are.
        resample_labels: take the nearest label where labels lie on another grid than their image; otherwise an error.
        patient: a regular expression found in the name of a volume, whose first group (or all of it) names the patient.
            Left out, it is DICOM's PatientID, and elsewhere each volume is a patient.
    """

    percentiles: tuple[
        Annotated[_Percentage, Field(description="black")], Annotated[_Percentage, Field(description="white")]
    ] = (0.5, 99.5)
    window: tuple[Annotated[Number, Field(description="black")], Annotated[Number, Field(description="white")]] | None = None
    bits: Literal[8, 16] = 8
    foreground_only: bool = False
    spacing: AboveZero | None = None
    resample_labels: bool = False
    patient: str | None = None

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
