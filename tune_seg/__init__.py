"""tune_seg: find the loss, schedule and settings that serve a segmentation data set with rare classes.

What is named here is imported when it is first used: to import the package takes no time.
"""

from typing import TYPE_CHECKING, Final

from tune_seg._commands import exit_if_no_command
from tune_seg._lazy import lazy

if TYPE_CHECKING:
    from tune_seg import config, data, layers, losses, metrics, models, schedules, temperature, training
    from tune_seg.errors import InputError
    from tune_seg.inference.trained_model import load_model
    from tune_seg.study.api import Study
    from tune_seg.study.configuration import load_config
    from tune_seg.study.run import Outcome

__version__: Final = "0.2.0"

__all__ = [
    "InputError",
    "Outcome",
    "Study",
    "__version__",
    "config",
    "data",
    "layers",
    "load_config",
    "load_model",
    "losses",
    "metrics",
    "models",
    "schedules",
    "temperature",
    "training",
]

_HOMES: Final = {
    "InputError": "tune_seg.errors",
    "Outcome": "tune_seg.study.run",
    "Study": "tune_seg.study.api",
    "config": "tune_seg.config",
    "data": "tune_seg.data",
    "layers": "tune_seg.layers",
    "load_config": "tune_seg.study.configuration",
    "load_model": "tune_seg.inference.trained_model",
    "losses": "tune_seg.losses",
    "metrics": "tune_seg.metrics",
    "models": "tune_seg.models",
    "schedules": "tune_seg.schedules",
    "temperature": "tune_seg.temperature",
    "training": "tune_seg.training",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)

exit_if_no_command()
