"""Where the voxels of a volume lie in the patient: its slices, and labels brought onto the grid of their image.

An affine, float64 (4, 4), takes the index (i, j, k) of a voxel to millimetres: x to the patient's right, y to the front,
z up (RAS, as NIfTI and nibabel have it).
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tune_seg.errors import InputError

Affine = npt.NDArray[np.float64]
Voxels = npt.NDArray[Any]

Plane = Literal["axial", "coronal", "sagittal"]
"""The plane of a slice."""

LPS_TO_RAS: Affine = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM and ITK count x to the patient's left and y to the back."""

_TOLERANCE = 0.1  # voxels by which two grids that are meant to be one may differ at their corners

_ACROSS: tuple[Plane, ...] = ("sagittal", "coronal", "axial")
"""The planes of the slices across the axes left, back and up."""

_VIEWS: dict[Plane, tuple[tuple[int, int, int], bool]] = {
    "axial": ((2, 1, 0), False),
    "coronal": ((1, 2, 0), True),
    "sagittal": ((0, 2, 1), True),
}
"""What a radiologist sees: which of the axes left, back and up slices, rows and columns follow, and whether rows, along
the axis up, run down."""

_CLEARLY_LONGER = 1.5
"""How many times the second longest edge of a voxel the longest is, where the slices were taken across it."""


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

    def shape_in(self, plane: Plane) -> tuple[int, int, int]:
        """The shape (S, H, W) of its slices in a plane."""
        slices, rows, columns = self._seen(self.shape, plane)
        return int(slices), int(rows), int(columns)

    def spacing_in(self, plane: Plane) -> tuple[float, float]:
        """The distance in millimetres between two rows, and two columns, of its slices in a plane."""
        _, rows, columns = self._seen(self._edges, plane)
        return float(rows), float(columns)

    @property
    def acquired(self) -> Plane | None:
        """The plane that the slices were taken in: across the one axis along which there is a single voxel, or along which
        voxels are clearly the longest; None where neither is so."""
        shape, edges = self._turned(self.shape), self._turned(self._edges)
        if shape.count(1) == 1:
            return _ACROSS[shape.index(1)]
        *_, second, longest = sorted(edges)
        return _ACROSS[edges.index(longest)] if longest >= _CLEARLY_LONGER * second else None

    @property
    def _edges(self) -> tuple[float, ...]:
        """The edges of a voxel in millimetres."""
        return tuple(np.linalg.norm(self.affine[:3, :3], axis=0).tolist())

    def _seen(self, values: tuple[Any, ...], plane: Plane) -> list[Any]:
        """The values of the axes i, j, k, in the order of slices, rows and columns."""
        turned = self._turned(values)
        return [turned[axis] for axis in _VIEWS[plane][0]]

    def _turned(self, values: tuple[Any, ...]) -> list[Any]:
        """The values of the axes i, j, k, in the order of the axes left, back, up."""
        turned: list[Any] = [None] * 3
        for axis, value in zip(self._axes, values, strict=True):
            turned[axis] = value
        return turned

    @cached_property
    def _axes(self) -> list[int]:
        """Along which of the axes left, back, up the axes i, j, k run."""
        axes: list[int] = _turn(self.affine)[:, 0].astype(int).tolist()
        return axes

    def cut(self, plane: Literal["auto"] | Plane) -> Plane:
        """The plane of its slices as `data.options.plane` says."""
        return (self.acquired or "axial") if plane == "auto" else plane

    def describe(self) -> str:
        """Its shape and affine on one line."""
        return f"{' x '.join(map(str, self.shape))} voxels with affine {_shown(self.affine)}"


def sliced(voxels: Voxels, affine: Affine, plane: Plane) -> Voxels:
    """The slices (S, H, W, ...) of voxels (I, J, K, ...), as a view: a radiologist's sight of the patient.

    Axial slices go up, their rows from front to back, their columns from the patient's right to the left. Coronal slices go
    from front to back, their rows down, their columns from the patient's right to the left. Sagittal slices go from the
    patient's right to the left, their rows down, their columns from front to back. An oblique volume is turned by whole axes
    to what is closest to that; no voxel is interpolated.
    """
    from nibabel import orientations

    turned = orientations.apply_orientation(voxels, _turn(affine))
    axes, down = _VIEWS[plane]
    seen = turned.transpose(*axes, *range(3, turned.ndim))
    return seen[:, ::-1] if down else seen


def unsliced(slices: Voxels, affine: Affine, plane: Plane) -> Voxels:
    """The voxels (I, J, K, ...) of slices (S, H, W, ...), as a view: what :func:`sliced` has done is undone."""
    from nibabel import orientations

    axes, down = _VIEWS[plane]
    seen = slices[:, ::-1] if down else slices
    turned = seen.transpose(*np.argsort(axes), *range(3, seen.ndim))
    back = orientations.ornt_transform(orientations.axcodes2ornt("LPS"), orientations.io_orientation(affine))
    return orientations.apply_orientation(turned, back)


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


def apart(one: Affine, other: Affine, shape: tuple[int, int, int]) -> float:
    """How far, at most, two affines place a voxel of a volume apart, in millimetres."""
    corners = np.array([(*corner, 1.0) for corner in product(*((0, length - 1) for length in shape))])
    return float(np.linalg.norm(corners @ (one - other).T, axis=1).max())


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
