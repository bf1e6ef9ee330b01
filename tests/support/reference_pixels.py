"""The pixel losses once more, literally as their papers write them, in float64 numpy: slow, and nothing shared.

Each takes ``(logits, target, ignore, weights, **parameters)``; the class weights are unused by most.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from tests.support import references
from tests.support.references import Array, Labels, softmax


def _pixels(logits: Array, target: Labels, ignore: int) -> Iterator[tuple[Array, Array, int]]:
    """Logits, outputs and class of each pixel that counts."""
    p = softmax(logits)
    for n, y, x in np.ndindex(target.shape):
        if target[n, y, x] != ignore:
            yield logits[n, :, y, x], p[n, :, y, x], int(target[n, y, x])


def _surprise(logits: Array, true_class: int) -> float:
    """-log p_y without the rounding of p."""
    return float(np.log(np.exp(logits - logits[true_class]).sum()))


def ce(logits: Array, target: Labels, ignore: int, weights: Sequence[float]) -> float:
    return references.cross_entropy(logits, target, ignore, [1.0] * logits.shape[1])


def wce(logits: Array, target: Labels, ignore: int, weights: Sequence[float]) -> float:
    return references.cross_entropy(logits, target, ignore, weights)


def focal(
    logits: Array,
    target: Labels,
    ignore: int,
    weights: Sequence[float],
    gamma: float = 2.0,
    alpha: float | Sequence[float] | None = None,
) -> float:
    factors = np.broadcast_to(1.0 if alpha is None else alpha, logits.shape[1])
    return references.focal(logits, target, ignore, gamma, factors.tolist())


def dual_focal(logits: Array, target: Labels, ignore: int, weights: Sequence[float]) -> float:
    """log(1 - d^2) as it stands where d is small, else as log(1 - d) + log(1 + d), which float64 resolves near d = 1."""
    losses = []
    for x, _, y in _pixels(logits, target, ignore):
        loss = 0.0
        for c in range(len(x)):
            log_p = x[c] - logsumexp(x)
            log_q = logsumexp(np.delete(x, c)) - logsumexp(x) if len(x) > 1 else -np.inf
            log_d, log_rest = (log_q, log_p) if c == y else (log_p, log_q)
            d = np.exp(log_d)
            loss -= np.log1p(-d * d) if d < 0.5 else log_rest + np.log1p(d)
        losses.append(loss)
    return float(np.mean(losses))


def dual_focal_2021(
    logits: Array,
    target: Labels,
    ignore: int,
    weights: Sequence[float],
    alpha: float = 1.0,
    beta: float = 1.0,
    gamma: float = 1.0,
    rho: float = 1.0,
) -> float:
    losses = []
    for _, p, y in _pixels(logits, target, ignore):
        loss = 0.0
        for c in range(len(p)):
            truth = float(c == y)
            if truth:
                loss -= np.log(p[c])
            else:
                loss -= beta * np.log(rho - p[c])
            loss += alpha * abs(truth - p[c]) ** gamma
        losses.append(loss)
    return float(np.mean(losses))


def dual_ce(
    logits: Array, target: Labels, ignore: int, weights: Sequence[float], alpha: float = 2.0, beta: float = 2.0
) -> float:
    losses = []
    for _, p, y in _pixels(logits, target, ignore):
        truth = (np.arange(len(p)) == y).astype(np.float64)
        losses.append((-truth * np.log(p) + beta * (1 - truth) * np.log(alpha + p)).sum())
    return float(np.mean(losses))


def _sigmoid_output(logits: Array) -> float:
    output = logits[0] if len(logits) == 1 else logits[1] - logits[0]
    return float(1 / (1 + np.exp(-output)))


def sigmoid_ce(logits: Array, target: Labels, ignore: int, weights: Sequence[float]) -> float:
    losses = []
    for x, _, truth in _pixels(logits, target, ignore):
        s = _sigmoid_output(x)
        losses.append(-truth * np.log(s) - (1 - truth) * np.log(1 - s))
    return float(np.mean(losses))


def sigmoid_focal(
    logits: Array, target: Labels, ignore: int, weights: Sequence[float], gamma: float = 2.0, alpha: float = 0.25
) -> float:
    losses = []
    for x, _, truth in _pixels(logits, target, ignore):
        s = _sigmoid_output(x)
        losses.append(-alpha * (1 - s) ** gamma * truth * np.log(s) - (1 - alpha) * s**gamma * (1 - truth) * np.log(1 - s))
    return float(np.mean(losses))


def ce_max_pool(
    logits: Array, target: Labels, ignore: int, weights: Sequence[float], p: float = 1.3, m: float = 0.1
) -> float:
    """The multiplier of the norm's constraint by root finding: the weights follow from it by the KKT conditions."""
    losses = np.array([_surprise(x, y) for x, _, y in _pixels(logits, target, ignore)])
    n, q = len(losses), p / (p - 1)
    losses = losses[losses > 0]  # a loss of 0 is given no weight
    if not len(losses):
        return 0.0
    radius, cap = n ** (-1 / q), n ** (-1 / q) * (m * n) ** (-1 / p)

    def pooled(log_multiplier: float) -> Array:
        result: Array = np.minimum(cap, cap * np.exp((q - 1) * (np.log(losses) + log_multiplier)))
        return result

    def excess(log_multiplier: float) -> float:
        return float(np.log((pooled(log_multiplier) ** p).sum() / radius**p))

    low, high = -np.log(losses.max()) - 50, -np.log(losses.min()) + 50
    best = brentq(excess, low, high, xtol=1e-14, rtol=1e-14) if excess(high) > 0 else high
    return float((pooled(best) * losses).sum())


