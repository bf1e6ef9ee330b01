"""The losses against independent references, at the extremes of their input, and what they refuse."""

import itertools
import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests import references
from tune_seg.errors import InputError
from tune_seg.losses import LOSSES, build_loss, class_weights, get_spec

NAMES = ("ce", "wce", "focal", "dual_focal", "dice", "wdice")
IGNORE = 255


def weights_for(classes: int) -> list[float]:
    return [0.25 + 0.5 * c for c in range(classes)]


def build(name: str, classes: int, **params: Any) -> nn.Module:
    return build_loss(name, num_classes=classes, class_weights=weights_for(classes), ignore_index=IGNORE, **params)


def reference(name: str, logits: Any, target: Any) -> float:
    classes = logits.shape[1]
    ones = [1.0] * classes
    if name in ("ce", "wce"):
        return references.cross_entropy(logits, target, IGNORE, weights_for(classes) if name == "wce" else ones)
    if name in ("dice", "wdice"):
        return references.dice(logits, target, IGNORE, weights_for(classes) if name == "wdice" else ones)
    if name == "focal":
        return references.focal(logits, target, IGNORE, 2.0, ones)
    return references.dual_focal(logits, target, IGNORE)


def random_batch(
    seed: int, *, classes: int = 4, spread: float = 2.0, images: int = 2, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Logits and a target in which some pixels are ignored; as few classes as may occur, not all do."""
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(images, classes, 4, 3, generator=generator) * spread).to(dtype)
    target = torch.randint(0, classes, (images, 4, 3), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.2] = IGNORE
    target[:, 0, 0] = 0
    return logits, target


def value_and_gradient(loss: nn.Module, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, target)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def numpy64(tensor: Tensor) -> Any:
    return tensor.detach().cpu().double().numpy()


# Agreement with the formulas


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("classes", "spread"), [(2, 1.0), (3, 4.0), (7, 0.01), (12, 2.0)])
def test_float32_agrees_with_the_formula(name: str, classes: int, spread: float, device: torch.device) -> None:
    for seed in range(3):
        logits, target = random_batch(seed, classes=classes, spread=spread)
        value = build(name, classes).to(device)(logits.to(device), target.to(device))
        assert value.dtype == torch.float32
        assert value.ndim == 0
        expected = reference(name, numpy64(logits), target.numpy())
        assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_float64_agrees_with_the_formula(name: str, device: torch.device) -> None:
    loss = build_loss(
        name, num_classes=5, class_weights=torch.tensor(weights_for(5), dtype=torch.float64), ignore_index=IGNORE
    ).to(device)
    logits, target = random_batch(1, classes=5, dtype=torch.float64)
    value = loss(logits.to(device), target.to(device))
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(reference(name, logits.numpy(), target.numpy()), rel=1e-12)


@pytest.mark.parametrize("name", ["ce", "focal", "dual_focal"])
@pytest.mark.parametrize("margin", [0.0, 0.5, 3.0, 12.0, 40.0, 90.0, 200.0])
def test_float32_agrees_far_from_the_boundary(name: str, margin: float) -> None:
    loss = build(name, 3)
    for true_class, pixel in itertools.product(range(3), ([margin, 0.0, 0.25], [0.0, margin, margin])):
        logits = torch.tensor(pixel).view(1, 3, 1, 1)
        value = loss(logits, torch.tensor([[[true_class]]])).item()
        expected = references.exact_pixel_loss(name, pixel, true_class, digits=250)
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-7), (true_class, pixel)


@pytest.mark.parametrize("true_class", [0, 1, 2])
def test_dual_focal_is_exact_at_ten_thousand(true_class: int) -> None:
    near = [150.0, -150.0, 100.0]
    assert references.far_dual_focal(near, true_class) == pytest.approx(
        references.exact_pixel_loss("dual_focal", near, true_class, 400), rel=1e-12, abs=1e-15
    )
    for pixel in ([1e4, -1e4, -1e4], [1e4, 1e4, -1e4], [-1e4, 1e4, 0.0]):
        value = build("dual_focal", 3)(torch.tensor(pixel).view(1, 3, 1, 1), torch.tensor([[[true_class]]])).item()
        assert value == pytest.approx(references.far_dual_focal(pixel, true_class), rel=1e-6)


@pytest.mark.parametrize("margin", [1.0, 4.0, 8.0, 16.0, 30.0])
def test_dual_focal_keeps_its_relative_accuracy_near_a_perfect_prediction(margin: float) -> None:
    value = build("dual_focal", 3)(torch.tensor([margin, 0.0, -1.0]).view(1, 3, 1, 1), torch.zeros(1, 1, 1).long())
    assert value.item() == pytest.approx(
        references.exact_pixel_loss("dual_focal", [margin, 0.0, -1.0], 0, 60), rel=2e-6, abs=0
    )


def test_dice_keeps_its_relative_accuracy_for_a_perfect_large_image() -> None:
    target = torch.arange(2).repeat(200 * 200 // 2).view(1, 200, 200)
    logits = 100 * F.one_hot(target, 2).permute(0, 3, 1, 2).float()
    pixels = 200 * 200
    expected = 1 - 2 * (pixels + 1) / (2 * pixels + 1 + 1e-5)
    assert build("dice", 2)(logits, target).item() == pytest.approx(expected, rel=1e-6, abs=0)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25, [0.5, 1.0, 0.0, 2.0]])
def test_focal_parameters(gamma: float, alpha: float | Sequence[float] | None, device: torch.device) -> None:
    logits, target = random_batch(3)
    per_class = [1.0] * 4 if alpha is None else [alpha] * 4 if isinstance(alpha, float) else alpha
    expected = references.focal(numpy64(logits), target.numpy(), IGNORE, gamma, per_class)
    loss = build("focal", 4, gamma=gamma, alpha=alpha).to(device)
    assert loss(logits.to(device), target.to(device)).item() == pytest.approx(expected, rel=1e-6)


def test_focal_without_focus_is_cross_entropy(device: torch.device) -> None:
    for spread in (1.0, 30.0, 1e4):
        logits, target = (tensor.to(device) for tensor in random_batch(4, spread=spread))
        value, gradient = value_and_gradient(build("focal", 4, gamma=0.0).to(device), logits, target)
        expected, expected_gradient = value_and_gradient(build("ce", 4).to(device), logits, target)
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_torchs(weighted: bool, device: torch.device) -> None:
    logits, target = (tensor.to(device) for tensor in random_batch(5))
    weights = torch.tensor(weights_for(4), device=device) if weighted else None
    expected = F.cross_entropy(logits, target, weight=weights, ignore_index=IGNORE)
    torch.testing.assert_close(build("wce" if weighted else "ce", 4).to(device)(logits, target), expected)


# Gradients


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_gradcheck(name: str, classes: int, device: torch.device) -> None:
    loss = build(name, classes).to(device)
    for spread in (0.5, 8.0):
        logits, target = random_batch(6, classes=classes, spread=spread, dtype=torch.float64)
        logits[0, :, 1, 1] = 0.0  # every class ties
        logits[0, :2, 2, 2] = logits[0].max() + 1  # the two largest tie
        logits, target = logits.to(device).requires_grad_(), target.to(device)
        assert torch.autograd.gradcheck(loss, (logits, target))


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_slope_of_the_formula(name: str, device: torch.device) -> None:
    logits, target = random_batch(7)
    _, gradient = value_and_gradient(build(name, 4).to(device), logits.to(device), target.to(device))
    labels = target.numpy()
    slope = references.numeric_gradient(lambda values: reference(name, values, labels), numpy64(logits))
    np.testing.assert_allclose(numpy64(gradient), slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.1, 0.9, 1.0, 3.0])
def test_focal_gradient_is_finite_at_a_perfect_prediction(gamma: float) -> None:
    logits = torch.tensor([200.0, 0.0]).view(1, 2, 1, 1)
    _, gradient = value_and_gradient(build("focal", 2, gamma=gamma), logits, torch.zeros(1, 1, 1, dtype=torch.int64))
    assert gradient.abs().max() == 0


def test_dual_focal_gradient_vanishes_at_a_perfect_prediction(device: torch.device) -> None:
    # Hossain eq. (14); at a margin of 10 it is still there, so that the first assertion means something.
    target = torch.zeros(1, 1, 1, dtype=torch.int64, device=device)
    gradients = []
    for margin in (10.0, 1000.0):
        logits = torch.tensor([margin, 0.0, 0.0], device=device).view(1, 3, 1, 1)
        gradients.append(value_and_gradient(build("dual_focal", 3).to(device), logits, target)[1])
    assert gradients[0].abs().min() > 0
    assert gradients[1].abs().max() == 0


def test_dual_focal_gradient_of_a_certain_mistake(device: torch.device) -> None:
    # L = -log(p_1 (2 - p_1)) - log(q_0 (1 + p_0)) with p_0 -> 1, q_0 = p_1 + p_2 and p_1 = p_2: by hand 2, -1.5, -0.5.
    logits = torch.tensor([1e4, -1e4, -1e4], device=device).view(1, 3, 1, 1)
    value, gradient = value_and_gradient(
        build("dual_focal", 3).to(device), logits, torch.ones(1, 1, 1, dtype=torch.int64, device=device)
    )
    assert value.item() == pytest.approx(4e4 - 3 * math.log(2))
    assert gradient.flatten().tolist() == pytest.approx([2.0, -1.5, -0.5])


@pytest.mark.parametrize("name", NAMES)
def test_gradient_can_be_taken_twice_from_one_graph_and_scales(name: str) -> None:
    logits, target = random_batch(8)
    logits.requires_grad_()
    value = build(name, 4)(logits, target)
    (first,) = torch.autograd.grad(value, logits, retain_graph=True)
    (second,) = torch.autograd.grad(3 * value, logits)
    torch.testing.assert_close(second, 3 * first)


# Invariances


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6), shift=st.integers(-64, 64))
def test_adding_a_constant_to_all_logits_changes_nothing(name: str, seed: int, shift: int) -> None:
    logits, target = random_batch(seed, dtype=torch.float64)
    loss = build(name, 4)
    torch.testing.assert_close(loss(logits + shift, target), loss(logits, target), rtol=1e-10, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6), order=st.permutations(range(4)))
def test_renaming_the_classes_changes_nothing(name: str, seed: int, order: list[int]) -> None:
    logits, target = random_batch(seed)
    renamed = target.clone()
    for new, old in enumerate(order):
        renamed[target == old] = new
    weights = torch.tensor(weights_for(4))
    value = build_loss(name, num_classes=4, class_weights=weights)(logits, target)
    other = build_loss(name, num_classes=4, class_weights=weights[order])(logits[:, order], renamed)
    torch.testing.assert_close(other, value, rtol=2e-6, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6), cut=st.integers(1, 4))
def test_a_batch_is_the_weighted_mean_of_its_parts(name: str, seed: int, cut: int) -> None:
    logits, target = random_batch(seed, images=5, dtype=torch.float64)
    target[2] = IGNORE
    loss = build(name, 4)

    def mass(labels: Tensor) -> float:
        """What the loss divides by: images, pixels or the pixels' weights."""
        if "dice" in name:
            return float((labels != IGNORE).any(dim=2).any(dim=1).sum())
        per_class = torch.tensor(weights_for(4) if name == "wce" else [1.0] * 4)
        return per_class[labels[labels != IGNORE]].sum().item()

    parts = [(logits[:cut], target[:cut]), (logits[cut:], target[cut:])]
    combined = sum(mass(labels) * loss(part, labels) for part, labels in parts) / mass(target)
    torch.testing.assert_close(combined, loss(logits, target), rtol=1e-10, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6), ignore=st.sampled_from([255, -100, 0]))
