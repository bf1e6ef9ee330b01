"""tune_seg: find the loss, schedule and settings that serve a segmentation data set with rare classes.

What is named here is imported when it is first used: to import the package takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tune_seg._commands import exit_if_no_command

if TYPE_CHECKING:
    from tune_seg import config, data, layers, losses, metrics, models, schedules, temperature, training
    from tune_seg.errors import InputError
    from tune_seg.study.api import Study
    from tune_seg.study.configuration import load_config

__version__: Final = "0.2.0"

__all__ = [
    "InputError",
    "Study",
    "__version__",
    "config",
    "data",
    "layers",
    "load_config",
    "losses",
    "metrics",
    "models",
    "schedules",
    "temperature",
    "training",
]

_HOMES: Final = {
    "InputError": "tune_seg.errors",
    "Study": "tune_seg.study.api",
    "load_config": "tune_seg.study.configuration",
}
"""The modules of what is no module itself."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tune_seg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name) if name in _HOMES else import_module(f"tune_seg.{name}")


def __dir__() -> list[str]:
    return sorted(__all__)


exit_if_no_command()
