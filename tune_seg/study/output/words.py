"""How values, keys and settings are written in tables."""

import re
from collections.abc import Mapping
from typing import Any

from tune_seg.config import ROW
from tune_seg.study.configurations import Configuration

_CLEAR = re.compile(r"^(loss\.components\.|loss\.params\.|loss\.|schedule\.)")
_IN_NAME = (ROW, "loss.kind", "loss.start", "loss.end", "acw")


def cell(value: Any) -> str:
    """A value in a table."""
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 0.001 and value else f"{value:.4f}"
    return str(value)


def short(key: str) -> str:
    """A key without the sections that are clear from its last parts."""
    return _CLEAR.sub("", key)


def settings_of(configuration: Configuration) -> Mapping[str, Any]:
    """The settings that the name of a configuration does not tell."""
    return {key: value for key, value in configuration.assignment.items() if key not in _IN_NAME}
