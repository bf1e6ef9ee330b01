"""The halves of the validation set, the metrics of scaled logits, and the metrics of the whole set beside them."""

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
from tune_seg.training.result import SCALINGS, Evaluation

CONFIG = parse(TrialConfig, {"training": {"batch_size": 2}})


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


def scores(model: nn.Module, data: PackedData, device: str | torch.device = "cpu", **arguments: Any) -> Evaluation:
    device = torch.device(device)
    config = arguments.pop("config", CONFIG)
    return evaluate(model.to(device), data, config, device=device, autocast=nullcontext(), **arguments)


def temperature(results: Evaluation) -> float:
    value = results.scaled["temperature"].temperature
    assert isinstance(value, float)
    return value


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
    tolerance = 1e-12 if device.type == "cpu" else 1e-5
    assert scaled.metrics == pytest.approx(ordinary.metrics, rel=tolerance, nan_ok=True)
    assert set(scaled.per_class) == set(ordinary.per_class)
    for name, values in ordinary.per_class.items():
        assert scaled.per_class[name] == pytest.approx(values, rel=tolerance, nan_ok=True), name


def test_two_runs_agree_to_the_last_bit_whatever_ran_before(seven: PackedData) -> None:
    first = scores(model(seven), seven, scaling=True)
    torch.rand(1000)
    scores(model(seven, 2.0), seven, scaling=True)
    assert repr(scores(model(seven), seven, scaling=True)) == repr(first)


def test_each_scaling_has_its_metrics(seven: PackedData) -> None:
    results = scores(model(seven), seven, scaling=True)
    assert tuple(results.scaled) == SCALINGS
    assert all(tuple(scaled.metrics) == SCALED for scaled in results.scaled.values())
    assert set(CALIBRATION_ERRORS) < set(SCALED)
    unscaled, one, per_class = (results.scaled[name].temperature for name in SCALINGS)
    assert unscaled is None and isinstance(one, float)
    assert isinstance(per_class, tuple) and len(per_class) == seven.num_classes
    assert not scores(model(seven), seven).scaled


def test_temperatures_are_fitted_to_one_half_and_scored_on_the_other(seven: PackedData, device: torch.device) -> None:
    network = model(seven, 4.0)
    results = scores(network, seven, device, scaling=True)
    with torch.no_grad():
        logits = network(images_of(seven).to(device)).cpu()
    target = seven.val.gather(range(7))[1].to(torch.int64)
    fitting = logits[::2].movedim(1, -1).flatten(0, 2), target[::2].flatten()
    one, per_class = (fit_temperature(*fitting, per_class=each) for each in (False, True))
    assert results.temperatures["temperature/T"] == pytest.approx(one.item(), rel=1e-4)
    assert results.temperatures["class_temperature/T"] == pytest.approx(per_class.tolist(), rel=1e-3)
    for scaling, scaled in (
        ("unscaled", logits),
        ("temperature", logits / one.float()),
        ("class_temperature", logits / per_class.float().view(-1, 1, 1)),
    ):
        metrics = SegmentationMetrics(seven.num_classes)
        metrics.update(scaled[1::2], target[1::2])
        expected = metrics.compute()
        for name in SCALED:
            assert results.find(f"{scaling}/{name}") == pytest.approx(expected[name], rel=1e-3, abs=1e-4), (scaling, name)


def test_three_times_the_logits_have_three_times_the_temperatures_and_the_same_scaled_metrics(seven: PackedData) -> None:
    plain, sharper = (scores(model(seven, factor), seven, scaling=True) for factor in (2.0, 6.0))
    assert temperature(sharper) == pytest.approx(3 * temperature(plain), rel=1e-5)
    as_is, scaled = sharper.scaled["unscaled"].metrics, sharper.scaled["temperature"].metrics
    assert as_is["nll"] > 1.1 * plain.scaled["unscaled"].metrics["nll"]
    assert scaled == pytest.approx(plain.scaled["temperature"].metrics, rel=1e-3, abs=1e-4)
    assert scaled["nll"] < as_is["nll"]


def test_one_temperature_changes_no_prediction(seven: PackedData) -> None:
    results = scores(model(seven, 5.0), seven, scaling=True)
    for name in ("accuracy", "recall"):
        assert results.find(f"temperature/{name}") == results.find(f"unscaled/{name}") is not None


def test_one_image_is_too_few_to_score_what_was_fitted(tmp_path: Path) -> None:
    config = DataConfig(format="synthetic", size=(40, 56), max_train=2, max_val=1)
    data = PackedData(pack(read(config), tmp_path, config.size))
    results = scores(model(data), data, scaling=True)
    ordinary = scores(model(data), data)
    assert repr(results.without_scaling()) == repr(ordinary)
    assert len(results.scaled_metrics) == 3 * len(SCALED) and all(map(math.isnan, results.scaled_metrics.values()))
    assert math.isnan(temperature(results))
    per_class = results.scaled["class_temperature"].temperature
    assert isinstance(per_class, tuple) and all(map(math.isnan, per_class))


def test_a_model_whose_outputs_are_nan_raises_nothing(seven: PackedData) -> None:
    results = scores(model(seven, math.nan), seven, scaling=True)
    assert math.isnan(results.metrics["calibration"]) and math.isnan(temperature(results))
