"""What is particular to the region and calibration losses: their limits, special cases and counted examples."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support import reference_regions, references
from tests.support.loss_cases import IGNORE, build, numpy64, random_batch, value_and_gradient, weights_for
from tune_seg.errors import InputError
from tune_seg.losses import build_loss
from tune_seg.losses.lovasz import _on_cpu, _on_gpu

# Beside those that every loss is tested with.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("tversky", {"alpha": 0.3, "beta": 1.7}),
    ("tversky", {"alpha": [2.0, 0.0, 1.0, 0.5], "beta": 0.0}),
    ("focal_tversky", {"alpha": 0.5, "beta": 0.5, "gamma": 1.0}),
    ("focal_tversky", {"alpha": 0.0, "beta": 2.0, "gamma": 3.0}),
    ("unified_focal", {"background": 2, "delta": 0.8, "gamma": 0.1}),
    ("unified_focal", {"gamma": 0.99}),
    ("unified_focal", {"weight": 1.0, "gamma": 0.9, "variant": "symmetric"}),
    ("unified_focal", {"weight": 0.0, "gamma": 0.0, "delta": 1.0}),
    ("jaccard_metric", {"smoothing": 0.5}),
    ("ml1_ace", {"bins": 1}),
    ("ml1_ace", {"bins": 1, "binning": "soft"}),
    ("ml1_ace", {"bins": 3}),
    ("ml1_ace", {"binning": "soft"}),
]
NAMES = ("tversky", "focal_tversky", "unified_focal", "lovasz_softmax", "jaccard_metric", "ml1_ace")
each_variant = pytest.mark.parametrize(("name", "params"), VARIANTS, ids=str)


def reference(name: str, logits: Any, target: Any, **params: Any) -> float:
    function: Callable[..., float] = getattr(reference_regions, name)
    return function(logits, target, IGNORE, weights_for(logits.shape[1]), **params)


def certain(target: Tensor, classes: int, logit: float = 1e4) -> Tensor:
    """Logits that say each pixel's class; 0 where it is ignored."""
    return logit * F.one_hot(torch.where(target == IGNORE, classes, target), classes + 1)[..., :-1].movedim(-1, 1).float()


# Agreement with the formulas


@each_variant
@pytest.mark.parametrize("spread", [0.01, 2.0, 8.0])
def test_float32_agrees_with_the_formula(name: str, params: dict[str, Any], spread: float, device: torch.device) -> None:
    for seed in range(3):
        logits, target = random_batch(seed, spread=spread)
        value = build(name, 4, **params).to(device)(logits.to(device), target.to(device))
        expected = reference(name, numpy64(logits), target.numpy(), **params)
        assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-7)


@each_variant
def test_gradcheck(name: str, params: dict[str, Any], device: torch.device) -> None:
    for spread in (0.5, 8.0):
        logits, target = random_batch(6, spread=spread, dtype=torch.float64)
        loss = build(name, 4, **params).to(device)
        assert torch.autograd.gradcheck(loss, (logits.to(device).requires_grad_(), target.to(device)))


@each_variant
def test_gradient_is_the_slope_of_the_formula(name: str, params: dict[str, Any], device: torch.device) -> None:
    logits, target = random_batch(7, dtype=torch.float64)
    _, gradient = value_and_gradient(build(name, 4, **params).to(device), logits.to(device), target.to(device))
    labels = target.numpy()
    slope = references.numeric_gradient(lambda values: reference(name, values, labels, **params), logits.numpy())
    np.testing.assert_allclose(numpy64(gradient), slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "name", ["tversky", "focal_tversky", "unified_focal", "lovasz_softmax", "jaccard_metric", "ml1_ace"]
)
@pytest.mark.parametrize("sure", [0.0, 3.0, 12.0, 20.0])
def test_a_large_image_keeps_its_relative_accuracy(name: str, sure: float) -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (1, 300, 300), generator=generator)
    target[0, :9] = IGNORE
    logits = certain(target, 3, sure) + torch.randn(1, 3, 300, 300, generator=generator)
    params = {"alpha": 1.4, "beta": 0.6} if name == "tversky" else {}
    loss = build(name, 3, **params)
    assert loss(logits, target).item() == pytest.approx(loss(logits.double(), target).item(), rel=1e-6, abs=0)


