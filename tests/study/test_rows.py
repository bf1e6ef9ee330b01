"""Rows: named assignments that are crossed with the space, and what may be said about them on the command line."""

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.records import asked, open_records, run_to_the_end, space
from tune_seg.config import StudyConfig
from tune_seg.errors import InputError
from tune_seg.study.configuration import load_config, parse_assignment
from tune_seg.study.output.results import check_same_study, write_study
from tune_seg.study.samplers.build import build_sampler
from tune_seg.study.search_space.space import Space

ROWS: dict[str, Any] = {
    "CE": {"loss.end": "ce"},
    "FL": {"loss.end": "focal", "loss.gamma": 2.0},
    "DLNCE": {"loss.kind": "naive", "loss.start": "dice", "loss.end": "ce", "schedule.end": 0.8},
}
SEEDS: dict[str, Any] = {"training.seed": {"grid": [0, 1]}}
GRID: dict[str, Any] = {"search": {"sampler": "grid", "early_stopping": {"kind": "none"}}}


def load(path: Path, *assignments: str, **values: Any) -> StudyConfig:
    path.write_text(yaml.safe_dump({"rows": ROWS, "space": SEEDS, **GRID, **values}, sort_keys=False))
    return load_config(path, overrides=dict(map(parse_assignment, assignments)))


def test_rows_are_crossed_with_the_grids_of_the_space() -> None:
    searched = space(SEEDS, rows=ROWS, **GRID)
    points = searched.enumerate()
    assert points == [{"row": row, "training.seed": seed} for row in ROWS for seed in (0, 1)]
    names = [searched.config.trial(point).loss_name for point in points]
    assert names == ["ce", "ce", "focal", "focal", "dice>ce naive", "dice>ce naive"]
    focal, naive = searched.config.trial(points[2]), searched.config.trial(points[4])
    assert (focal.loss.gamma, naive.loss.gamma) == (2.0, None)
    assert naive.schedule.fractions(naive.loss.kind) == (0.3, 0.8)
    assert str(searched).startswith("row: grid [CE, FL, DLNCE]\n")


def test_conditions_see_the_row_and_what_it_assigns() -> None:
    parameters = {
        "loss.params.focal.alpha": {"grid": [0.25, 0.5], "when": {"loss.end": ["focal"]}},
        "schedule.start": {"grid": [0.1, 0.2], "when": {"row": ["DLNCE"]}},
    }
    points = space(parameters, rows=ROWS, **GRID).enumerate()
    assert points == [
        {"row": "CE"},
        *({"row": "FL", "loss.params.focal.alpha": alpha} for alpha in (0.25, 0.5)),
        *({"row": "DLNCE", "schedule.start": start} for start in (0.1, 0.2)),
    ]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31 - 1), st.sampled_from(["random", "tpe", "bayes"]))
def test_every_sampler_goes_through_the_rows_evenly(seed: int, sampler: str) -> None:
    searched = space({"training.lr": {"float": [0.1, 1.0]}}, rows=ROWS, search={"sampler": sampler, "seed": seed})
    assert searched.grid_points() == [{"row": row} for row in ROWS]
    study = optuna.create_study(sampler=build_sampler(searched.config.search, searched, session=0))
    for point in searched.grid_points():
        study.enqueue_trial(searched.stored(point))
        chosen = searched.sample(study.ask())
        assert chosen["row"] == point["row"] and 0.1 <= chosen["training.lr"] <= 1.0
        assert searched.config.trial(chosen).loss.end == ROWS[point["row"]]["loss.end"]


