"""The losses and metrics once more, literally as the papers write them, in float64 numpy: slow, and nothing shared.

A literal ``log(1 - (P - p)^2)`` breaks down in float64 where p rounds to 0 or 1; `exact_pixel_loss` evaluates the same
literal formulas with as many decimal digits as are asked for.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def softmax(logits: Array) -> Array:
    """Over axis 1."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def cross_entropy(logits: Array, target: Labels, ignore: int, weights: Sequence[float]) -> float:
    """Hossain eq. (3), (4), Taubert eq. (1); the mean as PyTorch takes it."""
    total, weight = 0.0, 0.0
    p = softmax(logits)
    for n, y, x in np.ndindex(target.shape):
        c = int(target[n, y, x])
        if c != ignore:
            total += -weights[c] * np.log(p[n, c, y, x])
            weight += weights[c]
    return total / weight


def focal(logits: Array, target: Labels, ignore: int, gamma: float, alpha: Sequence[float]) -> float:
    """Hossain eq. (6), Taubert eq. (3)."""
    p = softmax(logits)
    losses = []
    for n, y, x in np.ndindex(target.shape):
        c = int(target[n, y, x])
        if c != ignore:
            losses.append(-alpha[c] * (1 - p[n, c, y, x]) ** gamma * np.log(p[n, c, y, x]))
    return float(np.mean(losses))


def dice(logits: Array, target: Labels, ignore: int, weights: Sequence[float]) -> float:
    """Taubert eq. (2), image by image."""
    s, epsilon = 1.0, 1e-5
    p = softmax(logits)
    losses = []
    for n in range(len(target)):
        valid = target[n] != ignore
        if not valid.any():
            continue
        above, below = s, s + epsilon
        for c in range(logits.shape[1]):
            truth = (target[n] == c)[valid].astype(np.float64)
            output = p[n, c][valid]
            above += weights[c] * (truth * output).sum()
            below += weights[c] * (truth**2 + output**2).sum()
        losses.append(1 - 2 * above / below)
    return float(np.mean(losses))


def exact_pixel_loss(name: str, logits: Sequence[float], true_class: int, digits: int, gamma: float = 2.0) -> float:
    """A loss of one pixel with its default parameters, evaluated literally with the given number of decimal digits."""
    with localcontext() as context:
        context.prec = digits
        context.Emin, context.Emax = -(10**8), 10**8
        top = max(logits)
        exponentials = [(Decimal(logit) - Decimal(top)).exp() for logit in logits]
        p = [value / sum(exponentials) for value in exponentials]
        y, one, zero = p[true_class], Decimal(1), Decimal(0)
        wrong = [value for c, value in enumerate(p) if c != true_class]
        match name:
            case "ce":
                loss = -y.ln()
            case "focal":
                loss = -((1 - y) ** Decimal(gamma)) * y.ln()
            case "dual_focal":
                loss = -(one - (1 - y) ** 2).ln() - sum(((one - value**2).ln() for value in wrong), start=zero)
            case "dual_focal_2021":
                loss = -y.ln() - sum(((one - value).ln() for value in wrong), start=zero) + (1 - y) + sum(wrong)
            case "dual_ce":
                loss = -y.ln() + 2 * sum(((2 + value).ln() for value in wrong), start=zero)
            case "poly1":
                loss = -y.ln() + 1 - y
            case "tao_dual_focal":
                below = max(
                    (value for value, logit in zip(p, logits, strict=True) if logit < logits[true_class]), default=zero
                )
                loss = -((1 - y + below) ** 5) * y.ln()
            case _:
                raise ValueError(name)
        return float(loss)


def far_dual_focal(logits: Sequence[float], true_class: int) -> float:
    """dual_focal of one pixel by log(1 - d^2) = log(1 - d) + log(1 + d), for logits that would take 10^4 digits."""
    x = np.asarray(logits, dtype=np.float64)
    log_p = x - logsumexp(x)
    loss = 0.0
    for c in range(len(x)):
        log_q = logsumexp(np.delete(x, c)) - logsumexp(x)
        difference, log_complement = (np.exp(log_q), log_p[c]) if c == true_class else (np.exp(log_p[c]), log_q)
        loss -= float(log_complement + np.log1p(difference))
    return loss


