"""MetaImage volumes as PROMISE12 has them: CaseNN.mhd with CaseNN_segmentation.mhd, flat or in folders of parts."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tune_seg.config import DataConfig
from tune_seg.data.dataset import problems_error
from tune_seg.data.images.pictures import Raw
from tune_seg.data.options import read_options
from tune_seg.data.volumes.case import Case, Volume
from tune_seg.data.volumes.dataset import VolumeDataset, dataset_of
from tune_seg.data.volumes.files import by_name, collected, visible, whole_numbers
from tune_seg.data.volumes.geometry import LPS_TO_RAS, Grid, Voxels, axial, fits, onto, other_grid_error
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.errors import InputError

LAYOUT = "NAME.mhd (or .mha) with NAME_segmentation.mhd, in the folder or in folders of it"

SUFFIXES = (".mhd", ".mha")
_SEGMENTATION = "_segmentation"
_TEST = "test"  # PROMISE12's TestData, or test_data, has no segmentations, and the names of the training volumes

_DATA_FILE = re.compile(rb"^ElementDataFile *=(.*)$", re.MULTILINE)
_HEADER_BYTES = 2**16


@dataclass(frozen=True, eq=False)
class MetaImage:
    """The header of a MetaImage file, and the file that holds its voxels, which may be the same."""

    path: Path
    voxels: Path
    grid: Grid
    channels: int


@dataclass(frozen=True, eq=False)
class MhdCase(Case):
    """A volume and its segmentation.

    Attributes:
        headers: of both.
    """

    headers: tuple[MetaImage, MetaImage]

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for header in self.headers for file in (header.path, header.voxels))

    def volume(self) -> Volume:
        image, _ = self.headers
        return Volume(axial(read_voxels(image), image.grid.affine))

    def labels(self) -> Raw:
        image, mask = self.headers
        return whole_numbers(axial(onto(read_voxels(mask)[..., 0], mask.grid, image.grid), image.grid.affine), self.mask)


def looks_like(root: Path) -> bool:
    """Whether a segmentation lies in the folder or in a folder of it."""
    return any(_is_segmentation(path) for depth in ("", "*/") for path in root.glob(f"{depth}*{_SEGMENTATION}.*"))


def read_mhd(root: Path, config: DataConfig) -> VolumeDataset:
    """The data set under `root`: the axial slices of every volume, one patient a volume.

    A folder whose name has `test` in it, and which holds no segmentation, is passed over.

    Raises:
        InputError: a volume without a segmentation or the other way round, one that cannot be read, grids that differ, or as
            :func:`~tune_seg.data.volumes.dataset.dataset_of`.
    """
    options = read_options(config.options, VolumeOptions)
    images, masks = _pairs(root)
    cases = [_case(image, mask, options) for image, mask in zip(images, masks, strict=True)]
    return dataset_of(root, config, options, collected(cases, root))


def header(path: Path) -> MetaImage:
    """The header of a MetaImage file.

    Raises:
        InputError: it cannot be read, or it has not three dimensions.
    """
    import SimpleITK as sitk

    with _reading(path):
        reader = sitk.ImageFileReader()
        reader.SetImageIO("MetaImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        if reader.GetDimension() != 3:
            raise InputError(f"{path}: {reader.GetDimension()} dimensions; a volume has 3")
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing()
        affine[:3, 3] = reader.GetOrigin()
        voxels = _voxel_file(path)
        if not voxels.is_file():
            raise InputError(f"{voxels}: not there, but {path.name} says that it holds its voxels; put it beside it")
        grid = Grid.of(path, reader.GetSize(), LPS_TO_RAS @ affine)
        return MetaImage(path, voxels, grid, reader.GetNumberOfComponents())


def read_voxels(header: MetaImage) -> Voxels:
    """The voxels (I, J, K, C) of a MetaImage file.

    Raises:
        InputError: they cannot be read.
    """
    import SimpleITK as sitk

    with _reading(header.path):
        voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(header.path), imageIO="MetaImageIO"))
    if header.channels == 1:
        voxels = voxels[..., None]
    return voxels.transpose(2, 1, 0, 3)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # in whose text ITK names its own source files, but no reason
        raise InputError(
            f"{path}: cannot be read as a MetaImage; is it damaged, or the file of its voxels truncated?"
        ) from error


def _voxel_file(path: Path) -> Path:
    with path.open("rb") as file:
        named = _DATA_FILE.search(file.read(_HEADER_BYTES))
    name = "LOCAL" if named is None else named[1].decode("utf-8", "surrogateescape").strip()
    return path if name in ("LOCAL", "LIST") else path.parent / name


def _is_segmentation(path: Path) -> bool:
    return path.stem.endswith(_SEGMENTATION) and path.suffix.lower() in SUFFIXES


def _pairs(root: Path) -> tuple[list[Path], list[Path]]:
    """Every volume, and its segmentation."""
    by_place: dict[Path, Path] = {}
    for folder in (root, *(path for path in visible(root) if path.is_dir())):
        files = [path for path in visible(folder) if path.suffix.lower() in SUFFIXES]
        if folder == root or _TEST not in folder.name.lower() or any(map(_is_segmentation, files)):
            by_place |= {folder / name: path for name, path in by_name(files).items()}
    images: list[Path] = []
    masks: list[Path] = []
    problems: list[str] = []
    for place, path in by_place.items():
        if place.name.endswith(_SEGMENTATION):
            if place.with_name(place.name.removesuffix(_SEGMENTATION)) not in by_place:
                problems.append(f"{path}: a segmentation without a volume; it belongs beside NAME as NAME{_SEGMENTATION}")
            continue
        mask = by_place.get(place.with_name(place.name + _SEGMENTATION))
        if mask is None:
            problems.append(
                f"{path}: a volume without a segmentation (no {path.stem}{_SEGMENTATION}{path.suffix} beside it); add it, "
                "or move the volume elsewhere"
            )
        else:
            images.append(path)
            masks.append(mask)
    if problems:
        raise problems_error(f"{root}: each volume needs a segmentation ({len(problems)} problems):", problems)
    if not images:
        raise InputError(f"{root}: no MetaImage volume here; looked for {LAYOUT}")
    return images, masks


def _case(image: Path, mask: Path, options: VolumeOptions) -> MhdCase | str:
    try:
        headers = header(image), header(mask)
        grid, channels = headers[0].grid, headers[0].channels
        if headers[1].channels != 1:
            raise InputError(f"{mask}: {headers[1].channels} components in a voxel; a segmentation has one class number")
        if not options.resample_labels and not fits(headers[1].grid, grid):
            raise other_grid_error(mask, headers[1].grid, image, grid)
    except InputError as error:
        return str(error)
    return MhdCase(image.stem, image.stem, image, mask, grid.axial_shape, channels, grid.spacing, headers)
