"""How the images of a study are sampled, as a person is told."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData
from tune_seg.study.output.class_chart import show_classes
from tune_seg.study.output.class_weights import weights_in_use
from tune_seg.study.output.sampling import sampled_shares, say_sampling

REPEATED = {"sampling": "repeat_factor"}
BALANCED = {"sampling": "class_balanced"}


def trials(*trainings: dict[str, Any], loss: str = "wce") -> list[TrialConfig]:
    return [parse(TrialConfig, {"training": training, "loss": {"end": loss}}) for training in trainings]


def said(packed: PackedData, *trainings: dict[str, Any]) -> list[str]:
    printed = io.StringIO()
    say_sampling(Console(file=printed, width=80), trials(*trainings), packed)
    return printed.getvalue().splitlines()


@pytest.fixture
def rare(packed: PackedData, monkeypatch: pytest.MonkeyPatch) -> PackedData:
    """Of whose eight training images one has a class that the others lack."""
    return with_pixels(packed, monkeypatch, [[90, 10, 0, 0]] + [[100, 0, 0, 0]] * 7)


def with_pixels(packed: PackedData, monkeypatch: pytest.MonkeyPatch, pixels: list[list[int]]) -> PackedData:
    table = np.zeros((len(packed.train), packed.num_classes), np.int64)
    table[:, :4] = pixels
    monkeypatch.setitem(packed.train.__dict__, "class_pixels", table)
    return packed


def test_nothing_is_said_of_images_that_are_not_sampled(packed: PackedData) -> None:
    assert said(packed, {}, {"lr": 0.1}) == []
    assert sampled_shares(trials({}), packed) == ()


def test_whose_weights_and_shares_they_are_is_said_and_shown(rare: PackedData, tmp_path: Path) -> None:
    (line,) = said(rare, {}, REPEATED, BALANCED)
    assert line.startswith("Training images are sampled (repeat_factor and class_balanced): class weights and the logit ")
    balanced, repeated = sampled_shares(trials({}, BALANCED, REPEATED, BALANCED), rare)
    # half of the places are for the first image, and of the others an eighth: 4.5 of 8 times 10 pixels of 800
    assert balanced[:2] == pytest.approx([1 - 0.05625, 0.05625])
    assert repeated[1] == pytest.approx(10 * 2 / 900)  # sqrt(0.5 / (1/8)) = 2
    (weights,) = weights_in_use(trials(BALANCED), rare)
    assert weights[1] == pytest.approx((1 - 0.05625) / 0.05625)
    assert len(weights_in_use(trials({}, BALANCED, REPEATED, {}), rare)) == 3
    assert weights_in_use(trials(BALANCED, loss="ce"), rare) == ()
    printed = io.StringIO()
    show_classes(rare, tmp_path / "classes.png", Console(file=printed, width=120), sampled=(balanced, repeated))
    head, *rows = printed.getvalue().splitlines()[1:]
    assert "as sampled" in head
    assert any(row.startswith(rare.class_names[1]) and f"2.22 to {100 * balanced[1]:.3g} %" in row for row in rows)


def test_an_option_without_effect_is_said(packed: PackedData, monkeypatch: pytest.MonkeyPatch) -> None:
    everywhere = with_pixels(packed, monkeypatch, [[50, 50, 0, 0]] * 8)
    _, balanced = said(everywhere, BALANCED)
    assert balanced == (
        "Warning: training.sampling class_balanced has no effect: no training image is drawn more often than another (the "
        f"rarest class, {packed.class_names[0]}, is in 100 % of them). Take uniform."
    )
    _, full = said(everywhere, REPEATED | {"repeat_threshold": 1.0})
    assert "repeat_factor with training.repeat_threshold 1 has no effect" in full and full.endswith("Take uniform.")


def test_thresholds_below_the_share_of_the_rarest_class_are_said(rare: PackedData) -> None:
    thresholds = [REPEATED | {"repeat_threshold": each} for each in (0.1, 0.125, 0.05, 0.13, 0.9)]
    _, line = said(rare, *thresholds)
    assert line.startswith(
        "Warning: training.sampling repeat_factor with training.repeat_threshold 0.05 to 0.125 has no eff"
    )
    assert f"{rare.class_names[1]}, is in 12.5 % of them). Take a larger training.repeat_threshold, or uniform." in line
    assert len(said(rare, *thresholds[3:])) == 1