def test_ignored_pixels_count_nowhere(name: str, seed: int, ignore: int) -> None:
    logits, target = random_batch(seed)
    target[target == IGNORE] = ignore
    target[:, 3, 0] = 1
    loss = build_loss(name, num_classes=4, class_weights=weights_for(4), ignore_index=ignore)
    value, gradient = value_and_gradient(loss, logits, target)
    ignored = (target == ignore).unsqueeze(1).expand_as(logits)
    assert gradient[ignored].abs().sum() == 0
    disturbed = torch.where(ignored, -7 * logits + 50, logits)
    torch.testing.assert_close(loss(disturbed, target), value, rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_memory_layout_and_size_of_the_batch_change_nothing(name: str) -> None:
    # Large enough that the losses that work in blocks take several.
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 400, 400, generator=generator)
    target = torch.randint(0, 4, (3, 400, 400), generator=generator)
    loss = build(name, 4)
    value, gradient = value_and_gradient(loss, logits, target)
    value_last, gradient_last = value_and_gradient(loss, logits.to(memory_format=torch.channels_last), target)
    value64, gradient64 = value_and_gradient(loss, logits.double(), target)
    torch.testing.assert_close(value_last, value, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient_last, gradient, rtol=1e-5, atol=1e-11)
    torch.testing.assert_close(value.double(), value64, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient.double(), gradient64, rtol=1e-4, atol=1e-11)


