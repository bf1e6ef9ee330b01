"""Trainings that take a second, and such of a head on a frozen encoder; nothing of a study."""

from typing import Any

import torch

from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData
from tune_seg.models import frozen_encoder
from tune_seg.models.smp import _ARCHITECTURES
from tune_seg.training import Trainer
from tune_seg.training.result import EpochResult

SCHEDULED = {
    "loss": {"kind": "alternating", "start": "wdice", "end": "focal", "gamma": 1.5},
    "schedule": {"start": 0.4, "end": 0.9},
    "acw": True,
}
PLAIN = {"flip": 0.0, "resize": [1.0, 1.0]}
SPLIT = sorted(set(_ARCHITECTURES) - {"DPT", "Segformer"})
"""The architectures that can train a head on a frozen encoder."""
CPU = torch.device("cpu")


def trial(**sections: Any) -> TrialConfig:
    training = {"epochs": 2, "batch_size": 4, "threads": 1, "optimizer": "adam", **sections.pop("training", {})}
    return parse(TrialConfig, {"training": training, **sections})


def run(config: TrialConfig, data: PackedData, device: str | torch.device = "cpu") -> list[EpochResult]:
    trainer = Trainer(config, data, torch.device(device))
    results = []
    while not trainer.done:
        results.append(trainer.epoch())
    return results


def head(**sections: Any) -> Any:
    model = {"encoder": "tu-test_resnet", "train": "head", **sections.pop("model", {})}
    return trial(model=model, **{"augmentation": PLAIN, **sections})


def encoded(trainer: Trainer) -> list[int]:
    """The batch sizes that the encoder is called with from now on."""
    sizes: list[int] = []
    encoder = frozen_encoder(trainer.model)
    assert encoder is not None
    encoder.encoder.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    return sizes
