"""What holds for every loss: agreement with its formula, invariances, and the extremes of its input."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.support import references
from tests.support.loss_cases import (
    CASES,
    IGNORE,
    Case,
    build,
    numpy64,
    params_for,
    random_batch,
    reference,
    value_and_gradient,
    weights_for,
)
from tune_seg.errors import InputError
from tune_seg.losses import LOSSES, build_loss

each_case = pytest.mark.parametrize("case", CASES, ids=str)
shifting_case = pytest.mark.parametrize("case", [case for case in CASES if case.shift], ids=str)


def test_every_loss_has_a_case() -> None:
    assert {case.name for case in CASES} == set(LOSSES)


# Agreement with the formulas


@each_case
@pytest.mark.parametrize(("classes", "spread"), [(2, 1.0), (3, 4.0), (7, 0.01), (12, 2.0)])
def test_float32_agrees_with_the_formula(case: Case, classes: int, spread: float, device: torch.device) -> None:
    classes = case.classes(classes)
    for seed in range(3):
        logits, target = random_batch(seed, classes=classes, spread=spread)
        value = build(case, classes).to(device)(logits.to(device), target.to(device))
        assert value.dtype == torch.float32
        assert value.ndim == 0
        assert value.item() == pytest.approx(reference(case, numpy64(logits), target.numpy()), rel=1e-6, abs=1e-7)


@each_case
def test_float64_agrees_with_the_formula(case: Case, device: torch.device) -> None:
    classes = case.classes(5)
    logits, target = random_batch(1, classes=classes, dtype=torch.float64)
    value = build(case, classes).to(device)(logits.to(device), target.to(device))
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(reference(case, logits.numpy(), target.numpy()), rel=1e-11)


@each_case
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 6),
    level=st.floats(-30, 30),
    sure=st.floats(0, 12),
    wrong=st.booleans(),
)
def test_agrees_with_the_formula_on_any_input(
    case: Case, seed: int, classes: int, level: float, sure: float, wrong: bool
) -> None:
    # Sure predictions, right or wrong, of logits that may all be large: what rounds worst.
    classes = case.classes(classes)
    logits, target = random_batch(seed, classes=classes, spread=0.5)
    towards = target.masked_fill(target == IGNORE, 0)
    towards = (towards + 1) % classes if wrong else towards
    logits = logits.scatter_add(1, towards.unsqueeze(1), torch.full((2, 1, 4, 3), sure)) + level
    assert build(case, classes)(logits, target).item() == pytest.approx(
        reference(case, numpy64(logits), target.numpy()), rel=1e-6, abs=1e-6
    )


# Gradients


@each_case
@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_gradcheck(case: Case, classes: int, device: torch.device) -> None:
    classes = case.classes(classes)
    loss = build(case, classes).to(device)
    for spread in (0.5, 8.0):
        logits, target = random_batch(6, classes=classes, spread=spread, dtype=torch.float64)
        if case.smooth:
            logits[0, :, 1, 1] = 0.0  # every class ties
            logits[0, :2, 2, 2] = logits[0].max() + 1  # the two largest tie
        logits, target = logits.to(device).requires_grad_(), target.to(device)
        assert torch.autograd.gradcheck(loss, (logits, target))


@each_case
def test_gradient_is_the_slope_of_the_formula(case: Case, device: torch.device) -> None:
    classes = case.classes(4)
    logits, target = random_batch(7, classes=classes)
    _, gradient = value_and_gradient(build(case, classes).to(device), logits.to(device), target.to(device))
    labels = target.numpy()
    slope = references.numeric_gradient(lambda values: reference(case, values, labels), numpy64(logits))
    np.testing.assert_allclose(numpy64(gradient), slope, rtol=1e-5, atol=1e-7)


@each_case
def test_gradient_can_be_taken_twice_from_one_graph_and_scales(case: Case) -> None:
    classes = case.classes(4)
    logits, target = random_batch(8, classes=classes)
    logits.requires_grad_()
    value = build(case, classes)(logits, target)
    (first,) = torch.autograd.grad(value, logits, retain_graph=True)
    (second,) = torch.autograd.grad(3 * value, logits)
    torch.testing.assert_close(second, 3 * first)


# The weights of max pooling carry no gradient, so that its derivative is not that of its value twice.
@pytest.mark.parametrize("case", [case for case in CASES if case.name != "ce_max_pool"], ids=str)
def test_a_second_derivative_is_right_or_refused(case: Case) -> None:
    # A gradient that was kept would pass for a constant, and a penalty on it for one without an effect.
    classes = case.classes(4)
    logits, target = random_batch(8, classes=classes, dtype=torch.float64)
    loss = build(case, classes)
    try:
        assert torch.autograd.gradgradcheck(loss, (logits.requires_grad_(), target))
    except RuntimeError as error:
        assert "differentiated once only" in str(error)


# Invariances


@shifting_case
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.integers(-64, 64))
def test_adding_a_constant_to_all_logits_changes_nothing(case: Case, seed: int, shift: int) -> None:
    classes = case.classes(4)
    logits, target = random_batch(seed, classes=classes, dtype=torch.float64)
    loss = build(case, classes)
    torch.testing.assert_close(loss(logits + shift, target), loss(logits, target), rtol=1e-10, atol=1e-12)


@shifting_case
def test_a_large_constant_costs_no_digits(case: Case) -> None:
    # Multiples of 1/64, of which float32 holds every one below 2^17.
    classes = case.classes(4)
    logits, target = random_batch(19, classes=classes, spread=4.0)
    logits = (logits * 64).round() / 64
    value, gradient = value_and_gradient(build(case, classes), logits, target)
    shifted_value, shifted_gradient = value_and_gradient(build(case, classes), logits + 1e4, target)
    torch.testing.assert_close(shifted_value, value, rtol=1e-6, atol=0)
    torch.testing.assert_close(shifted_gradient, gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("case", [case for case in CASES if case.max_classes is None], ids=str)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)))
def test_renaming_the_classes_changes_nothing(case: Case, seed: int, order: list[int]) -> None:
    logits, target = random_batch(seed)
    renamed = target.clone()
    for new, old in enumerate(order):
        renamed[target == old] = new
    weights = torch.tensor(weights_for(4))
    params = params_for(case, 4)
    renamed_params: dict[str, Any] = {
        key: [value[old] for old in order] if isinstance(value, list) else value for key, value in params.items()
    }
    if case.name == "unified_focal":
        renamed_params["background"] = order.index(params.get("background", 0))
    value = build_loss(case.name, num_classes=4, class_weights=weights, **params)(logits, target)
    other = build_loss(case.name, num_classes=4, class_weights=weights[order], **renamed_params)(logits[:, order], renamed)
    torch.testing.assert_close(other, value, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("case", [case for case in CASES if case.parts is not None], ids=str)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 4))
def test_a_batch_is_the_weighted_mean_of_its_parts(case: Case, seed: int, cut: int) -> None:
    classes = case.classes(4)
    logits, target = random_batch(seed, classes=classes, images=5, dtype=torch.float64)
    target[2] = IGNORE
    loss = build(case, classes)

    def mass(labels: Tensor) -> float:
        if case.parts == "images":
            return float((labels != IGNORE).any(dim=2).any(dim=1).sum())
        per_class = torch.tensor(weights_for(classes) if case.parts == "weights" else [1.0] * classes)
        return per_class[labels[labels != IGNORE]].sum().item()

    parts = [(logits[:cut], target[:cut]), (logits[cut:], target[cut:])]
    combined = sum(mass(labels) * loss(part, labels) for part, labels in parts) / mass(target)
    torch.testing.assert_close(combined, loss(logits, target), rtol=1e-10, atol=1e-12)


@each_case
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), ignore=st.sampled_from([255, -100, 0]))
def test_ignored_pixels_count_nowhere(case: Case, seed: int, ignore: int) -> None:
    classes = case.classes(4)
    logits, target = random_batch(seed, classes=classes)
    target[target == IGNORE] = ignore
    target[:, 3, 0] = 1
    loss = build_loss(
        case.name,
        num_classes=classes,
        class_weights=weights_for(classes),
        ignore_index=ignore,
        **params_for(case, classes),
    )
    value, gradient = value_and_gradient(loss, logits, target)
    ignored = (target == ignore).unsqueeze(1).expand_as(logits)
    assert gradient[ignored].abs().sum() == 0
    disturbed = torch.where(ignored, -7 * logits + 50, logits)
    torch.testing.assert_close(loss(disturbed, target), value, rtol=0, atol=0)


@each_case
def test_memory_layout_and_size_of_the_batch_change_nothing(case: Case) -> None:
    # Large enough that the losses that work in blocks take several.
    classes = case.classes(4)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, classes, 400, 400, generator=generator)
    target = torch.randint(0, classes, (3, 400, 400), generator=generator)
    loss = build(case, classes)
    value, gradient = value_and_gradient(loss, logits, target)
    value_last, gradient_last = value_and_gradient(loss, logits.to(memory_format=torch.channels_last), target)
    value64, gradient64 = value_and_gradient(loss, logits.double(), target)
    torch.testing.assert_close(value_last, value, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient_last, gradient, rtol=1e-5, atol=1e-11)
    torch.testing.assert_close(value.double(), value64, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient.double(), gradient64, rtol=1e-4, atol=1e-11)


@pytest.fixture
def compiler() -> Iterator[None]:
    yield
    torch.compiler.reset()


@pytest.mark.long("compiled losses")
@each_case
def test_compiled_it_is_the_same(case: Case, compiler: None) -> None:
    classes = case.classes(4)
    logits, target = random_batch(17, classes=classes)
    loss = build(case, classes)
    value, gradient = value_and_gradient(loss, logits, target)
    # The fused losses are left out of the compiled program; what stands around them is in it.
    compiled = cast(nn.Module, torch.compile(loss, backend="aot_eager"))  # the compiler's front ends, without a C++ compiler
    compiled_value, compiled_gradient = value_and_gradient(compiled, logits, target)
    torch.testing.assert_close(compiled_value, value, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(compiled_gradient, gradient, rtol=1e-5, atol=1e-7)


# Extremes


@each_case
@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_logits_of_ten_thousand_are_finite(case: Case, classes: int, dtype: torch.dtype, device: torch.device) -> None:
    classes = case.classes(classes)
    generator = torch.Generator().manual_seed(0)
    choices = torch.tensor([-1e4, 0.0, 1e4])
    logits = choices[torch.randint(0, 3, (3, classes, 8, 8), generator=generator)].to(dtype).to(device)
    target = torch.randint(0, classes, (3, 8, 8), generator=generator)
    target[0, :2] = IGNORE
    with torch.autocast(device.type, dtype=torch.bfloat16):
        value, gradient = value_and_gradient(build(case, classes).to(device), logits, target.to(device))
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@each_case
@pytest.mark.parametrize("classes", [1, 4])
def test_an_empty_batch(case: Case, classes: int, device: torch.device) -> None:
    classes = case.classes(classes)
    logits = torch.zeros(0, classes, 4, 3, device=device)
    target = torch.zeros(0, 4, 3, dtype=torch.int64, device=device)
    value, gradient = value_and_gradient(build(case, classes).to(device), logits, target)
    assert value.item() == 0
    assert gradient.shape == logits.shape


@each_case
def test_images_without_pixels(case: Case) -> None:
    classes = case.classes(4)
    logits, target = torch.zeros(2, classes, 3, 0), torch.zeros(2, 3, 0, dtype=torch.int64)
    assert build(case, classes)(logits, target).item() == 0


@each_case
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(case: Case, dtype: torch.dtype, device: torch.device) -> None:
    classes = case.classes(4)
    logits, target = random_batch(9, classes=classes)
    logits = logits.to(dtype)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        value = build(case, classes).to(device)(logits.to(device), target.to(device))
    assert value.item() == pytest.approx(reference(case, numpy64(logits), target.numpy()), rel=1e-6, abs=1e-7)


@each_case
@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_all_pixels_ignored(case: Case, classes: int, spread: float, device: torch.device) -> None:
    classes = case.classes(classes)
    logits, target = random_batch(10, classes=classes, spread=spread)
    loss = build(case, classes).to(device)
    value, gradient = value_and_gradient(loss, logits.to(device), torch.full_like(target, IGNORE).to(device))
    assert value.item() == 0
    assert gradient.abs().max() == 0


@each_case
def test_a_class_that_never_occurs(case: Case, device: torch.device) -> None:
    classes = case.classes(6)
    logits, target = random_batch(11, classes=classes)
    target[(target == 5) | (target == 2) | (target == 1)] = 0
    value, gradient = value_and_gradient(build(case, classes).to(device), logits.to(device), target.to(device))
    assert value.item() == pytest.approx(reference(case, numpy64(logits), target.numpy()), rel=1e-6)
    assert torch.isfinite(gradient).all()


@each_case
def test_a_single_class(case: Case, device: torch.device) -> None:
    logits, target = random_batch(12, classes=1)
    value, gradient = value_and_gradient(build(case, 1).to(device), logits.to(device), target.to(device))
    assert value.item() == pytest.approx(reference(case, numpy64(logits), target.numpy()), rel=1e-6, abs=1e-7)
    if case.shift and case.max_classes is None:  # the softmax of one logit is 1
        assert gradient.abs().max() == 0


@each_case
def test_the_loss_keeps_the_logits_as_they_are(case: Case) -> None:
    classes = case.classes(4)
    logits, target = random_batch(13, classes=classes)
    logits_before, target_before = logits.clone(), target.clone()
    value_and_gradient(build(case, classes), logits, target)
    assert torch.equal(logits, logits_before)
    assert torch.equal(target, target_before)


@each_case
def test_a_loss_refuses_shapes_that_do_not_fit(case: Case) -> None:
    loss = build(case, 2)
    with pytest.raises(InputError, match=r"\(1, 3, 4, 4\)"):
        loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
    with pytest.raises(InputError, match=r"\(1, 4, 5\)"):
        loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 5, dtype=torch.int64))


# What the catalogue says of it


@pytest.mark.parametrize("name", [name for name, spec in LOSSES.items() if spec.family != "calibration"])
def test_a_proper_scoring_rule_is_best_at_the_true_probabilities(name: str) -> None:
    # 32 pixels with one output p, of whose labels each class has the share p_c: the loss's expectation at the truth.
    # Its slope is 0 for all such p if and only if the rule is proper.
    steepest = 0.0
    spec = LOSSES[name]
    classes = spec.max_classes or 3
    params: dict[str, Any] = {"margin": 0.5} if name == "margin_ls" else {}
    for counts in ([16, 8, 8], [24, 4, 4], [2, 10, 20], [30, 1, 1]):
        if classes == 2:
            counts = [counts[0], counts[1] + counts[2]]
        target = torch.repeat_interleave(torch.arange(classes), torch.tensor(counts)).view(1, 4, 8)
        logits = (torch.tensor(counts, dtype=torch.float64) / 32).log().view(1, classes, 1, 1).requires_grad_()
        loss = build_loss(name, num_classes=classes, class_weights=weights_for(classes), **params)
        (slope,) = torch.autograd.grad(loss(logits.expand(1, classes, 4, 8), target), logits)
        steepest = max(steepest, slope.abs().max().item())
    assert (steepest < 1e-12) == spec.proper
    assert spec.proper or steepest > 1e-4
