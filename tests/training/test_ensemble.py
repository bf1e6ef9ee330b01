"""The seed ensemble: the mean of the outputs of several models, and its scores from stored weights."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.largest_tensor import LargestTensor
from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData, batches
from tune_seg.metrics import SegmentationMetrics
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.ensemble import MeanOutput, score_ensemble
from tune_seg.training.held_out import trained_model
from tune_seg.training.resume import StoredTraining
from tune_seg.training.trainer import autocast

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_output_is_the_mean_softmax(precision: str) -> None:
    torch.manual_seed(0)
    models = [nn.Conv2d(3, 4, 1) for _ in range(3)]
    images = 50 * torch.randn(2, 3, 5, 6)
    mean = MeanOutput(nn.Conv2d(3, 4, 1), [model.state_dict() for model in models])
    # as an evaluation calls it: autocast keeps copies of some weights, and these must not be those of another model
    with torch.inference_mode(), autocast("cpu", precision):
        expected = torch.stack([model(images).float().softmax(dim=1) for model in models]).mean(dim=0)
        torch.testing.assert_close(mean(images).softmax(dim=1), expected)


def test_what_is_improbable_for_all_models_stays_finite() -> None:
    states = [{"weight": torch.tensor([[[[-1e4]]], [[[0.0]]]])} for _ in range(2)]
    output = MeanOutput(nn.Conv2d(1, 2, 1, bias=False), states)(torch.ones(1, 1, 1, 1))
    assert output.flatten().tolist() == [-1e4, 0.0]


def test_its_memory_is_that_of_one_model_however_many_there_are() -> None:
    model = nn.Conv2d(3, 4, 1)
    few, many = (MeanOutput(model, [model.state_dict()] * count) for count in (2, 20))
    assert len(list(few.parameters())) == len(list(many.parameters())) == 2
    images = torch.randn(2, 3, 5, 6)
    sizes = [_largest(mean, images) for mean in (few, many)]
    assert sizes == [2 * 4 * 5 * 6] * 2


def _largest(model: nn.Module, images: torch.Tensor) -> int:
    """The number of elements of the largest tensor that the model makes."""
    with LargestTensor() as seen, torch.inference_mode():
        model(images)
    return seen.elements


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
