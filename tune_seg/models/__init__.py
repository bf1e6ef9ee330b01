"""Segmentation models by name, from segmentation-models-pytorch, with or without an adaptive class-weight layer."""

from tune_seg.models.smp import build_model, check_model

__all__ = ["build_model", "check_model"]
