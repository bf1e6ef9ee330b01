"""The loss in force at every iteration: one loss, a fixed sum of two, or a scheduled move from one to the other."""

from typing import Any

import torch
from torch import Tensor, nn

from tune_seg.config import LossConfig, LossKind, ScheduleConfig
from tune_seg.losses import build_loss, class_weights
from tune_seg.losses.catalogue import LOSSES
from tune_seg.schedules import build_schedule


class LossProgram(nn.Module):
    """The losses of a trial with their weights over its iterations (Taubert section 4).

    Args:
        loss: which losses, how they are combined, their parameters.
        schedule: when a scheduled one moves, as fractions of all iterations.
        frequencies: (C,) shares of the classes among the training pixels, for the class-weighted losses.
        iterations: how many iterations the training has in all.

    Shape:
        logits (N, C, H, W), target (N, H, W) -> scalar
    """

    def __init__(self, loss: LossConfig, schedule: ScheduleConfig, frequencies: Tensor, iterations: int) -> None:
        super().__init__()
        self._config = loss
        self.components = nn.ModuleList(_component(name, loss, frequencies) for name in loss.components)
        kind = loss.kind
        start, end = schedule.fractions(kind) if kind.scheduled else (0.0, 1.0)
        self._end_weight = build_schedule(kind.value if kind.scheduled else "static", start * iterations, end * iterations)

    def weights(self, iteration: int) -> tuple[float, float]:
        """The weights of (start, end) at `iteration`; a static loss has (0, 1)."""
        if self._config.kind is LossKind.COMPOUND:
            return self._config.weights.start, self._config.weights.end
        end = self._end_weight(iteration)
        return 1.0 - end, end

    def forward(self, logits: Tensor, target: Tensor, iteration: int) -> Tensor:
        """The weighted sum at `iteration`; a component whose weight is 0 is not computed."""
        weights = self.weights(iteration)[-len(self.components) :]
        terms = [
            weight * loss(logits, target) for weight, loss in zip(weights, self.components, strict=True) if weight != 0.0
        ]
        return torch.stack(terms).sum() if len(terms) > 1 else terms[0]


def _component(name: str, config: LossConfig, frequencies: Tensor) -> nn.Module:
    spec = LOSSES[name]
    weights = class_weights(frequencies, normalise=config.class_weights) if spec.class_weights != "unused" else None
    chosen: dict[str, Any] = {"gamma": config.gamma, "alpha": config.alpha}
    params = {parameter.name: chosen[parameter.name] for parameter in spec.parameters if parameter.name in chosen}
    return build_loss(name, num_classes=len(frequencies), class_weights=weights, **params)
