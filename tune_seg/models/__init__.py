"""Segmentation models by name, see :mod:`tune_seg.models.build`, with or without an adaptive class-weight layer."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tune_seg.architectures import OWN_ARCHITECTURES

if TYPE_CHECKING:
    from tune_seg.models.build import build_model, check_model
    from tune_seg.models.frozen import FrozenEncoder, frozen_encoder

__all__ = ["OWN_ARCHITECTURES", "FrozenEncoder", "build_model", "check_model", "frozen_encoder"]

_NEEDS_TORCH = {
    "FrozenEncoder": "tune_seg.models.frozen",
    "build_model": "tune_seg.models.build",
    "check_model": "tune_seg.models.build",
    "frozen_encoder": "tune_seg.models.frozen",
}


def __getattr__(name: str) -> Any:
    # imported when it is first asked for: the configuration needs the names of the architectures, and no torch
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_TORCH[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
