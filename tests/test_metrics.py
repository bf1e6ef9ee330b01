"""The metrics against independent numpy, against scikit-learn, by hand, and at their edges."""

import math
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support import references
from tune_seg.boundary import BoundaryMetrics
from tune_seg.errors import InputError
from tune_seg.metric_names import CATALOGUE, METRICS, RECORDED
from tune_seg.metrics import SegmentationMetrics, with_calibration

IGNORE = 255


def random_batch(seed: int, *, classes: int = 5, spread: float = 2.0, signal: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits that lean towards the target; some pixels are ignored."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, classes, (4, 8, 7), generator=generator)
    logits = torch.randn(4, classes, 8, 7, generator=generator) * spread
    logits.scatter_add_(1, target.unsqueeze(1), torch.full((4, 1, 8, 7), signal))
    target[torch.rand(target.shape, generator=generator) < 0.2] = IGNORE
    return logits, target


def measure(logits: Tensor, target: Tensor, **arguments: Any) -> dict[str, Any]:
    metrics = SegmentationMetrics(logits.shape[1], **arguments)
    metrics.update(logits, target)
    return metrics.compute()


def measure_groups(logits: Tensor, target: Tensor, groups: list[int], **arguments: Any) -> dict[str, Any]:
    metrics = SegmentationMetrics(logits.shape[1], num_groups=max(groups) + 1, **arguments)
    metrics.update(logits, target, torch.tensor(groups, device=logits.device))
    return metrics.compute()


def expected_groups(
    logits: Tensor, target: Tensor, groups: list[int], ignore: int = IGNORE, background: int | None = None
) -> dict[str, float]:
    predicted = logits.argmax(dim=1).cpu().numpy()
    return references.group_metrics(predicted, target.cpu().numpy(), groups, ignore, logits.shape[1], background)


def expected_metrics(
    logits: Tensor, target: Tensor, bins: int = 10, background: int | None = None
) -> dict[str, float | list[float]]:
    outputs = logits.softmax(dim=1, dtype=torch.float32).cpu().numpy()
    return references.metrics(logits.double().cpu().numpy(), outputs, target.cpu().numpy(), IGNORE, bins, background)


def pixel(probabilities: list[float]) -> Tensor:
    """Logits (1, C, 1, 1) with this softmax."""
    return torch.tensor(probabilities).log().view(1, -1, 1, 1)


def assert_same(actual: dict[str, Any], expected: dict[str, Any], **tolerance: float) -> None:
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        # the logarithms are taken in float32
        allowed = {"rel": 1e-6, "abs": 1e-6} if key == "nll" else tolerance
        assert actual[key] == pytest.approx(value, nan_ok=True, **allowed), key


def test_the_catalogue_names_the_metrics_that_are_one_number_and_which_way_is_better() -> None:
    target = torch.arange(5).repeat(2, 3, 1)
    right = torch.nn.functional.one_hot(target, 5).movedim(3, 1) * 50.0
    # each class is predicted as the next one
    good, bad = (measure_groups(logits, target, [0, 1]) for logits in (right, right.roll(1, dims=1)))
    outlines = [BoundaryMetrics(5), BoundaryMetrics(5)]
    for each, found, logits in zip(outlines, (good, bad), (right, right.roll(1, dims=1)), strict=True):
        each.update(logits, target)
        found |= each.compute()
    assert set(CATALOGUE) == {name for name, value in good.items() if not isinstance(value, list)}
    assert set(CATALOGUE) == {*METRICS, *RECORDED}
    for name, metric in CATALOGUE.items():
        assert good[name] > bad[name] if metric.maximise else good[name] < bad[name], name


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(1, 8),
    signal=st.sampled_from([-3.0, 0.0, 2.0, 6.0]),
    bins=st.sampled_from([1, 10, 15]),
    with_background=st.booleans(),
)
def test_agrees_with_numpy(seed: int, classes: int, signal: float, bins: int, with_background: bool) -> None:
    logits, target = random_batch(seed, classes=classes, signal=signal)
    background = 0 if with_background and classes > 1 else None
    actual = measure(logits, target, num_bins=bins, background=background)
    assert_same(actual, expected_metrics(logits, target, bins=bins, background=background), abs=1e-9)