def numeric_gradient(function: Any, logits: Array, step: float = 1e-5) -> Array:
    """Central differences of a function of the logits."""
    gradient = np.zeros_like(logits)
    for place in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient


def metrics(
    logits: Array,
    outputs: NDArray[np.float32],
    target: Labels,
    ignore: int,
    bins: int = 10,
    background: int | None = None,
) -> dict[str, float | list[float]]:
    """Every metric from the pixels themselves, without a confusion matrix; the adaptive error to the resolution it has.

    Takes the float32 softmax as well: where it rounds an output across a bin's edge, the calibration jumps.
    """
    classes = logits.shape[1]
    p = np.moveaxis(outputs, 1, -1)
    valid = target != ignore
    truth, p = target[valid], p[valid]
    predicted = np.moveaxis(logits, 1, -1)[valid].argmax(axis=-1)

    nan = float("nan")
    recall, precision, iou, overlap, f1 = ([nan] * classes for _ in range(5))
    for c in range(classes):
        is_true, is_predicted = truth == c, predicted == c
        if is_true.any():
            both = int((is_true & is_predicted).sum())
            recall[c] = both / int(is_true.sum())
            iou[c] = both / int((is_true | is_predicted).sum())
            overlap[c] = 2 * both / (int(is_true.sum()) + int(is_predicted.sum()))
            if is_predicted.any():
                precision[c] = both / int(is_predicted.sum())
                f1[c] = 0.0 if both == 0 else 2 * precision[c] * recall[c] / (precision[c] + recall[c])
    seen = [c for c in range(classes) if (truth == c).any()]
    foreground = [c for c in seen if c != background]

    gap = 0.0
    one_hot = truth[:, None] == np.arange(classes)
    which = np.minimum((p * np.float32(bins)).astype(np.int64), bins - 1)
    for b in range(bins):
        inside = which == b
        if inside.any():
            gap += abs(one_hot[inside].mean() - p[inside].mean(dtype=np.float64))
    calibration = 1 - 4 / bins * gap

    pixels, certain = len(truth), np.arange(len(truth))
    confidence, right = p[certain, predicted].astype(np.float64), truth == predicted
    expected_error, class_errors = 0.0, [0.0] * classes
    for b in range(bins):
        inside = which[certain, predicted] == b
        if inside.any():
            expected_error += inside.sum() / pixels * abs(right[inside].mean() - confidence[inside].mean())
        for c in range(classes):
            inside = which[:, c] == b
            if inside.any():
                difference = one_hot[inside, c].mean() - p[inside, c].mean(dtype=np.float64)
                class_errors[c] += inside.sum() / pixels * abs(difference)
    log_p = np.moveaxis(logits - logsumexp(logits, axis=1, keepdims=True), 1, -1)[valid]

    accuracy = float((truth == predicted).mean())
    mean_recall = float(np.mean([recall[c] for c in seen]))

    def harmonic(score: float) -> float:
        return 2 / (1 / calibration + 1 / score) if calibration > 0 and score > 0 else 0.0

    return {
        "accuracy": accuracy,
        "recall": mean_recall,
        "f1": float(np.mean([f1[c] for c in seen])),
        "miou": float(np.mean([iou[c] for c in foreground])),
        "mdice": float(np.mean([overlap[c] for c in foreground])),
        "calibration": calibration,
        "ece": float(expected_error),
        "sce": float(np.mean(class_errors)),
        "ace": adaptive_calibration_error(p, truth, bins, output_cells(p, which)),
        "brier": float(((p.astype(np.float64) - one_hot) ** 2).sum(axis=1).mean()),
        "nll": float(-log_p[certain, truth].mean()),
        "s_acc": harmonic(accuracy),
        "s_rec": harmonic(mean_recall),
        "class_recall": recall,
        "class_precision": precision,
        "class_iou": iou,
        "class_dice": overlap,
    }


