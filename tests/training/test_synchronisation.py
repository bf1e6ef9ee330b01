"""What waits for a GPU, on the path of an epoch: an exact list, on a GPU that is pretended.

A list is complete: what is not on it, and waits, fails the test. `scripts/bench/README.md` has it with the reasons.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.loss_cases import CASES, Case, build, random_batch
from tests.support.pretended_gpu import DEVICE, Waits, pretended_gpu
from tests.support.trials import SPLIT, trial
from tune_seg.config import ModelConfig
from tune_seg.data import PackedData
from tune_seg.losses import LOSSES
from tune_seg.losses.max_pooling import _threshold_on_cpu, _threshold_on_gpu
from tune_seg.metrics import SegmentationMetrics
from tune_seg.models import build_model
from tune_seg.training import Trainer
from tune_seg.training.step import CapturedStep

READ, SENT, NUMBER = "read", "sent from the host", "_local_scalar_dense"
STEP = ("temperature.py:_newton", READ)
"""The slope and the curvature, from which the host finds the next temperature: as often as a search has steps."""
EPOCH: dict[tuple[str, str], int] = {
    ("training/trainer.py:epoch", NUMBER): 1,  # the mean loss
    (
        "metrics.py:_read",
        READ,
    ): 3,  # all that the metrics have counted, of all pixels, and of the sample of each half with a temperature
    ("temperature.py:pixels", "nonzero"): 2,  # how many pixels the sample of each half has
    # of each of two fits: how many pixels are valid, whether the logits are finite, and the temperature sent back
    ("temperature.py:fit_temperature", "nonzero"): 2,
    ("temperature.py:fit_temperature", NUMBER): 2,
    ("temperature.py:fit_temperature", SENT): 2,
    ("training/evaluation.py:evaluate", READ): 1,  # the temperatures, to see whether they are known, and for the results
}
"""Beside the steps of the searches."""
FITS = 16
"""Searches for one temperature in the last epoch: of each half as it is, and with each of seven strengths of adjustment."""
LAST: dict[tuple[str, str], int] = {
    **EPOCH,
    ("metrics.py:_read", READ): 23,  # and with each strength in both halves, with a temperature a class, as adjusted
    ("temperature.py:fit_temperature", "nonzero"): FITS + 2,
    ("temperature.py:fit_temperature", NUMBER): FITS + 2,
    ("temperature.py:fit_temperature", SENT): FITS,
    ("temperature.py:_one_per_class", READ): 2,  # where each of two searches for the temperatures of the classes begins
    ("temperature.py:_one_per_class", SENT): 2,  # what it has found
    ("training/evaluation.py:_adjustment", SENT): 2,  # the frequencies of the classes
    ("training/evaluation.py:evaluate", READ): 3,  # the temperatures, for the results
    # what was counted of each image, in whole numbers and in others, and the confusion of all
    ("training/image_tally.py:counts", READ): 3,
}
"""The last planned epoch, beside the steps of the searches."""
ADAPTIVE = {("training/trainer.py:_acw_weight", READ): 1}  # the class weights, for the results
FIRST = {
    ("data/loading/resident.py:_resident_on_gpu", SENT): 2,  # images and masks, 64 at a time, once in a process
    ("data/loading/augmentation.py:_scale_and_shift", SENT): 2,  # what normalises the images, likewise
}
PLAIN = {"flip": 0.0, "resize": [1.0, 1.0]}
SMALL = {"architecture": "Unet", "encoder": "tu-test_resnet", "weights": "none"}


def three_epochs(**sections: Any) -> Any:
    """Of one step each: a fourth step would be recorded, which takes a GPU. None is the last planned one, of four."""
    training = {"epochs": 4, "batch_size": 8, "precision": "float32", **sections.pop("training", {})}
    return trial(**{"model": SMALL, **sections}, training=training)


def waits_by_epoch(config: Any, data: PackedData, memory: int = 2**30, epochs: int = 3) -> list[dict[tuple[str, str], int]]:
    found = []
    with pretended_gpu(memory) as waits:
        trainer = Trainer(config, data, torch.device("cuda"))
        assert isinstance(trainer._step, CapturedStep)
        for _ in range(epochs):
            waits.clear()
            assert not trainer.epoch().diverged
            found.append(dict(waits))
    for epoch, each in enumerate(found, 1):
        searches = FITS if epoch == config.training.epochs else 2
        assert 3 * searches <= each.pop(STEP) <= 40 * searches
    return found


# The pretended GPU sees what it should


def on_device(function: Callable[[Tensor], Any]) -> Waits:
    with pretended_gpu() as waits:
        tensor = torch.ones(3, 2).pin_memory().to("cuda", non_blocking=True)
        function(tensor)
    return waits


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.sum() > 0),
        lambda x: float(x.sum()),
        lambda x: int(x.sum()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.to("cpu", non_blocking=True),  # not pinned: a copy to memory that may be read too early waits
        lambda x: torch.zeros(3, 2).copy_(x),
        lambda x: x[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: x.nonzero(),
        lambda x: torch.where(x > 0),
        lambda x: x.unique(),
        lambda x: torch.bincount(x[:, 0].long()),
        lambda x: x.repeat_interleave(x[:, 0].long(), dim=0),
        lambda x: x.equal(x),
        lambda x: torch.tensor([1.0], device=x.device),
        lambda x: torch.as_tensor([1.0], device="cuda"),
        lambda x: x.new_tensor([1.0]),
        lambda x: torch.ones(3).to(x.device),
        lambda x: torch.ones(3).to(x.device, non_blocking=True),
        lambda x: torch.ones(3).pin_memory().to(x.device),
        lambda x: x.copy_(torch.ones(3, 2)),
        lambda x: torch.where(x > 0, x, torch.tensor(1.0)),
        lambda x: x[torch.tensor([0, 1])],
        lambda x: x.requires_grad_().sum().backward(torch.tensor(1.0).to("cuda")),
    ],
)
def test_what_waits_is_seen(function: Callable[[Tensor], Any]) -> None:
    assert on_device(function).total() == 1


def test_a_wait_in_a_backward_pass_is_seen() -> None:
    class Reads(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.sum()

        @staticmethod
        def backward(ctx: Any, *upstream: Tensor) -> Tensor:
            return upstream[0].expand(3, 2) * upstream[0].item()

    def train(x: Tensor) -> None:
        Reads.apply(x.requires_grad_()).backward()
        assert x.grad is not None and x.grad.device == DEVICE

    assert on_device(train) == {("outside", NUMBER): 1}


def test_what_does_not_wait_is_not_seen() -> None:
    def compute(x: Tensor) -> None:
        assert x.is_cuda and x.device == DEVICE and x.shape == (3, 2)
        index = torch.arange(2, device=x.device)
        y = x * 2 + torch.zeros(2, device="cuda").fill_(0.5)
        y = torch.where(y > 0, y, 1.0).masked_fill_(y > 3, 0.0)[:, index].index_select(1, index).clone()
        y.requires_grad_()
        y.sort(dim=0).values.cumsum(dim=0).softmax(dim=1).sum().backward()

    assert on_device(compute) == {}


def test_numpy_cannot_have_what_lies_on_the_device() -> None:
    with pytest.raises((TypeError, RuntimeError), match="numpy"):
        on_device(lambda x: x.numpy())


def test_the_device_holds_the_values() -> None:
    with pretended_gpu():
        x = torch.arange(6.0).view(2, 3).to("cuda")
        x[:, 1:] += 1
        host = (x.T @ x).cpu()
    expected = torch.tensor([[0.0, 2.0, 3.0], [3.0, 5.0, 6.0]])
    assert host.equal(expected.T @ expected)


# Losses


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_loss_waits_and_on_the_device_each_is_what_it_is_on_the_host(case: Case) -> None:
    classes = case.classes(4)
    logits, target = random_batch(0, classes=classes)
    host = logits.clone().requires_grad_()
    expected = build(case, classes)(host, target)
    (2 * expected).backward()
    assert host.grad is not None
    with pretended_gpu() as waits:
        loss = build(case, classes).to("cuda")
        there, labels = logits.to("cuda").requires_grad_(), target.to("cuda")
        waits.clear()
        value = loss(there, labels)
        (2 * value).backward()
        assert waits == {}
        assert there.grad is not None and value.device == there.grad.device == DEVICE
        result, gradient = value.detach().cpu(), there.grad.cpu()
    torch.testing.assert_close(result, expected.detach(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(gradient, host.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_of_the_package_says_that_it_waits(name: str) -> None:
    assert not build(name, Case(name).classes(4)).waits_for_device


def test_a_loss_of_the_users_own_waits_and_says_so() -> None:
    logits, target = random_batch(0)
    with pretended_gpu() as waits:
        loss = build("tests.support.own_losses:waiting", 4).to("cuda")
        assert loss.waits_for_device
        there, labels = logits.to("cuda").requires_grad_(), target.to("cuda")
        waits.clear()
        loss(there, labels).backward()
    assert waits == {("losses/build.py:forward", NUMBER): 1}


@pytest.mark.parametrize("name", [name for name in LOSSES if Case(name).max_classes is None])
@pytest.mark.parametrize("valid", [0, 1])
def test_batches_with_one_valid_pixel_and_with_none_are_as_on_the_host(name: str, valid: int) -> None:
    logits, target = random_batch(1)
    target.fill_(255).view(-1)[:valid] = 1
    expected = build(name, 4)(logits, target)
    with pretended_gpu():
        value = build(name, 4).to("cuda")(logits.to("cuda"), target.to("cuda")).cpu()
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("p", [1.01, 1.3, 4.0])
@pytest.mark.parametrize("m", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("mistakes", [0, 3, 500, 1000])
def test_max_pooling_has_the_same_threshold_by_steps_and_by_sorting(p: float, m: float, mistakes: int) -> None:
    generator = torch.Generator().manual_seed(mistakes)
    losses = torch.rand(1000, generator=generator, dtype=torch.float64) ** 3
    losses[: mistakes // 4] = 0.7  # ties
    losses[mistakes:] = 0
    powers, allowed = p / (p - 1) * losses.log(), torch.tensor(1000 * m, dtype=torch.float64)
    expected = _threshold_on_cpu(powers, allowed)
    torch.testing.assert_close(_threshold_on_gpu(powers, allowed), expected, rtol=1e-12, atol=1e-11)


# Models


@pytest.mark.parametrize("architecture", [*SPLIT, "unet_2015", "deeplabv3_resnet50"])
def test_no_model_waits(architecture: str) -> None:
    encoder = "tu-test_resnet" if architecture in SPLIT else "resnet18"  # which the package's own do not look at
    config = ModelConfig(architecture=architecture, weights="none", encoder=encoder)
    with pretended_gpu() as waits:
        model = build_model(config, 3, acw=True, acw_positive=True).to("cuda")
        images = torch.rand(2, 3, *((128, 128) if architecture == "PAN" else (64, 64)), device="cuda")
        waits.clear()
        model(images).sum().backward()
        model.eval()
        with torch.no_grad():
            model(images)
    assert waits == {}


# Epochs


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_an_epoch_reads_the_mean_loss_what_the_metrics_counted_and_steps_to_a_temperature(
    packed: PackedData, optimizer: str
) -> None:
    loss = {"kind": "naive", "start": "wdice", "end": "focal"}
    config = three_epochs(loss=loss, schedule={"start": 0.0, "end": 1.0}, acw=True, training={"optimizer": optimizer})
    first, *others = waits_by_epoch(config, packed)
    assert first == EPOCH | ADAPTIVE | FIRST
    assert others == [EPOCH | ADAPTIVE] * 2


@pytest.mark.parametrize("augmentation", [{}, PLAIN, {"crop": [32, 32], "resize": [0.5, 2.0]}])
def test_batches_that_are_sent_one_by_one_do_not_wait(packed: PackedData, augmentation: dict[str, Any]) -> None:
    for each in waits_by_epoch(three_epochs(augmentation=augmentation), packed, memory=0)[1:]:
        assert each == EPOCH


@pytest.mark.parametrize("memory", [0, 2**30])
def test_the_features_of_a_frozen_encoder_do_not_wait_once_they_are_there(own_pack: PackedData, memory: int) -> None:
    config = three_epochs(augmentation=PLAIN, model={**SMALL, "train": "head"})
    assert waits_by_epoch(config, own_pack, memory)[1:] == [EPOCH] * 2


def test_the_last_epoch_reads_once_for_each_step_of_a_search(packed: PackedData) -> None:
    config = three_epochs(training={"epochs": 2})
    first, last = waits_by_epoch(config, packed, epochs=2)
    steps = last.pop(("temperature.py:objective", SENT))  # the point that SciPy has chosen
    assert 8 <= steps <= 120
    assert last.pop(("temperature.py:_read", READ)) == steps  # the value and the slope there
    assert last == LAST
    assert {place: first[place] for place in EPOCH} == EPOCH


def test_an_epoch_is_on_the_device_what_it_is_on_the_host(packed: PackedData) -> None:
    config = three_epochs(loss={"kind": "compound", "start": "lovasz_softmax", "end": "ce_max_pool"}, acw=True)
    host = Trainer(config, packed, torch.device("cpu"))
    weights = copy.deepcopy(host.model.state_dict())
    expected = [host.epoch() for _ in range(2)]
    with pretended_gpu():
        trainer = Trainer(config, packed, torch.device("cuda"))
        trainer.model.load_state_dict(weights)
        results = [trainer.epoch() for _ in range(2)]
    for result, other in zip(results, expected, strict=True):
        assert result.train_loss == pytest.approx(other.train_loss, rel=1e-4)
        assert result.score("accuracy") == pytest.approx(other.score("accuracy"), abs=0.01)
        assert result.lr == other.lr


def test_metrics_are_on_the_device_what_they_are_on_the_host() -> None:
    logits, target = random_batch(3, images=8)
    groups = torch.tensor([0, 0, 2, 1, 1, 1, 2, 0])
    host = SegmentationMetrics(4, num_groups=3)
    host.update(logits, target, groups)
    with pretended_gpu() as waits:
        there, other = SegmentationMetrics(4, num_groups=3), SegmentationMetrics(4, num_groups=3)
        sent = [tensor.to("cuda") for tensor in (logits, target, groups)]
        batches = [[tensor[part] for tensor in sent] for part in (slice(0, 5), slice(5, 8))]
        waits.clear()
        there.update(*batches[0])
        other.update(*batches[1])
        there.merge(other)
        assert waits == {}
        result = there.compute()
        assert waits == {("metrics.py:_read", READ): 1}
    for name, value in host.compute().items():
        assert np.allclose(np.array(result[name]), np.array(value), rtol=1e-6, equal_nan=True), name
