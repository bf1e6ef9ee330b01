"""A study's configuration from YAML: a preset or a file, the settings of a data set, and overrides."""

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tune_seg.config import StudyConfig, fields_of, parse
from tune_seg.config.keys import flatten, set_key, split_key
from tune_seg.errors import InputError, did_you_mean
from tune_seg.study.files import NAME
from tune_seg.study.papers.tables import load_table
from tune_seg.study.presets import DEFAULT, presets


def load_config(
    config: str | Path | Mapping[str, Any] = DEFAULT,
    *,
    data: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> StudyConfig:
    """The configuration of a study.

    Args:
        config: the name of a preset, a YAML file, or what such a file holds.
        data: the folder of the images, in place of those that a preset generates. With the preset of a published table also
            `NAME=ROOT`, where NAME is one of the table's data sets.
        overrides: values by dotted key. A key that is set no longer varies.

    Raises:
        InputError: a file that is missing or not YAML, an unknown key, an impossible value.

    Example:
        >>> config = load_config("loss_schedule", data="mydata", overrides={"data.size": [128, 128]})
        >>> config.data.size, config.search.trials
        ((128, 128), 100)
    """
    values = read_values(config)
    datasets = values.pop("datasets", {})
    dataset, root = (None, None) if data is None else split_data(str(data), datasets)
    if root is not None and values.get("data", {}).get("format") == "synthetic":
        del values["data"]["format"]  # the preset's generated images give way to the user's own
    given: dict[str, Any] = {} if dataset is None else dict(datasets[dataset])
    if root is not None:
        given["data.root"] = root
    for key, value in copy.deepcopy(dict(overrides or {})).items():
        given.pop(key, None)  # the last counts
        given[key] = value
    for key, value in given.items():
        _override(values, key, value)
    loaded = parse(StudyConfig, values)
    if loaded.paper is not None:
        load_table(loaded.paper)
    _check_rows(loaded.rows, given.keys() | flatten(given).keys())
    if loaded.training.threads is None:
        threads = loaded.training.model_copy(update={"threads": loaded.compute.cpus_per_trial})
        loaded = loaded.model_copy(update={"training": threads})
    return loaded


def split_data(data: str, datasets: Iterable[str]) -> tuple[str | None, str]:
    """The data set that `NAME=ROOT` names, if it names one of `datasets`, and the root.

    Raises:
        InputError: NAME is none of them, and `data` is no path.
    """
    datasets = list(datasets)
    name, equals, root = data.partition("=")
    known = next((dataset for dataset in datasets if dataset.casefold() == name.casefold()), None)
    if equals and known:
        return known, root
    if equals and datasets and "/" not in name and not Path(data).exists():
        raise InputError(f"data {data}: no data set {name}; those of the table are {', '.join(datasets)}")
    return None, data


def parse_assignment(text: str) -> tuple[str, Any]:
    """The key and the value of `key=value`, whose value is YAML.

    Raises:
        InputError: there is no key, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"--set takes key=value, got {text!r}")
    return key, _yaml(value, f"--set {text}: the value")


def read_values(config: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The sections and keys of a preset, a YAML file or a mapping, of which only the shape is checked.

    Raises:
        InputError: a file that is missing or not YAML, a section that is a value.
    """
    if isinstance(config, Mapping):
        return _checked(copy.deepcopy(dict(config)), "the configuration")
    path, name = Path(config), str(config)
    if not path.is_file():
        if name not in presets():
            known = did_you_mean(name, presets()) or f"; the presets are {', '.join(presets())}"
            raise InputError(f"{name}: neither a file nor a preset{known}")
        path = presets()[name]
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text: {error}") from None
    return _checked(_yaml(text, str(path)), str(path))


def _checked(values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected keys such as data, model, training, space; got {type(values).__name__}")
    values = {key: value for key, value in values.items() if value is not None}  # `space:` with nothing below it
    for key, value in values.items():
        if (key == "space" or fields_of(StudyConfig, [key])) and not isinstance(value, dict):
            raise InputError(f"{where}: {key} is a section with keys of its own, got {value!r}")
    for key in ("rows", "datasets"):
        _check_shape(key, values.get(key, {}), where)
    for name in values.get("datasets", {}):
        if not re.fullmatch(NAME, str(name)) or not isinstance(name, str):
            raise InputError(
                f"{where}: datasets.{name}: a name is letters, digits, dots, spaces, - and _, in quotes if a number"
            )
    baselines = values.get("baselines", [])
    if not isinstance(baselines, list) or not all(isinstance(baseline, dict) for baseline in baselines):
        raise InputError(f"{where}: baselines is a list of {{key: value}}, got {baselines!r}")
    return values


class _Loader(yaml.SafeLoader):
    """YAML in which a key that appears twice is an error; PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(problem=f"the key {key} appears twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _yaml(text: str, what: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{what} is not YAML: {error}") from None


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a key of the configuration; a key that is set no longer varies."""
    if key == "rows" or key.startswith("rows."):
        values["rows"] = _rows(values.get("rows", {}), key, value)
        return
    space = values.setdefault("space", {})
    if key.startswith("space."):  # its keys are dotted themselves; null takes one out
        space.pop(key.removeprefix("space."), None)
        if value is not None:
            space[key.removeprefix("space.")] = value
        return
    if isinstance(value, dict) and fields_of(StudyConfig, split_key(key)):
        for part, inner in value.items():
            _override(values, f"{key}.{part}", inner)
        return
    set_key(values, key, value)
    fixed = {key: value, **flatten({key: value})}
    for varied in [varied for varied in space if varied == key or varied.startswith(f"{key}.")]:
        del space[varied]
        now = fixed.get(varied)
        agreeing = [baseline for baseline in values.get("baselines", []) if baseline.get(varied, now) == now]
        values["baselines"] = [{k: v for k, v in baseline.items() if k != varied} for baseline in agreeing]


def _rows(rows: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """`rows` after `key` was set: `rows` to a list keeps these, `rows.NAME` sets or removes one, `rows.NAME.KEY` its key."""

    def known(name: str) -> dict[str, Any]:
        if name not in rows:
            raise InputError(f"setting {key}: no row {name}; the rows are {', '.join(rows) or 'none'}")
        row: dict[str, Any] = rows[name]
        return row

    name, _, inner = key.removeprefix("rows").removeprefix(".").partition(".")
    if inner:
        return {**rows, name: {**known(name), inner: value}}
    if name and value is None:
        known(name)
        return {other: row for other, row in rows.items() if other != name}
    if not name and isinstance(value, list):
        return {entry: known(entry) for entry in value}
    changed = {**rows, name: value} if name else value
    _check_shape("rows", changed, f"setting {key}")
    return dict(changed)


def _check_shape(key: str, named: Any, where: str) -> None:
    if not isinstance(named, dict) or not all(isinstance(values, dict) for values in named.values()):
        raise InputError(f"{where}: {key} is {{name: {{key: value}}}}, got {named!r}")


def _check_rows(rows: dict[str, dict[str, Any]], fixed: set[str]) -> None:
    """Reject a key that is set for the whole study and by a row: the row would no longer be what its name says."""
    for name, key in ((name, key) for name, row in rows.items() for key in row if key in fixed):
        raise InputError(
            f"{key} cannot be set for all rows, because rows.{name} sets it: leave that row out "
            f"(rows.{name}=null), or set the key in the row (rows.{name}.{key}=VALUE)"
        )