@each_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_certain_outputs_have_a_finite_gradient(name: str, params: dict[str, Any], dtype: torch.dtype) -> None:
    _, target = random_batch(1)
    # At 96 to 103 the smallest outputs are below the normal numbers, beyond that they are 0.
    for logit, towards in itertools.product((90.0, 96.0, 100.0, 103.0, 1e4), (target, target.flip(0))):
        logits = certain(towards, 4, logit).to(dtype)
        value, gradient = value_and_gradient(build(name, 4, **params), logits, target)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(("name", "params"), [*((name, {}) for name in NAMES), ("ml1_ace", {"binning": "soft"})])
def test_outputs_that_are_not_numbers_show_in_the_loss(name: str, params: dict[str, Any]) -> None:
    logits, target = random_batch(1)
    logits[0, 1, 0, 0] = math.nan
    assert math.isnan(build(name, 4, **params)(logits, target))


# Tversky


@pytest.mark.parametrize(
    ("params", "dice"),
    [
        ({}, "wdice"),
        ({"alpha": weights_for(4), "beta": weights_for(4)}, "wdice"),
        ({"alpha": weights_for(4)}, "wdice"),
        ({"alpha": 1, "beta": 1.0}, "dice"),
    ],
)
def test_tversky_of_equal_costs_is_dice_bit_for_bit(params: dict[str, Any], dice: str) -> None:
    logits, target = random_batch(2)
    value, gradient = value_and_gradient(build("tversky", 4, **params), logits, target)
    expected, expected_gradient = value_and_gradient(build(dice, 4), logits, target)
    assert torch.equal(value, expected)
    assert torch.equal(gradient, expected_gradient)


def test_tversky_without_class_weights_is_dice() -> None:
    logits, target = random_batch(2)
    assert torch.equal(build_loss("tversky", num_classes=4)(logits, target), build("dice", 4)(logits, target))


@pytest.mark.parametrize(("alpha", "beta"), [(1.4, 0.6), (0.25, 1.75), (2.0, 0.0), (0.0, 2.0)])
def test_tversky_of_a_perfect_large_image(alpha: float, beta: float) -> None:
    target = torch.arange(2).repeat(200 * 200 // 2).view(1, 200, 200)
    pixels = (alpha + beta) * 200 * 200
    expected = 1 - (pixels + 2) / (pixels + 1 + 1e-5)
    value = build("tversky", 2, alpha=alpha, beta=beta)(certain(target, 2, 100.0), target)
    assert value.item() == pytest.approx(expected, rel=1e-6, abs=0)


def test_tversky_counts_misses_by_alpha_and_false_alarms_by_beta() -> None:
    # Of 4 pixels of class 1, one is taken for class 0: P and p are 0 or 1, so that the formula is counted by hand.
    target = torch.ones(1, 2, 2, dtype=torch.int64)
    logits = certain(torch.tensor([[[0, 1], [1, 1]]]), 2)
    value = build("tversky", 2, alpha=[3.0, 2.0], beta=[0.5, 5.0])(logits, target)
    assert value.item() == pytest.approx(1 - ((2 + 5) * 3 + 2) / (2 * 4 + 0.5 * 1 + 5 * 3 + 1 + 1e-5), rel=1e-6)


# Focal Tversky


def test_focal_tversky_without_focus_is_the_sum_of_the_dice_losses() -> None:
    logits, target = random_batch(3, dtype=torch.float64)
    p = references.softmax(logits.numpy())
    images = []
    for image in range(len(target)):
        valid = (target[image] != IGNORE).numpy()
        losses = []
        for c in range(4):
            truth, output = (target[image] == c).numpy()[valid], p[image, c][valid]
            losses.append(1 - (2 * output[truth].sum() + 2) / (truth.sum() + output.sum() + 2))
        images.append(sum(losses))
    value = build("focal_tversky", 4, alpha=0.5, beta=0.5, gamma=1.0)(logits, target)
    assert value.item() == pytest.approx(np.mean(images), rel=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 4 / 3, 3.0, 100.0])
