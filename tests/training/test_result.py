"""The result of an epoch: its scores by name, and what comes back of it from where it was written."""

import json
import math
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_seg.training.result import SCALINGS, EpochResult, Evaluation, ScaledScores, Seconds

number = st.floats()
names = st.sampled_from(["s_rec", "nll", "a metric to come", "with/slash"])
numbers = st.lists(number, max_size=3).map(tuple)
scores = st.builds(ScaledScores, st.dictionaries(names, number), st.none() | number | numbers)
evaluations = st.builds(
    Evaluation,
    st.dictionaries(names, number),
    st.dictionaries(names, numbers),
    st.dictionaries(st.sampled_from(SCALINGS), scores),
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
    assert repr(EpochResult.from_json(json.loads(written))) == repr(result)
    assert repr(EpochResult.from_json(result.to_json())) == repr(result)


def one(**metrics: float) -> EpochResult:
    scaled = {"temperature": ScaledScores({"s_rec": 0.8}, 1.5), "class_temperature": ScaledScores({}, (1.0, 2.0))}
    return EpochResult(3, Evaluation({"s_rec": 0.7, **metrics}, {}, scaled), 0.4, False, 1e-3, {"end": 1.0})


def test_a_score_is_asked_for_by_its_name() -> None:
    result = one(f1=math.nan)
    assert (result.score("s_rec"), result.score("temperature/s_rec")) == (0.7, 0.8)
    assert math.isnan(result.score("f1"))
    for unknown in ("recall", "temperature/nll", "class_temperature/s_rec", "unscaled/s_rec", "no/such/score", ""):
        assert result.find(unknown) is None
        with pytest.raises(KeyError, match="epoch 3 has no score"):
            result.score(unknown)
    assert result.evaluation.scaled_metrics == {"temperature/s_rec": 0.8}
    assert result.evaluation.temperatures == {"temperature/T": 1.5, "class_temperature/T": (1.0, 2.0)}


def test_a_result_does_not_change() -> None:
    result = one()
    with pytest.raises(FrozenInstanceError):
        result.epoch = 4  # type: ignore[misc]
    without = result.evaluation.without_scaling()
    assert not without.scaled and result.evaluation.scaled and without.metrics == result.evaluation.metrics
