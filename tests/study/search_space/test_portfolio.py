"""Settings that were good elsewhere: which of them a space has, and that a study tries them after its baselines."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.records import asked, open_records, run_to_the_end, space
from tune_seg.errors import InputError
from tune_seg.study.search_space.portfolio import portfolio_of, resolved_portfolio

SCHEDULED: dict[str, Any] = {
    "loss.kind": {"choice": ["static", "naive"]},
    "loss.start": {"choice": ["dice"], "when": {"loss.kind": ["naive"]}},
    "loss.end": {"choice": ["ce", "wce"]},
    "schedule.start": {"float": [0.1, 0.6], "when": {"loss.kind": ["naive"]}},
}


def portfolio(*assignments: dict[str, Any], **values: Any) -> tuple[Any, Any]:
    found = portfolio_of(space(SCHEDULED, search={"portfolio": list(assignments)}, **values))
    return found.assignments, found.left_out


def test_what_the_space_has_is_taken_and_what_it_leaves_open_is_the_samplers() -> None:
    moving = {"loss.kind": "naive", "loss.start": "dice", "loss.end": "wce"}
    assert portfolio({"loss.kind": "static", "loss.end": "wce"}, moving) == (
        [{"loss.kind": "static", "loss.end": "wce"}, moving],
        [],
    )


def test_a_key_that_does_not_vary_must_be_as_the_configuration_has_it() -> None:
    plain = {"loss.kind": "static", "loss.end": "ce"}
    taken, left_out = portfolio({**plain, "acw": False}, {**plain, "acw": True})
    assert taken == [plain]
    assert left_out == ["loss.kind static, loss.end ce, acw True: acw does not vary and is False"]


@pytest.mark.parametrize(
    ("assignment", "why"),
    [
        ({"loss.kind": "static", "loss.end": "focal"}, "loss.end cannot be focal"),
        ({"loss.kind": "naive", "loss.end": "ce", "schedule.start": 0.7}, "schedule.start cannot be 0.7"),
        ({"loss.kind": "static", "loss.end": "ce", "loss.start": "dice"}, "loss.start does not vary there"),
        ({"loss.kind": "static", "training.lr": 0.5}, "training.lr does not vary and is"),
    ],
)
def test_what_the_space_does_not_have_is_left_out_and_said(assignment: dict[str, Any], why: str) -> None:
    taken, (left_out,) = portfolio(assignment)
    assert taken == []
    assert why in left_out


def test_a_setting_that_fits_only_with_some_values_of_what_it_leaves_open_is_left_out() -> None:
    ranges = {"schedule.end": {"float": ["schedule.start + 0.1", 1.0], "when": {"loss.kind": ["naive"]}}}
    half = {"loss.kind": "naive", "loss.start": "dice", "loss.end": "ce", "schedule.end": 0.3}
    found = portfolio_of(space(SCHEDULED | ranges, search={"portfolio": [half, {**half, "schedule.start": 0.15}]}))
    assert found.assignments == [{**half, "schedule.start": 0.15}]
    assert "leaves schedule.start open, on which its range depends" in found.left_out[0]


def test_what_is_needed_beside_may_be_left_open() -> None:
    assert portfolio({"loss.kind": "naive", "loss.end": "wce"}) == ([{"loss.kind": "naive", "loss.end": "wce"}], [])


def test_the_same_twice_is_tried_once() -> None:
    plain = {"loss.kind": "static", "loss.end": "ce"}
    assert portfolio(plain, {**plain, "acw": False})[0] == [plain]


def test_a_file_is_read_once_and_its_assignments_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text("# from last month\n- {loss.kind: static, loss.end: wce}\n")
    config = resolved_portfolio(space(SCHEDULED, search={"portfolio": str(file)}).config)
    assert config.search.portfolio == ({"loss.kind": "static", "loss.end": "wce"},)
    assert resolved_portfolio(space(SCHEDULED, search={"portfolio": "none"}).config).search.portfolio == ()
    assert resolved_portfolio(space(SCHEDULED).config).search.portfolio is None


@pytest.mark.parametrize(
    ("content", "message"), [("{loss.end: wce}", "must be a list of"), ("- 3", "must be a list of"), ("[", "cannot be read")]
)
def test_a_file_that_is_no_list_is_rejected(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        resolved_portfolio(space(SCHEDULED, search={"portfolio": str(file)}).config)


def test_an_unknown_name_is_rejected_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"search.portfolio: 'mine' is neither a portfolio nor a file; allowed: .*none"):
        resolved_portfolio(space(SCHEDULED, search={"portfolio": "mine"}).config)


GOOD: list[dict[str, Any]] = [
    {"loss.end": "focal", "loss.gamma": 3.0},
    {"augmentation.resize": [0.5, 2.0], "training.momentum": 0.6},
]


def test_a_study_tries_them_after_its_baselines_and_then_what_the_sampler_chooses(tmp_path: Path) -> None:
    search = {"trials": 6, "portfolio": GOOD}
    records = open_records(tmp_path, search=search, baselines=[{"loss.end": "ce"}])
    tried = []
    for _ in range(4):
        tried.append(asked(records))
        run_to_the_end(records, tried[-1], 0.5)
    assert tried[0].baseline and tried[0].assignment["loss.end"] == "ce"
    for record, good in zip(tried[1:3], GOOD, strict=True):
        assert good.items() <= dict(record.assignment).items()
        assert not record.baseline
    assert not any(good.items() <= dict(tried[3].assignment).items() for good in GOOD)


def test_a_study_that_goes_on_tries_those_that_it_has_not_tried(tmp_path: Path) -> None:
    search = {"trials": 6, "portfolio": GOOD}
    first = asked(open_records(tmp_path, search=search))
    records = open_records(tmp_path, search=search)
    again, second, third = (asked(records) for _ in range(3))
    assert again.assignment == first.assignment
    assert GOOD[1].items() <= dict(second.assignment).items()
    assert not any(good.items() <= dict(third.assignment).items() for good in GOOD)


def test_a_study_may_be_given_one_later(tmp_path: Path) -> None:
    run_to_the_end(records := open_records(tmp_path), asked(records), 0.5)
    later = open_records(tmp_path, search={"trials": 6, "portfolio": GOOD})
    assert GOOD[0].items() <= dict(asked(later).assignment).items()


def test_a_grid_has_its_own_points(tmp_path: Path) -> None:
    grid = {"loss.end": {"choice": ["ce", "focal"]}}
    records = open_records(
        tmp_path, search={"sampler": "grid", "trials": 4, "portfolio": [{"loss.end": "focal"}]}, space=grid
    )
    assert [asked(records).assignment["loss.end"] for _ in range(2)] == ["ce", "focal"]
