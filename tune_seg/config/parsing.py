"""From nested values to a checked section, with one line for everything that is wrong."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, TypeGuard, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tune_seg.config.allowed import Json, allowed, at, choices, plain
from tune_seg.config.keys import holds_keys
from tune_seg.errors import InputError, did_you_mean

Config = TypeVar("Config", bound=BaseModel)


def parse(model: type[Config], values: Mapping[str, Any], prefix: str = "") -> Config:
    """`values` as a checked `model`.

    Args:
        model: the section, or the whole configuration.
        values: its keys, nested as in YAML.
        prefix: the dotted key under which `values` are found; messages put it before every key.

    Raises:
        InputError: with one line per wrong key: the key, the value and what is allowed.

    Example:
        >>> from tune_seg.config import TrainingConfig
        >>> parse(TrainingConfig, {"epochs": 3}).epochs
        3
        >>> parse(TrainingConfig, {"epochs": 0}, prefix="training")
        Traceback (most recent call last):
        tune_seg.errors.InputError: training.epochs: 0 is not possible; allowed: a whole number ≥ 1
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        above = prefix.split(".") if prefix else []
        raise InputError("\n".join(_lines(model, values, error, above))) from None


def _lines(model: type[BaseModel], values: Mapping[str, Any], error: ValidationError, above: Sequence[str]) -> list[str]:
    """A line for each key that is wrong, though pydantic says something of every type that the key may have."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for detail in error.errors():
        path = _path(model, detail["loc"])
        lines.setdefault(tuple(path), []).append(_explain(model, values, detail, path, above))
    return [line for of_key in lines.values() for line in dict.fromkeys(of_key)]


def _explain(
    model: type[BaseModel], values: Mapping[str, Any], detail: Mapping[str, Any], path: Sequence[str], above: Sequence[str]
) -> str:
    key = ".".join([*above, *path])
    if detail["type"] == "extra_forbidden":
        return _unknown(model, path, above)
    message = detail["msg"].removeprefix("Value error, ")
    if not path and detail["type"] != "value_error":
        return f"{key}: {message}" if key else message
    if detail["type"] == "missing":
        return f"{key} is missing; allowed: {_allowed(model, path)}"
    if detail["type"] != "value_error":
        value = _at(values, path, detail["input"])
        hint = did_you_mean(value, choices(_schema(model), at(_schema(model), path))) if isinstance(value, str) else ""
        hint += _no_blank(value if isinstance(value, Mapping) else {path[-1]: value})
        finite = ", and finite" if detail["type"] == "finite_number" else ""
        return f"{key}: {_shown(value)} is not possible{hint}; allowed: {_allowed(model, path)}{finite}"
    if not key or holds_keys(detail["input"]):
        return f"{key}: {message}" if key and key not in message else message
    said = isinstance(detail["input"], str) and repr(detail["input"]) in message
    return f"{key}: {message}" if said else f"{key}: {message}, got {_shown(detail['input'])}"


def _no_blank(values: Mapping[Any, Any]) -> str:
    """What to say of `{0:background}`, which is one key without a value in YAML."""
    key = next((key for key, value in values.items() if value is None and ":" in str(key)), None)
    return "" if key is None else f" (a blank is missing after the colon: {str(key).replace(':', ': ', 1)})"


def _allowed(model: type[BaseModel], path: Sequence[str]) -> str:
    keys = fields_of(model, path)
    return f"a mapping with the keys {', '.join(keys)}" if keys else allowed(_schema(model), at(_schema(model), path))


@functools.cache
def _schema(model: type[BaseModel]) -> Json:
    return model.model_json_schema()


def _at(values: Any, path: Sequence[str], entry: Any) -> Any:
    """The whole value of the key at `path`, of which pydantic names an entry."""
    for part in path:
        if isinstance(values, Mapping) and part in values:
            values = values[part]
        elif isinstance(values, list | tuple) and part.isdecimal():
            values = values[int(part)]
        else:
            return entry
    return values


def _shown(value: Any) -> str:
    """A value as YAML has it, but for texts, which are in quotes."""
    return plain(value) if value is None or isinstance(value, bool) else repr(value)


def _unknown(model: type[BaseModel], path: Sequence[str], above: Sequence[str]) -> str:
    """That there is no key `path` of `model`, the nearest one, and those that there are."""
    *section, name = path
    known = fields_of(model, section)
    hint = _no_blank({name: None}) or did_you_mean(name, known)
    if not hint:  # a key of another section
        elsewhere = [".".join([*above, *key]) for key in _all_keys(model) if key[-1] == name]
        hint = f" (did you mean {elsewhere[0]}?)" if elsewhere else ""
    parents = ".".join([*above, *section])
    where = f"of {parents}" if parents else "at the top level"
    return f"unknown key {'.'.join([*above, *path])}{hint}; the keys {where} are {', '.join(known)}"


def _all_keys(model: type[BaseModel]) -> Iterator[list[str]]:
    for name, field in model.model_fields.items():
        yield [name]
        if _is_model(field.annotation):
            yield from ([name, *key] for key in _all_keys(field.annotation))


def _path(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The parts of the key at pydantic's `location`, which goes on inside values: branches of unions, places in lists."""
    path: list[str] = []
    section: Any = model
    for part in location:
        if section is None:
            break
        path.append(str(part))
        section = _section(section, str(part))
    return path


def fields_of(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys of the section at `path`; empty where they are the user's to choose, and where there is no section."""
    section: Any = model
    for part in path:
        section = None if section is None else _section(section, part)
    return list(section.model_fields) if _is_model(section) else []


def _section(above: Any, part: str) -> Any:
    """The type of `part` of a section of type `above`: a model, a dictionary or a list of sections.

    None where it is a value.
    """
    if _is_model(above):
        field = above.model_fields.get(part)
        inner = None if field is None else field.annotation
    else:
        inner = get_args(above)[1 if get_origin(above) is dict else 0]
    if NoneType in get_args(inner):
        first, *others = (alternative for alternative in get_args(inner) if alternative is not NoneType)
        inner = None if others else first
    keyed = get_origin(inner) is dict and get_args(inner)[0] is str
    listed = get_origin(inner) is tuple and _is_model(get_args(inner)[0])
    return inner if _is_model(inner) or keyed or listed else None


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
