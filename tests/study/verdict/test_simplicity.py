"""The order of simplicity."""

from typing import Any

import pytest

from tune_seg.config import TrialConfig, parse
from tune_seg.study.verdict.simplicity import simplicity

IN_ORDER: list[dict[str, Any]] = [
    {"loss": {"end": "ce"}},
    {"loss": {"end": "focal"}},
    {"loss": {"end": "focal", "gamma": 3.0}},
    {"loss": {"end": "ce"}, "acw": True},
    {"loss": {"end": "wce"}},
    {"loss": {"end": "wce"}, "acw": True},
    {"loss": {"kind": "compound", "start": "dice", "end": "ce"}},
    {"loss": {"kind": "compound", "start": "wdice", "end": "wce"}},
    {"loss": {"kind": "naive", "start": "dice", "end": "ce"}},
    {"loss": {"kind": "naive", "start": "dice", "end": "wce"}},
]


@pytest.mark.parametrize("index", range(len(IN_ORDER) - 1))
def test_each_is_simpler_than_the_next(index: int) -> None:
    first, second = (simplicity(parse(TrialConfig, each)) for each in IN_ORDER[index : index + 2])
    assert first < second


def test_a_program_that_is_a_sum_is_as_simple_as_one() -> None:
    program = {"kind": "program", "components": {"a": {"loss": "dice", "weight": 1}, "b": {"loss": "ce", "weight": 1}}}
    compound = {"kind": "compound", "start": "dice", "end": "ce"}
    assert simplicity(parse(TrialConfig, {"loss": program})) == simplicity(parse(TrialConfig, {"loss": compound}))
    moving = {"loss": "ce", "keyframes": [{"at": 0, "weight": 0}, {"at": 1, "weight": 1}]}
    program["components"] = {"a": {"loss": "dice", "weight": 1}, "b": moving}
    assert simplicity(parse(TrialConfig, {"loss": program})) > simplicity(parse(TrialConfig, {"loss": compound}))
