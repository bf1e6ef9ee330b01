"""The JSON schema agrees with what is read: presets and dumps are valid, misspelled keys are not."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from tune_seg.config import StudyConfig, parse, schema
from tune_seg.errors import InputError
from tune_seg.losses.catalogue import LOSSES
from tune_seg.study.presets import presets

VALIDATOR = jsonschema.Draft202012Validator(schema())


def errors(text: str) -> list[str]:
    """What the schema says against a YAML, whose keys JSON has as texts."""
    values = json.loads(json.dumps(yaml.safe_load(text)))
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(values)]


def test_it_is_a_schema_that_json_can_hold() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads(json.dumps(schema())) == schema()


@pytest.mark.parametrize("preset", presets().values(), ids=lambda path: path.stem)
def test_every_preset_is_valid(preset: Path) -> None:
    assert errors(preset.read_text()) == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"loss": {"kind": "program", "components": {"a": {"loss": "focal", "params": {"gamma": 1.5}, "weight": 1.0}}}},
        {"loss": {"params": {"tversky": {"alpha": [0.1, 0.9], "beta": None}}, "end": "tversky"}},
        {"loss": {"end": "wce", "class_weights": {0: 1, "car": 2.5}, "class_weight_power": 0.5, "class_weight_cap": 100}},
        {"data": {"root": "images", "classes": {0: "a", 3: "b"}, "split": {"folds": 3}}, "fold": 1},
        {"objective": "temperature/s_rec"},
        {
            "objective": ["recall", "temperature/calibration"],
            "compute": {"gpus_per_trial": "auto", "store": "s3://bucket/path"},
        },
    ],
)
def test_the_configuration_of_a_study_is_valid_as_it_is_written(values: dict[str, Any]) -> None:
    assert errors(yaml.safe_dump(parse(StudyConfig, values).model_dump(mode="json"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "training:\nspace:\nbaselines:\n",
        'loss: {end: "mine.losses:Loss", params: {"mine.losses:Loss": {x: 1}}}',
        'space: {loss.end: {choice: [ce, "mine:Loss"]}}',
        'space: {"loss.params.mine:Loss.x": {float: [0.5, 4], when: {loss.end: ["mine:Loss"]}}}',
        "space: {loss.params.focal.gamma: {float: [0, 2]}, loss.components.a.params.gamma: {choice: [0.5, 1]}}",
        "space: {training.batch_size: {int: [4, training.epochs + 2], log: true, when: [{acw: true}, {row: [A, B]}]}}",
        "space: {loss.components.a.keyframes.1.at: {float: [0, 1]}, augmentation.resize: {choice: [[1, 1], [0.5, 2]]}}",
        "space: {loss.class_weights: {choice: [mean, median, {0: 1, car: 2}]}, loss.class_weight_power: {float: [0, 1]}}",
        "loss: {class_weights: {road: 1, car: 2}}\nspace: {loss.class_weights.car: {float: [1, 100], log: true}}",
        "rows: {A: {loss.end: ce}, B: {loss.params.focal.gamma: 1}}\nbaselines: [{row: A, acw: true}]",
        "datasets: {A: {augmentation: {flip: 0}, data.options.labels: all, rows.refine: null, data.size: [96, 96]}}",
    ],
)
def test_what_a_file_may_hold_is_valid(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "trainin: {lr: 0.1}",
        "training: {learning_rate: 0.1}",
        "training: {lr: true}",
        "training: {lr: 0}",
        "training: {epochs: 2.5}",
        "augmentation: {resize: [1, 2, 3]}",
        "objective: speed",
        "objective: [recall, recall]",
        "objective: temperature/nll",
        "space: {objective: {choice: [recall]}}",
        "rows: {A: {objective: recall}}",
        "baselines: [{objective: recall}]",
        "loss: {end: cee}",
        "loss: {class_weights: median frequency}",
        "loss: {class_weights: {car: -1}}",
        "loss: {class_weights: {}}",
        "space: {loss.class_weights: {choice: [means]}}",
        "rows: {A: {loss.class_weights.car: heavy}}",
        "loss: {params: {focal: {gama: 1}}}",
        "loss: {params: {focal: {gamma: -1}}}",
        "loss: {params: {focall: {gamma: 1}}}",
        "loss: {components: {a: {loss: ce, wait: 1}}}",
        "loss: {components: {a-b: {loss: ce, weight: 1}}}",
        "loss: {components: {a: {weight: 1}}}",
        "space: {loss.ends: {choice: [ce]}}",
        "space: {data.size: {choice: [[96, 96]]}}",
        "space: {training: {choice: [{}]}}",
        "space: {loss.end: {choic: [ce]}}",
        "space: {loss.end: {choice: [cee]}}",
        "space: {loss.end: {choice: []}}",
        "space: {loss.end: {choice: [ce], grid: [ce]}}",
        "space: {loss.end: {choice: [ce], log: true}}",
        "space: {training.lr: {float: [0.1]}}",
        "space: {training.lr: {float: [0.1, 1], when: {loss.ends: [ce]}}}",
        "space: {loss.params.focal.gama: {float: [0, 1]}}",
        "space: {loss.components.a.keyframes.0.moment: {float: [0, 1]}}",
        "rows: {A: {loss.ends: ce}}",
        "rows: {A.B: {loss.end: ce}}",
        "baselines: [{acww: true}]",
        "datasets: {A: {data.formt: mhd}}",
    ],
)
def test_a_misspelled_key_or_an_impossible_value_is_not_valid(text: str) -> None:
    assert errors(text) != []


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda spec: spec.name)
def test_a_parameter_is_allowed_as_the_loss_allows_it(loss: Any) -> None:
    for parameter in loss.parameters:
        for value in (
            parameter.lower,
            parameter.upper,
            parameter.default,
            -1,
            0,
            1,
            2.5,
            True,
            "text",
            None,
            [1.0, 2.0],
            [],
        ):
            params = {parameter.name: value}
            try:
                loss.check(params)
                allowed = True
            except InputError:
                allowed = False
            assert (errors(json.dumps({"loss": {"params": {loss.name: params}}})) == []) is allowed, params


def test_every_key_is_described() -> None:
    definitions = schema()["$defs"]
    for name in (name for name in definitions if name.endswith("Config")):
        for key, found in definitions[name]["properties"].items():
            assert found.get("description"), f"{name}.{key}"