def test_agrees_with_numpy_on_every_device(device: torch.device) -> None:
    logits, target = random_batch(1)
    logits, target = logits.to(device), target.to(device)
    assert_same(measure(logits, target), expected_metrics(logits, target), abs=1e-9)


@pytest.mark.parametrize("classes", [2, 5])
def test_agrees_with_scikit_learn(classes: int, device: torch.device) -> None:
    logits, target = random_batch(2, classes=classes)
    metrics = SegmentationMetrics(classes)
    metrics.update(logits.to(device), target.to(device))
    valid = target != IGNORE
    truth, prediction = target[valid].numpy(), logits.argmax(dim=1)[valid].numpy()
    np.testing.assert_array_equal(metrics.confusion.cpu().numpy(), sklearn.metrics.confusion_matrix(truth, prediction))
    computed = metrics.compute()
    for key, function in (
        ("recall", sklearn.metrics.recall_score),
        ("f1", sklearn.metrics.f1_score),
        ("miou", sklearn.metrics.jaccard_score),
    ):
        assert computed[key] == pytest.approx(function(truth, prediction, average="macro")), key
    assert computed["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(truth, prediction))
    precision = sklearn.metrics.precision_score(truth, prediction, average=None)
    assert computed["class_precision"] == pytest.approx(list(precision))
    outputs = logits.softmax(dim=1).movedim(1, -1)[valid].double().numpy()
    outputs /= outputs.sum(axis=1, keepdims=True)
    assert computed["nll"] == pytest.approx(sklearn.metrics.log_loss(truth, outputs))
    if classes == 2:  # of which scikit-learn counts one
        assert computed["brier"] == pytest.approx(2 * sklearn.metrics.brier_score_loss(truth, outputs[:, 1]))


# Derandomised: torch's softmax differs in the last bit with a pixel's place in the batch, which may cross a bin's edge.
@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 4), max_size=3).map(sorted))
def test_in_pieces_is_as_all_at_once(seed: int, cuts: list[int]) -> None:
    logits, target = random_batch(seed)
    metrics = SegmentationMetrics(5)
    for start, stop in zip([0, *cuts], [*cuts, 4], strict=True):
        metrics.update(logits[start:stop], target[start:stop])
    assert_same(metrics.compute(), measure(logits, target), rel=1e-8)


def test_large_batches_are_measured_in_pieces_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, 300, 300, generator=generator)
    target = torch.randint(0, 4, (5, 300, 300), generator=generator)
    target[:, :9] = IGNORE
    sizes = []
    softmax = Tensor.softmax

    def recorded(scores: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        sizes.append(scores.numel())
        return softmax(scores, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "softmax", recorded)
        actual = measure(logits, target)
    assert sum(sizes) == logits.numel()
    assert max(sizes) <= 2**17
    assert_same(actual, expected_metrics(logits, target), rel=1e-6)


def test_an_empty_batch_adds_nothing(device: torch.device) -> None:
    logits, target = random_batch(10)
    metrics = SegmentationMetrics(5)
    metrics.update(logits.to(device), target.to(device))
    before = metrics.compute()
    metrics.update(logits[:0].to(device), target[:0].to(device))
    assert_same(metrics.compute(), before)


def test_the_numbers_of_classes_and_bins_may_be_numpys() -> None:
    logits, target = random_batch(11)
    metrics = SegmentationMetrics(np.int64(5), num_bins=np.int64(7))
    metrics.update(logits, target)
    assert_same(metrics.compute(), measure(logits, target, num_bins=7))


def test_reset_forgets(device: torch.device) -> None:
    metrics = SegmentationMetrics(5)
    for seed in (3, 4):
        metrics.reset()
        logits, target = (tensor.to(device) for tensor in random_batch(seed))
        metrics.update(logits, target)
    assert_same(metrics.compute(), measure(logits, target))


def test_compute_changes_nothing() -> None:
    logits, target = random_batch(5)
    metrics = SegmentationMetrics(5)
    metrics.update(logits, target)
    assert_same(metrics.compute(), metrics.compute())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), ignore=st.sampled_from([255, -1, 0]))
