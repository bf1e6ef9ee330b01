"""DICOM: a folder for each volume, or a file of several frames, with masks as DICOM-SEG, NIfTI, MetaImage or PNG files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from tune_seg.config import DataConfig
from tune_seg.data.dataset import problems_error
from tune_seg.data.formats.dicom.cases import DicomCase, SegCase
from tune_seg.data.formats.dicom.files import is_dicom, read_headers, states_syntax, walk
from tune_seg.data.formats.dicom.masks import CLASSES, SUFFIXES, called, masks_in, with_mask
from tune_seg.data.formats.dicom.slices import stack_of
from tune_seg.data.formats.dicom.tree import tree
from tune_seg.data.labels import Labels, declared
from tune_seg.data.options import read_options
from tune_seg.data.volumes.dataset import VolumeDataset, dataset_of
from tune_seg.data.volumes.files import collected, reading, visible
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.data.volumes.remarks import Remark, counted
from tune_seg.data.volumes.scan import BACKGROUND
from tune_seg.errors import InputError

LAYOUT = (
    "images/NAME/*.dcm (or NAME.dcm) with masks/NAME/*.png, masks/NAME.nii.gz, NAME.mhd, a DICOM segmentation or an RT "
    "structure set"
)

_MAX_LOOKED_AT = 3  # volumes, and files of each
_SHOWN = 20
_LEFT_OUT = "Series without a mask, which are left out"
_NO_SYNTAX = "DICOM files that do not state their transfer syntax, whose pixels were taken for uncompressed"


def looks_like(root: Path) -> bool:
    """Whether among the first files of the first volumes one is DICOM."""
    return any(is_dicom(file) for entry in _entries(root)[:_MAX_LOOKED_AT] for file in islice(walk(entry), _MAX_LOOKED_AT))


def read_dicom(root: Path, config: DataConfig) -> VolumeDataset:
    """The data set under `root`: the slices of every volume as they were taken, in order.

    The volumes are the folders, and the files, in ROOT/images, or in ROOT where there is no such folder. A folder of several
    series, each in a folder of its own (PATIENT/STUDY/SERIES), holds a volume for each series that has a mask. The mask of a
    volume NAME is ROOT/masks/NAME.nii, .nii.gz, .mhd, .mha, .nrrd or .dcm; NAME.png for a single slice; a folder
    ROOT/masks/NAME of PNG files, DICOM segmentations or RT structure sets; or segmentations and structure sets among its
    slices. A PNG is called like the file of its slice; of a volume in one file, the last number in its name puts it in the
    order of the frames. The segments name the classes.

    Reads the header of every file.

    Raises:
        InputError: a volume without a mask, one that cannot be read or whose slices make no volume, masks that do not
            fit, or as :func:`~tune_seg.data.volumes.dataset.dataset_of`.
    """
    options = read_options(config.options, VolumeOptions)
    if options.plane != "auto":
        raise InputError(
            f"data.options.plane: {options.plane}, but DICOM slices are read as they were taken; leave it out, or convert "
            "the volumes to NIfTI"
        )
    volumes = [entry for entry in _entries(root) if not entry.is_file() or is_dicom(entry)]
    left_out: list[Path] = []
    cases = collected([case for volume in volumes for case in _cases(root, volume, options, left_out)], root)
    remarks = counted(Remark(_LEFT_OUT, str(folder.relative_to(root))) for folder in left_out)
    if not cases:
        raise InputError(f"{root}: no DICOM volume here; looked for {LAYOUT}")
    _reject_loose_slices(cases)
    _reject_unused_masks(root / "masks", cases)
    _reject_one_patient(cases, options)
    segmented = [case for case in cases if isinstance(case, SegCase)]
    if not segmented:
        if options.segments is not None:
            raise InputError(
                "data.options.segments: the masks are no DICOM segmentations or RT structure sets; leave it out"
            )
        return dataset_of(root, config, options, cases, remarks=remarks)
    others = [case for case in cases if not isinstance(case, SegCase)]
    if others:
        raise InputError(
            f"{others[0].mask}: no DICOM segmentation, but that of {segmented[0].name} is; a data set has masks of one kind"
        )
    numbered, labels, said = _classes(segmented, config, options)
    return dataset_of(root, config, options, numbered, labels, (*remarks, *said))


def _entries(root: Path) -> list[Path]:
    """The folders and files that may be volumes."""
    return [path for path in visible(_images(root)) if path != root / "masks"]


def _images(root: Path) -> Path:
    return root / "images" if (root / "images").is_dir() else root


def _cases(root: Path, entry: Path, options: VolumeOptions, left_out: list[Path]) -> list[DicomCase | str]:
    """The volumes of a folder or a file: none where it holds no DICOM, several where it is a tree of series.

    Args:
        left_out: gets the series of a tree that have no mask.
    """
    try:
        with reading(entry, "DICOM"):
            headers = read_headers(entry)
            if not headers:
                return []
            masks = {path: header for path, header in headers if header.get("SOPClassUID") in CLASSES}
            slices = [(path, header) for path, header in headers if "Rows" in header and path not in masks]
            series = tree(entry, slices, masks)
    except InputError as error:
        return [str(error)]
    folder = root / "masks"
    if series is None:
        name = called(entry)
        return [_case(entry, name, slices, masks, folder / name, masks_in(folder, name), options)]
    answers: list[DicomCase | str] = []
    for one in series:
        parts = one.folder.relative_to(_images(root)).parts
        name = "_".join(parts)
        place = folder.joinpath(*parts)
        beside = list(dict.fromkeys([*masks_in(place.parent, place.name), *masks_in(folder, name)]))
        if one.masks or beside:
            answers.append(_case(one.folder, name, one.slices, one.masks, place, beside, options))
        else:
            left_out.append(one.folder)
    if not answers:
        answers = [
            f"{entry}: {len(series)} series without a mask; looked for RT structure sets and DICOM segmentations among "
            f"them, and for {folder}/FOLDER/OF/SERIES with one of {', '.join(SUFFIXES)}"
        ]
    return answers


def _case(
    volume: Path,
    name: str,
    slices: Sequence[tuple[Path, Any]],
    masks: Mapping[Path, Any],
    place: Path,
    beside: Sequence[Path],
    options: VolumeOptions,
) -> DicomCase | str:
    """One volume.

    Args:
        volume: its folder or file.
        name: of the volume.
        slices: its files with their headers.
        masks: the DICOM segmentations and structure sets among them.
        place, beside: where another mask may be, and what is there.
    """
    try:
        with reading(volume, "DICOM"):
            case = with_mask(volume, name, stack_of(volume, slices), place, beside, masks, options)
    except InputError as error:
        return str(error)
    if all(states_syntax(header) for _, header in slices):
        return case
    return replace(case, remarks=(*case.remarks, Remark(_NO_SYNTAX, name)))


def _reject_loose_slices(cases: Sequence[DicomCase]) -> None:
    """Slices beside one another where volumes are expected would each be read as a volume."""
    single = [case for case in cases if case.image.is_file() and case.slices == 1]
    series = Counter(case.stack.series for case in single if case.stack.series)
    together = [case for case in single if series[case.stack.series] > 1]
    if together:
        raise problems_error(
            "several files of one series where each file is a volume; put the slices of a volume into a folder:",
            [str(case.image) for case in together[:10]],
        )


def _reject_unused_masks(masks: Path, cases: Sequence[DicomCase]) -> None:
    used = {folder for case in cases for folder in (case.mask, *case.mask.parents)}
    unused = [
        path
        for path in (visible(masks) if masks.is_dir() else [])
        if path not in used and (path.is_dir() or path.name.lower().endswith(SUFFIXES))
    ]
    if unused:
        raise problems_error(f"{masks}: masks without a volume (none has their name):", [str(path) for path in unused])


def _reject_one_patient(cases: Sequence[DicomCase], options: VolumeOptions) -> None:
    patients = {case.patient for case in cases}
    if len(cases) > 1 and len(patients) == 1 and options.patient is None:
        raise InputError(
            f"all {len(cases)} volumes have the PatientID {patients.pop()!r}, so nobody is left to validate. If it is not "
            "their patient's, say how the name of a volume tells: data.options.patient: '.*' takes each volume for a patient"
        )


def _classes(
    cases: Sequence[SegCase], config: DataConfig, options: VolumeOptions
) -> tuple[list[SegCase], Labels | None, tuple[str, ...]]:
    """The cases with a raw value for each segment, what the values mean, and what was taken for granted.

    Segments are matched by label, as numbers differ between files. Where `data.classes` names the numbers, each number must
    have the same label everywhere, unless `data.options.segments` gives the numbers.
    """
    segments = sorted({item for case in cases for names in case.segments.values() for item in names.items()})
    found = list(dict.fromkeys(label for _, label in segments))
    if options.segments is not None:
        missing = [label for label in options.segments if label not in found]
        if missing:
            raise InputError(
                f"data.options.segments: no segment is called {missing[0]!r}; there are "
                f"{', '.join(map(repr, found[:_SHOWN]))}"
            )
        values = {label: value for value, label in enumerate(options.segments, start=1)}
        left_out = [label for label in found if label not in values]
        remarks = (f"Segments left out, as data.options.segments does not name them: {', '.join(left_out[:_SHOWN])}",)
        named = None if config.classes else declared([BACKGROUND, *options.segments], config.ignore_label, None)
        return [replace(case, values=values) for case in cases], named, remarks if left_out else ()
    if config.classes is None:
        names = [BACKGROUND, *(label for label in found if label != BACKGROUND)]
        values = {label: value for value, label in enumerate(names)}
        labels = declared(names, config.ignore_label, None)
        return [replace(case, values=values) for case in cases], labels, ()
    values = {label: number for number, label in segments}
    if len(values) != len(segments) or len(set(values.values())) != len(segments):
        shown = ", ".join(f"{number} {label!r}" for number, label in segments[:10])
        raise InputError(
            f"data.classes: the segmentations do not agree on the numbers of their segments ({shown}); leave data.classes "
            "out, and the segments go by their labels"
        )
    return [replace(case, values=values) for case in cases], None, ()
