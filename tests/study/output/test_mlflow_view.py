"""The views that MLflow's UI offers of a study."""

import json
from typing import Any

import pytest

from tune_seg.config import StudyConfig, parse
from tune_seg.study.configuration import load_config, read_values
from tune_seg.study.output.mlflow_view import link, view_tags
from tune_seg.study.presets import presets

TRIALS, CONFIGURATIONS = (f"mlflow.sharedViewState.tune_seg.{name}" for name in ("trials", "configurations"))


def state(config: StudyConfig, key: str = TRIALS) -> dict[str, Any]:
    """What the UI of MLflow 3.17 reads."""
    found: dict[str, Any] = json.loads(json.loads(view_tags(config)[key])["state"])
    return found


def test_a_link_names_the_view_of_the_trials() -> None:
    found = link("http://127.0.0.1:5000/", "7")
    assert found.startswith("http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning&")
    assert found.endswith(f"viewStateShareKey={TRIALS.removeprefix('mlflow.sharedViewState.')}")


def test_the_columns_are_what_trials_are_compared_by_and_what_varies() -> None:
    view = state(load_config("loss_schedule", overrides={"space.training.lr": {"float": [1e-4, 1e-2]}}))
    metrics = ["temperature/s_rec", "recall", "accuracy", "temperature/calibration"]
    assert view["selectedColumns"] == [
        *(f"metrics.`{name}`" for name in metrics),
        *("params.`loss.gamma`", "tags.`schedule`", "params.`acw`", "params.`training.lr`", "tags.`state`"),
    ]
    assert [column for column in view["columnOrder"] if "`" in column][1:] == view["selectedColumns"]
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`temperature/s_rec`", False)
    assert "groupBy" not in view


def test_every_objective_has_a_column_and_the_first_decides_the_order() -> None:
    view = state(parse(StudyConfig, {"objective": ["recall", "accuracy", "calibration"]}))
    assert view["selectedColumns"][:3] == ["metrics.`recall`", "metrics.`accuracy`", "metrics.`calibration`"]
    assert view["orderByKey"] == "metrics.`recall`"


def test_repeats_are_one_row_of_the_view_of_configurations() -> None:
    assert state(load_config("default"), CONFIGURATIONS)["groupBy"] == {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "tag", "groupByData": "configuration"}],
    }


def test_versions_before_named_views_read_the_same() -> None:
    tag = json.loads(view_tags(load_config("default"))[TRIALS])
    assert {key: tag[key] for key in state(load_config("default"))} == state(load_config("default"))


@pytest.mark.parametrize("preset", sorted(presets()))
def test_mlflow_has_room_for_the_views_of_a_preset(preset: str) -> None:
    values = read_values(preset)
    config = parse(StudyConfig, {key: values[key] for key in ("space", "rows", "objective") if key in values})
    assert all(len(value) < 5000 for value in view_tags(config).values())
