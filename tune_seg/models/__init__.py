"""Segmentation models by name, see :mod:`tune_seg.models.build`, with or without an adaptive class-weight layer.

What needs torch is imported when it is first asked for.
"""

from typing import TYPE_CHECKING, Final

from tune_seg._lazy import lazy
from tune_seg.architectures import OWN_ARCHITECTURES

if TYPE_CHECKING:
    from tune_seg.models.build import build_model, check_model
    from tune_seg.models.frozen import FrozenEncoder, frozen_encoder

__all__ = ["OWN_ARCHITECTURES", "FrozenEncoder", "build_model", "check_model", "frozen_encoder"]

_HOMES: Final = {
    "FrozenEncoder": "tune_seg.models.frozen",
    "build_model": "tune_seg.models.build",
    "check_model": "tune_seg.models.build",
    "frozen_encoder": "tune_seg.models.frozen",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
