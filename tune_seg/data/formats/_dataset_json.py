"""The class names in dataset.json: of the Medical Segmentation Decathlon, and of nnU-Net with its regions."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tune_seg.data.labels import Labels, declared
from tune_seg.errors import InputError

NAME = "dataset.json"

_IGNORE = "ignore"  # the name of nnU-Net's ignored label


class Named(NamedTuple):
    """What dataset.json says of the classes.

    Args:
        labels: the meaning of the values; None where there is no such file.
        remarks: what was taken for granted.
    """

    labels: Labels | None
    remarks: tuple[str, ...] = ()


def named(root: Path, ignore_label: int | None) -> Named:
    """The classes as dataset.json in `root` names them.

    The Decathlon has {"0": "background"}, nnU-Net {"background": 0}. Regions, {"whole tumour": [1, 2, 3], "core": [2, 3]},
    lie over one another, but a pixel has one class here: that of the smallest region its value is in.

    Raises:
        InputError: it cannot be read.
    """
    path = root / NAME
    if not path.is_file():
        return Named(None)
    try:
        labels = json.loads(path.read_text(encoding="utf-8-sig"))["labels"]
        names = {int(key): str(value) for key, value in labels.items()} if _numbered(labels) else _by_value(labels)
        if len(set(names.values()) - {_IGNORE}) < 2:
            raise ValueError("fewer than two classes")
        if not all(0 <= value < 2**16 for value in names):
            raise ValueError("a number is not from 0 to 65535")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: its labels cannot be read ({type(error).__name__}: {error}); they are a mapping of numbers to names, "
            "or of names to numbers or lists of numbers. Correct it, or declare data.classes"
        ) from error
    ignored = frozenset(value for value, name in names.items() if name == _IGNORE)
    classes = {value: name for value, name in names.items() if value not in ignored}
    meant = declared(classes, ignore_label, None)
    return Named(replace(meant, ignored=meant.ignored | ignored), _remarks(labels, classes))


def _numbered(labels: Mapping[str, Any]) -> bool:
    return all(key.isdigit() for key in labels)


def _by_value(labels: Mapping[str, Any]) -> dict[int, str]:
    """The name of each value: that of the smallest region that it is in."""
    regions = {name: _values(value) for name, value in labels.items()}
    if len(set(regions.values())) != len(regions):
        raise ValueError("two names have one number, or the same numbers")
    smallest: dict[int, str] = {}
    for name, values in sorted(regions.items(), key=lambda region: len(region[1])):
        for value in sorted(values):
            smallest.setdefault(value, name)
    return smallest


def _values(value: Any) -> frozenset[int]:
    return frozenset(map(int, value)) if isinstance(value, list) else frozenset({int(value)})


def _remarks(labels: Mapping[str, Any], names: Mapping[int, str]) -> tuple[str, ...]:
    if not any(isinstance(value, list) for value in labels.values()):
        return ()
    shown = ", ".join(f"{value} = {name}" for value, name in sorted(names.items()))
    unnamed = [name for name in labels if name not in names.values() and name != _IGNORE]
    return (
        f"{NAME} has regions that overlap; a pixel has one class here, the smallest region that its value is in ({shown})"
        + (f"; no pixel is left for {', '.join(unnamed)}" if unnamed else "")
        + ". Other names: data.classes={0: background, 1: ...}",
    )
