"""The seed ensemble: the mean output of models that were trained alike but for their seeds."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from tune_seg.config import TrialConfig
from tune_seg.data import PackedData
from tune_seg.models.build import to_device
from tune_seg.training.evaluation import evaluate
from tune_seg.training.held_out import trained_model
from tune_seg.training.result import Evaluation
from tune_seg.training.trainer import autocast


class MeanOutput(nn.Module):
    """The logarithm of the mean softmax of several models, as logits (Lakshminarayanan et al. 2017).

    One of them is on the device at a time: however many they are, they take the memory of one and of its output.

    Args:
        model: takes images (N, 3, h, w) to logits (N, C, h, w). Its parameters ask for no gradient afterwards.
        states: the weights of each, on the host, as :meth:`torch.nn.Module.load_state_dict` takes them.
    """

    def __init__(self, model: nn.Module, states: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        # autocast keeps a copy of parameters that ask for a gradient, and would not see that they become those of another
        self.model = model.requires_grad_(False)
        self.states = states

    def forward(self, images: Tensor) -> Tensor:
        """The logits (N, C, h, w), float32."""
        total: Tensor | None = None
        for state in self.states:
            self.model.load_state_dict(state)
            output = self.model(images).float().log_softmax(dim=1)
            total = output if total is None else torch.logaddexp(total, output)
        assert total is not None
        return total - math.log(len(self.states))


def score_ensemble(config: TrialConfig, checkpoints: Sequence[str], data: PackedData, device: torch.device) -> Evaluation:
    """The metrics of the mean output over the validation images, as it is and with a temperature.

    Args:
        config: of the trainings, but for their seeds.
        checkpoints: the weights that they ended with.
        data: the packed data.
        device: where to compute.

    Raises:
        InputError: weights cannot be read, or do not fit the model.
    """
    if device.type == "cpu" and config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    states = [trained_model(config, checkpoint, data).state_dict() for checkpoint in checkpoints]
    model = trained_model(config, checkpoints[0], data)  # another one, that no state shares its weights with
    mean = to_device(MeanOutput(model, states), device)
    context: AbstractContextManager[None] = autocast(device.type, config.training.precision)
    return evaluate(mean, data, config, device=device, autocast=context)
