"""Data sets of volumes in files of their own, whichever format these have."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tune_seg.config import DataConfig
from tune_seg.data.formats._dataset_json import named
from tune_seg.data.formats._volume_pairs import Pair, Words, find_pairs
from tune_seg.data.images.mask_meaning import Asked
from tune_seg.data.images.mask_statistics import WHITE
from tune_seg.data.labels import Labels, declared
from tune_seg.data.options import read_options
from tune_seg.data.volumes.dataset import VolumeDataset, dataset_of
from tune_seg.data.volumes.files import collected
from tune_seg.data.volumes.geometry import fits, other_grid_error
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.data.volumes.remarks import Remark
from tune_seg.data.volumes.scan import BACKGROUND, VolumeScan
from tune_seg.data.volumes.volume_file import FileCase, header, reject_other_grids, several_values_error
from tune_seg.errors import InputError

_ACQUIRED = (
    "Sliced in the {plane} plane, in which they were taken, as their voxels are longest across it "
    "(data.options.plane=axial cuts them otherwise)"
)


def read_files(root: Path, config: DataConfig, suffixes: tuple[str, ...], words: Words, layout: str) -> VolumeDataset:
    """The data set under `root`: the slices of every volume.

    Raises:
        InputError: a volume without labels or the other way round, one that cannot be read, grids that differ, a
            dataset.json that cannot be read, or as :func:`~tune_seg.data.volumes.dataset.dataset_of`.
    """
    options = read_options(config.options, VolumeOptions)
    found = find_pairs(root, suffixes, words, layout)
    json = named(root, config.ignore_label) if config.classes is None else None
    answers = [_case(pair, patient, options) for pair, patient in zip(found.pairs, found.patients, strict=True)]
    cases = collected(answers, root)
    if options.segments is not None:
        left_out = _reject_missing(cases, options.segments)
        in_order = None if config.classes else declared([BACKGROUND, *options.segments], config.ignore_label, None)
        return dataset_of(root, config, options, cases, in_order, (*found.remarks, *left_out))
    remarks = () if json is None else json.remarks
    labels: Labels | VolumeScan | None = None
    if json is not None:
        labels = _named_in_files(cases, config) if json.labels is None else _as_masks_show(json.labels, cases, root)
    return dataset_of(root, config, options, cases, labels, (*found.remarks, *remarks))


def _case(pair: Pair, patient: str, options: VolumeOptions) -> FileCase | str:
    try:
        images, label = tuple(map(header, pair.images)), header(pair.label)
        grid = images[0].grid
        reject_other_grids(images)
        if label.channels != 1 and not (label.segments and options.segments):
            raise several_values_error(label)
        if not options.resample_labels and not fits(label.grid, grid):
            raise other_grid_error(label.path, label.grid, images[0].path, grid)
    except InputError as error:
        return str(error)
    plane = grid.cut(options.plane)
    said = [remark for image in (*images, label) for remark in image.remarks]
    if options.plane == "auto" and plane != "axial":
        said.append(Remark(_ACQUIRED.format(plane=plane), pair.name))
    return FileCase(
        pair.name,
        patient,
        images[0].path,
        label.path,
        grid.shape_in(plane),
        sum(image.channels for image in images),
        grid.spacing_in(plane),
        images,
        label,
        plane,
        options.segments or (),
        remarks=tuple(said),
    )


def _reject_missing(cases: Sequence[FileCase], segments: Sequence[str]) -> tuple[str, ...]:
    """What to say of segments that are left out.

    Raises:
        InputError: a label volume names no segments, or one is in none of them.
    """
    for case in cases:
        if not case.label.segments:
            raise InputError(
                f"data.options.segments: {case.mask} names no segments, as DICOM and 3D Slicer's .seg.nrrd do; name the "
                "values with data.classes"
            )
    known = list(dict.fromkeys(segment.name for case in cases for segment in case.label.segments))
    missing = [name for name in segments if name not in known]
    if missing:
        there = ", ".join(map(repr, known))
        raise InputError(f"data.options.segments: no segment is called {missing[0]!r}; there are {there}")
    left_out = [name for name in known if name not in segments]
    return (f"Segments left out, as data.options.segments does not name them: {', '.join(left_out)}",) if left_out else ()


def _as_masks_show(named: Labels, cases: Sequence[FileCase], root: Path) -> Labels | VolumeScan:
    """What dataset.json says, unless it leaves open what 255 is and labels have it, as in pictures.

    The first labels with anything in them tell: of published sets no other need be read before they are packed.
    """
    if named.ignored or WHITE in named.indices:
        return named
    for case in cases:
        try:
            values = np.unique(case.labels())
        except InputError:  # packing says why
            continue
        if values.any():
            names = {value: named.class_names[index] for value, index in named.indices.items()}
            asked = Asked(names, False, None, root, in_folder=False, as_folder=False)
            return VolumeScan({each.mask: each for each in cases}, asked) if WHITE in values else named
    return named


def _named_in_files(cases: Sequence[FileCase], config: DataConfig) -> Labels | None:
    """The classes as the label volumes name them, which 3D Slicer's do.

    Raises:
        InputError: two of them name one value differently.
    """
    names: dict[int, tuple[str, Path]] = {}
    for case in cases:
        for name, value, _ in case.label.segments:
            other, first = names.setdefault(value, (name, case.mask))
            if other != name:
                raise InputError(
                    f"{case.mask}: the value {value} is {name!r}, but {other!r} in {first.name}; give each segment the same "
                    "label value in all files, or declare data.classes if the names do not matter"
                )
    if not names:
        return None
    return declared({0: BACKGROUND} | {value: name for value, (name, _) in names.items()}, config.ignore_label, None)