@pytest.mark.parametrize("logit", [60.0, 95.0, 1e4])
def test_focal_tversky_of_a_perfect_prediction(gamma: float, logit: float) -> None:
    # At 60 the share of the misses is still a number, at 95 one below the normal ones, at 10^4 it is 0.
    _, target = random_batch(4)
    value, gradient = value_and_gradient(build("focal_tversky", 4, gamma=gamma), certain(target, 4, logit), target)
    if logit == 60.0:
        expected = reference("focal_tversky", numpy64(certain(target, 4, 30.0)), target.numpy(), gamma=gamma)
        assert value.item() == pytest.approx(expected * math.exp(-30 / gamma), rel=1e-3)
        assert gradient.abs().max() > 0
    else:
        assert value.item() == 0
        assert gradient.abs().max() == 0


# Unified focal


@pytest.mark.parametrize("variant", ["asymmetric", "symmetric"])
def test_unified_focal_contains_half_the_cross_entropy(variant: str, device: torch.device) -> None:
    logits, target = (tensor.to(device) for tensor in random_batch(5))
    loss = build("unified_focal", 4, weight=1.0, delta=0.5, gamma=0.0, variant=variant).to(device)
    value, gradient = value_and_gradient(loss, logits, target)
    expected, expected_gradient = value_and_gradient(build("ce", 4).to(device), logits, target)
    torch.testing.assert_close(value, expected / 2, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, expected_gradient / 2, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("variant", ["asymmetric", "symmetric"])
def test_unified_focal_contains_the_mean_dice_loss(variant: str) -> None:
    logits, target = random_batch(6, dtype=torch.float64)
    p = references.softmax(logits.numpy())
    losses = []
    for image, c in np.ndindex(2, 4):
        valid = (target[image] != IGNORE).numpy()
        truth, output = (target[image] == c).numpy()[valid], p[image, c][valid]
        losses.append(1 - (2 * output[truth].sum() + 2e-7) / (truth.sum() + output.sum() + 2e-7))
    value = build("unified_focal", 4, weight=0.0, delta=0.5, gamma=0.0, variant=variant)(logits, target)
    assert value.item() == pytest.approx(np.mean(losses), rel=1e-12)


def test_unified_focal_spares_the_rare_classes() -> None:
    # One pixel each with p_y = 1/2. Of class 0 and 1 alike TP = FN = FP = 1/2, so that 1 - T = delta FN + (1 - delta) FP
    # over 1/2 more is 1/2.
    logits, target = torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]])
    focus, half = 0.5**0.5, 0.5 / (0.5 + 0.5)
    focal = {"asymmetric": 0.6 + 0.4 * focus, "symmetric": 0.6 * focus + 0.4 * focus}
    tversky = {"asymmetric": half + half**0.5, "symmetric": 2 * half**0.5}
    for variant in ("asymmetric", "symmetric"):
        expected = 0.3 * focal[variant] * math.log(2) / 2 + 0.7 * tversky[variant] / 2
        value = build("unified_focal", 2, weight=0.3, variant=variant)(logits, target)
        assert value.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("variant", ["asymmetric", "symmetric"])
def test_unified_focal_of_a_perfect_prediction(gamma: float, variant: str) -> None:
    _, target = random_batch(7)
    loss = build("unified_focal", 4, gamma=gamma, variant=variant)
    value, gradient = value_and_gradient(loss, certain(target, 4), target)
    assert value.item() == 0
    assert gradient.abs().max() == 0


@pytest.mark.parametrize("true_class", [0, 1])
def test_unified_focal_of_a_certain_mistake_grows_with_the_logits(true_class: int) -> None:
    logits = torch.tensor([1e4, -1e4]).roll(1 - true_class).view(1, 2, 1, 1)
    value = build("unified_focal", 2, weight=1.0)(logits, torch.full((1, 1, 1), true_class))
    assert value.item() == pytest.approx((0.4, 0.6)[true_class] * 2e4, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)), variant=st.sampled_from(["asymmetric", "symmetric"]))
def test_unified_focal_renamed_with_its_background(seed: int, order: list[int], variant: str) -> None:
    logits, target = random_batch(seed)
    renamed = target.clone()
    for new, old in enumerate(order):
        renamed[target == old] = new
    value = build("unified_focal", 4, background=order[0], variant=variant)(logits, target)
    other = build("unified_focal", 4, background=0, variant=variant)(logits[:, order], renamed)
    torch.testing.assert_close(other, value, rtol=2e-6, atol=1e-7)


