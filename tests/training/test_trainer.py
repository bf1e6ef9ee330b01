"""A trial is a pure function of its configuration and the data."""

import gc
import json
import math
import subprocess
import sys
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.epoch_results import same, text
from tests.support.trials import SCHEDULED, run, trial
from tune_seg.data import PackedData
from tune_seg.layers import AdaptiveClassWeight
from tune_seg.training import Trainer
from tune_seg.training.result import SCALINGS


def test_two_runs_agree_to_the_last_bit_whatever_ran_before(packed: PackedData) -> None:
    first = run(trial(**SCHEDULED), packed)
    torch.manual_seed(123)
    np.random.seed(5)
    run(trial(training={"optimizer": "sgd", "seed": 4}, loss={"end": "dice"}), packed)
    torch.rand(1000)
    assert same(first, run(trial(**SCHEDULED), packed))
    assert len(first) == 2
    assert first[0].train_loss != first[1].train_loss


@pytest.mark.long("two processes")
def test_two_processes_agree_to_the_last_bit(packed: PackedData) -> None:
    code = (
        "import json\nfrom tests.support.epoch_results import text\nfrom tests.support.trials import SCHEDULED, run, trial\n"
        "from tune_seg.data import PackedData\n"
        f"print(json.dumps(text(run(trial(**SCHEDULED), PackedData({str(packed.path)!r})))))"
    )
    outputs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert outputs[0].stdout == outputs[1].stdout == json.dumps(text(run(trial(**SCHEDULED), packed))) + "\n"


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
    assert [result.train_loss for result in static[:2]] == [result.train_loss for result in scheduled[:2]]
    assert [result.evaluation for result in static[:2]] == [result.evaluation for result in scheduled[:2]]
    assert static[3].train_loss != scheduled[3].train_loss
    assert [result.weights["end"] for result in scheduled[:2]] == [0.0, 0.0]


def test_training_learns(packed: PackedData, device: torch.device) -> None:
    results = run(trial(training={"epochs": 8, "lr": 2e-3}), packed, device)
    assert results[-1].train_loss < 0.8 * results[0].train_loss
    assert results[-1].score("accuracy") > 0.4


def test_scores_with_a_temperature_come_with_every_epoch_and_all_else_with_the_last_planned_one(packed: PackedData) -> None:
    results = run(trial(training={"epochs": 3}), packed)
    for number, result in enumerate(results, 1):
        assert tuple(result.evaluation.scaled) == (SCALINGS if number == 3 else SCALINGS[:1])
        assert (result.evaluation.images is not None) == (number == 3)
        assert all(math.isfinite(result.score(f"temperature/{name}")) for name in ("s_rec", "nll", "recall"))
    one, per_class, adjusted = (results[-1].evaluation.scaled[name].temperature for name in SCALINGS)
    assert isinstance(one, float) and isinstance(adjusted, float)
    assert isinstance(per_class, tuple) and len(per_class) == packed.num_classes
    images = results[-1].evaluation.images
    assert images is not None and len(images) == len(packed.val)


def test_how_many_epochs_are_planned_changes_nothing_that_is_known_of_an_epoch(packed: PackedData) -> None:
    steady = {"lr_schedule": "constant"}
    (last,) = run(trial(training={**steady, "epochs": 1}), packed)
    first = Trainer(trial(training={**steady, "epochs": 3}), packed, torch.device("cpu")).epoch()
    assert same([first], [replace(last, evaluation=last.evaluation.of_any_epoch())])


def test_an_evaluation_after_the_last_epoch_changes_no_training(packed: PackedData) -> None:
    plain, asked = (Trainer(trial(training={"epochs": 3}), packed, torch.device("cpu")) for _ in range(2))
    for _ in range(2):
        asked.evaluate(final=True)
        assert same([plain.epoch()], [asked.epoch()])


def test_bfloat16_trains_on_every_device(packed: PackedData, device: torch.device) -> None:
    results = run(trial(training={"precision": "bfloat16"}, **SCHEDULED), packed, device)
    assert all(np.isfinite(result.train_loss) for result in results)
    assert not same(results, run(trial(training={"precision": "float32"}, **SCHEDULED), packed, device))


def test_a_loss_that_leaves_the_finite_numbers_ends_the_trial(packed: PackedData) -> None:
    results = run(trial(training={"epochs": 5, "optimizer": "sgd", "lr": 1e30}), packed)
    assert len(results) < 5
    assert [result.diverged for result in results[-2:]] in ([True], [False, True])


def test_weights_ruined_by_the_last_step_end_the_trial(packed: PackedData) -> None:
    # the only loss of the only epoch was taken before the step
    (result,) = run(trial(training={"epochs": 1, "batch_size": 8, "optimizer": "sgd", "lr": 1e30}), packed)
    assert np.isfinite(result.train_loss)
    assert result.diverged


def test_an_objective_of_groups_is_known_after_every_epoch_with_a_temperature_too(packed: PackedData) -> None:
    objectives = ("group_recall", "group_miou", "group_mdice")
    results = run(trial(objective=[f"temperature/{name}" for name in objectives], training={"epochs": 3}), packed)
    assert len(results) == 3
    for result in results:
        for name in objectives:
            assert 0 < result.score(name) < 1
            assert result.score(f"temperature/{name}") == result.score(name)


