"""The metrics of outlines against a plain reference that looks at every pair of pixels, and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.references import boundary_metrics
from tune_seg.boundary import BoundaryMetrics

IGNORE = 255


def logits_of(prediction: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(prediction, classes).movedim(-1, 1).float()


def measure(prediction: Tensor, target: Tensor, classes: int, background: int | None = None) -> dict[str, float]:
    metrics = BoundaryMetrics(classes, background=background)
    metrics.update(logits_of(prediction, classes), target)
    return metrics.compute()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(1, 4),
    block=st.integers(1, 4),
    wrong=st.sampled_from([0.0, 0.1, 1.0]),
    with_background=st.booleans(),
)
def test_agrees_with_every_pair_of_pixels(seed: int, classes: int, block: int, wrong: float, with_background: bool) -> None:
    """Of 200 x 12 pixels, whose tolerance of 1.5 pixels lets a step aside pass and two not."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, classes, (2, 200 // (10 * block) + 1, 12 // block + 1), generator=generator)
    target = coarse.repeat_interleave(10 * block, 1).repeat_interleave(block, 2)[:, :200, :12].clone()
    drawn = torch.randint(0, classes, target.shape, generator=generator)
    prediction = torch.where(torch.rand(target.shape, generator=generator) < wrong, drawn, target.roll(1, dims=1))
    target[torch.rand(target.shape, generator=generator) < 0.05] = IGNORE
    background = 0 if with_background else None
    expected = boundary_metrics(prediction.numpy(), target.numpy(), IGNORE, classes, background)
    assert measure(prediction, target, classes, background) == pytest.approx(expected, nan_ok=True)


def square(top: int, left: int) -> Tensor:
    mask = torch.zeros(1, 40, 30, dtype=torch.int64)  # a diagonal of 50, and a tolerance of 0.375
    mask[:, top : top + 6, left : left + 6] = 1
    return mask


def test_by_hand() -> None:
    assert measure(square(10, 10), square(10, 10), 2) == {"boundary_f1": 1.0, "hd95": 0.0}
    found = measure(square(10, 13), square(10, 10), 2, background=0)
    # of an outline of 20 pixels, 6 lie on the other one, in the rows that both have
    assert found == {"boundary_f1": pytest.approx(6 / 20), "hd95": 3.0}


def test_a_class_that_is_not_predicted_is_as_far_off_as_the_image_is_long() -> None:
    nothing = torch.zeros(1, 40, 30, dtype=torch.int64)
    assert measure(nothing, square(10, 10), 2, background=0) == {"boundary_f1": 0.0, "hd95": 50.0}


def test_a_class_that_is_absent_has_no_term_though_it_is_predicted() -> None:
    nothing = torch.zeros(1, 40, 30, dtype=torch.int64)
    found = measure(square(10, 10), nothing, 2, background=0)
    assert math.isnan(found["boundary_f1"]) and math.isnan(found["hd95"])
    both = measure(torch.cat([square(10, 10)] * 2), torch.cat([nothing, square(10, 10)]), 2, background=0)
    assert both == {"boundary_f1": 1.0, "hd95": 0.0}


def test_classes_weigh_the_same_in_however_many_images_they_are() -> None:
    target = torch.cat([square(10, 10), square(10, 10) * 2, square(10, 10) * 2])
    prediction = torch.cat([square(10, 10) * 0, square(10, 10) * 2, square(10, 10) * 2])
    assert measure(prediction, target, 3, background=0) == {"boundary_f1": 0.5, "hd95": 25.0}


def test_what_is_predicted_where_the_truth_is_ignored_is_no_outline() -> None:
    target, prediction = square(10, 10), square(10, 10)
    target[:, 30:] = IGNORE
    prediction[:, 30:] = 1
    assert measure(prediction, target, 2) == {"boundary_f1": 1.0, "hd95": 0.0}
    target.fill_(IGNORE)
    assert np.isnan([*measure(prediction, target, 2).values()]).all()


def test_logits_that_are_nan_raise_nothing() -> None:
    metrics = BoundaryMetrics(2)
    metrics.update(torch.full((1, 2, 40, 30), math.nan), square(10, 10))
    assert metrics.compute()["boundary_f1"] < 1
