"""How values, keys, settings and durations are written, and what configurations are called."""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from tune_seg.config import ROW
from tune_seg.study.configurations import Configuration
from tune_seg.study.record import Record

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


def label(key: str) -> str:
    """A key in a figure, where nothing else says what section it is of: `gamma`, but `schedule.start`."""
    return key.removeprefix("loss.components.").removeprefix("loss.params.").removeprefix("loss.")


def counted(number: int, thing: str) -> str:
    """A number of things, `1 seed` or `3 seeds`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def size_of(size: int) -> str:
    """A number of bytes, `0.4 MB`, `310 MB` or `1.2 GB`."""
    if size >= 999_500_000:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 10_000_000 else f"{size / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, `0:01:30`."""
    return str(timedelta(seconds=round(seconds)))


def settings_of(tried: Configuration | Record) -> str:
    """The settings that the name of a configuration, or of a trial, does not tell."""
    settings = {key: value for key, value in tried.assignment.items() if key not in _IN_NAME}
    return ", ".join(f"{short(key)} {cell(value)}" for key, value in settings.items())


def labels(configurations: Iterable[Configuration]) -> Mapping[str, str]:
    """What to call each of them, by id: its name, with its settings where another has the same name."""
    found = list(configurations)
    names = [each.name for each in found]
    return {each.id: name_with_settings(each) if names.count(each.name) > 1 else each.name for each in found}


def name_with_settings(configuration: Configuration) -> str:
    """The name of a configuration, with the settings that it does not tell."""
    settings = settings_of(configuration)
    return f"{configuration.name} ({settings})" if settings else configuration.name
