"""Segmentation models by name, from segmentation-models-pytorch, with or without an adaptive class-weight layer."""

from tune_seg.models.frozen import FrozenEncoder, frozen_encoder
from tune_seg.models.smp import build_model, check_model

__all__ = ["FrozenEncoder", "build_model", "check_model", "frozen_encoder"]
