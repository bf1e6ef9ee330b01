"""Volumes that the tests write with each format's own library, and what the readers must make of them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.config import DataConfig, parse
from tune_seg.data import Dataset, read

Array = npt.NDArray[Any]


def intensities(seed: int, slices: int = 5, height: int = 12, width: int = 10) -> Array:
    """Random int16 (S, H, W), so that no turn or flip of it looks like another."""
    return np.random.default_rng(seed).integers(-1000, 2000, (slices, height, width), dtype=np.int16)


def classes(seed: int, slices: int = 5, height: int = 12, width: int = 10, most: int = 2) -> Array:
    """Random labels uint8 (S, H, W) from 0 to `most`."""
    return np.random.default_rng((seed, 1)).integers(0, most + 1, (slices, height, width), dtype=np.uint8)


def levels(values: Array, low: float = 0.5, high: float = 99.5, top: int = 255) -> Array:
    """Intensities between two percentiles, as levels from 0 to `top`: the definition, written down once more."""
    black, white = np.percentile(values.astype(np.float64), [low, high])
    return np.rint(np.clip((values - black) / (white - black), 0.0, 1.0) * top)


def config(root: Path, options: dict[str, Any] | None = None, **values: Any) -> DataConfig:
    return parse(DataConfig, {"root": root, "size": (12, 10), "options": options or {}, **values})


def loaded(dataset: Dataset, group: str) -> tuple[Array, Array]:
    """The images (S, H, W, C) and masks (S, H, W) of a volume, slice by slice."""
    samples = sorted((sample for sample in dataset.samples if sample.id.startswith(f"{group}/")), key=lambda s: s.part or 0)
    images, masks = zip(*(dataset.load(sample) for sample in samples), strict=True)
    return np.stack(images), np.stack(masks)


def read_volume(root: Path, group: str, options: dict[str, Any] | None = None, **values: Any) -> tuple[Array, Array]:
    """:func:`loaded` of what `root` is read as."""
    return loaded(read(config(root, options, **values)), group)


def write_mhd(
    path: Path,
    array: Array,
    spacing: tuple[float, ...] = (1.0, 1.0, 3.0),
    direction: tuple[float, ...] | None = None,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    compressed: bool = False,
) -> None:
    """An array (S, H, W), or (S, H, W, C), as MetaImage."""
    import SimpleITK as sitk

    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(direction)
    sitk.WriteImage(image, str(path), compressed)


def write_nifti(path: Path, array: Array, affine: Array | None = None, to: str = "LPS") -> None:
    """Axial slices (S, H, W), or (S, H, W, C), as NIfTI with its voxels stored in the order `to`.

    Args:
        affine: of the axes left, back, up; in RAS millimetres, as NIfTI has it.
    """
    import nibabel as nib
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = array.transpose(2, 1, 0, *range(3, array.ndim))
    image = nib.Nifti1Image(voxels, LPS if affine is None else affine)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(to)))
    nib.save(image.as_reoriented(turn), path)


LPS = np.array([[-1.0, 0.0, 0.0, 20.0], [0.0, -1.0, 0.0, 30.0], [0.0, 0.0, 3.0, -40.0], [0.0, 0.0, 0.0, 1.0]])
"""Square pixels of 1 mm, slices 3 mm apart."""


def turned(affine: Array, degrees: float) -> Array:
    """`affine` turned about the axes x and z, so that it is oblique."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    about_z = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    result = affine.copy()
    result[:3] = about_z @ about_x @ affine[:3]
    return result
