"""Assignments as rows of numbers."""

import numpy as np
import pytest

from tests.support.records import space
from tune_seg.study.bayes.encoding import INACTIVE, Encoding

SPACE = {
    "loss.kind": {"choice": ["static", "naive"]},
    "loss.start": {"choice": ["dice"], "when": {"loss.kind": ["naive"]}},
    "loss.end": {"choice": ["ce", "wce"]},
    "schedule.start": {"float": [0.1, 0.6], "when": {"loss.kind": ["naive"]}},
    "schedule.end": {"float": ["schedule.start + 0.1", 1.0], "when": {"loss.kind": ["naive"]}},
    "training.lr": {"float": [1e-4, 1e-2], "log": True},
    "augmentation.resize": {"choice": [[0.5, 2.0], [1.0, 1.0]]},
}


def test_each_key_has_a_column_of_its_own() -> None:
    encoding = Encoding(space(SPACE))
    naive = {"loss.kind": "naive", "loss.start": "dice", "loss.end": "wce", "schedule.start": 0.35, "schedule.end": 0.6}
    rest = {"training.lr": 1e-3, "augmentation.resize": [1.0, 1.0]}
    rows = encoding([naive | rest, {"loss.kind": "static", "loss.end": "ce"} | rest])
    columns = dict(zip(encoding.keys, rows.T, strict=True))
    assert columns["loss.kind"].tolist() == [1, 0]
    assert columns["loss.start"].tolist() == [0, INACTIVE]
    assert columns["schedule.start"] == pytest.approx([0.5, INACTIVE])
    assert columns["schedule.end"] == pytest.approx([0.5, INACTIVE])  # its range is 0.2 to 1, whatever the start
    assert columns["training.lr"] == pytest.approx([0.5, 0.5])
    assert columns["augmentation.resize"].tolist() == [1, 1]
    assert dict(zip(encoding.keys, encoding.of_choices, strict=True))["loss.kind"]
    assert not dict(zip(encoding.keys, encoding.of_choices, strict=True))["training.lr"]


def test_what_optuna_stores_of_a_list_is_the_same_value() -> None:
    encoding = Encoding(space(SPACE))
    given, stored = ({"augmentation.resize": value} for value in ([1.0, 1.0], "[1.0, 1.0]"))
    assert np.array_equal(encoding([given]), encoding([stored]))


def test_no_assignment_is_no_row() -> None:
    assert Encoding(space(SPACE))([]).shape == (0, 7)
