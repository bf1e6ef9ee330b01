"""Losses for segmentation with rare classes.

Example:
    >>> import torch
    >>> from tune_seg.losses import build_loss
    >>> loss = build_loss("focal", num_classes=3, gamma=2.0)
    >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)).item()  # (1 - 1/3)^2 log 3
    0.4882721...

The catalogue, which checks configurations, needs no torch; what needs it is imported when it is first asked for.
"""

from typing import TYPE_CHECKING, Final

from tune_seg._lazy import lazy
from tune_seg.losses.catalogue import LOSSES, get_spec
from tune_seg.losses.spec import LossSpec, Parameter

if TYPE_CHECKING:
    from tune_seg.losses._weighting import class_weights
    from tune_seg.losses.build import build_loss, check_loss

__all__ = ["LOSSES", "LossSpec", "Parameter", "build_loss", "check_loss", "class_weights", "get_spec"]

_HOMES: Final = {
    "build_loss": "tune_seg.losses.build",
    "check_loss": "tune_seg.losses.build",
    "class_weights": "tune_seg.losses._weighting",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
