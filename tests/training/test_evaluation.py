"""The halves of the validation set, the metrics of scaled logits, and the metrics of the whole set beside them."""

import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tune_seg.config import CALIBRATION_ERRORS, DataConfig, TrialConfig, parse
from tune_seg.data import PackedData, batches, pack, read
from tune_seg.metrics import SegmentationMetrics
from tune_seg.temperature import fit_temperature
from tune_seg.training.evaluation import SCALED, evaluate

CONFIG = parse(TrialConfig, {"training": {"batch_size": 2}})
SCALINGS = ("unscaled", "temperature", "class_temperature")


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    """Four images in the fitting half and three in the scoring half, of 40 x 56 pixels."""
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


def scores(model: nn.Module, data: PackedData, device: str | torch.device = "cpu", **arguments: Any) -> dict[str, Any]:
    device = torch.device(device)
    config = arguments.pop("config", CONFIG)
    return evaluate(model.to(device), data, config, device=device, autocast=nullcontext(), **arguments)


def images_of(data: PackedData) -> Tensor:
    arguments: dict[str, Any] = {"epoch": 0, "seed": 0, "device": "cpu", "train": False}
    ((images, _),) = batches(data.val, batch_size=len(data.val), augmentation=CONFIG.augmentation, **arguments)
    return images


def test_the_model_sees_each_image_once_first_those_of_even_index(seven: PackedData) -> None:
    seen: list[Tensor] = []
    network = model(seven)
    network.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[0]))
    scores(network, seven, scaling=True)
    assert torch.equal(torch.stack(seen), images_of(seven)[[0, 2, 4, 6, 1, 3, 5]])


def test_the_whole_sets_metrics_are_those_of_an_ordinary_evaluation(seven: PackedData, device: torch.device) -> None:
    config = parse(TrialConfig, {"training": {"batch_size": 2}, "evaluation": {"background": seven.class_names[0]}})
    ordinary = scores(model(seven), seven, device, config=config)
    scaled = scores(model(seven), seven, device, config=config, scaling=True)
    assert {name for name in scaled if "/" not in name} == set(ordinary)
    for name, value in ordinary.items():
        assert scaled[name] == pytest.approx(value, rel=1e-12 if device.type == "cpu" else 1e-5, nan_ok=True), name


def test_two_runs_agree_to_the_last_bit_whatever_ran_before(seven: PackedData) -> None:
    first = scores(model(seven), seven, scaling=True)
    torch.rand(1000)
    scores(model(seven, 2.0), seven, scaling=True)
    assert json.dumps(scores(model(seven), seven, scaling=True)) == json.dumps(first)


def test_each_scaling_has_its_metrics(seven: PackedData) -> None:
    results = scores(model(seven), seven, scaling=True)
    expected = {f"{scaling}/{name}" for scaling in SCALINGS for name in SCALED}
    expected |= {"temperature/T", "class_temperature/T"}
    assert {name for name in results if "/" in name} == expected
    assert set(CALIBRATION_ERRORS) < set(SCALED)
    json.dumps(results)
    assert isinstance(results["temperature/T"], float)
    assert len(results["class_temperature/T"]) == seven.num_classes
    assert not [name for name in scores(model(seven), seven) if "/" in name]


def test_temperatures_are_fitted_to_one_half_and_scored_on_the_other(seven: PackedData, device: torch.device) -> None:
    network = model(seven, 4.0)
    results = scores(network, seven, device, scaling=True)
    with torch.no_grad():
        logits = network(images_of(seven).to(device)).cpu()
    target = seven.val.gather(range(7))[1].to(torch.int64)
    fitting = logits[::2].movedim(1, -1).flatten(0, 2), target[::2].flatten()
    one, per_class = (fit_temperature(*fitting, per_class=each) for each in (False, True))
    assert results["temperature/T"] == pytest.approx(one.item(), rel=1e-4)
    assert results["class_temperature/T"] == pytest.approx(per_class.tolist(), rel=1e-3)
    for scaling, scaled in (
        ("unscaled", logits),
        ("temperature", logits / one.float()),
        ("class_temperature", logits / per_class.float().view(-1, 1, 1)),
    ):
        metrics = SegmentationMetrics(seven.num_classes)
        metrics.update(scaled[1::2], target[1::2])
        expected = metrics.compute()
        for name in SCALED:
            assert results[f"{scaling}/{name}"] == pytest.approx(expected[name], rel=1e-3, abs=1e-4), (scaling, name)


def test_three_times_the_logits_have_three_times_the_temperatures_and_the_same_scaled_metrics(seven: PackedData) -> None:
    plain, sharper = (scores(model(seven, factor), seven, scaling=True) for factor in (2.0, 6.0))
    assert sharper["temperature/T"] == pytest.approx(3 * plain["temperature/T"], rel=1e-5)
    assert sharper["unscaled/nll"] > 1.1 * plain["unscaled/nll"]
    for name in SCALED:
        assert sharper[f"temperature/{name}"] == pytest.approx(plain[f"temperature/{name}"], rel=1e-3, abs=1e-4), name
    assert sharper["temperature/nll"] < sharper["unscaled/nll"]


def test_one_temperature_changes_no_prediction(seven: PackedData) -> None:
    results = scores(model(seven, 5.0), seven, scaling=True)
    assert results["temperature/accuracy"] == results["unscaled/accuracy"]
    assert results["temperature/recall"] == results["unscaled/recall"]


def test_one_image_is_too_few_to_score_what_was_fitted(tmp_path: Path) -> None:
    config = DataConfig(format="synthetic", size=(40, 56), max_train=2, max_val=1)
    data = PackedData(pack(read(config), tmp_path, config.size))
    results = scores(model(data), data, scaling=True)
    ordinary = scores(model(data), data)
    assert json.dumps({name: results[name] for name in ordinary}) == json.dumps(ordinary)
    assert all(math.isnan(results[f"{scaling}/{name}"]) for scaling in SCALINGS for name in SCALED)
    assert math.isnan(results["temperature/T"])
    assert all(map(math.isnan, results["class_temperature/T"]))


def test_a_model_whose_outputs_are_nan_raises_nothing(seven: PackedData) -> None:
    results = scores(model(seven, math.nan), seven, scaling=True)
    assert math.isnan(results["calibration"]) and math.isnan(results["temperature/T"])