def test_ignored_pixels_count_nowhere(seed: int, ignore: int) -> None:
    logits, target = random_batch(seed)
    target[target == IGNORE] = ignore
    target[0, 0, 0] = 1
    disturbed = torch.where((target == ignore).unsqueeze(1), -5 * logits, logits)
    assert_same(measure(disturbed, target, ignore_index=ignore), measure(logits, target, ignore_index=ignore))


def test_by_hand() -> None:
    # Two pixels of class 0, one of them called 1; one pixel of class 1, found.
    logits = torch.cat([pixel([0.85, 0.15]), pixel([0.35, 0.65]), pixel([0.25, 0.75])])
    target = torch.tensor([0, 0, 1]).view(3, 1, 1)
    metrics = SegmentationMetrics(2)
    metrics.update(logits, target)
    assert metrics.confusion.tolist() == [[1, 1], [0, 1]]
    computed = metrics.compute()
    assert computed["accuracy"] == pytest.approx(2 / 3)
    assert computed["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert computed["miou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert computed["mdice"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert computed["f1"] == pytest.approx(2 / 3)
    # Six outputs, each alone in its bin: .85 true, .15 false, .35 true, .65 false, .25 false, .75 true.
    calibration = 1 - 4 / 10 * (0.15 + 0.15 + 0.65 + 0.65 + 0.25 + 0.25)
    assert computed["calibration"] == pytest.approx(calibration)
    assert computed["s_acc"] == pytest.approx(2 * calibration * (2 / 3) / (calibration + 2 / 3))
    assert computed["s_rec"] == pytest.approx(2 * calibration * (3 / 4) / (calibration + 3 / 4))
    # The predicted class has .85, right, .65, wrong, and .75, right; for each class the gaps are .15, .65 and .25.
    assert computed["ece"] == pytest.approx((0.15 + 0.65 + 0.25) / 3)
    assert computed["sce"] == pytest.approx((0.15 + 0.65 + 0.25) / 3)
    assert measure(logits, target, num_bins=3)["ace"] == pytest.approx((0.15 + 0.65 + 0.25) / 3)
    # Two ranges of one and a half pixels: of class 0, .25 false and half of .35 true; the other half, and .85 true.
    assert measure(logits, target, num_bins=2)["ace"] == pytest.approx((abs(0.25 - 0.65 / 2) + 0.65 / 2 + 0.15) / 3)
    assert computed["brier"] == pytest.approx(2 * (0.15**2 + 0.65**2 + 0.25**2) / 3)
    assert computed["nll"] == pytest.approx(-(math.log(0.85) + math.log(0.35) + math.log(0.75)) / 3)


def test_perfectly_calibrated_outputs() -> None:
    # Eight pixels with output .75 for class 0, of which 3/4 are of class 0: two bins, both on the identity.
    logits = pixel([0.75, 0.25]).expand(8, 2, 1, 1)
    target = torch.tensor([0] * 6 + [1] * 2).view(8, 1, 1)
    computed = measure(logits, target)
    assert computed["calibration"] == pytest.approx(1.0, abs=1e-6)
    for key in ("ece", "sce", "ace"):
        assert computed[key] == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), ranges=st.sampled_from([1, 3, 10]))
