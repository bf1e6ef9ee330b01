"""Where the mask of a DICOM volume lies, and of which kind it is: PNGs, a label volume, segmentations, structure sets."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tune_seg.data.formats.dicom.cases import DicomCase, GridCase, PngCase, SegCase
from tune_seg.data.formats.dicom.files import SEGMENTATIONS, STRUCTURES, is_dicom, read_header
from tune_seg.data.formats.dicom.segmentations import segment_names
from tune_seg.data.formats.dicom.stack import Stack
from tune_seg.data.formats.dicom.structures import structure_names
from tune_seg.data.volumes import itk_file, volume_file
from tune_seg.data.volumes.files import visible
from tune_seg.data.volumes.geometry import fits, other_grid_error
from tune_seg.data.volumes.header import Header
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.data.volumes.remarks import Remark
from tune_seg.errors import InputError
from tune_seg.format_names import need_packages

CLASSES = (*SEGMENTATIONS, STRUCTURES)
"""The SOP classes of masks in DICOM."""

_DICOM, _PNG = ".dcm", ".png"
SUFFIXES = (_DICOM, _PNG, *volume_file.SUFFIXES)

_BOTH = "Volumes with DICOM segmentations and RT structure sets, of which the segmentations were taken"
_ONE_LABEL = "Segments with one label in one file, which are one class"
_UNPLACED = "DICOM volumes that do not say where they lie, whose label volumes were taken voxel by voxel as they are stored"
_LAST_NUMBER = re.compile(r"(\d+)\D*$")


def called(path: Path) -> str:
    """The name of a file or folder without the extension of DICOM or PNG; the dots of a UID stay."""
    return path.stem if path.suffix.lower() in (_DICOM, ".ima", _PNG) else path.name


def masks_in(folder: Path, name: str) -> list[Path]:
    """What may be the mask of the volume `name`: a folder of its name, or a file with an ending of masks, in any case."""
    if not folder.is_dir():
        return []
    there = [path for path in visible(folder) if path.name.startswith(name) and path.exists()]
    return [path for path in there if path.name == name or path.name[len(name) :].lower() in SUFFIXES]


def with_mask(
    volume: Path,
    name: str,
    stack: Stack,
    place: Path,
    beside: Sequence[Path],
    masks: Mapping[Path, Any],
    options: VolumeOptions,
) -> DicomCase:
    """A volume with its mask.

    Args:
        volume: its folder or file.
        name: of the volume.
        stack: its slices.
        place: where its mask may be, as a folder or with an ending, for messages.
        beside: what is there.
        masks: the DICOM segmentations and structure sets among the slices, with their headers.
        options: `data.options`.

    Raises:
        InputError: there is no mask, there are several, or it does not fit.
    """
    there = [*beside, *([volume] if masks else [])]
    if not there:
        raise InputError(
            f"{volume}: a volume without a mask; looked for {place} as a folder or with one of "
            f"{', '.join(SUFFIXES)}, and for a DICOM segmentation among its slices"
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
    if mask.suffix.lower() == _PNG:
        if len(stack.frames) > 1:
            raise InputError(
                f"{mask}: one PNG for the {len(stack.frames)} slices of {volume.name}; put one for each slice into a folder "
                f"{mask.with_suffix('')}"
            )
        return PngCase(**common, masks=(mask,))
    if mask.suffix.lower() == _DICOM:
        return _seg_case({mask: read_header(mask)}, common, options)
    need_packages("mhd" if volume_file.has_suffix(mask, itk_file.SUFFIXES) else "nifti")
    label = volume_file.header(mask)
    _reject_other_shape(label, volume, stack, options)
    unplaced = [Remark(_UNPLACED, name)] if stack.grid() is None else []
    return GridCase(**common, label=label, remarks=(*label.remarks, *unplaced))


def _seg_case(headers: Mapping[Path, Any], common: Mapping[str, Any], options: VolumeOptions) -> SegCase:
    if not headers:
        raise InputError(f"{common['mask']}: neither PNG masks nor DICOM segmentations in this folder; put the masks there")
    for path, header in headers.items():
        if header.get("SOPClassUID") not in CLASSES:
            raise InputError(
                f"{path}: no DICOM segmentation (SOP class {header.get('SOPClassUID')}); a mask in DICOM is one, or an RT "
                "structure set"
            )
    kinds = {path: header.get("SOPClassUID") == STRUCTURES for path, header in headers.items()}
    structures = all(kinds.values())
    remarks = [Remark(_BOTH, common["name"])] if any(kinds.values()) and not structures else []
    taken = {path: header for path, header in headers.items() if kinds[path] == structures}
    names = structure_names if structures else segment_names
    segments = {path: names(header, path) for path, header in taken.items()}
    remarks += [
        Remark(_ONE_LABEL, f"{label!r} in {path.name}")
        for path, named in segments.items()
        for label, count in Counter(named.values()).items()
        if count > 1
    ]
    return SegCase(
        **common,
        segments=segments,
        structures=structures,
        layered=options.segments is not None,
        values={},
        remarks=tuple(remarks),
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
    by_name = {called(path): path for path in pngs}
    names = [called(frame.file) for frame in stack.frames]
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
