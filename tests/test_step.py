"""The training step, and on a GPU its recording."""

import logging
from typing import Any

import pytest
import torch

from tests.test_training import SCHEDULED, trial
from tune_seg.data import PackedData
from tune_seg.step import Step
from tune_seg.training import Trainer

FLOAT: dict[str, Any] = {"epochs": 6, "precision": "float32", "batch_size": 2}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_recorded_step_trains_as_one_that_is_not(
    packed: PackedData, device: torch.device, optimizer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The losses in force change twice; on a CPU nothing is recorded, and the two agree to the last bit."""
    config = trial(
        loss={"kind": "naive", "start": "wdice", "end": "focal"},
        schedule={"start": 0.3, "end": 0.7},
        training={**FLOAT, "optimizer": optimizer},
        acw=True,
    )
    recorded, plain = Trainer(config, packed, device), Trainer(config, packed, device)
    plain._step = Step(plain.model, plain.loss, plain.optimizer, plain._autocast)
    tolerance = 0.0 if device.type == "cpu" else 1e-2
    while not recorded.done:
        first, second = recorded.epoch(), plain.epoch()
        assert first["train_loss"] == pytest.approx(second["train_loss"], rel=tolerance)
        assert first["accuracy"] == pytest.approx(second["accuracy"], abs=5 * tolerance)
    assert not caplog.records


def test_training_never_waits_for_the_device(packed: PackedData, device: torch.device) -> None:
    trainer = Trainer(trial(training={**FLOAT, "epochs": 4}, **SCHEDULED), packed, device)
    trainer.epoch()
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        total = trainer._train()
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    assert bool(torch.isfinite(total))


def test_a_loss_that_cannot_be_recorded_trains_all_the_same(
    packed: PackedData, device: torch.device, caplog: pytest.LogCaptureFixture
) -> None:
    # it reads the batch back, to learn whether it has a valid pixel
    config = trial(loss={"end": "tests.test_step:waiting"}, training=FLOAT)
    with caplog.at_level(logging.WARNING):
        trainer = Trainer(config, packed, device)
        losses = [trainer.epoch()["train_loss"] for _ in range(3)]
    assert losses[2] < losses[0]
    assert len(caplog.records) == (device.type == "cuda")


def waiting(num_classes: int, *, ignore_index: int = 255, **_: Any) -> torch.nn.Module:
    """A loss of the user's own."""
    return torch.nn.CrossEntropyLoss(ignore_index=ignore_index)
