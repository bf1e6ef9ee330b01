"""The learning rate in closed form, and what the optimizer decays."""

import math

import pytest
import torch

from tune_seg.config import ModelConfig, TrainingConfig
from tune_seg.layers import AdaptiveClassWeight
from tune_seg.models import build_model
from tune_seg.training.lr_schedule import learning_rate, learning_rate_factor
from tune_seg.training.optimizer import build_optimizer

STEPS = 7


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", lambda t: 1 - t),
        ("polynomial", lambda t: (1 - t) ** 0.9),
        ("cosine", lambda t: (1 + math.cos(math.pi * t)) / 2),
        ("constant", lambda t: 1.0),
        ("step", lambda t: 0.5 ** (int(t * 10 + 1e-9) // 3)),
    ],
)
def test_schedules_in_closed_form(schedule: str, expected: object) -> None:
    config = TrainingConfig.model_validate(
        {"epochs": 10, "lr": 0.3, "lr_schedule": schedule, "lr_factor": 0.5, "lr_every": 3}
    )
    total = 10 * STEPS
    for iteration in range(total):
        assert callable(expected)
        assert learning_rate(config, iteration, STEPS) == pytest.approx(0.3 * expected(iteration / total), rel=1e-12)


def test_agrees_with_torch_schedulers() -> None:
    config = TrainingConfig(epochs=4, lr=0.1, lr_schedule="polynomial", lr_power=0.9)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4 * STEPS, power=0.9)
    for iteration in range(4 * STEPS):
        assert learning_rate(config, iteration, STEPS) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_adaptive_class_weights_are_not_decayed(name: str, kind: type, positive: bool) -> None:
    model = build_model(ModelConfig(), num_classes=3, acw=True, acw_positive=positive)
    config = TrainingConfig.model_validate({"optimizer": name, "weight_decay": 0.5, "lr": 0.1})
    optimizer = build_optimizer(config, model)
    assert type(optimizer) is kind
    layer = next(module for module in model.modules() if isinstance(module, AdaptiveClassWeight))
    (learnt,) = layer.parameters()
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(model.parameters()))
    assert decay.pop(id(learnt)) == 0.0
    assert set(decay.values()) == {0.5}
    # with no gradient but a zero one, only the decay could move it
    with torch.no_grad():
        learnt.add_(0.25)
    before = layer.weight.detach().clone()
    learnt.grad = torch.zeros_like(learnt)
    optimizer.step()
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("positive", [True, False])
def test_adaptive_class_weights_may_have_their_own_learning_rate(positive: bool) -> None:
    model = build_model(ModelConfig(), num_classes=3, acw=True, acw_positive=positive)
    layer = next(module for module in model.modules() if isinstance(module, AdaptiveClassWeight))
    learnt = {id(p) for p in layer.parameters()}
    for own, expected in ((None, 0.1), (0.7, 0.7)):
        groups = build_optimizer(TrainingConfig(lr=0.1), model, acw_lr=own).param_groups
        rates = {id(p): (group["lr"], group["initial_lr"]) for group in groups for p in group["params"]}
        assert {rate for p, rate in rates.items() if p in learnt} == {(expected, expected)}
        assert {rate for p, rate in rates.items() if p not in learnt} == {(0.1, 0.1)}


def test_one_factor_serves_every_learning_rate() -> None:
    config = TrainingConfig(epochs=4, lr=0.1, lr_schedule="cosine")
    for iteration in range(4 * STEPS):
        assert learning_rate(config, iteration, STEPS) == 0.1 * learning_rate_factor(config, iteration, STEPS)
