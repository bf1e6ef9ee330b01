"""The metrics of a whole validation split, the halves, and what temperatures and adjusted logits make of them."""

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tune_seg.config import DataConfig, TrialConfig, parse
from tune_seg.data import PackedData, batches, pack, read
from tune_seg.metrics import SegmentationMetrics
from tune_seg.temperature import fit_temperature
from tune_seg.training.evaluation import evaluate, halves
from tune_seg.training.result import SCALINGS, Evaluation

CONFIG = parse(TrialConfig, {"training": {"batch_size": 2}})


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    """Four validation images in one half and three in the other, of 40 x 56 pixels."""
    directory: Path = tmp_path_factory.mktemp("packs")
    config = DataConfig(format="synthetic", size=(40, 56), max_train=2, max_val=7)
    return PackedData(pack(read(config), directory, config.size))


class Times(nn.Module):
    """Multiplies by a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        return self.factor * logits


def model(data: PackedData, factor: float = 1.0) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, data.num_classes, 5, padding=2), Times(factor))


def scores(model: nn.Module, data: PackedData, device: str | torch.device = "cpu", **arguments: Any) -> Evaluation:
    device = torch.device(device)
    config = arguments.pop("config", CONFIG)
    return evaluate(model.to(device), data, config, device=device, autocast=nullcontext(), **arguments)


def outputs_of(network: nn.Module, data: PackedData, device: torch.device) -> tuple[Tensor, Tensor]:
    """The logits (N, C, H, W) of the validation images, and their target."""
    arguments: dict[str, Any] = {"epoch": 0, "seed": 0, "device": "cpu", "train": False}
    ((images, target),) = batches(data.val, batch_size=len(data.val), augmentation=CONFIG.augmentation, **arguments)
    with torch.no_grad():
        return network.to(device)(images.to(device)).cpu(), target


def measured(data: PackedData, logits: Tensor, target: Tensor) -> dict[str, Any]:
    """With each image as a group by itself, as the generated ones are."""
    metrics = SegmentationMetrics(data.num_classes, num_groups=max(1, len(target)))
    metrics.update(logits, target, torch.arange(len(target)))
    return metrics.compute()


OF_OUTPUTS = ("calibration", "ece", "sce", "ace", "brier", "nll")


def with_mean_reliability(data: PackedData, logits: Tensor, target: Tensor) -> dict[str, Any]:
    """The metrics of all images, those of outputs as the mean of both halves."""
    metrics = measured(data, logits, target)
    halves_of = [measured(data, logits[start::2], target[start::2]) for start in (0, 1)]
    metrics |= {name: sum(half[name] for half in halves_of) / 2 for name in OF_OUTPUTS}
    calibration = metrics["calibration"]
    for name, share in (("s_acc", metrics["accuracy"]), ("s_rec", metrics["recall"])):
        metrics[name] = 2 * calibration * share / (calibration + share) if calibration > 0 else 0.0
    return metrics


def pixels(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return logits.movedim(1, -1).flatten(0, 2), target.flatten()


def test_the_metrics_are_those_of_all_images(seven: PackedData, device: torch.device) -> None:
    found = scores(model(seven), seven, device)
    expected = measured(seven, *outputs_of(model(seven), seven, device))
    for name, value in {**found.metrics, **found.per_class}.items():
        assert value == pytest.approx(expected[name], rel=1e-5, nan_ok=True), name


def test_what_is_known_after_every_epoch_is_the_same_after_the_last(seven: PackedData) -> None:
    ordinary, final = scores(model(seven), seven), scores(model(seven), seven, final=True)
    assert tuple(ordinary.scaled) == SCALINGS[:1] and tuple(final.scaled) == SCALINGS
    assert ordinary.images is None and final.images is not None
    assert repr(final.of_any_epoch()) == repr(ordinary)


def test_two_runs_agree_to_the_last_bit_whatever_ran_before(seven: PackedData) -> None:
    first = scores(model(seven), seven, final=True)
    torch.rand(1000)
    scores(model(seven, 2.0), seven, final=True)
    again = scores(model(seven), seven, final=True)
    assert repr(again.scaled) == repr(first.scaled)
    assert again.metrics == first.metrics and again.images == first.images


def test_each_half_has_the_temperatures_of_the_other(seven: PackedData, device: torch.device) -> None:
    network = model(seven, 4.0)
    results = scores(network, seven, device, final=True)
    logits, target = outputs_of(network, seven, device)
    even, odd = (slice(start, None, 2) for start in (0, 1))
    for kind, per_class in (("temperature", False), ("class_temperature", True)):
        fitted = {
            half.start: fit_temperature(*pixels(logits[half], target[half]), per_class=per_class) for half in (even, odd)
        }
        scaled = logits.clone()
        for half, other in ((even, odd), (odd, even)):
            scaled[half] /= fitted[other.start].float().view(-1, 1, 1) if per_class else fitted[other.start].float()
        expected = with_mean_reliability(seven, scaled, target)
        for name, value in results.scaled[kind].metrics.items():
            assert value == pytest.approx(expected[name], rel=1e-3, abs=1e-4), (kind, name)
        mean = (fitted[0] * fitted[1]).sqrt().tolist()
        assert results.fitted[f"{kind}/T"] == pytest.approx(mean, rel=1e-3)


def test_the_groups_are_those_of_the_data_in_the_order_of_its_images(
    seven: PackedData, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = np.array([0, 1, 0, 2, 1, 1, 0])
    monkeypatch.setattr(seven, "val_groups", groups)
    config = parse(TrialConfig, {"training": {"batch_size": 2}, "objective": "temperature/group_recall"})
    network = model(seven, 3.0)
    results = scores(network, seven, device, final=True, config=config)
    logits, target = outputs_of(network, seven, device)
    metrics = SegmentationMetrics(seven.num_classes, num_groups=3)
    metrics.update(logits, target, torch.from_numpy(groups))
    expected = metrics.compute()
    assert results.images is not None
    of_groups = results.images.of_groups(groups)
    for name in ("group_recall", "group_miou", "group_mdice"):
        assert results.metrics[name] == pytest.approx(expected[name], rel=1e-6), name
        assert results.metrics[name] != pytest.approx(results.metrics[name.removeprefix("group_")], rel=1e-3), name
        assert results.find(f"temperature/{name}") == results.metrics[name]
        assert of_groups.score(name) == pytest.approx([results.metrics[name]], rel=1e-6), name
        assert math.isfinite(results.scaled["adjusted"].metrics[name])
    # tau is chosen on pixels whose groups are not known: by the recall of all of them
    pooled = scores(network, seven, device, final=True, config=config.model_copy(update={"objective": "recall"}))
    assert repr(results) == repr(pooled)


def test_one_temperature_changes_no_prediction_and_no_metric_of_predictions(seven: PackedData) -> None:
    results = scores(model(seven, 5.0), seven)
    for name in ("accuracy", "recall", "f1", "miou", "mdice", "group_recall", "group_miou", "group_mdice"):
        assert repr(results.find(f"temperature/{name}")) == repr(results.find(name))
    calibrated, raw = results.find("temperature/nll"), results.find("nll")
    assert calibrated is not None and raw is not None and calibrated < raw


def test_three_times_the_logits_have_three_times_the_temperature_and_the_same_scores_with_it(seven: PackedData) -> None:
    plain, sharper = (scores(model(seven, factor), seven) for factor in (2.0, 6.0))
    assert np.array(sharper.fitted["temperature/T"]) == pytest.approx(3 * np.array(plain.fitted["temperature/T"]), rel=1e-5)
    assert sharper.scaled["temperature"].metrics == pytest.approx(plain.scaled["temperature"].metrics, rel=1e-3, nan_ok=True)


def test_adjusted_logits_are_those_of_the_tau_that_is_best_on_the_other_half(
    seven: PackedData, device: torch.device
) -> None:
    log_frequency = torch.tensor(seven.frequencies).clamp_min(1 / seven.train_pixels.sum()).log().float().view(-1, 1, 1)
    network = model(seven)
    convolution = network[0]
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    with torch.no_grad():
        convolution.bias += log_frequency.flatten()  # as of a model that has learned what is frequent
    config = parse(TrialConfig, {"training": {"batch_size": 2}, "objective": "temperature/recall"})
    results = scores(network, seven, device, final=True, config=config)
    logits, target = outputs_of(network, seven, device)
    taus = [0.25 * step for step in range(7)]
    even, odd = (slice(start, None, 2) for start in (0, 1))
    scaled, chosen = logits.clone(), []
    for half, other in ((even, odd), (odd, even)):
        recall = [measured(seven, logits[other] - tau * log_frequency, target[other])["recall"] for tau in taus]
        tau = taus[int(np.argmax(recall))]
        temperature = fit_temperature(*pixels(logits[other] - tau * log_frequency, target[other])).float()
        scaled[half] = (logits[half] - tau * log_frequency) / temperature
        chosen.append(tau)
    assert results.fitted["adjusted/tau"] == pytest.approx(sum(chosen) / 2)
    assert max(chosen) > 0.0
    expected = with_mean_reliability(seven, scaled, target)
    assert results.scaled["adjusted"].metrics == pytest.approx(
        {name: expected[name] for name in results.scaled["adjusted"].metrics}, rel=1e-3, abs=1e-4, nan_ok=True
    )
    assert results.scaled["adjusted"].class_recall == pytest.approx(expected["class_recall"], nan_ok=True)


def test_the_counts_of_the_images_are_in_their_order_and_add_up(seven: PackedData, device: torch.device) -> None:
    network = model(seven, 3.0)
    results = scores(network, seven, device, final=True)
    logits, target = outputs_of(network, seven, device)
    counts = results.images
    assert counts is not None and len(counts) == 7
    for metric in (
        "accuracy",
        "recall",
        "miou",
        "mdice",
        "calibration",
        "s_rec",
        "group_recall",
        "group_miou",
        "group_mdice",
    ):
        assert counts.score(metric) == pytest.approx([results.metrics[metric]], rel=1e-5), metric
    assert counts.score("temperature/calibration") == pytest.approx([results.find("temperature/calibration")], rel=1e-4)
    third = np.eye(7)[[2]]
    expected = measured(seven, logits[2:3], target[2:3])
    for metric in ("accuracy", "recall", "calibration"):
        assert counts.score(metric, third) == pytest.approx([expected[metric]], rel=1e-5), metric
    assert counts.confusion is not None
    for found, summed in zip(
        (counts.confusion.diagonal(), counts.confusion.sum(axis=1), counts.confusion.sum(axis=0)),
        (counts.hits, counts.truths, counts.predictions),
        strict=True,
    ):
        assert found.tolist() == summed.sum(axis=0).tolist()


class Confident(nn.Module):
    """The class that is said of each pixel, one-hot, times a number that each image has for itself."""

    def __init__(self, factors: Tensor, said: Tensor, classes: int, order: Tensor) -> None:
        super().__init__()
        self.factors, self.said, self.classes, self.order, self.seen = factors, said, classes, order, 0

    def forward(self, images: Tensor) -> Tensor:
        shown = self.order[(self.seen + torch.arange(len(images))) % len(self.order)]
        self.seen += len(images)
        sure = nn.functional.one_hot(self.said[shown], self.classes).movedim(-1, 1)
        return sure.float() * self.factors[shown].view(-1, 1, 1, 1)


def confident(data: PackedData, factors: list[float], error: list[float]) -> Confident:
    """A model that is wrong in the share `error` of each image's pixels, and as sure of itself as `factors`."""
    arguments: dict[str, Any] = {"epoch": 0, "seed": 0, "device": "cpu", "train": False}
    ((_, target),) = batches(data.val, batch_size=len(data.val), augmentation=CONFIG.augmentation, **arguments)
    drawn = torch.rand(target.shape, generator=torch.Generator().manual_seed(0))
    wrong, other = drawn < torch.tensor(error).view(-1, 1, 1), (target + 1) % data.num_classes
    said = torch.where(wrong, other, target).clamp_max(data.num_classes - 1)
    order = torch.from_numpy(np.concatenate(halves(data.val_groups)))
    return Confident(torch.tensor(factors), said, data.num_classes, order)


