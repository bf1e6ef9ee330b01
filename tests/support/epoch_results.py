"""Results of epochs with chosen scores."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tune_seg.config import METRICS
from tune_seg.training.result import EpochResult, Evaluation, ScaledScores, Seconds


def result(
    epoch: int,
    score: float = 0.5,
    *,
    class_recall: Sequence[float] = (),
    scaled: Mapping[str, ScaledScores] | None = None,
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
            {**dict.fromkeys(METRICS, score), **metrics},
            {"class_recall": tuple(class_recall)} if class_recall else {},
            scaled or {},
        ),
        train_loss=1.0,
        diverged=diverged,
        lr=lr,
        weights={"end": 1.0} if weights is None else weights,
        acw_weight=None if acw_weight is None else tuple(acw_weight),
        seconds=Seconds(train=1.0, eval=0.5),
        replayed=replayed,
    )


def text(results: Iterable[EpochResult]) -> list[str]:
    """All that must agree to the last bit, nan with nan: not how long the epochs took, nor where their results come from."""
    return [json.dumps(replace(result, seconds=Seconds(), replayed=False).to_json(), sort_keys=True) for result in results]


def same(first: Iterable[EpochResult], second: Iterable[EpochResult]) -> bool:
    """Whether they agree in all of :func:`text`."""
    return text(first) == text(second)
