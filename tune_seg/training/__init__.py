"""One trial's training, from its first weights to its last metrics.

Nothing here imports torch by itself: the process that steers a study asks for the keys of trajectories and for what the
checkpoint store holds, and need not wait for it.
"""

from typing import TYPE_CHECKING, Final

from tune_seg._lazy import lazy

if TYPE_CHECKING:
    from tune_seg.training.trainer import Trainer

__all__ = ["Trainer"]

_HOMES: Final = {"Trainer": "tune_seg.training.trainer"}

__getattr__, __dir__ = lazy(__name__, _HOMES)