def test_unified_focal_refuses_a_background_that_is_no_class() -> None:
    with pytest.raises(InputError, match=r"'unified_focal': background = 3 is not possible; allowed: .*0 to 2"):
        build("unified_focal", 3, background=3)


# Lovász-Softmax


def test_lovasz_softmax_of_hard_predictions_is_the_jaccard_loss(device: torch.device) -> None:
    _, target = random_batch(8)
    _, predicted = random_batch(9)
    predicted[predicted == IGNORE] = 2
    target[target == 3] = 2  # never true, though predicted
    valid = target != IGNORE
    losses = []
    for c in range(3):
        is_true, is_predicted = (target == c)[valid], (predicted == c)[valid]
        losses.append(1 - (is_true & is_predicted).sum().item() / (is_true | is_predicted).sum().item())
    value = build("lovasz_softmax", 4).to(device)(certain(predicted, 4).to(device), target.to(device))
    assert value.item() == pytest.approx(np.mean(losses), rel=1e-6)


@pytest.mark.parametrize("spread", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("images", [1, 3])
def test_lovasz_softmax_is_that_of_smp(spread: float, images: int) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = spread * torch.randn(images, 5, 24, 20, generator=generator)
    target = torch.randint(0, 4, (images, 24, 20), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.1] = IGNORE
    theirs = smp.losses.LovaszLoss(mode="multiclass", per_image=False, ignore_index=IGNORE, from_logits=True)
    value, gradient = value_and_gradient(build("lovasz_softmax", 5), logits, target)
    expected, expected_gradient = value_and_gradient(theirs, logits, target)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-3, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([0.0, 0.1, 2.0, 20.0]),
    sure=st.sampled_from([0.0, 6.0]),
    images=st.integers(1, 2),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_lovasz_softmax_is_the_same_class_by_class_and_at_once(
    seed: int, spread: float, sure: float, images: int, dtype: torch.dtype
) -> None:
    logits, target = random_batch(seed, spread=spread, images=images, dtype=dtype)
    target[target == 3] = 1
    index, valid = torch.where(target == IGNORE, 0, target).unsqueeze(1), (target != IGNORE).unsqueeze(1)
    p = (logits + certain(target, 4, sure).to(dtype)).softmax(dim=1)
    error = p.scatter(1, index, 1 - p.gather(1, index))
    value, factor = _on_cpu(error, index, valid)
    expected, expected_factor = _on_gpu(error, index, valid)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)
    if 0 < spread <= 2:  # otherwise errors tie, and any order is as good
        torch.testing.assert_close(factor, expected_factor, rtol=1e-6, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), levels=st.integers(1, 3))
def test_lovasz_softmax_does_not_depend_on_the_order_of_ties(seed: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, levels, (1, 3, 1, 40), generator=generator).float()
    target = torch.randint(0, 3, (1, 1, 40), generator=generator)
    order = torch.randperm(40, generator=generator)
    loss = build("lovasz_softmax", 3)
    torch.testing.assert_close(loss(logits[..., order], target[..., order]), loss(logits, target), rtol=1e-6, atol=0)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["lovasz_softmax", "jaccard_metric", "ml1_ace"]),
    seed=st.integers(0, 10**6),
    spread=st.floats(0, 50),
)
def test_shares_lie_between_nothing_and_all(name: str, seed: int, spread: float) -> None:
    logits, target = random_batch(seed, spread=spread)
    assert 0 <= build(name, 4)(logits, target).item() <= 1 + 1e-6


# Jaccard metric


