"""The optimizer."""

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
        config: the optimizer by name, with its settings.
        model: what is trained.
        acw_lr: the learning rate of the adaptive class weights at the start; None: that of all other parameters.

    Returns:
        The optimizer; `initial_lr` of each of its parameter groups is what a schedule multiplies.
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