def test_too_high_outputs_of_one_half_do_not_make_up_for_too_low_ones_of_the_other(seven: PackedData) -> None:
    alike = scores(confident(seven, [5.0] * 7, [0.2] * 7), seven).find("temperature/calibration")
    apart = scores(confident(seven, [5.0, 2.5] * 3 + [5.0], [0.2] * 7), seven).find("temperature/calibration")
    assert alike is not None and apart is not None
    assert alike > 0.99  # either half's temperature is right for the other
    assert apart < 0.9  # and here one is too sure and the other not sure enough


def test_a_half_without_an_error_gets_the_temperature_of_all_pixels(seven: PackedData) -> None:
    found = scores(confident(seven, [5.0] * 7, [0.0, 0.2] * 3 + [0.0]), seven, final=True)
    temperature = found.fitted["temperature/T"]
    assert isinstance(temperature, float) and 0.1 < temperature < 10
    calibration = found.find("temperature/calibration")
    assert calibration is not None and calibration > 0.5  # with the T of the faultless half it would be below 0


def test_one_image_is_too_few_to_score_what_was_fitted(tmp_path: Path) -> None:
    config = DataConfig(format="synthetic", size=(40, 56), max_train=2, max_val=1)
    data = PackedData(pack(read(config), tmp_path, config.size))
    results = scores(model(data), data, final=True)
    assert math.isfinite(results.metrics["calibration"])
    assert tuple(results.scaled) == SCALINGS
    assert all(map(math.isnan, results.scaled_metrics.values()))
    assert np.isnan(np.concatenate([np.atleast_1d(value) for value in results.fitted.values()])).all()


def test_a_model_whose_outputs_are_nan_raises_nothing(seven: PackedData) -> None:
    for final in (False, True):
        results = scores(model(seven, math.nan), seven, final=final)
        assert math.isnan(results.metrics["calibration"])
        assert math.isnan(results.scaled["temperature"].metrics["s_rec"])


@given(groups=st.lists(st.integers(0, 12), min_size=1, max_size=60))
def test_halves_keep_groups_together_and_are_about_equal(groups: list[int]) -> None:
    numbers = np.unique(groups, return_inverse=True)[1]
    one, other = halves(numbers)
    assert sorted([*one, *other]) == list(range(len(groups)))
    if len(set(groups)) > 1:
        assert not {groups[i] for i in one} & {groups[i] for i in other}
        assert abs(len(one) - len(other)) <= max(np.bincount(numbers))
    else:
        assert abs(len(one) - len(other)) <= 1


def test_images_that_are_groups_by_themselves_alternate() -> None:
    assert [half.tolist() for half in halves(np.arange(5))] == [[0, 2, 4], [1, 3]]
