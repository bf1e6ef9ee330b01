"""The class weights that losses are built with, by what the configuration says and what is trained on."""

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.support.training_pixels import PIXELS
from tune_seg.config import LossConfig, TrialConfig, parse
from tune_seg.data.packing.packed import TrainingPixels
from tune_seg.errors import InputError
from tune_seg.losses import build_loss, class_weights
from tune_seg.training.class_weights import weighting
from tune_seg.training.loss_program import build_program, loss_class_weights

KINDS: list[Any] = ["mean", "sum", "sqrt", "median", "effective"]


def config(**loss: Any) -> LossConfig:
    return parse(TrialConfig, {"loss": loss}).loss


def weights(data: TrainingPixels = PIXELS, loss: str = "wce", **keys: Any) -> Tensor:
    found = loss_class_weights(loss, config(**keys), data)
    assert found is not None
    return found


def of_pixels(pixels: list[int], images: int = 3) -> TrainingPixels:
    names = tuple(f"class {number}" for number in range(len(pixels)))
    return TrainingPixels(names, np.array(pixels), np.full(len(pixels), sum(pixels)), images)


def before(frequencies: np.ndarray[Any, Any], normalise: str) -> Tensor:
    """Inverse frequencies as they were computed before there were other weights, copied."""
    values = torch.as_tensor(frequencies, dtype=torch.float64)
    inverse = torch.where(values > 0, values[values > 0].min() / values, 0.0)
    total = len(values) if normalise == "mean" else 1
    return (inverse * (total / inverse.sum())).to(torch.float32)


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=40).filter(any), st.sampled_from(["mean", "sum"]))
def test_mean_and_sum_are_what_they_were_to_the_last_bit(pixels: list[int], kind: Literal["mean", "sum"]) -> None:
    data = of_pixels(pixels)
    assert torch.equal(weights(data, class_weights=kind), before(data.frequencies, kind))
    assert torch.equal(class_weights(data.frequencies.tolist(), kind), before(data.frequencies, kind))
    assert torch.equal(class_weights(torch.from_numpy(data.frequencies), kind), before(data.frequencies, kind))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mean", [3 * w / (1 / 0.7 + 4 + 20) for w in (1 / 0.7, 4, 20)]),
        ("sum", [w / (1 / 0.7 + 4 + 20) for w in (1 / 0.7, 4, 20)]),
        ("sqrt", [3 * w / (0.7**-0.5 + 2 + 20**0.5) for w in (0.7**-0.5, 2, 20**0.5)]),
        ("median", [0.3125 / 0.7, 1.0, 0.3125 / 0.25]),  # 70 of 100, 25 of 80 and 5 of 20 pixels
        ("effective", None),
    ],
)
def test_each_kind_is_its_formula(kind: str, expected: list[float] | None) -> None:
    if expected is None:  # five images of 20 pixels: beta is 19 / 20
        inverse = [1 / sum(0.95**k for k in range(n)) for n in (70, 25, 5)]
        expected = [3 * w / sum(inverse) for w in inverse]
    assert weights(class_weights=kind).tolist() == pytest.approx(expected, rel=1e-6)
    assert weights(class_weights=kind).dtype == torch.float32


@pytest.mark.parametrize("given_as", [{"road": 1, "car": 2.5, "sign": 40}, {0: 1, "sign": "4e1", "1": 2.5}])
def test_given_weights_are_taken_as_they_are(given_as: dict[Any, Any]) -> None:
    assert weights(class_weights=given_as).tolist() == [1.0, 2.5, 40.0]
    assert weights(class_weights=given_as, class_weight_power=0.5, class_weight_cap=4).tolist() == [
        1.0,
        pytest.approx(2.5**0.5),
        4.0,
    ]


def test_a_class_that_is_called_by_a_number_goes_by_its_name() -> None:
    data = TrainingPixels(("1", "0"), np.array([5, 5]), np.array([10, 10]), 1)
    assert weights(data, class_weights={"1": 3, "0": 7}).tolist() == [3.0, 7.0]


