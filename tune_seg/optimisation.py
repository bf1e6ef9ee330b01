"""The optimiser and the learning rate at every iteration."""

import math
from typing import Any

import torch
from torch import nn

from tune_seg.config import TrainingConfig
from tune_seg.layers import AdaptiveClassWeight


def build_optimizer(config: TrainingConfig, model: nn.Module, *, acw_lr: float | None = None) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD with momentum over the parameters of `model` that take a gradient.

    The weights of an :class:`~tune_seg.layers.AdaptiveClassWeight` layer are left out of the weight decay: decaying a
    scale that starts at 1 towards 0 would flatten the softmax, which the layer's paper does not intend.

    Args:
        config: the optimiser by name, with its settings.
        model: what is trained.
        acw_lr: the learning rate of the adaptive class weights at the start; None: that of all other parameters.

    Returns:
        The optimiser; `initial_lr` of each of its parameter groups is what a schedule multiplies.
    """
    scales = {id(p) for m in model.modules() if isinstance(m, AdaptiveClassWeight) for p in m.parameters()}
    groups = [
        _group([p for p in model.parameters() if p.requires_grad and id(p) not in scales], config.lr, config.weight_decay),
        _group([p for p in model.parameters() if id(p) in scales], config.lr if acw_lr is None else acw_lr, 0.0),
    ]
    groups = [group for group in groups if group["params"]]
    # fused: one pass over each parameter, on the CPU a third of the time of the default
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=True)
    optimizer = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return optimizer(groups, lr=config.lr, fused=True, capturable=next(model.parameters()).is_cuda)


def _group(params: list[nn.Parameter], lr: float, weight_decay: float) -> dict[str, Any]:
    return {"params": params, "lr": lr, "initial_lr": lr, "weight_decay": weight_decay}


def learning_rate(config: TrainingConfig, iteration: int, steps_per_epoch: int) -> float:
    """The learning rate in force at `iteration` (from 0) of `config.epochs * steps_per_epoch`: lr times the factor."""
    return config.lr * learning_rate_factor(config, iteration, steps_per_epoch)


def learning_rate_factor(config: TrainingConfig, iteration: int, steps_per_epoch: int) -> float:
    """What the schedule multiplies every learning rate with at `iteration` (from 0) of `config.epochs * steps_per_epoch`.

    linear: 1 - i/T, as Taubert section 5; polynomial: (1 - i/T)^lr_power; cosine: (1 + cos(pi i/T)) / 2;
    step: lr_factor^k after k times `lr_every` epochs, as Hossain section IV; constant: 1.
    """
    progress = iteration / (config.epochs * steps_per_epoch)
    match config.lr_schedule:
        case "linear":
            factor = 1.0 - progress
        case "polynomial":
            factor = (1.0 - progress) ** config.lr_power
        case "cosine":
            factor = (1.0 + math.cos(math.pi * progress)) / 2.0
        case "step":
            factor = config.lr_factor ** (iteration // steps_per_epoch // config.lr_every)
        case "constant":
            factor = 1.0
    return factor
