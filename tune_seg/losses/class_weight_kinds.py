"""What classes weigh, each relative to the others, by how many pixels they have: NumPy alone, as a study shows it.

A class that has no pixel weighs 0, see :func:`tune_seg.losses.class_weights`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64] | Sequence[float]


def inverse_frequency(frequencies: Numbers) -> Weights:
    """The inverse of each frequency, 1 for the smallest.

    Args:
        frequencies: (C,) pixels of each class, counts or shares.

    Example:
        >>> inverse_frequency([900, 100]).tolist()
        [0.1111111111111111, 1.0]
    """
    values = np.asarray(frequencies, np.float64)
    return _of_occurring(values, values[values > 0].min() / values[values > 0])


def median_frequency(pixels: Numbers, image_pixels: Numbers) -> Weights:
    """The median of the frequencies over each (Eigen and Fergus 2015, arXiv 1411.4734).

    The frequency of a class is its share of the pixels of those images in which it occurs, so that a class that fills the
    few images that have it does not count as rare.

    Args:
        pixels: (C,) pixels of each class.
        image_pixels: (C,) pixels, of any class, of the images in which each class occurs.

    Example:
        >>> median_frequency([50, 25, 5], [100, 100, 40]).tolist()  # frequencies 1/2, 1/4, 1/8
        [0.5, 1.0, 2.0]
    """
    values = np.asarray(pixels, np.float64)
    frequencies = values[values > 0] / np.asarray(image_pixels, np.float64)[values > 0]
    return _of_occurring(values, np.median(frequencies) / frequencies)


def effective_number(pixels: Numbers, volume: float) -> Weights:
    """The inverse of each class's effective number of samples, (1 - beta) / (1 - beta^n), n its pixels (Cui et al. 2019,
    arXiv 1901.05555).

    In their paper beta is (N - 1) / N, with N the volume of the data: how many samples can differ at all. Of a class that
    has far fewer pixels than N each pixel counts, and its weight is that of its inverse frequency; of one that has far more,
    further pixels add nothing, and all such classes weigh the same.

    Args:
        pixels: (C,) pixels of each class.
        volume: N, at least 1.

    Example:
        >>> effective_number([10**9, 10**6, 10], volume=1000).round(4).tolist()  # 1 in 1000, 1000 and 9.955
        [0.001, 0.001, 0.1005]
    """
    values = np.asarray(pixels, np.float64)
    counted = values[values > 0]
    with np.errstate(divide="ignore"):  # of N = 1, where beta is 0
        rest = -np.expm1(counted * np.log1p(-1.0 / volume))  # 1 - beta^n, to the last digits where n is far below N
    return _of_occurring(values, 1.0 / volume / rest)


def tempered(weights: Weights, power: float, cap: float | None) -> Weights:
    """Weights to a power, and then at most `cap` times the smallest one; a class that weighs 0 stays so.

    Example:
        >>> tempered(np.array([1.0, 100.0, 10000.0]), power=0.5, cap=20.0).tolist()
        [1.0, 10.0, 20.0]
    """
    raised = weights[weights > 0]
    if power != 1.0:  # which would have to keep every bit, on every processor
        raised = raised**power
    return _of_occurring(weights, raised if cap is None else np.minimum(raised, cap * raised.min()))


def _of_occurring(values: Weights, weights: Weights) -> Weights:
    """`weights` where `values` are above 0, and 0 elsewhere."""
    found = np.zeros(len(values))
    found[values > 0] = weights
    return found
