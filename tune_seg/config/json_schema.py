"""The JSON schema of a study's YAML, with which an editor completes keys, shows what they mean and marks what is wrong."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tune_seg.config.base import Section
from tune_seg.config.loss import KeyframeConfig
from tune_seg.config.study import ROW, StudyConfig
from tune_seg.config.trial import NOT_VARIED, TrialConfig
from tune_seg.losses.catalogue import LOSSES
from tune_seg.losses.own import entry_points
from tune_seg.losses.spec import Parameter
from tune_seg.metric_names import OBJECTIVES

Json = dict[str, Any]

_NAME = r"[A-Za-z]\w*"  # of a component
_PATH = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"  # of a loss of the user's own: package.module:Class
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def schema(options: Iterable[type[Section]] = ()) -> Json:
    """The JSON schema (draft 2020-12) of what the YAML of a study may hold.

    It knows every key, the losses and their parameters, and how a space, rows, baselines and the data sets of a table are
    written. Whether values go together is only found by :func:`tune_seg.config.parse`. Numbers are those of YAML 1.2, in
    which `1e-3` is one.

    Args:
        options: the options of the formats, whose keys `data.options` has; without them it takes any.

    Example:
        >>> schema()["$defs"]["TrainingConfig"]["properties"]["epochs"]["minimum"]
        1
    """
    study = _tidy(StudyConfig.model_json_schema())
    definitions: Json = {**study.pop("$defs"), "StudyConfig": study, "Loss": _loss()}
    properties = study["properties"]
    _know_losses(definitions)
    _know_options(definitions["DataConfig"]["properties"]["options"], options)
    metric = {"enum": list(OBJECTIVES)}
    properties["objective"]["anyOf"] = [metric, {"type": "array", "items": metric, "minItems": 1, "uniqueItems": True}]

    keys = dict(_dotted(properties, "#/$defs/StudyConfig/properties", definitions))
    varying = {
        key: found
        for key, found in keys.items()
        if key.split(".")[0] in TrialConfig.model_fields.keys() - NOT_VARIED
        and not any(other.startswith(f"{key}.") for other in keys)
    }
    named = _named_keys()
    definitions["Varied"] = _varied([ROW, *varying], list(named))
    definitions["Row"] = _object(varying, named)
    definitions["Point"] = _object({ROW: {"type": "string"}, **varying}, named)
    definitions["Settings"] = _object(keys, {**named, r"^(data\.options|rows|space)\..": {}})
    properties["rows"] |= {"propertyNames": {"pattern": r"^[^.]+$"}, "additionalProperties": _ref("Row")}
    properties["baselines"]["items"] = _ref("Point")
    properties["space"] |= _object(
        {key: _varied_over(value) for key, value in varying.items()},
        {pattern: _varied_over(value) for pattern, value in named.items()},
    )
    properties["datasets"] = {
        "description": "What each data set of a published table sets, by its name, for `--data NAME=ROOT`.",
        "type": "object",
        "additionalProperties": _ref("Settings"),
    }
    # a key with nothing behind it is null, and left out
    file = {key: {"anyOf": [_ref(f"StudyConfig/properties/{key}"), {"type": "null"}]} for key in properties}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A study of tune_seg",
        **_object(file, {}),
        "$defs": definitions,
    }


def _tidy(node: Any) -> Any:
    """Pydantic's schema without titles that only repeat names, and with JSON Schema's words for bounds."""
    if isinstance(node, list):
        return [_tidy(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    tidy = {_BOUNDS.get(key, key): value for key, value in node.items() if key != "title" or isinstance(value, dict)}
    if "$ref" in tidy and isinstance(tidy.get("default"), dict):
        del tidy["default"]  # of a section: its keys have theirs
    return {key: value if key == "default" else _tidy(value) for key, value in tidy.items()}


def _ref(path: str) -> Json:
    return {"$ref": f"#/$defs/{path}"}


def _object(properties: Mapping[str, Json], patterns: Mapping[str, Json]) -> Json:
    found = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**found, "patternProperties": dict(patterns)} if patterns else found


def _section(value: Json, definitions: Json) -> Json | None:
    """The properties of the section that `value` refers to; None where it is no section."""
    referred = definitions.get(value.get("$ref", "").removeprefix("#/$defs/"), value)
    found: Json | None = referred.get("properties")
    return found


def _dotted(properties: Json, place: str, definitions: Json, prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Every section and key with a name of its own, by its dotted key, as a reference to what it may hold."""
    for name, value in properties.items():
        inner = _section(value, definitions)
        here = f"{place}/{name}" if inner is None else value.get("$ref", f"{place}/{name}")
        yield f"{prefix}{name}", {"$ref": here}
        if inner is not None:
            yield from _dotted(inner, f"{here}/properties", definitions, f"{prefix}{name}.")


