"""Assignments as rows of numbers."""

from typing import Any

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


@pytest.mark.parametrize(
    ("start", "values"),
    [({"choice": [0.1, 0.3]}, {}), ({"grid": [0.1, 0.3]}, {}), (None, {"schedule": {"start": 0.2}})],
)
def test_a_range_may_depend_on_a_key_that_is_no_range(start: dict[str, Any] | None, values: dict[str, Any]) -> None:
    ranges: dict[str, Any] = {"schedule.end": {"float": ["schedule.start + 0.1", 1.0]}}
    keys = ranges if start is None else {"schedule.start": start, **ranges}
    encoding = Encoding(space(keys, loss={"kind": "naive", "start": "dice"}, **values))
    low = 0.3 if start is None else 0.2
    (row,) = encoding([{"schedule.start": 0.1, "schedule.end": low}])
    assert dict(zip(encoding.keys, row, strict=True))["schedule.end"] == pytest.approx(0.0)


def test_a_value_of_before_the_space_grew_counts_as_the_nearest_of_the_range() -> None:
    encoding = Encoding(space({"training.weight_decay": {"float": [1e-6, 1e-2], "log": True}}))
    assert encoding([{"training.weight_decay": 0.0}, {"training.weight_decay": 1.0}]).tolist() == [[0.0], [1.0]]


def test_no_assignment_is_no_row() -> None:
    assert Encoding(space(SPACE))([]).shape == (0, 7)
