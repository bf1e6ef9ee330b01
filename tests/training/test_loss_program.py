"""Sums of losses whose weights move: the four old kinds to the last bit, and programs of any number of losses."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.support.training_pixels import PIXELS
from tune_seg.config import TrialConfig, parse
from tune_seg.errors import InputError
from tune_seg.losses import build_loss, class_weights
from tune_seg.schedules import build_schedule
from tune_seg.training.loss_program import LossProgram, Term, build_program

FREQUENCIES = torch.from_numpy(PIXELS.frequencies)
LOGITS = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
TARGET = torch.randint(0, 3, (2, 5, 5), generator=torch.Generator().manual_seed(1))


def program(iterations: int = 10, schedule: dict[str, float] | None = None, **loss: Any) -> LossProgram:
    return build_program(parse(TrialConfig, {"loss": loss, "schedule": schedule or {}}), PIXELS, iterations)


def part(name: str, **params: Any) -> Tensor:
    loss: Tensor = build_loss(name, num_classes=3, class_weights=class_weights(FREQUENCIES), **params)(LOGITS, TARGET)
    return loss


def test_static_is_the_end_loss_to_the_last_bit() -> None:
    static = program(end="wce", start="dice")
    assert [static.weights(i) for i in (0, 5, 9)] == [{"end": 1.0}] * 3
    assert torch.equal(static(LOGITS, TARGET, 3), part("wce"))


def test_compound_is_the_weighted_sum_of_its_parts() -> None:
    one_to_one = program(kind="compound", start="dice", end="wce")
    assert torch.equal(one_to_one(LOGITS, TARGET, 3), torch.stack([part("dice"), part("wce")]).sum())
    weighted = program(kind="compound", start="dice", end="wce", weights={"start": 0.25, "end": 2.0})
    torch.testing.assert_close(weighted(LOGITS, TARGET, 3), 0.25 * part("dice") + 2 * part("wce"))
    assert weighted.weights(0) == weighted.weights(9) == {"start": 0.25, "end": 2.0}


@settings(deadline=None, max_examples=25)
@given(st.floats(0.01, 0.6), st.floats(0.05, 0.4), st.integers(1, 60), st.sampled_from(["naive", "alternating"]))
def test_schedules_are_the_sums_of_taubert_to_the_last_bit(start: float, length: float, iterations: int, kind: str) -> None:
    end = start + length
    moving = program(iterations, {"start": start, "end": end}, kind=kind, start="dice", end="focal")
    weight = build_schedule(kind, start * iterations, end * iterations)
    parts = part("dice"), part("focal")
    for i in range(iterations):
        w = weight(i)
        assert moving.weights(i) == {"start": 1.0 - w, "end": w}
        terms = [share * loss for share, loss in zip((1.0 - w, w), parts, strict=True) if share]
        assert torch.equal(moving(LOGITS, TARGET, i), torch.stack(terms).sum())


@pytest.mark.parametrize(("kind", "first", "last"), [("naive", "dice", "ce"), ("alternating", "ce", "ce")])
def test_schedules_are_pure_at_their_ends(kind: str, first: str, last: str) -> None:
    moving = program(kind=kind, start="dice", end="ce")
    for name, iteration in ((first, 0), (last, 9)):
        assert torch.equal(moving(LOGITS, TARGET, iteration), part(name))


def test_a_schedule_is_a_program_of_two_losses() -> None:
    rising = [{"at": 0.2, "weight": 0.0}, {"at": 0.8, "weight": 1.0}]
    falling = [{"at": 0.2, "weight": 1.0}, {"at": 0.8, "weight": 0.0}]
    components = {"a": {"loss": "dice", "keyframes": falling}, "b": {"loss": "ce", "keyframes": rising}}
    written_out = program(40, kind="program", components=components)
    naive = program(40, {"start": 0.2, "end": 0.8}, kind="naive", start="dice", end="ce")
    for i in range(40):
        assert torch.equal(written_out(LOGITS, TARGET, i), naive(LOGITS, TARGET, i))


def test_a_program_of_three_is_the_weighted_sum_of_its_losses() -> None:
    oscillating = [{"at": 0.3, "weight": 0.0, "move": "oscillating", "cycles": 3}, {"at": 0.9, "weight": 1.0}]
    three = program(
        100,
        kind="program",
        components={
            "overlap": {
                "loss": "wdice",
                "keyframes": [
                    {"at": 0.0, "weight": 1.0},
                    {"at": 0.5, "weight": 0.2, "move": "hold"},
                    {"at": 0.9, "weight": 0},
                ],
            },
            "entropy": {"loss": "focal", "params": {"gamma": 1.5}, "weight": 0.75},
            "third": {"loss": "dual_focal", "keyframes": oscillating},
        },
    )
    assert three.weights(25) == {"overlap": pytest.approx(0.6), "entropy": 0.75, "third": 0.0}
    assert three.weights(60) == {"overlap": 0.2, "entropy": 0.75, "third": pytest.approx(0.5)}
    assert three.weights(95) == {"overlap": 0.0, "entropy": 0.75, "third": 1.0}
    for i in range(0, 100, 5):
        weights = three.weights(i)
        expected = weights["overlap"] * part("wdice") + weights["entropy"] * part("focal", gamma=1.5)
        expected += weights["third"] * part("dual_focal")
        torch.testing.assert_close(three(LOGITS, TARGET, i), expected)


def test_the_order_of_a_file_does_not_show_in_the_sum() -> None:
    components = {name: {"loss": loss, "weight": 0.3} for name, loss in (("a", "wdice"), ("b", "focal"), ("c", "wce"))}
    forward = program(kind="program", components=components)
    backward = program(kind="program", components=dict(reversed(components.items())))
    assert torch.equal(forward(LOGITS, TARGET, 0), backward(LOGITS, TARGET, 0))


class Forbidden(nn.Module):
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        raise AssertionError("a loss whose weight is 0 was computed")


def test_a_loss_of_weight_0_is_not_computed() -> None:
    ce = build_loss("ce", num_classes=3)
    late = LossProgram([Term("now", ce, lambda i: 0.5), Term("late", Forbidden(), lambda i: 0.0 if i < 5 else 1.0)])
    assert torch.equal(late(LOGITS, TARGET, 4), 0.5 * part("ce"))
    with pytest.raises(AssertionError, match="was computed"):
        late(LOGITS, TARGET, 5)


def test_where_every_weight_is_0_so_are_loss_and_gradient() -> None:
    logits = (1e37 * LOGITS).requires_grad_()
    value = LossProgram([Term("never", Forbidden(), lambda i: 0.0)])(logits, TARGET, 0)
    value.backward()
    assert value.item() == 0.0
    assert logits.grad is not None and torch.equal(logits.grad, torch.zeros_like(logits))


def test_parameters_reach_the_losses_that_have_them() -> None:
    general = program(kind="compound", start="dice", end="focal", gamma=0.7, alpha=[0.1, 0.2, 0.3])
    torch.testing.assert_close(general(LOGITS, TARGET, 0), part("dice") + part("focal", gamma=0.7, alpha=[0.1, 0.2, 0.3]))
    torch.testing.assert_close(program(end="focal")(LOGITS, TARGET, 0), part("focal", gamma=2.0))


def test_the_most_specific_parameter_counts() -> None:
    focal = {"loss": "focal", "weight": 1.0}
    specific = program(
        kind="program",
        gamma=0.5,
        params={"focal": {"gamma": 3.0}},
        components={"a": focal, "b": focal | {"params": {"gamma": 1.0}}},
    )
    torch.testing.assert_close(specific(LOGITS, TARGET, 0), part("focal", gamma=3.0) + part("focal", gamma=1.0))
    by_loss = program(end="focal", gamma=0.5, params={"focal": {"gamma": 3.0}, "tao_dual_focal": {"gamma": 1.0}})
    assert torch.equal(by_loss(LOGITS, TARGET, 0), part("focal", gamma=3.0))


def test_class_weights_can_be_scaled_as_hossain_does() -> None:
    scaled = program(end="wdice", class_weights="sum")
    weights = class_weights(FREQUENCIES, normalise="sum")
    expected = build_loss("wdice", num_classes=3, class_weights=weights)(LOGITS, TARGET)
    torch.testing.assert_close(scaled(LOGITS, TARGET, 0), expected)


def test_a_value_that_the_loss_refuses_names_its_key() -> None:
    config = parse(TrialConfig, {"loss": {"end": "focal", "alpha": [1.0, 2.0]}})
    with pytest.raises(InputError, match=r"^loss\.alpha: loss 'focal': alpha = \(1\.0, 2\.0\) has 2 values; give 3 values"):
        config.loss.check(("a", "b", "c"))