def _loss() -> Json:
    return {"anyOf": [{"enum": [*LOSSES, *_other_losses()]}, {"type": "string", "pattern": f"^{_PATH}$"}]}


def _know_losses(definitions: Json) -> None:
    """Put names of losses, and what each loss takes, where pydantic knows texts and any values."""
    loss, component = definitions["LossConfig"]["properties"], definitions["ComponentConfig"]["properties"]
    for key, values in (("start", [_ref("Loss"), {"type": "null"}]), ("end", [_ref("Loss")])):
        loss[key] = {**{word: said for word, said in loss[key].items() if word not in ("type", "format")}, "anyOf": values}
    component["loss"] = {"description": component["loss"]["description"], **_ref("Loss")}
    loss["components"]["propertyNames"] = {"pattern": f"^{_NAME}$"}
    known = {name: _object({p.name: _parameter(p) for p in spec.parameters}, {}) for name, spec in LOSSES.items()}
    free: Json = {"type": "object"}  # only the loss itself knows its parameters
    loss["params"] |= _object({**known, **dict.fromkeys(_other_losses(), free)}, {f"^{_PATH}$": free})


def _know_options(found: Json, options: Iterable[type[Section]]) -> None:
    """Put the keys of all formats where pydantic knows any; a key of several formats may be what it is in any of them."""
    keys: dict[str, list[Json]] = {}
    for section in options:
        for key, value in _tidy(section.model_json_schema())["properties"].items():
            if value not in keys.setdefault(key, []):
                keys[key].append(value)
    if keys:
        found |= _object({key: each[0] if len(each) == 1 else {"anyOf": each} for key, each in keys.items()}, {})


def _other_losses() -> list[str]:
    """The losses of installed packages."""
    return [name for name in entry_points() if name not in LOSSES]


def _parameter(parameter: Parameter) -> Json:
    if parameter.choices:
        value: Json = {"enum": list(parameter.choices)}
    elif parameter.text:
        value = {"type": "string"}
    else:
        value = {"type": "integer" if parameter.integer else "number"}
        if parameter.lower is not None:
            value["exclusiveMinimum" if parameter.open else "minimum"] = parameter.lower
        if parameter.upper is not None:
            value["exclusiveMaximum" if parameter.below else "maximum"] = parameter.upper
    allowed = [value]
    if parameter.per_class:
        allowed.append({"type": "array", "items": value, "minItems": 1})
    if parameter.default is None:
        allowed.append({"type": "null"})
    return {"description": parameter.description, "default": parameter.default, "anyOf": allowed}


def _named_keys() -> dict[str, Json]:
    """Patterns of the dotted keys that contain a name of the user's own: of a component, a loss or a class."""
    component = rf"^loss\.components\.{_NAME}\."
    losses = "|".join((_PATH, *map(re.escape, _other_losses())))
    keyframe = {key: _ref(f"KeyframeConfig/properties/{key}") for key in KeyframeConfig.model_fields}
    return {
        **{rf"{component}{key}$": _ref(f"ComponentConfig/properties/{key}") for key in ("loss", "weight", "keyframes")},
        **{rf"{component}keyframes\.\d+\.{key}$": found for key, found in keyframe.items()},
        rf"{component}params\.\w+$": {},
        rf"^loss\.params\.({losses})\.\w+$": {},
        r"^loss\.class_weights\..+$": {"type": "number", "minimum": 0},
    }


def _varied(keys: Sequence[str], patterns: Sequence[str]) -> Json:
    """How a key of the space varies."""
    ends = {"type": "array", "items": {"type": ["number", "string"]}, "minItems": 2, "maxItems": 2}
    values = {"type": "array", "minItems": 1}
    known = {"anyOf": [{"enum": list(keys)}, *({"pattern": pattern} for pattern in patterns)]}
    conditions = {"type": "object", "minProperties": 1, "propertyNames": known}
    return {
        **_object(
            {
                "float": {"description": "A number from low to high, [low, high]; an end may be another key.", **ends},
                "int": {"description": "A whole number from low to high, [low, high].", **ends},
                "choice": {"description": "One of these values.", **values},
                "grid": {"description": "One of these values, each equally often.", **values},
                "log": {"description": "Uniform in the logarithm.", "type": "boolean"},
                "when": {
                    "description": "Vary it only where these keys have these values; of a list, where any entry holds.",
                    "anyOf": [conditions, {"type": "array", "items": conditions}],
                },
            },
            {},
        ),
        "oneOf": [{"required": [kind]} for kind in ("float", "int", "choice", "grid")],
        "dependentSchemas": {"log": {"anyOf": [{"required": ["float"]}, {"required": ["int"]}]}},
    }


def _varied_over(value: Json) -> Json:
    listed = {"items": value}
    return {**_ref("Varied"), "properties": {"choice": listed, "grid": listed}}