def test_outlines_are_measured_where_they_are_asked_for_and_change_nothing_else(packed: PackedData) -> None:
    sections: dict[str, Any] = {"objective": "temperature/boundary_f1", "evaluation": {"boundary": True}}
    for result, plain in zip(run(trial(**sections), packed), run(trial(), packed), strict=True):
        assert 0 < result.score("boundary_f1") < 1 < result.score("hd95")
        assert result.score("temperature/boundary_f1") == result.score("boundary_f1")
        assert plain.find("boundary_f1") is None
        assert {name: result.find(name) for name in plain.evaluation.metrics} == plain.evaluation.metrics


def test_a_background_is_left_out_of_iou_and_dice_alone(packed: PackedData) -> None:
    (whole,) = run(trial(training={"epochs": 1}), packed)
    (without,) = run(trial(training={"epochs": 1}, evaluation={"background": packed.class_names[0]}), packed)
    changed = {name for name, value in whole.evaluation.metrics.items() if value != without.evaluation.metrics[name]}
    assert changed == {"miou", "mdice", "group_miou", "group_mdice"}
    assert json.dumps(whole.evaluation.per_class) == json.dumps(without.evaluation.per_class)


PROGRAM: dict[str, Any] = {
    "kind": "program",
    "gamma": 1.5,
    "components": {
        "overlap": {
            "loss": "wdice",
            "keyframes": [{"at": 0.0, "weight": 1.0, "move": "cosine"}, {"at": 0.5, "weight": 0.0}],
        },
        "entropy": {"loss": "focal", "weight": 1.0},
        "extra": {
            "loss": "dual_focal",
            "keyframes": [{"at": 0.25, "weight": 0.0, "move": "oscillating", "cycles": 2}, {"at": 1.0, "weight": 0.3}],
        },
    },
}


def test_a_program_trains_and_reports_its_weights(packed: PackedData) -> None:
    config = trial(loss=PROGRAM, training={"epochs": 4})
    first = run(config, packed)
    torch.rand(1000)
    run(trial(loss={"end": "dice"}), packed)
    assert same(first, run(config, packed))
    assert all(np.isfinite(result.train_loss) for result in first)
    assert all(result.weights.keys() == PROGRAM["components"].keys() for result in first)
    # an epoch's last iterations of eight are 1, 3, 5 and 7; from 0 to 4 the weight falls along a quarter cosine
    falling = [math.cos(math.pi / 2 * i / 4) for i in (1, 3)]
    assert [result.weights["overlap"] for result in first] == pytest.approx([*falling, 0.0, 0.0])


def test_a_schedule_reports_the_weights_of_both_its_losses(packed: PackedData) -> None:
    results = run(trial(**SCHEDULED, training={"epochs": 4}), packed)
    assert [sum(result.weights.values()) for result in results] == [1.0] * 4
    (static,) = run(trial(training={"epochs": 1}), packed)
    assert static.weights == {"end": 1.0}
    assert static.acw_weight is None


@pytest.mark.parametrize("positive", [True, False])
def test_the_adaptive_class_weights_are_reported(packed: PackedData, positive: bool) -> None:
    options = {"positive": positive, "lr": 0.25}
    config = trial(
        loss={"end": "wce"}, acw=True, acw_options=options, training={"optimizer": "sgd", "lr_schedule": "constant"}
    )
    results = run(config, packed)
    first, second = (result.acw_weight for result in results)
    assert first is not None and second is not None
    assert len(first) == len(second) == packed.num_classes
    assert first != second != (1.0,) * packed.num_classes
    if positive:
        assert min(*first, *second) > 0
    assert same(results, run(config, packed))


def test_the_class_weights_own_learning_rate_moves_them_alone_faster(packed: PackedData) -> None:
    def moved(**options: Any) -> float:
        (result,) = run(trial(acw=True, acw_options=options, training={"epochs": 1, "optimizer": "adam"}), packed)
        assert result.lr == pytest.approx(0.5e-3)  # that of the other parameters, at the last of two iterations
        assert result.acw_weight is not None
        return max(abs(weight - 1) for weight in result.acw_weight)

    # Adam's first steps are as long as the learning rate, whatever the gradient: 1 + 1/2 of it in two iterations
    assert moved() == pytest.approx(1.5e-3, rel=0.4)
    assert moved(lr=0.1) == pytest.approx(0.15, rel=0.4)


def test_positive_class_weights_start_as_all_others_do(packed: PackedData) -> None:
    plain, positive = (
        Trainer(trial(acw=True, acw_options={"positive": flag}), packed, torch.device("cpu")).model for flag in (False, True)
    )
    plain.eval(), positive.eval()
    image = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain(image), positive(image))


@pytest.mark.parametrize("sections", [{}, {"model": {"train": "head"}}, {"acw": True, "loss": {"end": "wdice"}}])
def test_a_trainer_that_nothing_refers_to_gives_its_model_back_at_once(
    packed: PackedData, device: torch.device, sections: dict[str, Any]
) -> None:
    gc.collect()
    gc.disable()
    try:
        trainer = Trainer(trial(training={"epochs": 1}, **sections), packed, device)
        trainer.epoch()
        model, optimizer = weakref.ref(trainer.model), weakref.ref(trainer.optimizer)
        del trainer
        assert model() is None
        assert optimizer() is None
    finally:
        gc.enable()