@pytest.mark.parametrize(
    ("weights_given", "message"),
    [
        (
            {"road": 1, "cra": 2, "sign": 3},
            r"^loss.class_weights: no class cra \(did you mean car\?\); .* 1: car, 2",
        ),
        ({"road": 1, "car": 2, "3": 3}, "^loss.class_weights: no class 3; the classes are 0: road"),
        ({"road": 1}, "^loss.class_weights: no weight for car, sign, and each class needs one; the classes are 0: road"),
        ({"road": 1, "0": 2, "car": 2, "sign": 3}, "^loss.class_weights: two weights for road, by name and number"),
    ],
)
def test_weights_of_other_classes_are_refused(weights_given: dict[str, float], message: str) -> None:
    one = config(end="wce", class_weights=weights_given)
    for refused in (
        lambda: one.check(PIXELS.class_names),
        lambda: build_program(parse(TrialConfig, {"loss": one.model_dump()}), PIXELS, 10),
    ):
        with pytest.raises(InputError, match=message):
            refused()
    one.check()  # nothing is known of the classes yet


@pytest.mark.parametrize("kind", [*KINDS, {"road": 1, "car": 20, "sign": 300}])
def test_a_power_goes_from_no_weights_to_all_of_them(kind: Any) -> None:
    def ratios(power: float) -> list[float]:
        found = weights(class_weights=kind, class_weight_power=power).double()
        return (found / found.min()).tolist()

    assert ratios(0.0) == [1.0, 1.0, 1.0]
    for power in (0.25, 0.5, 1.0):
        assert ratios(power) == pytest.approx([each**power for each in ratios(1.0)], rel=1e-5)
    sums = {"mean": 3.0, "sum": 1.0, "sqrt": 3.0, "effective": 3.0}
    if isinstance(kind, str) and kind in sums:
        for power in (0.0, 0.3, 1.0):
            assert weights(class_weights=kind, class_weight_power=power).sum().item() == pytest.approx(sums[kind])


def test_the_root_is_the_power_one_half() -> None:
    assert torch.equal(weights(class_weights="sqrt"), weights(class_weight_power=0.5))
    assert weighting(config(class_weights="sqrt", class_weight_power=0.5)) == weighting(config(class_weight_power=0.25))


@given(st.sampled_from(KINDS), st.floats(0.0, 1.0), st.none() | st.floats(1.0, 1e3), st.integers(1, 10**6))
def test_weights_are_finite_and_within_the_limit_also_of_a_class_that_never_occurs(
    kind: Any, power: float, cap: float | None, rare: int
) -> None:
    data = of_pixels([10**10, 0, rare, 5 * rare])
    found = weights(data, class_weights=kind, class_weight_power=power, class_weight_cap=cap)
    assert torch.isfinite(found).all()
    assert found[1] == 0.0 and (found[[0, 2, 3]] > 0).all()
    if cap is not None:
        assert (found.max() / found[[0, 2, 3]].min()).item() <= cap * (1 + 1e-5)


def test_a_limit_is_reached_before_the_weights_are_scaled() -> None:
    found = weights(class_weight_cap=10)  # inverse frequencies 1, 2.8, 14
    assert found.tolist() == pytest.approx([3 * w / 13.8 for w in (1, 2.8, 10)], rel=1e-6)
    assert torch.equal(weights(class_weight_cap=15), weights())


@pytest.mark.parametrize("kind", [*KINDS[1:], {"road": 3, "car": 2, "sign": 1}])
def test_a_loss_that_takes_frequencies_gets_no_other_weights(kind: Any) -> None:
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.randint(3, (2, 4, 4), generator=torch.Generator().manual_seed(1))
    keys = {"end": "logit_adjusted_ce", "class_weights": kind, "class_weight_power": 0.5, "class_weight_cap": 2}
    program = build_program(parse(TrialConfig, {"loss": keys}), PIXELS, 10)
    expected = build_loss("logit_adjusted_ce", num_classes=3, class_weights=before(PIXELS.frequencies, "mean"))
    assert torch.equal(program(logits, target, 0), expected(logits, target))
    assert loss_class_weights("ce", config(class_weights=kind), PIXELS) is None


def test_unweighted_wce_is_ce() -> None:
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.randint(3, (2, 4, 4), generator=torch.Generator().manual_seed(1))
    values = [
        build_program(parse(TrialConfig, {"loss": {"end": end, "class_weight_power": 0}}), PIXELS, 10)(logits, target, 0)
        for end in ("wce", "ce")
    ]
    torch.testing.assert_close(*values)
    assert not math.isnan(values[0].item())
