"""The training step, and on a GPU its recording."""

import copy
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from tests.support.trials import SCHEDULED, trial
from tune_seg.data import PackedData
from tune_seg.training import Trainer
from tune_seg.training.step import CapturedStep, Step, _side_stream

FLOAT: dict[str, Any] = {"epochs": 6, "precision": "float32", "batch_size": 2}


@pytest.mark.parametrize(
    "optimizer", ["adam", *(pytest.param(name, marks=pytest.mark.long("recorded steps")) for name in ("sgd", "adamw"))]
)
def test_a_recorded_step_trains_as_one_that_is_not(
    packed: PackedData, device: torch.device, optimizer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The active losses change twice; on a CPU nothing is recorded, and the two agree to the last bit."""
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
        assert first.train_loss == pytest.approx(second.train_loss, rel=tolerance)
        assert first.score("accuracy") == pytest.approx(second.score("accuracy"), abs=5 * tolerance)
    assert not caplog.records


def test_a_step_that_can_be_recorded_begins_without_a_recording(packed: PackedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_seg.training.step._side_stream", lambda thread: None)  # which only a GPU has
    trainer = Trainer(trial(training=FLOAT), packed, torch.device("cpu"))
    step = CapturedStep(trainer.model, trainer.loss, trainer.optimizer, trainer._autocast)
    step.forget()
    assert step._recording is None and len(step._rates) == len(trainer.optimizer.param_groups)


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


@pytest.mark.parametrize("known", [True, False])
def test_a_loss_that_cannot_be_recorded_trains_all_the_same(
    packed: PackedData,
    device: torch.device,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    known: bool,
) -> None:
    # it reads the batch back, to learn whether it has a valid pixel
    config = trial(loss={"end": "tests.support.own_losses:waiting"}, training=FLOAT)
    with caplog.at_level(logging.WARNING):
        trainer = Trainer(config, packed, device)
        monkeypatch.setattr(trainer.loss.losses[0], "waits_for_device", known)
        losses = [trainer.epoch().train_loss for _ in range(3)]
    assert losses[2] < losses[0]
    assert len(caplog.records) == (device.type == "cuda" and not known)


def test_only_the_active_losses_decide_whether_a_step_waits_for_the_device(packed: PackedData) -> None:
    start = "tests.support.own_losses:waiting"
    config = trial(loss={"kind": "naive", "start": start, "end": "dice"}, schedule={"start": 0.3, "end": 0.7})
    loss = Trainer(config, packed, torch.device("cpu")).loss
    assert loss.waits(loss.active(0))
    assert not loss.waits(loss.active(3))


def test_the_trainings_of_a_thread_share_a_stream_and_threads_do_not(
    packed: PackedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", object)  # which only a GPU has
    _side_stream.cache_clear()
    trainer = Trainer(trial(training=FLOAT), packed, torch.device("cpu"))

    def stream() -> object:
        return CapturedStep(trainer.model, trainer.loss, trainer.optimizer, trainer._autocast)._stream

    with ThreadPoolExecutor(1) as pool:
        others = {pool.submit(stream).result() for _ in range(2)}
    own = {stream() for _ in range(2)}
    _side_stream.cache_clear()
    assert len(own) == len(others) == 1
    assert own.isdisjoint(others)


@pytest.mark.parametrize("loss", ["ce_max_pool", "tests.support.own_losses:waiting"])
def test_a_step_is_recorded_when_a_loss_that_waits_is_no_longer_active(
    packed: PackedData, device: torch.device, caplog: pytest.LogCaptureFixture, loss: str
) -> None:
    config = trial(loss={"kind": "naive", "start": loss, "end": "dice"}, schedule={"start": 0.2, "end": 0.4}, training=FLOAT)
    trainer = Trainer(config, packed, device)
    while not trainer.done:
        assert not trainer.epoch().diverged
    if device.type == "cuda":
        assert isinstance(trainer._step, CapturedStep)
        assert trainer._step._recording is not None
    assert not caplog.records


def test_a_state_that_is_loaded_is_what_the_next_step_begins_from(packed: PackedData, device: torch.device) -> None:
    config = trial(training={**FLOAT, "epochs": 4})
    trainer = Trainer(config, packed, device)
    results = [trainer.epoch()]
    state = copy.deepcopy(trainer.state_dict())
    results += [trainer.epoch() for _ in range(3)]
    trainer.load_state_dict(state, 1)
    tolerance = 0.0 if device.type == "cpu" else 1e-2
    for first in results[1:]:
        assert trainer.epoch().train_loss == pytest.approx(first.train_loss, rel=tolerance)