def test_jaccard_metric_of_hard_labels_is_the_soft_jaccard_loss() -> None:
    logits, target = random_batch(10, dtype=torch.float64)
    target[target == 1] = 0
    p, valid = logits.softmax(dim=1).movedim(1, -1)[target != IGNORE], target[target != IGNORE]
    losses = []
    for c in (0, 2, 3):
        truth = (valid == c).double()
        both = (truth * p[:, c]).sum()
        losses.append(1 - both / (truth.sum() + p[:, c].sum() - both))
    assert build("jaccard_metric", 4)(logits, target).item() == pytest.approx(float(sum(losses)) / 3, rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_jaccard_metric_is_smallest_at_the_smoothed_truth(smoothing: float, dtype: torch.dtype) -> None:
    _, target = random_batch(11)
    logits = ((1 - smoothing) * certain(target, 4, 1.0).to(dtype) + smoothing / 4).log()
    loss = build("jaccard_metric", 4, smoothing=smoothing)
    assert loss(logits, target).item() == pytest.approx(0, abs=4 * torch.finfo(dtype).eps)
    generator = torch.Generator().manual_seed(0)
    for size in (1e-2, 1.0):
        away = size * torch.randn(logits.shape, generator=generator, dtype=dtype)
        assert loss(logits + away, target) > 1e-3 * size
    # where smoothing is left out of account, the optimum is elsewhere
    assert build("jaccard_metric", 4)(logits, target) > 1e-2


def test_jaccard_metric_has_no_slope_at_the_smoothed_truth() -> None:
    # Outputs of two equal logits are 1/2 exactly, which is the truth of two classes smoothed entirely.
    loss = build("jaccard_metric", 2, smoothing=1 - 2**-53)
    value, gradient = value_and_gradient(loss, torch.zeros(1, 2, 2, 2), torch.tensor([[[0, 1], [1, 0]]]))
    assert value.item() == 0
    assert gradient.abs().max() == 0


# Marginal L1 average calibration error


def outputs(*p: float) -> Tensor:
    """Logits of one image with two classes and these outputs of class 0."""
    first = torch.tensor(p, dtype=torch.float64)
    return torch.stack((first, 1 - first)).log().view(1, 2, 1, -1)


@pytest.mark.parametrize("binning", ["hard", "soft"])
@pytest.mark.parametrize("bins", [1, 5, 20])
def test_ml1_ace_of_calibrated_outputs_is_nothing(binning: str, bins: int) -> None:
    logits = outputs(0.75, 0.75, 0.75, 0.75, 0.1, 0.5, 0.5)
    target = torch.tensor([[[0, 0, 0, 1, IGNORE, 0, 1]]])
    assert build("ml1_ace", 2, bins=bins, binning=binning)(logits, target).item() == pytest.approx(0, abs=1e-12)


def test_ml1_ace_of_hard_bins_by_hand() -> None:
    # Class 0: in the upper half 0.9 (true) and 0.6 (false), a gap of |1/2 - 3/4|; in the lower 0.2 (false). Class 1: in
    # the lower half 0.1 and 0.4, as far apart; in the upper 0.8 (true).
    value = build("ml1_ace", 2, bins=2)(outputs(0.9, 0.6, 0.2, 0.3), torch.tensor([[[0, 1, 1, IGNORE]]]))
    assert value.item() == pytest.approx((0.25 + 0.2) / 2, rel=1e-12)


def test_ml1_ace_of_soft_bins_by_hand() -> None:
    # Centres 0.25 and 0.75. Class 0: 0.9 counts 1 in the upper bin, 0.6 counts 0.7 there and 0.3 in the lower one, so
    # that the gaps are |1 - (0.9 + 0.7 * 0.6)| / 1.7 and |0 - 0.6|. Class 1 is its mirror image.
    value = build("ml1_ace", 2, bins=2, binning="soft")(outputs(0.9, 0.6), torch.tensor([[[0, 1]]]))
    assert value.item() == pytest.approx((0.32 / 1.7 + 0.6) / 2, rel=1e-12)


def test_ml1_ace_takes_a_soft_bin_of_hardly_any_weight_for_empty() -> None:
    loss = build("ml1_ace", 2, bins=2, binning="soft")
    target = torch.ones(1, 1, 1, dtype=torch.int64)
    assert loss(outputs(0.2545), target).item() == pytest.approx(0.2545, rel=1e-12)  # 0.009 in the upper bin
    assert loss(outputs(0.2555), target).item() == pytest.approx(0.2555, rel=1e-12)  # 0.011, with the same gap


def test_ml1_ace_puts_the_ends_into_the_outermost_bins() -> None:
    target = torch.tensor([[[0, 1]]])
    for binning in ("hard", "soft"):
        value, gradient = value_and_gradient(build("ml1_ace", 2, binning=binning), certain(target, 2), target)
        assert value.item() == 0
        assert gradient.abs().max() == 0
        wrong = build("ml1_ace", 2, binning=binning)(certain(1 - target, 2), target)
        assert wrong.item() == pytest.approx(1)
