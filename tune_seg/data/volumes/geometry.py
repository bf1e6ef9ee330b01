"""Where the voxels of a volume lie in the patient: its axial slices, and labels brought onto the grid of their image.

An affine, float64 (4, 4), takes the index (i, j, k) of a voxel to millimetres: x to the patient's right, y to the front,
z up (RAS, as NIfTI and nibabel have it).
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.errors import InputError

Affine = npt.NDArray[np.float64]
Voxels = npt.NDArray[Any]

LPS_TO_RAS: Affine = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM and ITK count x to the patient's left and y to the back."""

_TOLERANCE = 0.1  # voxels by which two grids that are meant to be one may differ at their corners


@dataclass(frozen=True, eq=False)
class Grid:
    """The shape (I, J, K) of a volume in voxels, and its affine."""

    shape: tuple[int, int, int]
    affine: Affine

    @classmethod
    def of(cls, path: Path, shape: tuple[int, int, int], affine: Affine) -> "Grid":
        """That of the file `path`.

        Raises:
            InputError: the affine does not span a volume, or there is no voxel.
        """
        if min(shape) < 1:
            raise InputError(f"{path}: {' x '.join(map(str, shape))} voxels; there must be at least one each way")
        if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0.0:
            raise InputError(f"{path}: its affine {_shown(affine)} does not span a volume; write its orientation anew")
        return cls(shape, affine)

    @property
    def axial_shape(self) -> tuple[int, int, int]:
        """The shape (S, H, W) of its axial slices."""
        left, back, up = self._turned(self.shape)
        return int(up), int(back), int(left)

    @property
    def spacing(self) -> tuple[float, float]:
        """The distance in millimetres between two rows, and two columns, of its axial slices."""
        left, back, _ = self._turned(tuple(np.linalg.norm(self.affine[:3, :3], axis=0)))
        return float(back), float(left)

    def _turned(self, values: tuple[Any, ...]) -> list[Any]:
        """The values of the axes i, j, k, in the order of the axes left, back, up."""
        turned: list[Any] = [None] * 3
        for axis, value in zip(_turn(self.affine)[:, 0].astype(int), values, strict=True):
            turned[axis] = value
        return turned

    def describe(self) -> str:
        """Its shape and affine on one line."""
        return f"{' x '.join(map(str, self.shape))} voxels with affine {_shown(self.affine)}"


def axial(voxels: Voxels, affine: Affine) -> Voxels:
    """The axial slices (S, H, W, ...) of voxels (I, J, K, ...), as a view: a radiologist's sight of the patient.

    Slices go up, rows from front to back, columns from the patient's right to the left. An oblique volume is turned by
    whole axes to what is closest to that; no voxel is interpolated.
    """
    from nibabel import orientations

    turned = orientations.apply_orientation(voxels, _turn(affine))
    return turned.transpose(2, 1, 0, *range(3, turned.ndim))


def fits(labels: Grid, image: Grid) -> bool:
    """Whether the voxels of both grids are the same, in whichever order their axes run."""
    return _turn_onto(labels, image) is not None


def onto(voxels: Voxels, labels: Grid, image: Grid) -> Voxels:
    """The labels `voxels` on the grid of the image.

    Where the grids are one but for the order and the direction of their axes, each label keeps its voxel. Otherwise a voxel
    of the image takes the label that lies nearest to it, and 0 outside the grid of the labels.
    """
    turn = _turn_onto(labels, image)
    if turn is None:
        from scipy import ndimage

        matrix = np.linalg.inv(labels.affine) @ image.affine
        return ndimage.affine_transform(voxels, matrix, output_shape=image.shape, order=0, mode="grid-constant", cval=0)
    axes, flipped = turn
    return voxels.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)]


def other_grid_error(mask: Path, labels: Grid, image_file: Path, image: Grid) -> InputError:
    """The error for labels that do not fit their image."""
    return InputError(
        f"{mask}: its grid is {labels.describe()}, but that of its image {image_file.name} is {image.describe()}; "
        "write both on one grid, or let data.options.resample_labels: true take the nearest label"
    )


def _turn(affine: Affine) -> npt.NDArray[np.float64]:
    """nibabel's orientation (3, 2), from the axes i, j, k to left, back, up."""
    from nibabel import orientations

    return orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt("LPS"))


def _turn_onto(labels: Grid, image: Grid) -> tuple[tuple[int, ...], tuple[bool, ...]] | None:
    """For each axis of the image, the axis of the labels along it, and whether it is reversed; None: other grids."""
    matrix = np.linalg.inv(labels.affine) @ image.affine  # from an index of the image to one of the labels
    axes = tuple(np.abs(matrix[:3, :3]).argmax(axis=0).tolist())
    if sorted(axes) != [0, 1, 2] or tuple(labels.shape[axis] for axis in axes) != image.shape:
        return None
    flipped = tuple(bool(matrix[axis, along] < 0.0) for along, axis in enumerate(axes))
    corners = np.array(list(product(*((0, length - 1) for length in image.shape))))
    expected = np.empty((len(corners), 3))
    for along, axis in enumerate(axes):
        last = image.shape[along] - 1
        expected[:, axis] = last - corners[:, along] if flipped[along] else corners[:, along]
    found = corners @ matrix[:3, :3].T + matrix[:3, 3]
    return (axes, flipped) if np.abs(found - expected).max() <= _TOLERANCE else None


def _shown(affine: Affine) -> str:
    return "[" + ", ".join("[" + ", ".join(f"{value:.6g}" for value in row) + "]" for row in affine) + "]"
