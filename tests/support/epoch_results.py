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
    truths, predictions = (rng.multinomial(100, [1 / classes] * classes, images) for _ in range(2))
    raw, scaled = (
        Reliability(
            rng.multinomial(100 * classes, [0.1] * 10, images),
            rng.normal(0.0, 5.0, (images, 10)).astype(np.float32).astype(np.float64),  # as exact as a file holds it
        )
        for _ in range(2)
    )
    return ImageCounts(np.minimum(truths, predictions) // 2, truths, predictions, raw, scaled)


def text(results: Iterable[EpochResult]) -> list[str]:
    """All that must agree to the last bit, nan with nan: not how long the epochs took, nor where their results come from."""
    return [json.dumps(replace(result, seconds=Seconds(), replayed=False).to_json(), sort_keys=True) for result in results]


def same(first: Iterable[EpochResult], second: Iterable[EpochResult]) -> bool:
    """Whether they agree in all of :func:`text`."""
    return text(first) == text(second)
