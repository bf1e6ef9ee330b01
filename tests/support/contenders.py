"""Configurations whose repeats have scores, and counts of images, as a test wants them."""

from collections.abc import Mapping, Sequence

import numpy as np

from tune_seg.image_counts import ImageCounts, Reliability
from tune_seg.study.verdict import Contender, Repeat

METRIC = "accuracy"
PIXELS = 10**6


def contender(id: str, scores: Sequence[float] | Mapping[tuple[int, int | None], float], *rank: int) -> Contender:
    """With one score for each seed from 0 on, or for the seeds and folds that are named; without counts of images."""
    named = scores if isinstance(scores, Mapping) else {(seed, None): score for seed, score in enumerate(scores)}
    repeats = {key: Repeat(*key, {METRIC: score}) for key, score in named.items()}
    return Contender(id, id, rank or (0 if id == "ce" else 1,), repeats)


def counted(id: str, shares: np.ndarray, folds: Sequence[int | None] | None = None) -> Contender:
    """With the share of the pixels that is right in each image, (repeats, images); each repeat has a seed of its own."""
    repeats = {}
    for seed, row in enumerate(shares):
        key = (seed, None if folds is None else folds[seed])
        hits = np.round(PIXELS * row).astype(np.int64)[:, None]
        nothing = Reliability(np.zeros((len(row), 1), np.int64), np.zeros((len(row), 1)))
        counts = ImageCounts(hits, np.full_like(hits, PIXELS), hits, nothing, nothing)
        repeats[key] = Repeat(*key, {METRIC: float(hits.mean() / PIXELS)}, counts)
    return Contender(id, id, (0 if id == "ce" else 1,), repeats)
