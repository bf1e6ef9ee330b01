"""A trial is a pure function of its configuration and the data."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData
from tune_seg.layers import AdaptiveClassWeight
from tune_seg.loss_program import LossProgram
from tune_seg.losses import build_loss, class_weights
from tune_seg.training import Trainer

TIMES = ("train_seconds", "eval_seconds")


def trial(**sections: Any) -> TrialConfig:
    training = {"epochs": 2, "batch_size": 4, "threads": 1, "optimizer": "adam", **sections.pop("training", {})}
    return parse(TrialConfig, {"training": training, **sections})


def run(config: TrialConfig, data: PackedData, device: str | torch.device = "cpu") -> list[dict[str, Any]]:
    trainer = Trainer(config, data, torch.device(device))
    results = []
    while not trainer.done:
        results.append({key: value for key, value in trainer.epoch().items() if key not in TIMES})
    return results


def same(first: Any, second: Any) -> bool:
    """Equal to the last bit, with nan equal to nan."""
    return json.dumps(first) == json.dumps(second)


SCHEDULED = {
    "loss": {"kind": "alternating", "start": "wdice", "end": "focal", "gamma": 1.5},
    "schedule": {"start": 0.4, "end": 0.9},
    "acw": True,
}


def test_two_runs_agree_to_the_last_bit_whatever_ran_before(packed: PackedData) -> None:
    first = run(trial(**SCHEDULED), packed)
    torch.manual_seed(123)
    np.random.seed(5)
    run(trial(training={"optimizer": "sgd", "seed": 4}, loss={"end": "dice"}), packed)
    torch.rand(1000)
    assert same(first, run(trial(**SCHEDULED), packed))
    assert len(first) == 2
    assert first[0]["train_loss"] != first[1]["train_loss"]


def test_two_processes_agree_to_the_last_bit(packed: PackedData) -> None:
    code = (
        "import json, sys\nfrom tests.test_training import *\n"
        f"print(json.dumps(run(trial(**SCHEDULED), PackedData({str(packed.path)!r}))))"
    )
    outputs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert outputs[0].stdout == outputs[1].stdout == json.dumps(run(trial(**SCHEDULED), packed)) + "\n"


def test_dropout_is_drawn_from_the_seed_and_the_epoch(packed: PackedData) -> None:
    # DeepLabV3Plus has a dropout layer; the state that the process's generator happens to be in must not matter
    config = trial(model={"architecture": "DeepLabV3Plus"}, training={"epochs": 1})
    first = run(config, packed)
    torch.manual_seed(99)
    assert same(first, run(config, packed))


def test_every_trial_starts_from_the_same_weights(packed: PackedData) -> None:
    def weights(**sections: Any) -> list[torch.Tensor]:
        model = Trainer(trial(**sections), packed, torch.device("cpu")).model
        return [
            p
            for module in model.modules()
            if not isinstance(module, AdaptiveClassWeight)
            for p in module.parameters(recurse=False)
        ]

    plain = weights(loss={"end": "ce"})
    for other in (weights(loss={"end": "dice"}), weights(loss={"end": "dual_focal"}, acw=True)):
        assert len(plain) == len(other) > 50
        assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))
    assert not torch.equal(plain[0], weights(training={"seed": 1})[0])


def test_a_schedule_shares_its_first_phase_with_the_static_loss(packed: PackedData) -> None:
    static = run(trial(loss={"end": "dice"}, training={"epochs": 4}), packed)
    scheduled = run(
        trial(
            loss={"kind": "naive", "start": "dice", "end": "ce"},
            schedule={"start": 0.5, "end": 0.9},
            training={"epochs": 4},
        ),
        packed,
    )
    for key in ("train_loss", "accuracy", "calibration", "s_rec"):
        assert [result[key] for result in static[:2]] == [result[key] for result in scheduled[:2]]
    assert static[3]["train_loss"] != scheduled[3]["train_loss"]
    assert [result["end_weight"] for result in scheduled[:2]] == [0.0, 0.0]


def test_training_learns(packed: PackedData, device: torch.device) -> None:
    results = run(trial(training={"epochs": 8, "lr": 2e-3}), packed, device)
    assert results[-1]["train_loss"] < 0.8 * results[0]["train_loss"]
    assert results[-1]["accuracy"] > 0.4


def test_bfloat16_trains_on_every_device(packed: PackedData, device: torch.device) -> None:
    results = run(trial(training={"precision": "bfloat16"}, **SCHEDULED), packed, device)
    assert all(np.isfinite(result["train_loss"]) for result in results)
    assert not same(results, run(trial(training={"precision": "float32"}, **SCHEDULED), packed, device))


def test_a_loss_that_leaves_the_finite_numbers_ends_the_trial(packed: PackedData) -> None:
    results = run(trial(training={"epochs": 5, "optimizer": "sgd", "lr": 1e30}), packed)
    assert len(results) < 5
    assert [result["diverged"] for result in results[-2:]] in ([True], [False, True])


def test_weights_ruined_by_the_last_step_end_the_trial(packed: PackedData) -> None:
    # the only loss of the only epoch was taken before the step
    (result,) = run(trial(training={"epochs": 1, "batch_size": 8, "optimizer": "sgd", "lr": 1e30}), packed)
    assert np.isfinite(result["train_loss"])
    assert result["diverged"]


def test_a_background_is_left_out_of_iou_and_dice_alone(packed: PackedData) -> None:
    (whole,) = run(trial(training={"epochs": 1}), packed)
    (without,) = run(trial(training={"epochs": 1}, evaluation={"background": packed.class_names[0]}), packed)
    assert {key for key in whole if not same(whole[key], without[key])} == {"miou", "mdice"}


class TestLossProgram:
    frequencies = torch.tensor([0.7, 0.25, 0.05], dtype=torch.float64)
    logits = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 3, (2, 5, 5), generator=torch.Generator().manual_seed(1))

    def program(self, iterations: int = 10, **loss: Any) -> LossProgram:
        config = trial(loss=loss)
        return LossProgram(config.loss, config.schedule, self.frequencies, iterations)

    def part(self, name: str, **params: Any) -> nn.Module:
        return build_loss(name, num_classes=3, class_weights=class_weights(self.frequencies), **params)

    def test_compound_is_the_weighted_sum_of_its_parts(self) -> None:
        parts = self.part("dice")(self.logits, self.target), self.part("wce")(self.logits, self.target)
        one_to_one = self.program(kind="compound", start="dice", end="wce")
        torch.testing.assert_close(one_to_one(self.logits, self.target, 3), parts[0] + parts[1])
        weighted = self.program(kind="compound", start="dice", end="wce", weights={"start": 0.25, "end": 2.0})
        torch.testing.assert_close(weighted(self.logits, self.target, 3), 0.25 * parts[0] + 2 * parts[1])
        assert weighted.weights(0) == weighted.weights(9) == (0.25, 2.0)

    @pytest.mark.parametrize(("kind", "first", "last"), [("naive", "dice", "ce"), ("alternating", "ce", "ce")])
    def test_schedules_are_pure_at_their_ends(self, kind: str, first: str, last: str) -> None:
        program = self.program(kind=kind, start="dice", end="ce")
        for name, iteration in ((first, 0), (last, 9)):
            expected = self.part(name)(self.logits, self.target)
            assert torch.equal(program(self.logits, self.target, iteration), expected)

    def test_parameters_reach_the_losses_that_have_them(self) -> None:
        program = self.program(kind="compound", start="dice", end="focal", gamma=0.7, alpha=[0.1, 0.2, 0.3])
        expected = self.part("dice")(self.logits, self.target) + self.part("focal", gamma=0.7, alpha=[0.1, 0.2, 0.3])(
            self.logits, self.target
        )
        torch.testing.assert_close(program(self.logits, self.target, 0), expected)

    def test_class_weights_can_be_scaled_as_hossain_does(self) -> None:
        program = self.program(end="wdice", class_weights="sum")
        weights = class_weights(self.frequencies, normalise="sum")
        expected = build_loss("wdice", num_classes=3, class_weights=weights)(self.logits, self.target)
        torch.testing.assert_close(program(self.logits, self.target, 0), expected)
