"""DICOM: a folder for each volume, or a file of several frames, with masks as DICOM-SEG, NIfTI, MetaImage or PNG files."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tune_seg.config import DataConfig
from tune_seg.data.dataset import problems_error
from tune_seg.data.formats.dicom.segmentations import read_segmentations, segment_names
from tune_seg.data.formats.dicom.slices import SEGMENTATIONS, Stack, decode, is_dicom, read_header, stack_of
from tune_seg.data.images.pictures import Raw, read_mask
from tune_seg.data.labels import Labels, declared
from tune_seg.data.options import read_options
from tune_seg.data.volumes import itk_file, volume_file
from tune_seg.data.volumes.case import Case, Volume
from tune_seg.data.volumes.dataset import BACKGROUND, IGNORE_LABEL, VolumeDataset, dataset_of
from tune_seg.data.volumes.files import collected, reading, visible, whole_numbers
from tune_seg.data.volumes.geometry import fits, onto, other_grid_error
from tune_seg.data.volumes.header import Header
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.errors import InputError
from tune_seg.format_names import need_packages

LAYOUT = "images/NAME/*.dcm (or NAME.dcm) with masks/NAME/*.png, masks/NAME.nii.gz, NAME.mhd or a DICOM segmentation"

_MASK_SUFFIXES = (".dcm", *volume_file.SUFFIXES)
_MAX_LOOKED_AT = 3  # volumes, and files of each
_LAST_NUMBER = re.compile(r"(\d+)\D*$")


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
        return whole_numbers(placed.transpose(2, 1, 0), self.mask)


@dataclass(frozen=True, eq=False)
class SegCase(DicomCase):
    """A volume with DICOM segmentations.

    Attributes:
        segments: by file, the label of each segment by its number.
        values: the raw value of each label.
    """

    segments: Mapping[Path, Mapping[int, str]]
    values: Mapping[str, int]

    @property
    def mask_files(self) -> tuple[Path, ...]:
        return tuple(self.segments)

    def labels(self) -> Raw:
        values = {
            path: {number: self.values[label] for number, label in labels.items()} for path, labels in self.segments.items()
        }
        return read_segmentations(values, self.stack, resample=self.resample)


def looks_like(root: Path) -> bool:
    """Whether among the first files of the first volumes one is DICOM."""
    return any(is_dicom(file) for entry in _entries(root)[:_MAX_LOOKED_AT] for file in islice(_walk(entry), _MAX_LOOKED_AT))


def read_dicom(root: Path, config: DataConfig) -> VolumeDataset:
    """The data set under `root`: the slices of every volume as they were taken, in order.

    The volumes are the folders, and the files, in ROOT/images, or in ROOT where there is no such folder. The mask of a
    volume NAME is ROOT/masks/NAME.nii, .nii.gz, .mhd, .mha or .dcm; a folder ROOT/masks/NAME of PNG files or DICOM
    segmentations; or DICOM segmentations among its slices. A PNG is called like the file of its slice; of a volume in one
    file, the last number in its name puts it in the order of the frames. The segments of DICOM segmentations name the
    classes.

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
    found = [_case(root, volume, options) for volume in volumes]
    cases = collected([case for case in found if case is not None], root)
    if not cases:
        raise InputError(f"{root}: no DICOM volume here; looked for {LAYOUT}")
    _reject_loose_slices(cases)
    _reject_unused_masks(root / "masks", cases)
    _reject_one_patient(cases, options)
    segmented = [case for case in cases if isinstance(case, SegCase)]
    if not segmented:
        return dataset_of(root, config, options, cases)
    others = [case for case in cases if not isinstance(case, SegCase)]
    if others:
        raise InputError(
            f"{others[0].mask}: no DICOM segmentation, but that of {segmented[0].name} is; a data set has masks of one kind"
        )
    numbered, labels = _classes(segmented, config)
    return dataset_of(root, config, options, numbered, labels)


def _entries(root: Path) -> list[Path]:
    """The folders and files that may be volumes."""
    images = root / "images" if (root / "images").is_dir() else root
    return [path for path in visible(images) if path != root / "masks"]


