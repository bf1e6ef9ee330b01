"""DICOM: a folder for each volume, or a file of several frames, with masks as DICOM-SEG, NIfTI, MetaImage or PNG files."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from tune_seg.config import DataConfig
from tune_seg.data.dataset import problems_error
from tune_seg.data.formats.dicom.cases import DicomCase, GridCase, PngCase, SegCase
from tune_seg.data.formats.dicom.files import SEGMENTATIONS, STRUCTURES, is_dicom, read_header, states_syntax
from tune_seg.data.formats.dicom.segmentations import segment_names
from tune_seg.data.formats.dicom.slices import Stack, stack_of
from tune_seg.data.formats.dicom.structures import structure_names
from tune_seg.data.formats.dicom.tree import tree
from tune_seg.data.labels import Labels, declared
from tune_seg.data.options import read_options
from tune_seg.data.volumes import itk_file, volume_file
from tune_seg.data.volumes.dataset import VolumeDataset, dataset_of
from tune_seg.data.volumes.files import collected, reading, visible
from tune_seg.data.volumes.geometry import fits, other_grid_error
from tune_seg.data.volumes.header import Header
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.data.volumes.remarks import Remark, counted
from tune_seg.data.volumes.scan import BACKGROUND
from tune_seg.errors import InputError
from tune_seg.format_names import need_packages

LAYOUT = (
    "images/NAME/*.dcm (or NAME.dcm) with masks/NAME/*.png, masks/NAME.nii.gz, NAME.mhd, a DICOM segmentation or an RT "
    "structure set"
)

_PNG = ".png"
_MASKS = (*SEGMENTATIONS, STRUCTURES)
_MASK_SUFFIXES = (".dcm", _PNG, *volume_file.SUFFIXES)
_MAX_LOOKED_AT = 3  # volumes, and files of each
_SHOWN = 20
_LEFT_OUT = "Series without a mask, which are left out"
_BOTH = "Volumes with DICOM segmentations and RT structure sets, of which the segmentations were taken"
_ONE_LABEL = "Segments with one label in one file, which are one class"
_NO_SYNTAX = "DICOM files that do not state their transfer syntax, whose pixels were taken for uncompressed"
_LAST_NUMBER = re.compile(r"(\d+)\D*$")


def looks_like(root: Path) -> bool:
    """Whether among the first files of the first volumes one is DICOM."""
    return any(is_dicom(file) for entry in _entries(root)[:_MAX_LOOKED_AT] for file in islice(_walk(entry), _MAX_LOOKED_AT))


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


def _walk(entry: Path) -> Iterator[Path]:
    """All files of a folder, also those in folders of it; a file alone is itself. Links may lead nowhere."""
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return (path for path in files if not path.is_dir() and not path.name.startswith("."))


def _cases(root: Path, entry: Path, options: VolumeOptions, left_out: list[Path]) -> list[DicomCase | str]:
    """The volumes of a folder or a file: none where it holds no DICOM, several where it is a tree of series.

    Args:
        left_out: gets the series of a tree that have no mask.
    """
    try:
        with reading(entry, "DICOM"):
            headers = _headers(entry)
            if not headers:
                return []
            masks = {path: header for path, header in headers if header.get("SOPClassUID") in _MASKS}
            slices = [(path, header) for path, header in headers if "Rows" in header and path not in masks]
            series = tree(entry, slices, masks)
    except InputError as error:
        return [str(error)]
    if series is None:
        there = [root / "masks" / f"{_called(entry)}{suffix}" for suffix in ("", *_MASK_SUFFIXES)]
        return [_case(entry, _called(entry), slices, masks, there, options)]
    answers: list[DicomCase | str] = []
    for one in series:
        parts = one.folder.relative_to(_images(root)).parts
        name = "_".join(parts)
        places = dict.fromkeys(
            (root / "masks").joinpath(*parts[:-1], f"{parts[-1]}{suffix}") for suffix in ("", *_MASK_SUFFIXES)
        )
        places |= dict.fromkeys(root / "masks" / f"{name}{suffix}" for suffix in ("", *_MASK_SUFFIXES))
        if one.masks or any(path.exists() for path in places):
            answers.append(_case(one.folder, name, one.slices, one.masks, list(places), options))
        else:
            left_out.append(one.folder)
    if not answers:
        answers = [
            f"{entry}: {len(series)} series without a mask; looked for RT structure sets and DICOM segmentations among "
            f"them, and for {root / 'masks'}/FOLDER/OF/SERIES with one of {', '.join(_MASK_SUFFIXES)}"
        ]
    return answers


def _case(
    volume: Path,
    name: str,
    slices: Sequence[tuple[Path, Any]],
    masks: Mapping[Path, Any],
    places: Sequence[Path],
    options: VolumeOptions,
) -> DicomCase | str:
    """One volume.

    Args:
        volume: its folder or file.
        name: of the volume.
        slices: its files with their headers.
        masks: the DICOM segmentations and structure sets among them.
        places: where another mask may be.
    """
    try:
        with reading(volume, "DICOM"):
            case = _with_mask(volume, name, stack_of(volume, slices), places, masks, options)
    except InputError as error:
        return str(error)
    if all(states_syntax(header) for _, header in slices):
        return case
    return replace(case, remarks=(*case.remarks, Remark(_NO_SYNTAX, name)))


def _headers(volume: Path) -> list[tuple[Path, Any]]:
    headers = []
    for path in sorted(_walk(volume)):
        if not path.exists():
            raise InputError(f"{path}: a link to a file that is not there; fetch the file, or take the link out")
        if is_dicom(path):
            headers.append((path, read_header(path)))
        elif path.suffix.lower() == ".dcm":
            raise InputError(f"{path}: no DICOM file (no DICM after 128 bytes); is it damaged? Replace it or take it out")
    return headers


def _with_mask(
    volume: Path, name: str, stack: Stack, places: Sequence[Path], masks: Mapping[Path, Any], options: VolumeOptions
) -> DicomCase:
    there = [path for path in places if path.exists()]
    there += [volume] if masks else []
    if not there:
        raise InputError(
            f"{volume}: a volume without a mask; looked for {places[0]} as a folder or with one of "
            f"{', '.join(_MASK_SUFFIXES)}, and for a DICOM segmentation among its slices"
        )
    if len(there) > 1:
        raise InputError(f"{volume}: several masks: {', '.join(map(str, there))}; leave one of them")
    mask = there[0]
    common: dict[str, Any] = {
        "name": name,
        "patient": stack.patient or name,
        "image": volume,
        "mask": mask,
        "shape": (len(stack.frames), stack.rows, stack.columns),
        "channels": 3 if stack.colour else 1,
        "spacing": stack.spacing,
        "stack": stack,
        "resample": options.resample_labels,
    }
    if mask == volume:
        return _seg_case(masks, common, options)
    if mask.is_dir():
        files = visible(mask)
        pngs = [path for path in files if path.suffix.lower() == _PNG]
        if pngs:
            return PngCase(**common, masks=_in_order(mask, pngs, stack))
        return _seg_case({path: read_header(path) for path in files if path.is_file() and is_dicom(path)}, common, options)
    if mask.suffix == _PNG:
        if len(stack.frames) > 1:
            raise InputError(
                f"{mask}: one PNG for the {len(stack.frames)} slices of {volume.name}; put one for each slice into a folder "
                f"{mask.with_suffix('')}"
            )
        return PngCase(**common, masks=(mask,))
    if mask.suffix == ".dcm":
        return _seg_case({mask: read_header(mask)}, common, options)
    need_packages("mhd" if volume_file.has_suffix(mask, itk_file.SUFFIXES) else "nifti")
    label = volume_file.header(mask)
    _reject_other_shape(label, volume, stack, options)
    return GridCase(**common, label=label, remarks=label.remarks)


def _seg_case(headers: Mapping[Path, Any], common: Mapping[str, Any], options: VolumeOptions) -> SegCase:
    if not headers:
        raise InputError(f"{common['mask']}: neither PNG masks nor DICOM segmentations in this folder; put the masks there")
    for path, header in headers.items():
        if header.get("SOPClassUID") not in _MASKS:
            raise InputError(
                f"{path}: no DICOM segmentation (SOP class {header.get('SOPClassUID')}); a mask in DICOM is one, or an RT "
                "structure set"
            )
    kinds = {path: header.get("SOPClassUID") == STRUCTURES for path, header in headers.items()}
    remarks: tuple[Remark, ...] = ()
    structures = all(kinds.values())
    if not structures and any(kinds.values()):
        remarks = (Remark(_BOTH, common["name"]),)
    taken = {path: header for path, header in headers.items() if kinds[path] == structures}
    names = structure_names if structures else segment_names
    segments = {path: names(header, path) for path, header in taken.items()}
    remarks += tuple(
        Remark(_ONE_LABEL, f"{label!r} in {path.name}")
        for path, named in segments.items()
        for label, count in Counter(named.values()).items()
        if count > 1
    )
    return SegCase(
        **common,
        segments=segments,
        structures=structures,
        layered=options.segments is not None,
        values={},
        remarks=remarks,
    )


def _in_order(folder: Path, pngs: Sequence[Path], stack: Stack) -> tuple[Path, ...]:
    """The PNG masks in the order of the slices."""
    if len(stack.files) == 1 < len(stack.frames):
        numbers = {path: _LAST_NUMBER.search(path.stem) for path in pngs}
        by_number = {int(number[1]): path for path, number in numbers.items() if number is not None}
        if len(pngs) != len(stack.frames) or len(by_number) != len(pngs):
            raise InputError(
                f"{folder}: {len(pngs)} masks, {len(by_number)} with a different number, for the {len(stack.frames)} "
                f"frames of {stack.files[0].name}; each frame needs one, and the last number in its name says which"
            )
        ordered = [by_number[number] for number in sorted(by_number)]
        return tuple(ordered[frame.index] for frame in stack.frames)
    by_name = {_called(path): path for path in pngs}
    names = [_called(frame.file) for frame in stack.frames]
    missing = [name for name in names if name not in by_name]
    unknown = sorted(by_name.keys() - set(names))
    if missing or unknown or len(set(names)) < len(names):
        raise InputError(
            f"{folder}: {len(pngs)} masks for {len(names)} slices; "
            + "".join(f"no mask is called {missing[0]}.png; " for _ in missing[:1])
            + "".join(f"no slice is called {unknown[0]}; " for _ in unknown[:1])
            + "each slice needs a mask that is called like its file"
        )
    return tuple(by_name[name] for name in names)


def _called(path: Path) -> str:
    """The name of a file or folder without the extension of DICOM or PNG; the dots of a UID stay."""
    return path.stem if path.suffix.lower() in (".dcm", ".ima", ".png") else path.name


def _reject_other_shape(label: Header, volume: Path, stack: Stack, options: VolumeOptions) -> None:
    if label.channels != 1:
        raise volume_file.several_values_error(label)
    image = stack.grid()
    if image is None:
        shape = (stack.columns, stack.rows, len(stack.frames))
        if label.grid.shape != shape:
            raise InputError(
                f"{label.path}: {_voxels(label.grid.shape)} voxels, but {volume.name} has {_voxels(shape)} and does not say "
                "where they lie; give the labels its columns, rows and slices"
            )
    elif not options.resample_labels and not fits(label.grid, image):
        raise other_grid_error(label.path, label.grid, volume, image)


def _voxels(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))


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
        if path not in used and (path.is_dir() or path.name.endswith(_MASK_SUFFIXES))
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
