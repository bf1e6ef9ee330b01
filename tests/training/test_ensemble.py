"""The seed ensemble: the mean of the outputs of several models, and its scores from stored weights."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData, batches
from tune_seg.metrics import SegmentationMetrics
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.ensemble import MeanOutput, score_ensemble
from tune_seg.training.held_out import trained_model
from tune_seg.training.resume import StoredTraining

CPU = torch.device("cpu")


def test_the_output_is_the_mean_softmax() -> None:
    torch.manual_seed(0)
    models = [nn.Conv2d(3, 4, 1) for _ in range(3)]
    images = 50 * torch.randn(2, 3, 5, 6)
    with torch.no_grad():
        expected = torch.stack([model(images).softmax(dim=1) for model in models]).mean(dim=0)
        torch.testing.assert_close(MeanOutput(models)(images).softmax(dim=1), expected)


def test_the_scores_are_those_of_the_mean_output_of_the_stored_models(packed: PackedData, tmp_path: Path) -> None:
    store = CheckpointStore(str(tmp_path))
    checkpoints: list[str] = []
    for seed in (1, 2):
        training = {"epochs": 1, "batch_size": 4, "optimizer": "adam", "seed": seed, "threads": 1}
        config = parse(TrialConfig, {"model": {"architecture": "Unet", "weights": "none"}, "training": training})
        trained = StoredTraining(config, packed, CPU, store)
        while not trained.done:
            _, progress = trained.advance()
        assert progress.checkpoint is not None
        checkpoints.append(progress.checkpoint)
    found = score_ensemble(config, checkpoints, packed, CPU)

    models = [trained_model(config, checkpoint, packed).eval() for checkpoint in checkpoints]
    augmentation = config.augmentation
    drawn = batches(packed.val, epoch=0, seed=0, batch_size=4, augmentation=augmentation, device=CPU, train=False)
    ((images, target),) = drawn
    with torch.no_grad():
        mean = torch.stack([model(images).softmax(dim=1) for model in models]).mean(dim=0)
    metrics = SegmentationMetrics(packed.num_classes)
    metrics.update(mean.log(), target)
    for name, value in metrics.compute().items():
        if not isinstance(value, list):
            assert found.metrics[name] == pytest.approx(value, rel=1e-4, nan_ok=True), name
    assert "temperature" in found.scaled
