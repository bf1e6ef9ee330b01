"""One trial's training, from its first weights to its last metrics.

Nothing here imports torch by itself: the process that steers a study asks for the keys of trajectories and for what the
checkpoint store holds, and need not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_seg.training.trainer import Trainer

__all__ = ["Trainer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("tune_seg.training.trainer"), name)
