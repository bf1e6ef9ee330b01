"""Trainings whose images are sampled."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.support.epoch_results import same
from tests.support.trials import CPU, encoded, head, run, trial
from tune_seg.data import PackedData
from tune_seg.data.loading.sampling import Sampling, trained_on
from tune_seg.losses import class_weights
from tune_seg.training import Trainer
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.result import EpochResult
from tune_seg.training.resume import StoredTraining

KINDS = ["class_balanced", "repeat_factor"]
SMALL: dict[str, Any] = {"encoder": "tu-test_resnet", "weights": "none"}


def finish(training: StoredTraining) -> list[EpochResult]:
    results: list[EpochResult] = []
    while not training.done:
        results += training.advance()[0]
    return results


def sampled(kind: str, **training: Any) -> dict[str, Any]:
    return {"sampling": kind, "repeat_threshold": 1.0, "lr_schedule": "constant", **training}


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_is_sampled_alike_each_time_and_from_a_checkpoint(packed: PackedData, kind: str, tmp_path: Any) -> None:
    config = trial(model=SMALL, training=sampled(kind), loss={"end": "wce"})
    first = run(config, packed)
    assert same(first, run(config, packed))
    store = CheckpointStore(str(tmp_path))
    shorter = StoredTraining(trial(model=SMALL, training=sampled(kind, epochs=1), loss={"end": "wce"}), packed, CPU, store)
    finish(shorter)
    results = finish(StoredTraining(config, packed, CPU, store))
    assert results[0].replayed and not results[1].replayed
    assert results[1].train_loss == first[1].train_loss and same(results[1:], first[1:])
    assert first[0].train_loss != run(trial(model=SMALL, loss={"end": "wce"}), packed)[0].train_loss


@pytest.mark.parametrize("kind", KINDS)
def test_a_trainings_class_weights_are_those_of_what_it_is_trained_on(packed: PackedData, kind: str) -> None:
    config = trial(model=SMALL, training=sampled(kind), loss={"end": "wce"})
    trainer = Trainer(config, packed, CPU)
    how: Sampling = (kind, 1.0 if kind == "repeat_factor" else None)
    weights = class_weights(trained_on(how, packed).frequencies.tolist())
    assert not np.allclose(weights, class_weights(packed.frequencies.tolist()))
    assert any(torch.equal(weights.float(), buffer) for buffer in trainer.loss.buffers())


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_encoder_sees_each_image_once_however_often_it_is_drawn(own_pack: PackedData, kind: str) -> None:
    trainer = Trainer(head(training=sampled(kind)), own_pack, CPU)
    sizes = encoded(trainer)
    while not trainer.done:
        trainer.epoch()
    assert sizes == [1] * (len(own_pack.train) + len(own_pack.val))