def test_the_adaptive_error_is_exact_where_no_range_ends_inside_a_cell(seed: int, ranges: int) -> None:
    # Thirty outputs in cells of their own, divided into ranges of whole pixels.
    generator = torch.Generator().manual_seed(seed)
    positive = torch.linspace(0.02, 0.97, 30)[torch.randperm(30, generator=generator)]
    outputs = torch.stack([1 - positive, positive], dim=1)
    target = torch.randint(0, 2, (30,), generator=generator)
    expected = references.adaptive_calibration_error(outputs.log().softmax(dim=1).numpy(), target.numpy(), ranges)
    assert measure(outputs.log(), target, num_bins=ranges)["ace"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("spread", [0.5, 3.0, 30.0])
def test_the_adaptive_error_elsewhere_has_the_resolution_of_the_cells(spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 4, (20_000,), generator=generator)
    logits = torch.randn(20_000, 4, generator=generator) * spread
    logits.scatter_add_(1, target.unsqueeze(1), torch.full((20_000, 1), 2.0))
    expected = references.adaptive_calibration_error(logits.softmax(dim=1).numpy(), target.numpy(), ranges=10)
    assert measure(logits, target)["ace"] == pytest.approx(expected, rel=2**-7)


def test_equal_outputs_need_no_order() -> None:
    # Saturated outputs, of which two thirds are right in the first half of the pixels and one third in the second.
    prediction = torch.zeros(300, dtype=torch.int64)
    logits = 1e4 * torch.nn.functional.one_hot(prediction, 3).float()
    target = torch.cat([torch.tensor([0, 0, 1]).repeat(50), torch.tensor([0, 2, 1]).repeat(50)])
    computed = measure(logits, target)
    # half of the pixels are right, a third is of class 1 and a sixth of class 2
    assert computed["ace"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 6) / 3)
    assert measure(logits.flip(0), target.flip(0))["ace"] == pytest.approx(computed["ace"], abs=1e-12)


def test_logits_of_ten_thousand_have_a_finite_likelihood(device: torch.device) -> None:
    target = torch.tensor([0, 1, 1], device=device)
    logits = 1e4 * (2 * torch.nn.functional.one_hot(torch.tensor([0, 1, 0], device=device), 2) - 1)
    assert measure(logits.float(), target)["nll"] == pytest.approx(2e4 / 3)
    assert measure(logits.to(torch.bfloat16), target)["nll"] == pytest.approx(2e4 / 3, rel=1e-2)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 4))
def test_merged_is_as_all_at_once(seed: int, cut: int) -> None:
    logits, target = random_batch(seed)
    parts = [SegmentationMetrics(5) for _ in range(3)]
    for metrics, span in zip(parts, (slice(cut), slice(cut, None), slice(0)), strict=True):
        metrics.update(logits[span], target[span])
    whole = SegmentationMetrics(5)
    for start, stop in ((0, cut), (cut, 4)):
        whole.update(logits[start:stop], target[start:stop])
    first, second, nothing = parts
    first.merge(nothing)
    first.merge(second)
    assert torch.equal(first.confusion, whole.confusion)
    assert_same(first.compute(), whole.compute(), rel=1e-12)


def test_what_is_merged_may_have_been_seen_on_another_device(device: torch.device) -> None:
    logits, target = random_batch(12)
    there, here = SegmentationMetrics(5), SegmentationMetrics(5)
    there.update(logits.to(device), target.to(device))
    here.merge(there)
    assert here.confusion.device.type == "cpu"
    assert_same(here.compute(), there.compute(), rel=1e-12)


@pytest.mark.parametrize(("key", "value"), [("num_classes", 4), ("ignore_index", 0), ("num_bins", 15), ("background", 1)])
def test_refuses_to_merge_what_was_made_with_other_arguments(key: str, value: int) -> None:
    arguments: dict[str, Any] = {"num_classes": 3, key: value}
    with pytest.raises(InputError, match=f"{key} = {value}"):
        SegmentationMetrics(3).merge(SegmentationMetrics(**arguments))


def test_many_classes_take_little_memory() -> None:
    state = [value for value in vars(SegmentationMetrics(150)).values() if isinstance(value, Tensor)]
    assert sum(tensor.nbytes for tensor in state) < 16 * 2**20


