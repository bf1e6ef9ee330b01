"""Data sets of volumes in files of their own, whichever format these have."""

from collections.abc import Sequence
from pathlib import Path

from tune_seg.config import DataConfig
from tune_seg.data.formats._dataset_json import named
from tune_seg.data.formats._volume_pairs import Pair, Words, find_pairs
from tune_seg.data.labels import Labels, declared
from tune_seg.data.options import read_options
from tune_seg.data.volumes.dataset import VolumeDataset, dataset_of
from tune_seg.data.volumes.files import collected
from tune_seg.data.volumes.geometry import fits, other_grid_error
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.data.volumes.remarks import Remark
from tune_seg.data.volumes.scan import BACKGROUND
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
    if options.segments is not None:
        raise InputError("data.options.segments: only masks in DICOM have segments; name the values with data.classes")
    found = find_pairs(root, suffixes, words, layout)
    json = named(root, config.ignore_label) if config.classes is None else None
    answers = [_case(pair, patient, options) for pair, patient in zip(found.pairs, found.patients, strict=True)]
    cases = collected(answers, root)
    labels, remarks = (None, ()) if json is None else json
    if labels is None and config.classes is None:
        labels = _named_in_files(cases, config)
    return dataset_of(root, config, options, cases, labels, (*found.remarks, *remarks))


def _case(pair: Pair, patient: str, options: VolumeOptions) -> FileCase | str:
    try:
        images, label = tuple(map(header, pair.images)), header(pair.label)
        grid = images[0].grid
        reject_other_grids(images)
        if label.channels != 1:
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
        remarks=tuple(said),
    )


def _named_in_files(cases: Sequence[FileCase], config: DataConfig) -> Labels | None:
    """The classes as the label volumes name them, which 3D Slicer's do.

    Raises:
        InputError: two of them name one value differently.
    """
    names: dict[int, tuple[str, Path]] = {}
    for case in cases:
        for value, name in case.label.names.items():
            other, first = names.setdefault(value, (name, case.mask))
            if other != name:
                raise InputError(
                    f"{case.mask}: the value {value} is {name!r}, but {other!r} in {first.name}; give each segment the same "
                    "label value in all files, or declare data.classes if the names do not matter"
                )
    if not names:
        return None
    return declared({0: BACKGROUND} | {value: name for value, (name, _) in names.items()}, config.ignore_label, None)