@pytest.mark.parametrize(
    ("rows", "parameters", "message"),
    [
        ({"CE": {"loss.ende": "ce"}}, {}, r"^rows.CE: unknown key loss.ende; the keys of loss that can vary are"),
        ({"CE": {"data.size": [64, 64]}}, {}, r"^rows.CE: unknown key data.size"),
        (
            {"CE": {"loss.end": "cee"}},
            {},
            r"^rows.CE: loss.end: unknown loss 'cee' \(did you mean ce\?\); the losses are ce",
        ),
        ({"N": {"loss.kind": "naive"}}, {}, r"^rows.N: loss.kind naive needs loss.start"),
        ({"CE": {"loss.gamma": 2.0}}, {}, r"^rows.CE: loss.gamma: 2.0 has no effect: the active losses are ce. Remove"),
        ({"CE": {"training.seed": 0}}, SEEDS, r"^rows.CE: training.seed varies in the space as well; take it out of one"),
        (
            {"CE": {}},
            {"row": {"grid": ["CE"]}},
            r"^space.row: every row is tried; choose among them with --set rows=",
        ),
        ({"C.E": {}}, {}, r"^rows: a row's name is text without a dot, got 'C.E'"),
        (ROWS, {"training.lr": {"grid": [0.1], "when": {"row": ["XE"]}}}, r"can never hold for 'XE'; the values are CE, FL"),
        ({}, {"training.lr": {"grid": [0.1], "when": {"row": ["CE"]}}}, r"unknown key row"),
    ],
)
def test_rows_that_cannot_be_are_refused(rows: dict[str, Any], parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        space(parameters, rows=rows)


def test_the_command_line_chooses_adds_changes_and_removes_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.yaml"
    assert [*load(path, "rows=[DLNCE, CE]").rows] == ["DLNCE", "CE"]
    assert [*load(path, "rows.FL=null").rows] == ["CE", "DLNCE"]
    assert load(path, "rows.FL.loss.gamma=1.5").rows["FL"] == {"loss.end": "focal", "loss.gamma": 1.5}
    assert load(path, "rows.DL={loss.end: dice}").rows == {**ROWS, "DL": {"loss.end": "dice"}}
    assert load(path, "rows={DL: {loss.end: dice}}").rows == {"DL": {"loss.end": "dice"}}
    assert "training.seed" not in load(path, "training.seed=3").space


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("rows=[CE, XE]", r"setting rows: no row XE; the rows are CE, FL, DLNCE"),
        ("rows.XE=null", r"setting rows.XE: no row XE; the rows are CE, FL, DLNCE"),
        ("rows.XE.loss.gamma=1", r"no row XE"),
        ("rows=3", r"setting rows: rows is {name: {key: value}}, got 3"),
        ("rows.CE=3", r"setting rows.CE: rows is {name: {key: value}}"),
        (
            "loss.gamma=1",
            r"^loss.gamma cannot be set for all rows, because rows.FL sets it: leave that row out "
            r"\(rows.FL=null\), or set the key in the row \(rows.FL.loss.gamma=VALUE\)",
        ),
        ("loss={gamma: 1}", r"loss.gamma cannot be set for all rows"),
        ("paper=nope", r"paper: no table 'nope'; the tables are hossain_table2"),
    ],
)
def test_what_the_command_line_says_of_rows_is_checked(tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path / "rows.yaml", option)


def test_a_file_whose_rows_are_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows.yaml: rows is {name: {key: value}}, got {'CE': 'ce'}"):
        load(tmp_path / "rows.yaml", rows={"CE": "ce"})


def test_a_trial_is_called_by_its_row_and_keeps_it(tmp_path: Path) -> None:
    records = open_records(tmp_path, rows=ROWS, space=SEEDS, search={"sampler": "grid", "trials": 100})
    assert records.target == 6
    for _ in range(6):
        run_to_the_end(records, asked(records), 0.5)
    assert [(record.name, record.params["row"]) for record in records.trials.values()][::2] == [
        ("CE (ce)", "CE"),
        ("FL (focal)", "FL"),
        ("DLNCE (dice>ce naive)", "DLNCE"),
    ]
    # the journal knows each again
    again = open_records(tmp_path, rows=ROWS, space=SEEDS, search={"sampler": "grid", "trials": 100})
    assert [record.name for record in again.trials.values()] == [record.name for record in records.trials.values()]
    assert again.ask() is None


def test_a_study_with_other_rows_is_another_study_and_one_of_another_paper_is_not(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    config = load(tmp_path / "rows.yaml", paper="taubert_table1")
    write_study(config, path)
    again = load_config(path)
    assert (again.rows, again.paper) == (config.rows, "taubert_table1")
    assert Space(again).enumerate() == Space(config).enumerate()
    check_same_study(again.model_copy(update={"paper": None}), path)
    with pytest.raises(InputError, match=r"rows.FL.loss.gamma: 2.0 in the study, 1.0 now"):
        check_same_study(load(tmp_path / "rows.yaml", "rows.FL.loss.gamma=1.0"), path)
