"""What a key may hold, in words: for messages and for the tables of docs/, from the JSON schema of its section."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]

Bounds = Sequence[tuple[str, float | None]]
"""Signs (`≥`, `>`, `≤`, `<`), each with its bound; None where there is none."""

_SIGNS = (
    ("≥", ("minimum", "ge")),
    (">", ("exclusiveMinimum", "gt")),
    ("≤", ("maximum", "le")),
    ("<", ("exclusiveMaximum", "lt")),
)
"""Each with JSON Schema's word for it, and with pydantic's, which it writes beside a validator of one's own."""


def plain(value: Any) -> str:
    """A value as YAML has it, on one line: `null` for None."""
    return value if isinstance(value, str) else json.dumps(value)


def number(bounds: Bounds, *, integer: bool, plural: bool = False) -> str:
    """A number within bounds, or several.

    Example:
        >>> number([("≥", 8), ("<", None)], integer=True)
        'a whole number ≥ 8'
        >>> number([(">", 0.0), ("≤", 1.0)], integer=False, plural=True)
        'numbers > 0 and ≤ 1'
    """
    noun = "whole number" if integer else "number"
    limits = " and ".join(f"{sign} {bound:.10g}" for sign, bound in bounds if bound is not None)
    return f"{f'{noun}s' if plural else f'a {noun}'} {limits}".rstrip()


def either(*alternatives: str, null: bool = False, show: Callable[[Any], str] = plain) -> str:
    """One of several, and null if `null`.

    Example:
        >>> either("a number ≥ 0", "auto", null=True)
        'a number ≥ 0 or auto, or null'
    """
    return " or ".join(dict.fromkeys(alternatives)) + (f", or {show(None)}" if null else "")


def allowed(schema: Json, found: Json, show: Callable[[Any], str] = plain) -> str:
    """What a key may hold.

    Args:
        schema: the JSON schema, for what `found` refers to.
        found: what the schema says of the key.
        show: how a value is written.

    Example:
        >>> size = {"type": "integer", "minimum": 8}
        >>> pair = [{**size, "description": "height"}, {**size, "description": "width"}]
        >>> allowed({}, {"anyOf": [{"type": "array", "prefixItems": pair}, {"type": "null"}]})
        '[height, width], whole numbers ≥ 8, or null'
    """
    found = _referred(schema, found)
    alternatives = [each for each in found.get("anyOf", ()) if each.get("type") != "null"]
    if found.get("format") == "loss" or found is schema.get("$defs", {}).get("Loss"):
        return "a loss"
    if alternatives:
        words = (
            f"a list of these{', at least one' * ('minItems' in each)}"
            if each.get("items") in alternatives
            else allowed(schema, each, show)
            for each in alternatives
        )
        return either(*words, null=len(alternatives) < len(found["anyOf"]), show=show)
    if "enum" in found or "const" in found:
        return ", ".join(map(show, found.get("enum", [found.get("const")])))
    match found.get("type"):
        case "boolean":
            return ", ".join(map(show, (True, False)))
        case "string":
            return "a path" if found.get("format") == "path" else "text"
        case "integer" | "number":
            return _number(found)
        case "array" if "prefixItems" in found:
            entries = [_referred(schema, each) for each in found["prefixItems"]]
            return f"[{', '.join(each['description'] for each in entries)}], {_several(entries[0])}"
        case "array":
            return f"a list of {_several(_referred(schema, found.get('items', {})))}"
        case _:
            inner = found.get("additionalProperties")
            if not isinstance(inner, dict) or _referred(schema, inner).get("type") in (None, "object"):
                return "a mapping"
            name = found.get("propertyNames", {}).get("description", "name")
            return f"{{{name}: {inner.get('description', allowed(schema, inner, show))}}}"


def choices(schema: Json, found: Json) -> Iterator[str]:
    """The words that a key may hold where it is one of a few."""
    found = _referred(schema, found)
    for value in found.get("enum", [found.get("const")]):
        if isinstance(value, str):
            yield value
    for each in found.get("anyOf", ()):
        yield from choices(schema, each)


def at(schema: Json, path: Sequence[str]) -> Json:
    """What the schema says of the key at `path`, which goes on in mappings and lists by name and number."""
    found = schema
    for part in path:
        found = next(_inside(schema, found, part))
    return found


def _inside(schema: Json, found: Json, part: str) -> Iterator[Json]:
    found = _referred(schema, found)
    if part in found.get("properties", {}):
        yield found["properties"][part]
    for inner in (found.get("additionalProperties"), found.get("items")):
        if isinstance(inner, dict):
            yield inner
    for each in found.get("anyOf", ()):
        yield from _inside(schema, each, part)


def _referred(schema: Json, found: Json) -> Json:
    if "$ref" not in found:
        return found
    whole: Any = schema
    for part in found["$ref"].removeprefix("#/").split("/"):
        whole = whole[part]
    return _referred(schema, whole)


def _number(found: Mapping[str, Any], plural: bool = False) -> str:
    bounds = [(sign, next((found[name] for name in names if name in found), None)) for sign, names in _SIGNS]
    return number(bounds, integer=found["type"] == "integer", plural=plural)


def _several(found: Json) -> str:
    """Several of what an entry of a list is."""
    match found.get("type"):
        case "integer" | "number":
            return _number(found, plural=True)
        case "string":
            return f"{found.get('description', 'text')}s"
        case _:
            return "mappings"
