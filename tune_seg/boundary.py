"""Metrics of outlines: how near those of the predicted classes lie to those of the truth, in pixels."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, distance_transform_edt
from torch import Tensor

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

TOLERANCE: Final = 0.0075
"""How far an outline may be off to be right, as a share of the image's diagonal (Csurka et al. 2013)."""


class BoundaryMetrics:
    """Collects predictions image by image, on the CPU.

    :meth:`compute` returns two metrics. Each is taken of every image and class that occurs in its truth; then the mean of
    each class over its images, then the mean over the classes. Both are nan where no class occurs.

    - ``boundary_f1``: harmonic mean of the share of the predicted outline that lies within a tolerance of the true one, and
      of the share of the true one that lies within it of the predicted one; 0 where the class is not predicted. The
      tolerance is 0.75 % of the image's diagonal (Csurka et al. 2013, "What is a good evaluation measure for semantic
      segmentation?", BMVC).
    - ``hd95``: 95th percentile of the distances of each outline's pixels from the other outline, both ways together, in
      pixels; the image's diagonal, more than any distance in it, where the class is not predicted.

    A class that is absent from an image has no term there, whether it is predicted or not. The outline of a class is those
    of its pixels that have a neighbour (of four) without it, or lie at the edge of the image. Ignored pixels belong to no
    class, in the truth and in the prediction: where they adjoin a class they are part of what it is outlined against.

    Args:
        num_classes: C.
        ignore_index: Label of the pixels that count nowhere.
        background: Class that has no term; None: each has.

    Example:
        >>> import torch
        >>> truth = torch.zeros(1, 20, 20, dtype=torch.int64)
        >>> truth[:, 5:10, 5:10] = 1
        >>> metrics = BoundaryMetrics(num_classes=2, background=0)
        >>> metrics.update(torch.nn.functional.one_hot(truth.roll(2, dims=2)).movedim(3, 1).float(), truth)
        >>> metrics.compute()["hd95"]
        2.0
    """

    def __init__(self, num_classes: int, ignore_index: int = 255, background: int | None = None) -> None:
        self._counted = [c for c in range(num_classes) if c != background]
        self._ignore_index = ignore_index
        self._images = np.zeros(num_classes, np.int64)
        self._f1, self._distance = np.zeros(num_classes), np.zeros(num_classes)

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch; from a GPU this waits for it.

        Args:
            logits: (N, C, H, W).
            target: (N, H, W), int64, values in [0, C) or ``ignore_index``.
        """
        for prediction, truth in zip(logits.argmax(dim=1).cpu().numpy(), target.cpu().numpy(), strict=True):
            valid = truth != self._ignore_index
            for c in self._counted:
                true = truth == c
                if true.any():
                    f1, distance = _of_outlines((prediction == c) & valid, true)
                    self._images[c] += 1
                    self._f1[c] += f1
                    self._distance[c] += distance

    def compute(self) -> dict[str, float]:
        """The metrics of everything seen; the class's docstring says what each one is."""
        seen = self._images > 0
        if not seen.any():
            return {"boundary_f1": math.nan, "hd95": math.nan}
        return {
            "boundary_f1": float(np.mean(self._f1[seen] / self._images[seen])),
            "hd95": float(np.mean(self._distance[seen] / self._images[seen])),
        }


def _of_outlines(predicted: Mask, true: Mask) -> tuple[float, float]:
    """Boundary F1 and the 95th percentile of the distances of two masks (H, W), of which the true one is not empty."""
    diagonal = math.hypot(*true.shape)
    if not predicted.any():
        return 0.0, diagonal
    window = _around(predicted | true)  # all distances are between pixels in it
    of_predicted, of_true = _outline(predicted[window]), _outline(true[window])
    to_true, to_predicted = _distances(of_predicted, of_true), _distances(of_true, of_predicted)
    precision, recall = ((distances <= TOLERANCE * diagonal).mean() for distances in (to_true, to_predicted))
    f1 = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    return float(f1), float(np.percentile(np.concatenate([to_true, to_predicted]), 95))


def _around(mask: Mask) -> tuple[slice, slice]:
    """The smallest window that has all of a mask."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _outline(mask: Mask) -> Mask:
    inside: Mask = binary_erosion(mask)  # what is outside of the window counts as outside of the mask
    return mask & ~inside


def _distances(outline: Mask, other: Mask) -> Floats:
    """How far each pixel of an outline is from the nearest one of the other, in pixels."""
    nearest: Floats = distance_transform_edt(~other)
    return nearest[outline]