def group_metrics(
    predicted: Labels, target: Labels, groups: Sequence[int], ignore: int, classes: int, background: int | None
) -> dict[str, float]:
    """The metrics that are means over groups, from labels (N, H, W) and the group of each image, pixel by pixel."""
    found: dict[str, list[float]] = {"group_recall": [], "group_miou": [], "group_mdice": []}
    for group in sorted(set(groups)):
        of_group = np.array(groups) == group
        valid = target[of_group] != ignore
        truth, said = target[of_group][valid], predicted[of_group][valid]
        each: dict[str, list[float]] = {name: [] for name in found}
        for c in range(classes):
            is_true, is_said = truth == c, said == c
            if not is_true.any():
                continue
            each["group_recall"].append(is_said[is_true].mean())
            if c != background:
                both = (is_true & is_said).sum()
                each["group_miou"].append(both / (is_true | is_said).sum())
                each["group_mdice"].append(2 * both / (is_true.sum() + is_said.sum()))
        for name, values in each.items():
            if values:
                found[name].append(float(np.mean(values)))
    return {name: float(np.mean(values)) if values else np.nan for name, values in found.items()}


def boundary_metrics(
    predicted: Labels, target: Labels, ignore: int, classes: int, background: int | None
) -> dict[str, float]:
    """Boundary F1 and the 95th percentile of the distances of outlines, from labels (N, H, W) and every pair of pixels."""
    diagonal = (target.shape[1] ** 2 + target.shape[2] ** 2) ** 0.5
    f1s: list[float] = []
    distances: list[float] = []
    for c in range(classes):
        of_class: list[tuple[float, float]] = []
        for said, truth in zip(predicted, target, strict=True):
            is_true, is_said = truth == c, (said == c) & (truth != ignore)
            if c == background or not is_true.any():
                continue
            if not is_said.any():
                of_class.append((0.0, diagonal))
                continue
            one, other = outline(is_said), outline(is_true)
            apart = np.hypot(*(one[:, None] - other).transpose(2, 0, 1))
            there, back = apart.min(axis=1), apart.min(axis=0)
            precision, recall = (float((each <= 0.0075 * diagonal).mean()) for each in (there, back))
            f1 = 2 / (1 / precision + 1 / recall) if precision > 0 and recall > 0 else 0.0
            of_class.append((f1, float(np.percentile([*there, *back], 95))))
        if of_class:
            f1s.append(float(np.mean([f1 for f1, _ in of_class])))
            distances.append(float(np.mean([distance for _, distance in of_class])))
    if not f1s:
        return {"boundary_f1": np.nan, "hd95": np.nan}
    return {"boundary_f1": float(np.mean(f1s)), "hd95": float(np.mean(distances))}


def outline(mask: NDArray[np.bool_]) -> Labels:
    """The places (pixels, 2) in a mask that have one of four neighbours outside of it, or outside of the image."""
    height, width = mask.shape
    places = [
        (y, x)
        for y, x in np.argwhere(mask)
        if not all(
            0 <= v < height and 0 <= u < width and mask[v, u] for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        )
    ]
    return np.array(places, np.int64).reshape(-1, 2)


def adaptive_calibration_error(
    p: NDArray[np.float32], truth: Labels, ranges: int, alike: NDArray[np.generic] | None = None
) -> float:
    """Nixon et al. 2019, from the sorted outputs (M, C) of each class.

    Pixels for which `alike` (M, C) is the same count as if their outputs were: by default those whose outputs are.
    """
    errors = []
    for c in range(p.shape[1]):
        order = np.argsort(p[:, c], kind="stable")
        gap = (truth == c)[order] - p[order, c].astype(np.float64)
        _, group = np.unique((p if alike is None else alike)[order, c], return_inverse=True)
        gap = (np.bincount(group, gap) / np.bincount(group))[group]
        # each pixel `ranges` times, so that their number can be divided by it
        errors.append(np.abs(np.repeat(gap, ranges).reshape(ranges, -1).mean(axis=1)).mean())
    return float(np.mean(errors))


def output_cells(p: NDArray[np.float32], bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cells of the metrics: in an octave of the distance from 0 or 1 there are 128, in those below 2^-24 one."""
    mantissa, exponent = np.frexp(np.minimum(p, 1 - p))
    fine = np.where(exponent < -23, -(10**4), 128 * exponent + np.floor(256 * mantissa)).astype(np.int64)
    cells: NDArray[np.int64] = (fine * 2 + (p > 0.5)) * 10**5 + bins
    return cells
