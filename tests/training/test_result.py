"""The result of an epoch: its scores by name, and what comes back of it from where it was written."""

import json
import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tune_seg.image_counts import ImageCounts, Reliability
from tune_seg.training.result import SCALINGS, EpochResult, Evaluation, ScaledScores, Seconds

number = st.floats()
names = st.sampled_from(["s_rec", "nll", "a metric to come", "with/slash"])
numbers = st.lists(number, max_size=3).map(tuple)
scores = st.builds(ScaledScores, st.dictionaries(names, number), number | numbers, st.none() | number, numbers)
counts = st.integers(0, 2**40)


@st.composite
def image_counts(draw: st.DrawFn) -> ImageCounts:
    images, classes, bins = draw(st.integers(0, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    older = draw(st.booleans())  # a version that kept none of what is newer
    hits, truths, predictions = (draw(arrays(np.int64, (images, classes), elements=counts)) for _ in range(3))
    raw, scaled = (
        Reliability(
            draw(arrays(np.int64, (images, bins), elements=counts)),
            draw(arrays(np.float64, (images, bins), elements=st.floats(width=32))),
            None if older else draw(arrays(np.int64, (images, bins), elements=counts)),
        )
        for _ in range(2)
    )
    background = draw(st.none() | st.integers(0, classes - 1))
    confusion = None if older else draw(arrays(np.int64, (classes, classes), elements=counts))
    return ImageCounts(hits, truths, predictions, raw, scaled, background, confusion=confusion)


evaluations = st.builds(
    Evaluation,
    st.dictionaries(names, number),
    st.dictionaries(names, numbers),
    st.dictionaries(st.sampled_from(SCALINGS), scores),
    st.none() | image_counts(),
)
results = st.builds(
    EpochResult,
    epoch=st.integers(1, 1000),
    evaluation=evaluations,
    train_loss=number,
    diverged=st.booleans(),
    lr=number,
    weights=st.dictionaries(names, number),
    acw_weight=st.none() | numbers,
    seconds=st.builds(Seconds, number, number, number),
    replayed=st.booleans(),
)


@given(results)
def test_what_is_written_is_read_to_the_last_bit(result: EpochResult) -> None:
    written = json.dumps(result.to_json())
    for again in (EpochResult.from_json(json.loads(written)), EpochResult.from_json(result.to_json())):
        assert again.evaluation.images == result.evaluation.images
        assert repr(without_images(again)) == repr(without_images(result))


def without_images(result: EpochResult) -> EpochResult:
    return replace(result, evaluation=replace(result.evaluation, images=None))  # large arrays have a shortened repr


def one(**metrics: float) -> EpochResult:
    scaled = {
        "temperature": ScaledScores({"s_rec": 0.8}, 1.5),
        "class_temperature": ScaledScores({}, (1.0, 2.0)),
        "adjusted": ScaledScores({"recall": 0.9}, 1.25, tau=0.5, class_recall=(0.8, 1.0)),
    }
    return EpochResult(3, Evaluation({"s_rec": 0.7, **metrics}, {}, scaled), 0.4, False, 1e-3, {"end": 1.0})


def test_a_score_is_asked_for_by_its_name() -> None:
    result = one(f1=math.nan)
    assert (result.score("s_rec"), result.score("temperature/s_rec")) == (0.7, 0.8)
    assert math.isnan(result.score("f1"))
    for unknown in ("recall", "temperature/nll", "class_temperature/s_rec", "adjusted/s_rec", "no/such/score", ""):
        assert result.find(unknown) is None
        with pytest.raises(KeyError, match="epoch 3 has no score"):
            result.score(unknown)
    assert result.evaluation.scaled_metrics == {"temperature/s_rec": 0.8, "adjusted/recall": 0.9}
    assert result.evaluation.fitted == {
        **{"temperature/T": 1.5, "class_temperature/T": (1.0, 2.0)},
        **{"adjusted/T": 1.25, "adjusted/tau": 0.5},
    }


def test_a_result_does_not_change() -> None:
    result = one()
    with pytest.raises(FrozenInstanceError):
        result.epoch = 4  # type: ignore[misc]


def test_of_any_epoch_only_what_is_known_after_the_last_is_left_out() -> None:
    counts = np.ones((1, 2), np.int64)
    reliability = Reliability(counts, counts.astype(np.float64))
    images = ImageCounts(counts, counts, counts, reliability, reliability)
    last = replace(one().evaluation, images=images)
    ordinary = last.of_any_epoch()
    assert ordinary == replace(last, scaled={"temperature": last.scaled["temperature"]}, images=None)
    assert last.images == images and len(last.scaled) == 3
