"""The reader of DICOM: its slices, and the masks that are DICOM segmentations."""
