"""Several objectives as one, in proportions that are drawn anew each time."""

import random
from typing import Final

import numpy as np

_SUM: Final = 0.05
"""The part of the weighted sum in what is maximised (Knowles 2006)."""


def scalarised(values: np.ndarray, rng: random.Random) -> np.ndarray:
    """One score for each row of objectives that are maximised, by which points all over their Pareto front come out best.

    The augmented Chebyshev function of Knowles 2006, "ParEGO", with weights that `rng` draws uniformly.

    Args:
        values: shape (N, M).
        rng: draws the weights.

    Returns:
        Shape (N,).
    """
    if not len(values):
        return np.empty(0)
    drawn = np.array([rng.expovariate(1.0) for _ in range(values.shape[1])])
    weights = drawn / drawn.sum()
    low, high = values.min(axis=0), values.max(axis=0)
    weighted = weights * (values - high) / np.where(high > low, high - low, 1.0)  # 0 for the best of each
    mixed: np.ndarray = weighted.min(axis=1) + _SUM * weighted.sum(axis=1)
    return mixed
