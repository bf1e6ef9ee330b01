"""The region and calibration losses once more, literally as their papers write them, in float64 numpy: slow, and nothing
shared.

Each takes ``(logits, target, ignore, weights, **parameters)``; the class weights are unused by most.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tests.support import references
from tests.support.references import Array, Labels, softmax

PerClass = float | Sequence[float] | None


def _images(logits: Array, target: Labels, ignore: int) -> Iterator[tuple[Array, Array]]:
    """Truth and output of each image that has a valid pixel, at its valid pixels, (C, pixels) each."""
    p = softmax(logits)
    for n in range(len(target)):
        valid = target[n] != ignore
        if valid.any():
            yield np.stack([target[n][valid] == c for c in range(logits.shape[1])]).astype(np.float64), p[n][:, valid]


def _batch(logits: Array, target: Labels, ignore: int) -> tuple[Array, Array]:
    """Truth and output at all valid pixels of the batch, (C, pixels) each."""
    images = list(_images(logits, target, ignore))
    truth, p = (np.concatenate(part, axis=1) for part in zip(*images, strict=True))
    return truth, p


def dice(logits: Array, target: Labels, ignore: int, weights: Sequence[float]) -> float:
    return references.dice(logits, target, ignore, [1.0] * logits.shape[1])


def wdice(logits: Array, target: Labels, ignore: int, weights: Sequence[float]) -> float:
    return references.dice(logits, target, ignore, weights)


def tversky(
    logits: Array,
    target: Labels,
    ignore: int,
    weights: Sequence[float],
    alpha: PerClass = None,
    beta: PerClass = None,
) -> float:
    """Taubert section 3.2."""
    s, epsilon = 1.0, 1e-5
    classes = logits.shape[1]
    missed = np.broadcast_to(weights if alpha is None else alpha, classes)
    false = np.broadcast_to(weights if beta is None else beta, classes)
    losses = []
    for truth, p in _images(logits, target, ignore):
        above, below = 2 * s, s + epsilon
        for c in range(classes):
            above += (missed[c] + false[c]) * (truth[c] * p[c]).sum()
            below += (missed[c] * truth[c] ** 2 + false[c] * p[c] ** 2).sum()
        losses.append(1 - above / below)
    return float(np.mean(losses))


def _tversky_index(truth: Array, p: Array, alpha: float, beta: float, smoothing: float) -> float:
    """Of one class; (pixels,) each."""
    hits, misses, alarms = (truth * p).sum(), (truth * (1 - p)).sum(), ((1 - truth) * p).sum()
    return float((hits + smoothing) / (hits + alpha * misses + beta * alarms + smoothing))


def focal_tversky(
    logits: Array,
    target: Labels,
    ignore: int,
    weights: Sequence[float],
    alpha: float = 0.7,
    beta: float = 0.3,
    gamma: float = 4 / 3,
) -> float:
    """Abraham & Khan."""
    losses = []
    for truth, p in _images(logits, target, ignore):
        indices = [_tversky_index(truth[c], p[c], alpha, beta, 1.0) for c in range(len(p))]
        losses.append(sum(max(0.0, 1 - index) ** (1 / gamma) for index in indices))
    return float(np.mean(losses))


def unified_focal(
    logits: Array,
    target: Labels,
    ignore: int,
    weights: Sequence[float],
    weight: float = 0.5,
    delta: float = 0.6,
    gamma: float = 0.5,
    background: int = 0,
    variant: str = "asymmetric",
) -> float:
    """Yeung et al., from the published asymmetric equations and the authors' code."""
    p = softmax(logits)
    pixels = []
    for n, y, x in np.ndindex(target.shape):
        c = int(target[n, y, x])
        if c != ignore:
            factor = 1 - delta if c == background else delta
            if variant == "symmetric" or c == background:
                factor *= (1 - p[n, c, y, x]) ** gamma
            pixels.append(-factor * np.log(p[n, c, y, x]))
    classes = []
    for truth, p in _images(logits, target, ignore):
        for c in range(len(p)):
            distance = max(0.0, 1 - _tversky_index(truth[c], p[c], delta, 1 - delta, 1e-7))
            spared = variant == "asymmetric" and c == background
            classes.append(distance if spared else distance ** (1 - gamma))
    return float(weight * np.mean(pixels) + (1 - weight) * np.mean(classes))


def lovasz_softmax(logits: Array, target: Labels, ignore: int, weights: Sequence[float]) -> float:
    """Berman et al., with the Jaccard loss of every set of mispredicted pixels counted by itself."""
    truth, p = _batch(logits, target, ignore)
    losses = []
    for c in range(len(p)):
        if not truth[c].any():
            continue
        errors = np.abs(truth[c] - p[c])
        order = np.argsort(-errors, kind="stable")
        wrong = np.zeros(len(errors), dtype=bool)
        loss, before = 0.0, 0.0
        for pixel in order:
            wrong[pixel] = True
            predicted = (truth[c] > 0) ^ wrong
            union = (predicted | (truth[c] > 0)).sum()
            jaccard_loss = 1 - (predicted & (truth[c] > 0)).sum() / union
            loss += errors[pixel] * (jaccard_loss - before)
            before = jaccard_loss
        losses.append(loss)
    return float(np.mean(losses))


def jaccard_metric(logits: Array, target: Labels, ignore: int, weights: Sequence[float], smoothing: float = 0.0) -> float:
    """Wang et al. 2023."""
    truth, p = _batch(logits, target, ignore)
    smoothed = (1 - smoothing) * truth + smoothing / len(p)
    losses = []
    for c in range(len(p)):
        if truth[c].any():
            together, apart = np.abs(p[c] + smoothed[c]).sum(), np.abs(p[c] - smoothed[c]).sum()
            losses.append(1 - (together - apart) / (together + apart))
    return float(np.mean(losses))


def ml1_ace(
    logits: Array,
    target: Labels,
    ignore: int,
    weights: Sequence[float],
    bins: int = 20,
    binning: str = "hard",
) -> float:
    """Barfoot et al. 2024 and 2025."""
    losses = []
    for truth, p in _images(logits, target, ignore):
        errors = []
        for c in range(len(p)):
            gaps = []
            for b in range(bins):
                shares = _hard_shares(p[c], b, bins) if binning == "hard" else _soft_shares(p[c], b, bins)
                if shares.sum() >= 0.01:
                    gaps.append(abs((shares * truth[c]).sum() - (shares * p[c]).sum()) / shares.sum())
            errors.append(np.mean(gaps))
        losses.append(np.mean(errors))
    return float(np.mean(losses))


def _hard_shares(p: Array, b: int, bins: int) -> Array:
    """1 for the pixels of bin b, else 0."""
    which: NDArray[np.float64] = np.minimum(np.floor(p * bins), bins - 1)
    return (which == b).astype(np.float64)


def _soft_shares(p: Array, b: int, bins: int) -> Array:
    """The share of each pixel in bin b: a tent over the bin's centre, level beyond the outermost centres."""
    distance = p * bins - (b + 0.5)
    shares: Array = np.clip(1 - np.abs(distance), 0, 1)
    if b == 0:
        shares = np.where(distance < 0, 1.0, shares)
    if b == bins - 1:
        shares = np.where(distance > 0, 1.0, shares)
    return shares
