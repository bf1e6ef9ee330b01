"""The class weights of a study as a person sees them, and when they are warned of."""

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData
from tune_seg.study.output.class_weights import warn_of_weights, weights_in_use


def trials(*losses: dict[str, Any]) -> list[TrialConfig]:
    return [parse(TrialConfig, {"loss": loss}) for loss in losses]


def warned(packed: PackedData, *losses: dict[str, Any]) -> str:
    file = io.StringIO()
    warn_of_weights(Console(file=file, width=80), packed, weights_in_use(trials(*losses), packed))
    return file.getvalue()


def test_the_weights_of_a_study_are_those_of_its_losses_that_weigh_classes(packed: PackedData) -> None:
    unweighted: list[dict[str, Any]] = [{"end": "ce"}, {"start": "wce"}]
    unweighted.append({"end": "logit_adjusted_ce", "class_weights": "median"})
    assert weights_in_use(trials(*unweighted), packed) == ()
    twice = {"kind": "naive", "start": "wdice", "end": "wce"}
    (inverse,) = weights_in_use(trials(*unweighted, twice, {"end": "tversky", "class_weights": "mean"}), packed)
    occurs = packed.frequencies > 0
    np.testing.assert_allclose(inverse[occurs], packed.frequencies.max() / packed.frequencies[occurs])
    assert not inverse[~occurs].any()
    weaker = weights_in_use(trials({"end": "wce"}, {"end": "wce", "class_weight_power": 0.5}), packed)
    np.testing.assert_allclose(weaker[1], inverse**0.5)


def given(packed: PackedData, largest: float) -> dict[str, Any]:
    lighter = dict.fromkeys(packed.class_names[1:-1], 2.0)
    return {"end": "wce", "class_weights": {packed.class_names[0]: 0.5, **lighter, packed.class_names[-1]: largest}}


def test_weights_that_differ_by_more_than_a_thousand_are_warned_of(packed: PackedData) -> None:
    first, last = packed.class_names[0], packed.class_names[-1]
    said = warned(packed, {"end": "wce"}, given(packed, 600.0), given(packed, 12345.0))
    assert said.startswith(f"Warning: where a loss weighs classes, {last} weighs up to 24,690 times as much as {first}, so")
    assert "--set loss.class_weight_cap=100" in said and said.count("\n") == 1


@pytest.mark.parametrize("limit", [{}, {"class_weight_cap": 1000}, {"class_weight_power": 0.5}])
def test_smaller_ones_are_not(packed: PackedData, limit: dict[str, Any]) -> None:
    assert warned(packed, {"end": "ce"}, given(packed, 60000.0 if limit else 500.0) | limit) == ""