def poly1(logits: Array, target: Labels, ignore: int, weights: Sequence[float], epsilon: float = 1.0) -> float:
    return float(np.mean([-np.log(p[y]) + epsilon * (1 - p[y]) for _, p, y in _pixels(logits, target, ignore)]))


def logit_adjusted_ce(logits: Array, target: Labels, ignore: int, weights: Sequence[float], tau: float = 1.0) -> float:
    frequencies = 1 / np.asarray(weights)
    priors = frequencies / frequencies.sum()
    return float(np.mean([_surprise(x + tau * np.log(priors), y) for x, _, y in _pixels(logits, target, ignore)]))


def recall_ce(logits: Array, target: Labels, ignore: int, weights: Sequence[float]) -> float:
    pixels = list(_pixels(logits, target, ignore))
    losses = []
    for _, p, y in pixels:
        of_class = [other for _, other, truth in pixels if truth == y]
        recall = np.mean([other[y] == other.max() for other in of_class])
        losses.append(-(1 - recall) * np.log(p[y]))
    return float(np.mean(losses))


def margin_ls(
    logits: Array, target: Labels, ignore: int, weights: Sequence[float], margin: float = 10.0, penalty: float = 0.1
) -> float:
    return float(
        np.mean(
            [
                _surprise(x, y) + penalty * sum(max(0.0, x.max() - value - margin) for value in x)
                for x, _, y in _pixels(logits, target, ignore)
            ]
        )
    )


def nacl(
    logits: Array, target: Labels, ignore: int, weights: Sequence[float], penalty: float = 0.1, radius: int = 1
) -> float:
    losses = []
    for n, y, x in np.ndindex(target.shape):
        if target[n, y, x] == ignore:
            continue
        window = target[n, max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        inside = window[window != ignore]
        values = logits[n, :, y, x]
        distance = sum(abs((inside == c).mean() - values[c]) for c in range(len(values)))
        losses.append(_surprise(values, int(target[n, y, x])) + penalty * distance)
    return float(np.mean(losses))


def tao_dual_focal(logits: Array, target: Labels, ignore: int, weights: Sequence[float], gamma: float = 5.0) -> float:
    losses = []
    for x, p, y in _pixels(logits, target, ignore):
        below = p[x < x[y]]
        next_below = below.max() if len(below) else 0.0
        losses.append(-((1 - p[y] + next_below) ** gamma) * np.log(p[y]))
    return float(np.mean(losses))
