"""Building losses by name, their catalogue, and class weights."""

import inspect
import itertools
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.loss_cases import Case, build, random_batch, weights_for
from tune_seg.errors import InputError
from tune_seg.losses import LOSSES, build_loss, class_weights, get_spec
from tune_seg.losses.own import load


@pytest.mark.parametrize("name", ["wce", "wdice"])
def test_the_loss_keeps_its_own_class_weights(name: str) -> None:
    weights = torch.tensor(weights_for(4))
    loss = build_loss(name, num_classes=4, class_weights=weights)
    logits, target = random_batch(15)
    value = loss(logits, target)
    weights[0] = 100.0
    assert torch.equal(loss(logits, target), value)


def test_class_weights() -> None:
    torch.testing.assert_close(class_weights([900, 100]), torch.tensor([0.2, 1.8]))
    torch.testing.assert_close(class_weights([900, 100], "sum"), torch.tensor([0.1, 0.9]))
    torch.testing.assert_close(class_weights(torch.tensor([1, 0, 3])), torch.tensor([2.25, 0.0, 0.75]))


@given(
    frequencies=st.lists(st.floats(1e-300, 1e300) | st.just(0.0), min_size=1, max_size=20).filter(any),
    normalise=st.sampled_from(["mean", "sum"]),
)
def test_class_weights_sum_and_order(frequencies: list[float], normalise: Any) -> None:
    weights = class_weights(frequencies, normalise).double()
    assert weights.sum().item() == pytest.approx(len(frequencies) if normalise == "mean" else 1, rel=1e-5)
    for (f, w), (g, v) in itertools.combinations(zip(frequencies, weights.tolist(), strict=True), 2):
        if 0 < f < g:
            assert w >= v
    assert all(w == 0 for f, w in zip(frequencies, weights.tolist(), strict=True) if f == 0)


@pytest.mark.parametrize("frequencies", [[0, 0], [-1, 2], [math.nan, 1], [math.inf, 1], [[1, 2]], []])
def test_class_weights_refuses(frequencies: Any) -> None:
    with pytest.raises(InputError, match="class frequencies"):
        class_weights(frequencies)


def test_class_weights_refuses_an_unknown_scale() -> None:
    unknown: Any = "max"
    with pytest.raises(InputError, match=r"'max'.*'mean'.*'sum'"):
        class_weights([1, 2], unknown)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("cee", {}, r"'cee'.*ce, wce, focal, .*dice, wdice, tversky"),
        ("focal", {"gama": 2.0}, r"'focal'.*'gama'.*2\.0.*gamma, alpha"),
        ("ce", {"gamma": 2.0}, r"'ce'.*'gamma'.*none"),
        ("focal", {"gamma": -0.5}, r"gamma = -0\.5.*>= 0"),
        ("focal", {"gamma": math.inf}, "gamma = inf.*finite"),
        ("focal", {"gamma": None}, "gamma = None"),
        ("focal", {"gamma": "2"}, "gamma = '2'"),
        ("focal", {"gamma": True}, "gamma = True"),
        ("focal", {"gamma": [1.0, 2.0, 3.0]}, "gamma"),
        ("focal", {"alpha": -1.0}, "alpha"),
        ("focal", {"alpha": [1.0, 2.0]}, "alpha.*2 values.*3 values"),
        ("focal", {"alpha": torch.tensor([1.0, 2.0, -3.0])}, "alpha"),
        ("wce", {}, r"'wce'.*class_weights = None"),
        ("wdice", {}, r"'wdice'.*class_weights = None"),
        ("wce", {"class_weights": [1.0, 2.0]}, r"class_weights.*3 finite numbers"),
        ("wce", {"class_weights": [1.0, 2.0, -1.0]}, "class_weights"),
        ("wdice", {"class_weights": [1.0, math.nan, 1.0]}, "class_weights"),
        ("wdice", {"class_weights": torch.zeros(3)}, "class_weights"),
        ("ce", {"num_classes": 0}, "num_classes = 0"),
        ("logit_adjusted_ce", {}, r"'logit_adjusted_ce'.*class_weights = None"),
        ("dual_ce", {"beta": 1.0}, r"beta = 1\.0.*> 1"),
        ("dual_focal_2021", {"rho": 0.5}, r"rho = 0\.5.*>= 1"),
        ("unified_focal", {"gamma": 1.0}, r"gamma = 1\.0.*>= 0 and < 1"),
        ("unified_focal", {"variant": "both"}, r"variant = 'both'.*'asymmetric', 'symmetric'"),
        ("unified_focal", {"background": 3}, "background = 3"),
        ("nacl", {"radius": 1.0}, r"radius = 1\.0.*a whole number and >= 1"),
        ("ml1_ace", {"bins": 0}, "bins = 0.*a whole number and >= 1"),
        ("sigmoid_ce", {}, r"'sigmoid_ce'.*num_classes = 3.*at most 2"),
        ("tversky", {"alpha": [1.0, 2.0]}, "alpha.*2 values.*3 values"),
        ("ce", {"num_classes": 2.0}, r"num_classes = 2\.0"),
    ],
)
def test_build_loss_refuses(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_loss(name, **{"num_classes": 3, **arguments})


@pytest.mark.parametrize("name", LOSSES)
def test_the_number_of_classes_may_be_numpys(name: str) -> None:
    logits, target = random_batch(16, classes=2)
    loss = build_loss(name, num_classes=np.int64(2), class_weights=weights_for(2))
    assert torch.equal(loss(logits, target), build(name, 2)(logits, target))


@pytest.mark.parametrize("name", LOSSES)
def test_the_defaults_are_those_of_the_loss(name: str) -> None:
    spec = get_spec(name)
    assert spec is LOSSES[name]
    defaults = {parameter.name: parameter.default for parameter in spec.parameters}
    classes = Case(name).classes(4)
    spec.check(defaults, num_classes=classes)
    logits, target = random_batch(14, classes=classes)
    assert torch.equal(build(name, classes, **defaults)(logits, target), build(name, classes)(logits, target))


@pytest.mark.parametrize("name", LOSSES)
def test_parameters_and_defaults_are_those_of_the_constructor(name: str) -> None:
    spec = LOSSES[name]
    arguments = inspect.signature(load(name, spec.implementation)).parameters
    of_every_loss = {"num_classes", "class_weights", "ignore_index"}
    assert {key: argument.default for key, argument in arguments.items() if key not in of_every_loss} == {
        parameter.name: parameter.default for parameter in spec.parameters
    }
    assert "class_weights" in arguments or spec.class_weights == "unused"


def test_the_class_weights_are_used_as_the_catalogue_says() -> None:
    for name, spec in LOSSES.items():
        classes = Case(name).classes(4)
        logits, target = random_batch(18, classes=classes)
        if spec.class_weights not in ("required", "frequencies"):
            build_loss(name, num_classes=classes)(logits, target)
        one, other = (
            build_loss(name, num_classes=classes, class_weights=weights)(logits, target)
            for weights in ([1.0] * classes, weights_for(classes))
        )
        assert torch.equal(one, other) == (spec.class_weights == "unused"), name


def test_the_catalogue_does_not_import_torch() -> None:
    code = "import sys, tune_seg.losses.catalogue as c; c.get_spec('ce').check({}); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_every_loss_says_in_one_sentence_when_to_use_it() -> None:
    for spec in LOSSES.values():
        assert spec.when.endswith(".") and ". " not in spec.when and len(spec.when) <= 110, spec.name
    assert len({spec.when for spec in LOSSES.values()}) == len(LOSSES)
