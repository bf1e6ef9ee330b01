"""The adaptive class-weight layer."""

import numpy as np
import pytest
import torch

from tune_seg.errors import InputError
from tune_seg.layers import AdaptiveClassWeight


def test_starts_as_the_identity(device: torch.device) -> None:
    logits = torch.randn(2, 3, 4, 5, device=device)
    assert torch.equal(AdaptiveClassWeight(3).to(device)(logits), logits)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 6)])
def test_scales_each_class(shape: tuple[int, ...], device: torch.device) -> None:
    layer = AdaptiveClassWeight(3).to(device)
    weights = [0.5, -1.0, 2.0]
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
    logits = torch.randn(shape, device=device)
    scaled = layer(logits)
    for c, weight in enumerate(weights):
        assert torch.equal(scaled[:, c], weight * logits[:, c])


def test_weight_is_learnt_and_its_gradient_is_the_sum_over_the_class(device: torch.device) -> None:
    layer = AdaptiveClassWeight(3).to(device)
    logits = torch.randn(2, 3, 4, 5, device=device)
    layer(logits).sum().backward()
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert layer.weight.shape == (3,)
    torch.testing.assert_close(layer.weight.grad, logits.sum(dim=(0, 2, 3)))


def test_the_number_of_classes_may_be_numpys() -> None:
    assert AdaptiveClassWeight(np.int64(3)).weight.shape == (3,)


@pytest.mark.parametrize("num_classes", [0, -1, 2.0, True, "3"])
def test_refuses_an_impossible_number_of_classes(num_classes: int) -> None:
    with pytest.raises(InputError, match="num_classes"):
        AdaptiveClassWeight(num_classes)


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (2, 4, 4, 4), (3,)])
def test_refuses_logits_of_another_number_of_classes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="3"):
        AdaptiveClassWeight(3)(torch.zeros(shape))


def test_positive_weights_read_the_same_and_start_at_1(device: torch.device) -> None:
    layer = AdaptiveClassWeight(3, positive=True).to(device)
    assert torch.equal(layer.weight, torch.ones(3, device=device))
    assert [tuple(parameter.shape) for parameter in layer.parameters()] == [(3,)]
    assert all(torch.equal(parameter, torch.zeros(3, device=device)) for parameter in layer.parameters())
    logits = torch.randn(2, 3, 4, 5, device=device)
    assert torch.equal(layer(logits), logits)
    assert "num_classes=3" in repr(layer)


@pytest.mark.parametrize("positive", [True, False])
def test_positive_weights_stay_positive_whatever_the_gradient(positive: bool, device: torch.device) -> None:
    layer = AdaptiveClassWeight(3, positive=positive).to(device)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    for _ in range(20):
        optimizer.zero_grad()
        layer(torch.ones(1, 3, 2, 2, device=device)).sum().backward()  # pushes every weight down
        optimizer.step()
    assert bool((layer.weight > 0).all()) == positive
    assert bool((layer.weight < 1).all())


def test_the_gradient_of_a_positive_weight_goes_through_the_exponential(device: torch.device) -> None:
    layer = AdaptiveClassWeight(2, positive=True).to(device)
    (learnt,) = layer.parameters()
    with torch.no_grad():
        learnt.copy_(torch.tensor([-1.0, 0.5]))
    logits = torch.randn(2, 2, 3, 3, device=device)
    layer(logits).sum().backward()
    torch.testing.assert_close(layer.weight, learnt.exp())
    torch.testing.assert_close(learnt.grad, learnt.exp() * logits.sum(dim=(0, 2, 3)))
