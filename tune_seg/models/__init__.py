"""Segmentation models by name, see :mod:`tune_seg.models.build`, with or without an adaptive class-weight layer."""

from tune_seg.models.build import build_model, check_model
from tune_seg.models.frozen import FrozenEncoder, frozen_encoder

__all__ = ["FrozenEncoder", "build_model", "check_model", "frozen_encoder"]