def _walk(entry: Path) -> Iterator[Path]:
    """All files of a folder, also those in folders of it; a file alone is itself. Links may lead nowhere."""
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return (path for path in files if not path.is_dir() and not path.name.startswith("."))


def _case(root: Path, volume: Path, options: VolumeOptions) -> DicomCase | str | None:
    """None: a folder without DICOM files is no volume."""
    try:
        with reading(volume, "DICOM"):
            headers = _headers(volume)
            if not headers:
                return None
            segmentations = {path: header for path, header in headers if header.get("SOPClassUID") in SEGMENTATIONS}
            slices = [(path, header) for path, header in headers if "Rows" in header and path not in segmentations]
            return _with_mask(volume, stack_of(volume, slices), root / "masks", segmentations, options)
    except InputError as error:
        return str(error)


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
    volume: Path, stack: Stack, masks: Path, segmentations: Mapping[Path, Any], options: VolumeOptions
) -> DicomCase:
    """The case of a volume; `segmentations` lie among its slices, with their headers."""
    name = _called(volume)
    there = [path for path in (masks / f"{name}{suffix}" for suffix in ("", *_MASK_SUFFIXES)) if path.exists()]
    there += [volume] if segmentations else []
    if not there:
        raise InputError(
            f"{volume}: a volume without a mask; looked for {masks / name} as a folder or with one of "
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
        return _seg_case(segmentations, common)
    if mask.is_dir():
        files = visible(mask)
        pngs = [path for path in files if path.suffix.lower() == ".png"]
        if pngs:
            return PngCase(**common, masks=_in_order(mask, pngs, stack))
        return _seg_case({path: read_header(path) for path in files if path.is_file() and is_dicom(path)}, common)
    if mask.suffix == ".dcm":
        return _seg_case({mask: read_header(mask)}, common)
    need_packages("mhd" if volume_file.has_suffix(mask, itk_file.SUFFIXES) else "nifti")
    label = volume_file.header(mask)
    _reject_other_shape(label, volume, stack, options)
    return GridCase(**common, label=label, remarks=label.remarks)


def _seg_case(headers: Mapping[Path, Any], common: Mapping[str, Any]) -> SegCase:
    if not headers:
        raise InputError(f"{common['mask']}: neither PNG masks nor DICOM segmentations in this folder; put the masks there")
    for path, header in headers.items():
        if header.get("SOPClassUID") not in SEGMENTATIONS:
            raise InputError(
                f"{path}: no DICOM segmentation (SOP class {header.get('SOPClassUID')}); a mask in DICOM is one"
            )
    segments = {path: segment_names(header, path) for path, header in headers.items()}
    return SegCase(**common, segments=segments, values={})


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
        raise InputError(f"{label.path}: {label.channels} values in a voxel; a label volume has one class number")
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
    series = Counter(case.stack.series for case in single)
    together = [case for case in single if series[case.stack.series] > 1]
    if together:
        raise problems_error(
            "several files of one series where each file is a volume; put the slices of a volume into a folder:",
            [str(case.image) for case in together[:10]],
        )


def _reject_unused_masks(masks: Path, cases: Sequence[DicomCase]) -> None:
    used = {case.mask for case in cases}
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


def _classes(cases: Sequence[SegCase], config: DataConfig) -> tuple[list[SegCase], Labels | None]:
    """The cases with a raw value for each segment, and what the values mean.

    Segments are matched by label, as numbers differ between files. Where `data.classes` names the numbers, each number must
    have the same label everywhere.
    """
    segments = sorted({item for case in cases for names in case.segments.values() for item in names.items()})
    if config.classes is None:
        names = [BACKGROUND, *dict.fromkeys(label for _, label in segments if label != BACKGROUND)]
        values = {label: value for value, label in enumerate(names)}
        labels = declared(names, config.ignore_label, IGNORE_LABEL)
        return [replace(case, values=values) for case in cases], labels
    values = {label: number for number, label in segments}
    if len(values) != len(segments) or len(set(values.values())) != len(segments):
        shown = ", ".join(f"{number} {label!r}" for number, label in segments[:10])
        raise InputError(
            f"data.classes: the segmentations do not agree on the numbers of their segments ({shown}); leave data.classes "
            "out, and the segments go by their labels"
        )
    return [replace(case, values=values) for case in cases], None