def test_an_output_of_one_is_in_the_last_bin() -> None:
    # All outputs are 0 or 1 and right, so that both outer bins lie on the identity.
    target = torch.tensor([0, 1, 1]).view(3, 1, 1)
    logits = 1000.0 * torch.nn.functional.one_hot(target, 2).permute(0, 3, 1, 2)
    computed = measure(logits, target)
    assert computed["calibration"] == 1.0
    assert computed["s_acc"] == 1.0
    assert measure(-logits, target)["calibration"] == pytest.approx(1 - 4 / 10 * 2)


def test_a_class_that_does_not_occur() -> None:
    # Class 2 is predicted once but is nowhere true: it has no term of its own.
    logits = torch.cat([pixel([0.6, 0.2, 0.2]), pixel([0.2, 0.2, 0.6]), pixel([0.2, 0.6, 0.2])])
    computed = measure(logits, torch.tensor([0, 0, 1]).view(3, 1, 1))
    assert computed["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert computed["miou"] == pytest.approx((1 / 2 + 1) / 2)
    for key in ("class_recall", "class_precision", "class_iou", "class_dice"):
        values = computed[key]
        assert isinstance(values, list)
        assert [math.isnan(value) for value in values] == [False, False, True]


def test_an_occurring_class_that_is_never_predicted() -> None:
    logits = torch.cat([pixel([0.6, 0.4]), pixel([0.6, 0.4])])
    computed = measure(logits, torch.tensor([0, 1]).view(2, 1, 1))
    assert math.isnan(computed["f1"])
    assert computed["recall"] == pytest.approx(1 / 2)
    assert computed["miou"] == pytest.approx(1 / 4)
    assert computed["mdice"] == pytest.approx(1 / 3)
    assert computed["class_precision"] == pytest.approx([0.5, math.nan], nan_ok=True)


def test_a_class_that_is_predicted_but_never_rightly_has_f1_zero() -> None:
    logits = torch.cat([pixel([0.4, 0.6]), pixel([0.6, 0.4])])
    assert measure(logits, torch.tensor([0, 1]).view(2, 1, 1))["f1"] == 0.0


def test_background_is_left_out_of_miou_and_mdice_only() -> None:
    logits, target = random_batch(6)
    plain, without = measure(logits, target), measure(logits, target, background=0)
    assert without["miou"] == pytest.approx(np.mean(plain["class_iou"][1:]))
    assert without["mdice"] == pytest.approx(np.mean(plain["class_dice"][1:]))
    del plain["miou"], plain["mdice"], without["miou"], without["mdice"]
    assert_same(without, plain)


@pytest.mark.parametrize("updates", [0, 1])
def test_nothing_valid(updates: int, device: torch.device) -> None:
    metrics = SegmentationMetrics(3)
    for _ in range(updates):
        target = torch.full((2, 4, 4), IGNORE, device=device)
        metrics.update(torch.randn(2, 3, 4, 4, device=device), target)
    for key, value in metrics.compute().items():
        assert all(math.isnan(number) for number in (value if isinstance(value, list) else [value])), key


def test_scores_are_zero_where_the_calibration_is_not_positive() -> None:
    # Certain and always wrong: calibration below 0, accuracy and recall 0.
    target = torch.tensor([0, 1]).view(2, 1, 1)
    logits = -1000.0 * torch.nn.functional.one_hot(target, 2).permute(0, 3, 1, 2)
    computed = measure(logits, target, num_bins=2)
    assert computed["calibration"] == pytest.approx(-3)
    assert computed["s_acc"] == 0.0
    assert computed["s_rec"] == 0.0


def test_with_the_calibration_of_divided_logits_are_the_metrics_of_these() -> None:
    logits, target = random_batch(12)
    plain, divided = (
        {name: value for name, value in measure(scores, target).items() if name in CATALOGUE}
        for scores in (logits, logits / 3.0)
    )
    found = with_calibration(plain, divided)
    assert_same(found, divided, rel=1e-12)
    assert list(found) == list(plain)
    assert found["s_rec"] != plain["s_rec"]


def test_with_the_calibration_of_some_pixels_the_predictions_are_still_judged_on_all() -> None:
    logits, target = random_batch(13)
    plain, some = measure_groups(logits, target, [0, 0, 1, 1]), measure(logits[:1] / 3.0, target[:1])
    found = with_calibration({name: plain[name] for name in CATALOGUE if name in plain}, some)
    for name in ("recall", "accuracy", "f1", "miou", "mdice"):
        assert found[name] == plain[name] != some[name]
    for name in ("calibration", "ece", "sce", "ace", "brier", "nll"):
        assert found[name] == some[name] != plain[name]
    for name, share in (("s_rec", plain["recall"]), ("s_acc", plain["accuracy"])):
        assert found[name] == pytest.approx(2 / (1 / some["calibration"] + 1 / share))
    below = with_calibration({name: plain[name] for name in CATALOGUE if name in plain}, {**some, "calibration": -0.5})
    assert below["s_rec"] == below["s_acc"] == 0.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(dtype: torch.dtype, device: torch.device) -> None:
    logits, target = random_batch(7)
    logits, target = logits.to(device, dtype), target.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        actual = measure(logits, target)
    assert_same(actual, expected_metrics(logits, target), abs=1e-9)


def test_logits_that_are_nan_raise_nothing(device: torch.device) -> None:
    logits, target = random_batch(8)
    computed = measure(torch.full_like(logits, math.nan).to(device), target.to(device))
    for key in ("calibration", "ece", "sce", "ace", "brier", "nll"):
        assert math.isnan(computed[key]), key
    assert 0 <= computed["accuracy"] <= 1


def test_update_keeps_no_graph() -> None:
    logits, target = random_batch(9)
    metrics = SegmentationMetrics(5)
    metrics.update(logits.requires_grad_(), target)
    assert not metrics.confusion.requires_grad
    assert isinstance(metrics.compute()["calibration"], float)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes = 0"),
        ({"num_classes": 2.0}, r"num_classes = 2\.0"),
        ({"num_bins": 0}, "num_bins = 0"),
        ({"background": 3}, "background = 3.*0 to 2"),
        ({"background": -1}, "background = -1"),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SegmentationMetrics(**{"num_classes": 3, **arguments})


def test_refuses_shapes_that_do_not_fit() -> None:
    metrics = SegmentationMetrics(3)
    with pytest.raises(InputError, match=r"\(1, 2, 4, 4\)"):
        metrics.update(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
    with pytest.raises(InputError, match=r"\(1, 5, 4\)"):
        metrics.update(torch.zeros(1, 3, 4, 4), torch.zeros(1, 5, 4, dtype=torch.int64))


# Groups


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(1, 8),
    signal=st.sampled_from([-3.0, 0.0, 2.0]),
    groups=st.lists(st.integers(0, 5), min_size=4, max_size=4),
    present=st.integers(1, 8),
    with_background=st.booleans(),
)
def test_the_mean_over_groups_agrees_with_numpy(
    seed: int, classes: int, signal: float, groups: list[int], present: int, with_background: bool
) -> None:
    logits, target = random_batch(seed, classes=classes, signal=signal)
    target[:2] = torch.where(target[:2] == IGNORE, target[:2], target[:2] % present)  # classes that two images lack
    target[3] = IGNORE
    background = 0 if with_background and classes > 1 else None
    found = measure_groups(logits, target, groups, background=background)
    pooled = measure(logits, target, background=background)
    expected = expected_groups(logits, target, groups, background=background)
    assert_same(found, {**pooled, **expected}, abs=1e-12)


def test_each_group_weighs_the_same_whatever_its_size_and_whatever_is_ignored(device: torch.device) -> None:
    logits, target = random_batch(21, classes=3)
    target[0, 1:] = IGNORE  # the first image has an eighth of the pixels of the others, which are one group
    logits[0] = -logits[0]
    logits, target = logits.to(device), target.to(device)
    found = measure_groups(logits, target, [0, 1, 1, 1])
    halves = [measure(logits[part], target[part]) for part in (slice(0, 1), slice(1, 4))]
    for name in ("recall", "miou", "mdice"):
        assert found[f"group_{name}"] == pytest.approx((halves[0][name] + halves[1][name]) / 2), name
        assert found[f"group_{name}"] < found[name] - 0.1


def test_what_a_group_lacks_has_no_term_in_it() -> None:
    # Group 0 has the classes 0 and 1, of which 1 is missed; group 1 has class 0 alone, a half of it called 1; group 2 has no
    # labelled pixel.
    target = torch.tensor([0, 1, 0, 0, IGNORE]).view(5, 1, 1)
    logits = torch.nn.functional.one_hot(torch.tensor([0, 0, 0, 1, 1]), 2).view(5, 2, 1, 1).float()
    found = measure_groups(logits, target, [0, 0, 1, 1, 2], background=0)
    assert found["group_recall"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert found["group_miou"] == found["group_mdice"] == 0.0  # of class 1 in group 0
    alone = measure_groups(logits[:1], target[:1], [0], background=0)
    assert alone["group_recall"] == 1.0 and math.isnan(alone["group_mdice"])
    nothing = measure_groups(logits[4:], target[4:], [0])
    assert all(math.isnan(nothing[f"group_{name}"]) for name in ("recall", "miou", "mdice"))


def test_groups_in_pieces_and_merged_are_as_all_at_once(device: torch.device) -> None:
    logits, target = (tensor.to(device) for tensor in random_batch(22))
    groups = torch.tensor([1, 0, 1, 3], device=device)
    parts = [SegmentationMetrics(5, num_groups=4) for _ in range(2)]
    for image in range(4):
        one = slice(image, image + 1)
        parts[image % 2].update(logits[one], target[one], groups[one])
    parts[0].merge(parts[1])
    expected = measure_groups(logits, target, groups.tolist())
    assert_same(parts[0].compute(), expected, rel=1e-6)
    assert expected["group_miou"] == pytest.approx(expected_groups(logits, target, groups.tolist())["group_miou"])
    parts[0].reset()
    empty = parts[0].compute()["group_miou"]
    assert isinstance(empty, float) and math.isnan(empty)


def test_images_larger_than_a_piece_are_counted_whole() -> None:
    generator = torch.Generator().manual_seed(5)
    logits, target = (
        torch.randn(3, 4, 300, 300, generator=generator),
        torch.randint(0, 4, (3, 300, 300), generator=generator),
    )
    target[:, :9] = IGNORE
    found, expected = measure_groups(logits, target, [0, 1, 1]), expected_groups(logits, target, [0, 1, 1])
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["recall"] == measure(logits, target)["recall"]


def test_logits_that_are_nan_count_as_some_prediction_in_groups() -> None:
    logits, target = random_batch(23)
    logits[1, 2] = math.nan
    found, pooled = measure_groups(logits, target, [0, 1, 2, 2]), measure(logits, target)
    expected = references.group_metrics(logits.max(dim=1).indices.numpy(), target.numpy(), [0, 1, 2, 2], IGNORE, 5, None)
    assert math.isnan(found["calibration"])
    assert_same(found, {**pooled, **expected}, abs=1e-12)


@pytest.mark.parametrize(("num_groups", "groups"), [(None, [0, 1, 2, 3]), (4, None), (4, [0, 1])])
def test_groups_that_do_not_fit_are_refused(num_groups: int | None, groups: list[int] | None) -> None:
    metrics = SegmentationMetrics(5, num_groups=num_groups)
    with pytest.raises(InputError, match="of each of the 4 images with num_groups, and None without"):
        metrics.update(*random_batch(24), None if groups is None else torch.tensor(groups))
    with pytest.raises(InputError, match="num_groups = 7 does not merge into"):
        metrics.merge(SegmentationMetrics(5, num_groups=7))


@pytest.mark.parametrize("num_groups", [0, True, 1.5])
def test_a_number_of_groups_that_is_none_is_refused(num_groups: Any) -> None:
    with pytest.raises(InputError, match=r"num_groups = .* is not possible"):
        SegmentationMetrics(5, num_groups=num_groups)
