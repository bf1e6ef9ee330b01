"""What the papers say of single losses: limits, special cases, values by hand."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tests.support import references
from tests.support.loss_cases import IGNORE, build, numpy64, pixel, random_batch, value_and_gradient, weights_for
from tune_seg.losses import build_loss
from tune_seg.losses.max_pooling import max_pooling_weights

EXACT = ("ce", "focal", "dual_focal", "dual_focal_2021", "dual_ce", "poly1", "tao_dual_focal")


def assert_same_loss(loss: torch.nn.Module, other: torch.nn.Module, classes: int = 4) -> None:
    """Equal values and gradients, near and far from the boundary."""
    for seed, spread in ((4, 1.0), (5, 30.0), (6, 1e4)):
        logits, target = random_batch(seed, classes=classes, spread=spread)
        value, gradient = value_and_gradient(loss, logits, target)
        expected, expected_gradient = value_and_gradient(other, logits, target)
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("margin", [0.0, 0.5, 3.0, 12.0, 40.0, 90.0, 200.0])
def test_float32_agrees_far_from_the_boundary(name: str, margin: float) -> None:
    loss = build(name, 3)
    for true_class, logits in itertools.product(range(3), ([margin, 0.0, 0.25], [0.0, margin, margin])):
        value = loss(*pixel(logits, true_class)).item()
        expected = references.exact_pixel_loss(name, logits, true_class, digits=250)
        assert value == pytest.approx(expected, rel=1e-6, abs=2e-7), (true_class, logits)


@pytest.mark.parametrize("true_class", [0, 1, 2])
def test_dual_focal_is_exact_at_ten_thousand(true_class: int) -> None:
    near = [150.0, -150.0, 100.0]
    assert references.far_dual_focal(near, true_class) == pytest.approx(
        references.exact_pixel_loss("dual_focal", near, true_class, 400), rel=1e-12, abs=1e-15
    )
    for logits in ([1e4, -1e4, -1e4], [1e4, 1e4, -1e4], [-1e4, 1e4, 0.0]):
        value = build("dual_focal", 3)(*pixel(logits, true_class)).item()
        assert value == pytest.approx(references.far_dual_focal(logits, true_class), rel=1e-6)


@pytest.mark.parametrize("name", ["focal", "dual_focal", "dual_focal_2021", "poly1", "tao_dual_focal"])
@pytest.mark.parametrize("margin", [1.0, 4.0, 8.0, 12.0, 16.0, 25.0, 30.0])
def test_a_sure_and_right_prediction_keeps_its_digits(name: str, margin: float) -> None:
    logits = [margin, 0.0, -1.0]
    value = build(name, 3)(*pixel(logits, 0)).item()
    # The gamma-th power of a rounding error is gamma such errors.
    assert value == pytest.approx(references.exact_pixel_loss(name, logits, 0, 250), rel=2e-6, abs=1e-37)


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


def test_focal_without_focus_is_cross_entropy() -> None:
    assert_same_loss(build("focal", 4, gamma=0.0), build("ce", 4))


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_torchs(weighted: bool, device: torch.device) -> None:
    logits, target = (tensor.to(device) for tensor in random_batch(5))
    weights = torch.tensor(weights_for(4), device=device) if weighted else None
    expected = F.cross_entropy(logits, target, weight=weights, ignore_index=IGNORE)
    torch.testing.assert_close(build("wce" if weighted else "ce", 4).to(device)(logits, target), expected)


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


def test_pixels_of_weight_zero_only() -> None:
    loss = build_loss("wce", num_classes=2, class_weights=[0.0, 1.0])
    value, gradient = value_and_gradient(loss, torch.randn(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64))
    assert value.item() == 0
    assert gradient.abs().max() == 0


# Dual losses


def test_dual_focal_2021_without_its_new_terms_is_cross_entropy() -> None:
    assert_same_loss(build("dual_focal_2021", 4, alpha=0.0, beta=0.0), build("ce", 4))


def test_dual_focal_2021_by_hand() -> None:
    # p = (1/2, 1/4, 1/4), class 0: log 2 - 2 log(3/4) + (1/2 + 1/4 + 1/4), and with gamma 2: 1/4 + 1/16 + 1/16.
    logits, target = pixel([math.log(2), 0.0, 0.0], 0)
    logarithms = math.log(2) - 2 * math.log(0.75)
    assert build("dual_focal_2021", 3)(logits, target).item() == pytest.approx(logarithms + 1)
    assert build("dual_focal_2021", 3, gamma=2.0)(logits, target).item() == pytest.approx(logarithms + 0.375)
    bounded = build("dual_focal_2021", 3, rho=2.0, alpha=0.0)(logits, target).item()
    assert bounded == pytest.approx(math.log(2) - 2 * math.log(1.75))


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("true_class", [0, 1])
def test_dual_focal_2021_gradient_is_finite_where_an_output_is_1(gamma: float, true_class: int) -> None:
    _, gradient = value_and_gradient(build("dual_focal_2021", 3, gamma=gamma), *pixel([200.0, 0.0, 0.0], true_class))
    assert torch.isfinite(gradient).all()
    if true_class == 0:  # 1 - p_y is 2 exp(-200), no power of which below 1/5 leaves float32
        slope = gamma * math.exp(gamma * (math.log(2) - 200))
        assert gradient.flatten().tolist() == pytest.approx([-slope, slope / 2, slope / 2], rel=1e-4, abs=1e-30)


def test_dual_ce_by_hand() -> None:
    logits, target = pixel([math.log(2), 0.0, 0.0], 0)
    value = build("dual_ce", 3, alpha=1.5, beta=3.0)(logits, target).item()
    assert value == pytest.approx(math.log(2) + 3 * 2 * math.log(1.75))


# Sigmoid losses


def test_sigmoid_ce_of_two_classes_is_cross_entropy() -> None:
    assert_same_loss(build("sigmoid_ce", 2), build("ce", 2), classes=2)


def test_sigmoid_ce_of_one_output_is_torchs() -> None:
    logits, target = random_batch(20, classes=1)
    target[:, 2:] = 1
    valid = target != IGNORE
    expected = F.binary_cross_entropy_with_logits(logits[:, 0][valid], target[valid].float())
    torch.testing.assert_close(build("sigmoid_ce", 1)(logits, target), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("classes", [1, 2])
def test_sigmoid_focal_is_torchvisions(gamma: float, classes: int) -> None:
    logits, target = random_batch(21, classes=classes)
    target[:, 2:] = 1
    valid = target != IGNORE
    output = logits[:, 0] if classes == 1 else logits[:, 1] - logits[:, 0]
    expected = torchvision.ops.sigmoid_focal_loss(
        output[valid], target[valid].float(), alpha=0.3, gamma=gamma, reduction="mean"
    )
    torch.testing.assert_close(build("sigmoid_focal", classes, gamma=gamma, alpha=0.3)(logits, target), expected)


@pytest.mark.parametrize("gamma", [0.1, 0.9, 2.0])
def test_sigmoid_focal_gradient_is_finite_at_a_perfect_prediction(gamma: float) -> None:
    _, gradient = value_and_gradient(build("sigmoid_focal", 1, gamma=gamma), *pixel([500.0], 1))
    assert gradient.abs().max() == 0


# Max pooling


@settings(max_examples=25, deadline=None)
@given(
    losses=st.lists(st.floats(0.05, 20.0), min_size=2, max_size=8),
    p=st.floats(1.2, 4.0),
    m=st.floats(0.1, 1.0),
)
def test_max_pooling_agrees_with_a_convex_solver(losses: list[float], p: float, m: float) -> None:
    values = np.array(losses)
    n, q = len(values), p / (p - 1)
    radius, cap = n ** (-1 / q), n ** (-1 / q) * (m * n) ** (-1 / p)
    scale = values.max()
    solved = minimize(
        lambda w: -(w * values).sum() / scale,
        np.full(n, 0.5 * min(cap, 1 / n)),
        jac=lambda w: -values / scale,
        bounds=[(0, cap)] * n,
        constraints={
            "type": "ineq",
            "fun": lambda w: 1 - ((np.abs(w) / radius) ** p).sum(),
            "jac": lambda w: -p * (np.abs(w) / radius) ** (p - 1) / radius,
        },
        method="SLSQP",
        options={"maxiter": 2000, "ftol": 1e-14},
    )
    tensor = torch.tensor(losses, dtype=torch.float64)
    weights = max_pooling_weights(tensor, torch.ones(n, dtype=torch.bool), p=p, m=m).numpy()
    assert (weights**p).sum() <= radius**p * (1 + 1e-9)
    assert weights.max() <= cap * (1 + 1e-9)
    assert weights.min() >= 0
    assert (weights * values).sum() == pytest.approx((solved.x * values).sum(), rel=1e-5)
    assert (weights * values).sum() >= (solved.x * values).sum() * (1 - 1e-7)


def test_max_pooling_over_all_pixels_is_the_mean() -> None:
    assert_same_loss(build("ce_max_pool", 4, m=1.0), build("ce", 4))


@pytest.mark.parametrize("p", [1.001, 1.01, 1.3, 50.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_max_pooling_over_all_pixels_is_the_mean_where_losses_are_equal(p: float, dtype: torch.dtype) -> None:
    # What is left of the sum, divided by how many are left, can round to just below their common loss.
    for high, low in itertools.product((1, 2, 4), (6, 20, 47, 50)):
        losses = torch.tensor([0.7] * high + [0.1] * low, dtype=dtype)
        weights = max_pooling_weights(losses, torch.ones(len(losses), dtype=torch.bool), p=p, m=1.0)
        torch.testing.assert_close((weights * losses).sum(), losses.mean(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("p", [1.001, 1.02, 1.1, 1.3, 3.0])
@pytest.mark.parametrize("m", [0.1, 0.5, 0.9])
def test_max_pooling_spends_the_whole_norm_on_losses_of_any_size(p: float, m: float) -> None:
    # For p near 1 the powers of these losses span more than a float; the norm is used up as long as n > m n.
    losses = torch.cat([torch.linspace(4, 6, 50), torch.linspace(0.01, 0.1, 950)]).double()
    weights = max_pooling_weights(losses, torch.ones(1000, dtype=torch.bool), p=p, m=m)
    q = p / (p - 1)
    assert (weights**p).sum().item() == pytest.approx(1000 ** (-p / q), rel=1e-9)
    assert weights.max().item() <= 1000 ** (-1 / q) * (m * 1000) ** (-1 / p) * (1 + 1e-9)
    # Hölder's equality below the bound: the weights follow the losses to the power q - 1.
    free = weights < weights.max() * (1 - 1e-9)
    ratio = weights[free].log() - (q - 1) * losses[free].log()
    assert (ratio - ratio[-1])[weights[free] > 1e-300].abs().max().item() < 1e-6 * q


def test_max_pooling_of_fewer_mistakes_than_pixels_that_are_given_weight() -> None:
    # Two losses above 0 among ten, of which at least half are given weight: both have the largest weight allowed.
    losses = torch.tensor([0.0] * 8 + [2.0, 3.0])
    weights = max_pooling_weights(losses, torch.ones(10, dtype=torch.bool), p=2.0, m=0.5)
    torch.testing.assert_close(weights, torch.tensor([0.0] * 8 + [10**-0.5 * 5**-0.5] * 2))


def test_max_pooling_gradient_is_that_of_its_weights() -> None:
    logits, target = random_batch(22)
    losses = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
    weights = max_pooling_weights(losses, target != IGNORE, p=1.3, m=0.1)
    truth = F.one_hot(target.where(target != IGNORE, 0), 4).permute(0, 3, 1, 2)
    _, gradient = value_and_gradient(build("ce_max_pool", 4), logits, target)
    torch.testing.assert_close(gradient, weights.unsqueeze(1) * (logits.softmax(dim=1) - truth))


# Cross entropy's relatives


def test_poly1_without_its_term_is_cross_entropy() -> None:
    assert_same_loss(build("poly1", 4, epsilon=0.0), build("ce", 4))


def test_logit_adjustment_of_nothing_is_cross_entropy() -> None:
    assert_same_loss(build("logit_adjusted_ce", 4, tau=0.0), build("ce", 4))


def test_logit_adjustment_takes_a_class_without_pixels_for_as_rare_as_the_rarest() -> None:
    logits, target = random_batch(23)
    unseen = build_loss("logit_adjusted_ce", num_classes=4, class_weights=[0.5, 1.0, 2.0, 0.0])
    rare = build_loss("logit_adjusted_ce", num_classes=4, class_weights=[0.5, 1.0, 2.0, 2.0])
    assert torch.equal(unseen(logits, target), rare(logits, target))


def test_recall_loss_is_cross_entropy_where_nothing_is_found_and_0_where_all_is() -> None:
    logits, target = random_batch(24)
    index = target.where(target != IGNORE, 0).unsqueeze(1)
    missed = logits.scatter(1, index, -20.0)
    torch.testing.assert_close(build("recall_ce", 4)(missed, target), build("ce", 4)(missed, target))
    assert build("recall_ce", 4)(logits.scatter(1, index, 20.0), target).item() == 0


def test_recall_loss_by_hand() -> None:
    # Of class 0 one pixel of three is found, of class 1 the only one: the pixels of class 0 weigh 2/3, that of 1 nothing.
    logits = torch.tensor([[2.0, -1.0, -1.0, -3.0], [0.0, 0.0, 0.0, 0.0]]).view(1, 2, 2, 2)
    target = torch.tensor([[[0, 0], [0, 1]]])
    surprise = [math.log(1 + math.exp(-x)) for x in (2.0, -1.0, -1.0)]
    assert build("recall_ce", 2)(logits, target).item() == pytest.approx(sum(surprise) * 2 / 3 / 4)


@pytest.mark.parametrize(("name", "params"), [("margin_ls", {"penalty": 0.0}), ("margin_ls", {"margin": 1e6})])
def test_margin_smoothing_within_its_margin_is_cross_entropy(name: str, params: dict[str, float]) -> None:
    assert_same_loss(build(name, 4, **params), build("ce", 4))


def test_margin_smoothing_by_hand() -> None:
    # Distances 0, 3 and 5, of which 2 are free: 1 + 3 over; the largest logit carries the slope of both.
    logits, target = pixel([5.0, 2.0, 0.0], 0)
    value, gradient = value_and_gradient(build("margin_ls", 3, margin=2.0, penalty=0.25), logits, target)
    plain, plain_gradient = value_and_gradient(build("ce", 3), logits, target)
    assert (value - plain).item() == pytest.approx(1.0)
    assert (gradient - plain_gradient).flatten().tolist() == pytest.approx([0.5, -0.25, -0.25])


def test_neighbours_without_penalty_are_cross_entropy() -> None:
    assert_same_loss(build("nacl", 4, penalty=0.0), build("ce", 4))


def test_neighbours_by_hand() -> None:
    # Around the middle of a row of 3: classes 0, 1 and an ignored pixel, so that the shares are 1/2 and 1/2.
    logits = torch.zeros(1, 2, 1, 3)
    logits[0, :, 0, 1] = torch.tensor([2.0, -1.0])
    target = torch.tensor([[[0, 1, IGNORE]]])
    expected = math.log(2) + math.log(1 + math.exp(3)) + 0.5 * (1.0 + (1.5 + 1.5))
    assert build("nacl", 2, penalty=0.5)(logits, target).item() == pytest.approx(expected / 2)


@pytest.mark.parametrize("radius", [1, 8])
def test_neighbours_count_in_bytes_as_in_whole_numbers(radius: int) -> None:
    # A window of 17 pixels a side holds more than a byte counts.
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 20, 20, generator=generator)
    target = torch.zeros(1, 20, 20, dtype=torch.int64)
    distance = (torch.tensor([1.0, 0.0]).view(1, 2, 1, 1) - logits).abs().sum(dim=1).mean()
    expected = build("ce", 2)(logits, target) + 0.1 * distance
    torch.testing.assert_close(build("nacl", 2, radius=radius)(logits, target), expected)


def test_tao_dual_focal_without_focus_is_cross_entropy() -> None:
    assert_same_loss(build("tao_dual_focal", 4, gamma=0.0), build("ce", 4))


def test_tao_dual_focal_is_not_hossains() -> None:
    # p = (1/2, 1/4, 1/4): -(1 - 1/2 + 1/4)^gamma log(1/2); of class 1, with no output below its own, -(3/4)^gamma log(1/4).
    for true_class, p_true in ((0, 0.5), (1, 0.25)):
        logits, target = pixel([math.log(2), 0.0, 0.0], true_class)
        value = build("tao_dual_focal", 3, gamma=3.0)(logits, target).item()
        assert value == pytest.approx(-(0.75**3) * math.log(p_true))
        assert value != pytest.approx(build("dual_focal", 3)(logits, target).item())
