"""The seed ensemble: the mean output of models that were trained alike but for their seeds."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from tune_seg.config import TrialConfig
from tune_seg.data import PackedData
from tune_seg.training.evaluation import evaluate
from tune_seg.training.held_out import trained_model
from tune_seg.training.result import Evaluation
from tune_seg.training.trainer import autocast


class MeanOutput(nn.Module):
    """The logarithm of the mean softmax of several models, as logits (Lakshminarayanan et al. 2017).

    Args:
        models: each takes images (N, 3, h, w) to logits (N, C, h, w).
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, images: Tensor) -> Tensor:
        """The logits (N, C, h, w), float32."""
        outputs = torch.stack([model(images).float().log_softmax(dim=1) for model in self.models])
        return outputs.logsumexp(dim=0) - torch.tensor(float(len(self.models)), device=outputs.device).log()


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
    models = [trained_model(config, checkpoint, data) for checkpoint in checkpoints]
    model: nn.Module = MeanOutput(models).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    context: AbstractContextManager[None] = autocast(device.type, config.training.precision)
    return evaluate(model, data, config, device=device, autocast=context)
