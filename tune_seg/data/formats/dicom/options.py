"""The keys of `data.options` that DICOM has."""

from pydantic import field_validator

from tune_seg.data.volumes.options import VolumeOptions


class DicomOptions(VolumeOptions):
    """`data.options` of DICOM."""

    segments: tuple[str, ...] | None = None
    """The segments of DICOM segmentations, or the regions of RT structure sets, that are read, by their labels: each is a
    class, and where some overlap, the later one of this list lies above. null: all of them, and an overlap is an error."""

    @field_validator("segments")
    @classmethod
    def _distinct(cls, segments: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if segments is not None and (not segments or len(set(segments)) < len(segments)):
            raise ValueError("name each segment once, and at least one")
        return segments
