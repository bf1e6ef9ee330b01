"""Dotted keys: one name for a place in nested sections, as `--set`, the space and the messages write it.

`loss.components.overlap.keyframes.1.at` goes through a list of sections by the number of the entry, from 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tune_seg.errors import InputError


def split_key(key: str) -> list[str]:
    """The parts of a dotted key, outermost first.

    In `loss.params.LOSS.PARAMETER` a loss of the user's own has dots in its name, `package.module:Class`: there the last
    dot alone divides, and none where only the loss is named. In `loss.class_weights.CLASS` all the rest is the class.
    """
    if key.startswith("loss.class_weights."):
        return ["loss", "class_weights", key.removeprefix("loss.class_weights.")]
    if not key.startswith("loss.params."):
        return key.split(".")
    rest = key.removeprefix("loss.params.")
    loss, _, parameter = rest.rpartition(".")
    return ["loss", "params", loss, parameter] if loss and ":" not in parameter else ["loss", "params", rest]


def set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted `key` in the nested dictionary `values`, making sections on the way.

    Raises:
        InputError: a part of the key on the way is a value, not a section, or no entry of a list.
    """
    *sections, leaf = split_key(key)
    place: Any = values
    for above, section in zip(["", *sections], sections, strict=False):
        if isinstance(place, list):
            place = place[_index(key, above, section, place)]
        else:
            if place.get(section) is None:
                place[section] = {}
            place = place[section]
        if not holds_keys(place):
            raise InputError(f"{key}: {section} is a value, not a section")
    if isinstance(place, list):
        place[_index(key, sections[-1], leaf, place)] = value
    else:
        place[leaf] = value


def _index(key: str, name: str, part: str, entries: Sequence[Any]) -> int:
    if not part.isdecimal() or int(part) >= len(entries):
        raise InputError(f"{key}: {name} has no entry {part}; its entries are 0 to {len(entries) - 1}")
    return int(part)


def holds_keys(value: Any) -> bool:
    """Whether `value` is a section, or a list of sections."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(entry, Mapping) for entry in value)
    return isinstance(value, Mapping)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections, and lists of sections, as one mapping with dotted keys: the keys that :func:`set_key` takes."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if not holds_keys(value):
            flat[f"{prefix}{key}"] = value
        else:
            sections = value if isinstance(value, Mapping) else {str(index): entry for index, entry in enumerate(value)}
            flat |= flatten(sections, f"{prefix}{key}.")
    return flat
