"""Which files of a folder are volumes, and which their labels, by the names that people give them.

Names differ in one of these ways, in any case of letters:

- an ending of the labels: `NAME_seg.nii.gz`, `NAME-label.nrrd`, `NAME_gt.nii.gz` (ACDC), `NAME.seg.nrrd` (3D Slicer);
- a beginning of both: `volume-12.nii`, `segmentation-12.nii` (LiTS), `img0001.nii.gz`, `label0001.nii.gz` (BTCV);
- nothing but what they are, in a folder for each volume: `case_00000/imaging.nii.gz`, `segmentation.nii.gz` (KiTS).

The image has the name alone, or with an ending for what it is, or one for each channel: `_0000`, `_0001` (nnU-Net) or
`_flair`, `_t1`, `_t1ce`, `_t2` (BraTS).
"""

import re

_LABEL_WORD = r"seg|segmentation|segmentations|label|labels|labelmap|label-map|mask|masks|gt|ground[-_]?truth"
_IMAGE_WORD = r"imaging|image|img|volume|vol|scan|orig|ct|mr|mri"
_SEQUENCE = r"flair|t1|t1w|t1c|t1n|t1ce|t1gd|t1post|t2|t2w|t2f|pd|adc|dwi|hbv|dce|swi|ct|cta|pet|pt|suv|ctres"
_LABEL_ENDING = re.compile(rf"(.+?)[-_. ](?:{_LABEL_WORD})", re.IGNORECASE)
_LABEL_BEGINNING = re.compile(rf"(?:{_LABEL_WORD})[-_. ]?(\d.*)", re.IGNORECASE)
_LABEL_ALONE = re.compile(rf"(?:{_LABEL_WORD}|aggregated_maj_seg)", re.IGNORECASE)
_IMAGE_ENDING = re.compile(rf"(.+?)[-_. ](?:{_IMAGE_WORD})", re.IGNORECASE)
_IMAGE_BEGINNING = re.compile(rf"(?:{_IMAGE_WORD})[-_. ]?(\d.*)", re.IGNORECASE)
_IMAGE_ALONE = re.compile(rf"{_IMAGE_WORD}", re.IGNORECASE)
_CHANNEL = re.compile(rf"(.+)[-_. ](\d{{4}}|{_SEQUENCE})", re.IGNORECASE)
_SEQUENCE_ALONE = re.compile(_SEQUENCE, re.IGNORECASE)

OTHER_VERDICTS = re.compile(r"aggregated_(?:and|or)_seg", re.IGNORECASE)
"""KiTS21: where all annotators agree, and where any of them marks, beside what most of them mark."""

_PATIENTS = (re.compile(r"(.+)_frame\d+"), re.compile(r"(BraTS-[A-Za-z]+-\d+)-\d+"))
"""ACDC's frames of one heart; BraTS's points in time of one patient."""


def label_key(name: str, *, alone: bool) -> str | None:
    """The volume that a file is the labels of, by its name without extension: "" for that of its folder; None: it is none.

    Args:
        name: of the file.
        alone: whether it lies in a folder of labels alone, so that its name need not say what it is.
    """
    if OTHER_VERDICTS.fullmatch(name):
        return None
    if _LABEL_ALONE.fullmatch(name):
        return ""
    for pattern in (_LABEL_BEGINNING, _LABEL_ENDING):
        found = pattern.fullmatch(name)
        if found:
            return "" if _LABEL_ALONE.fullmatch(found[1]) else found[1]
    return name if alone else None


def image_keys(name: str) -> list[tuple[str, str]]:
    """The volumes that an image may be of, by its name without extension, each with what it is called behind that.

    The first that there is a label for is meant.
    """
    keys = [(name, "")]
    for pattern in (_IMAGE_BEGINNING, _IMAGE_ENDING):
        found = pattern.fullmatch(name)
        if found:
            keys.append((found[1], ""))
    channel = _CHANNEL.fullmatch(name)
    if channel:
        keys.append((channel[1], channel[2]))
    if _IMAGE_ALONE.fullmatch(name):
        keys.append(("", ""))
    elif _SEQUENCE_ALONE.fullmatch(name):
        keys.append(("", name))
    return keys


def patient(name: str) -> str:
    """The patient that a volume is of, by its name: itself, but for sets whose names tell."""
    for pattern in _PATIENTS:
        found = pattern.fullmatch(name)
        if found:
            return found[1]
    return name
