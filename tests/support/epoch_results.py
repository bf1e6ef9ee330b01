"""Results of epochs with chosen scores."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tune_seg.config import METRICS
from tune_seg.image_counts import ImageCounts, Reliability
from tune_seg.metric_names import CATALOGUE
from tune_seg.training.result import EpochResult, Evaluation, ScaledScores, Seconds


def result(
    epoch: int,
    score: float = 0.5,
    *,
    class_recall: Sequence[float] = (),
    scaled: Mapping[str, ScaledScores] | None = None,
    images: ImageCounts | None = None,
    diverged: bool = False,
    lr: float = 0.1,
    weights: Mapping[str, float] | None = None,
    acw_weight: Sequence[float] | None = None,
    replayed: bool = False,
    **metrics: float,
) -> EpochResult:
    """An epoch of 1.5 seconds whose every score is `score`, but for those in `metrics`."""
    return EpochResult(
        epoch=epoch,
        evaluation=Evaluation(
            {**{name: score for name in METRICS if not CATALOGUE[name].boundary}, **metrics},
            {"class_recall": tuple(class_recall)} if class_recall else {},
            scaled or {},
            images,
        ),
        train_loss=1.0,
        diverged=diverged,
        lr=lr,
        weights={"end": 1.0} if weights is None else weights,
        acw_weight=None if acw_weight is None else tuple(acw_weight),
        seconds=Seconds(train=1.0, eval=0.5),
        replayed=replayed,
    )


def image_counts(images: int = 5, classes: int = 3, *, seed: int = 0) -> ImageCounts:
    """Counts as of images of 100 pixels whose classes and outputs were drawn, with no background."""
    rng = np.random.default_rng(seed)
    often = np.eye(classes) + 0.5 / classes
    cells = rng.multinomial(100, (often / often.sum()).ravel(), images).reshape(images, classes, classes)
    return ImageCounts(
        cells.diagonal(axis1=1, axis2=2),
        cells.sum(axis=2),
        cells.sum(axis=1),
        _reliability(rng, images, classes),
        _reliability(rng, images, classes),
        confusion=cells.sum(axis=0),
    )


def _reliability(rng: np.random.Generator, images: int, classes: int) -> Reliability:
    """Outputs of 100 pixels in ten bins, in the mean at the middle of each, and a little too sure."""
    middles = (np.arange(10) + 0.5) / 10
    outputs = rng.multinomial(100 * classes, [0.1] * 10, images)
    positives = rng.binomial(outputs, 0.9 * middles)
    gaps = (outputs * middles - positives).astype(np.float32).astype(np.float64)  # as exact as a file holds it
    return Reliability(outputs, gaps, positives)


def text(results: Iterable[EpochResult]) -> list[str]:
    """All that must agree to the last bit, nan with nan: not how long the epochs took, nor where their results come from."""
    return [json.dumps(replace(result, seconds=Seconds(), replayed=False).to_json(), sort_keys=True) for result in results]


def same(first: Iterable[EpochResult], second: Iterable[EpochResult]) -> bool:
    """Whether they agree in all of :func:`text`."""
    return text(first) == text(second)