# Extremes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_logits_of_ten_thousand_are_finite(name: str, classes: int, dtype: torch.dtype, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    choices = torch.tensor([-1e4, 0.0, 1e4])
    logits = choices[torch.randint(0, 3, (3, classes, 8, 8), generator=generator)].to(dtype).to(device)
    target = torch.randint(0, classes, (3, 8, 8), generator=generator)
    target[0, :2] = IGNORE
    with torch.autocast(device.type, dtype=torch.bfloat16):
        value, gradient = value_and_gradient(build(name, classes).to(device), logits, target.to(device))
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(("name", "wrong"), [("ce", 2e4), ("wce", 2e4), ("focal", 2e4), ("dual_focal", 4e4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_certain_mistake_costs_the_gap_between_the_logits(
    name: str, wrong: float, dtype: torch.dtype, device: torch.device
) -> None:
    logits = torch.tensor([1e4, -1e4], dtype=dtype, device=device).view(1, 2, 1, 1)
    loss = build(name, 2).to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        values = [loss(logits, torch.full((1, 1, 1), label, device=device)).item() for label in (0, 1)]
    gap = (logits[0, 0] - logits[0, 1]).item()  # 2e4 as far as the type holds it
    assert values == pytest.approx([0.0, wrong / 2e4 * gap], rel=1e-4)
    assert gap == pytest.approx(2e4, rel=1e-2)


@pytest.mark.parametrize("name", ["dice", "wdice"])
def test_dice_of_certain_outputs_at_ten_thousand(name: str, device: torch.device) -> None:
    # Of 4 pixels of class 1, one is taken for class 0: p and P are 0 or 1, so that the formula is counted by hand.
    logits = torch.tensor([[-1e4, -1e4, -1e4, 1e4], [1e4, 1e4, 1e4, -1e4]], device=device).view(1, 2, 2, 2)
    target = torch.ones(1, 2, 2, dtype=torch.int64, device=device)
    w0, w1 = weights_for(2) if name == "wdice" else (1.0, 1.0)
    expected = 1 - 2 * (3 * w1 + 1) / (w0 * 1 + w1 * (4 + 3) + 1 + 1e-5)
    assert build(name, 2).to(device)(logits, target).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 4])
def test_an_empty_batch(name: str, classes: int, device: torch.device) -> None:
    logits = torch.zeros(0, classes, 4, 3, device=device)
    target = torch.zeros(0, 4, 3, dtype=torch.int64, device=device)
    value, gradient = value_and_gradient(build(name, classes).to(device), logits, target)
    assert value.item() == 0
    assert gradient.shape == logits.shape


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype, device: torch.device) -> None:
    logits, target = random_batch(9)
    logits = logits.to(dtype)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        value = build(name, 4).to(device)(logits.to(device), target.to(device))
    assert value.item() == pytest.approx(reference(name, numpy64(logits), target.numpy()), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_all_pixels_ignored(name: str, classes: int, spread: float, device: torch.device) -> None:
    logits, target = random_batch(10, classes=classes, spread=spread)
    loss = build(name, classes).to(device)
    value, gradient = value_and_gradient(loss, logits.to(device), torch.full_like(target, IGNORE).to(device))
    assert value.item() == 0
    assert gradient.abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_never_occurs(name: str, device: torch.device) -> None:
    logits, target = random_batch(11, classes=6)
    target[(target == 5) | (target == 2)] = 1
    value, gradient = value_and_gradient(build(name, 6).to(device), logits.to(device), target.to(device))
    assert value.item() == pytest.approx(reference(name, numpy64(logits), target.numpy()), rel=1e-6)
    assert torch.isfinite(gradient).all()


def test_pixels_of_weight_zero_only() -> None:
    loss = build_loss("wce", num_classes=2, class_weights=[0.0, 1.0])
    value, gradient = value_and_gradient(loss, torch.randn(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64))
    assert value.item() == 0
    assert gradient.abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_single_class(name: str, device: torch.device) -> None:
    logits, target = random_batch(12, classes=1)
    value, gradient = value_and_gradient(build(name, 1).to(device), logits.to(device), target.to(device))
    assert value.item() == pytest.approx(reference(name, numpy64(logits), target.numpy()), rel=1e-6, abs=1e-7)
    assert gradient.abs().max() == 0


def test_the_loss_keeps_the_logits_as_they_are() -> None:
    for name in NAMES:
        logits, target = random_batch(13)
        logits_before, target_before = logits.clone(), target.clone()
        value_and_gradient(build(name, 4), logits, target)
        assert torch.equal(logits, logits_before)
        assert torch.equal(target, target_before)


# Class weights


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
    with pytest.raises(InputError, match=r"'max'.*'mean'.*'sum'"):
        class_weights([1, 2], "max")  # type: ignore[arg-type]


# Building, and the catalogue


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("cee", {}, r"'cee'.*ce, wce, focal, dual_focal, dice, wdice"),
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
        ("ce", {"num_classes": 2.0}, r"num_classes = 2\.0"),
    ],
)
def test_build_loss_refuses(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_loss(name, **{"num_classes": 3, **arguments})


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_classes_may_be_numpys(name: str) -> None:
    logits, target = random_batch(16)
    loss = build_loss(name, num_classes=np.int64(4), class_weights=weights_for(4))
    assert torch.equal(loss(logits, target), build(name, 4)(logits, target))


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_refuses_shapes_that_do_not_fit(name: str) -> None:
    loss = build(name, 3)
    with pytest.raises(InputError, match=r"\(1, 2, 4, 4\)"):
        loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
    with pytest.raises(InputError, match=r"\(1, 4, 5\)"):
        loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 5, dtype=torch.int64))


def test_the_catalogue_describes_every_loss() -> None:
    assert tuple(LOSSES) == NAMES
    for name, spec in LOSSES.items():
        assert spec is get_spec(name)
        assert spec.needs_class_weights == name.startswith("w")
        defaults = {parameter.name: parameter.default for parameter in spec.parameters}
        spec.check(defaults)
        logits, target = random_batch(14)
        assert torch.equal(build(name, 4, **defaults)(logits, target), build(name, 4)(logits, target))


def test_the_catalogue_does_not_import_torch() -> None:
    code = "import sys, tune_seg.losses.catalogue as c; c.get_spec('ce').check({}); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
