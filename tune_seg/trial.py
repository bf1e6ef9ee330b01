"""A trial as Ray Tune runs it: one epoch a step, in an actor that is used again for the next trial."""

from typing import Any

from ray import tune

from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData

RESULT = "epoch_result"
"""The key under which a step reports what :meth:`tune_seg.training.Trainer.epoch` returned."""


class SegmentationTrial(tune.Trainable):
    """Trains the configuration `config["trial"]` on the packed data `config["pack"]` on `config["device"]`.

    Nothing of a former trial is left in the actor but the mapped data file: the model, the optimiser and every
    generator are made anew.
    """

    def setup(self, config: dict[str, Any]) -> None:
        # here, because the process that steers the study names this class too, and need not wait for torch
        import torch

        from tune_seg.training import Trainer

        self._trainer = Trainer(
            parse(TrialConfig, config["trial"]), PackedData(config["pack"]), torch.device(config["device"])
        )

    def step(self) -> dict[str, Any]:
        result = self._trainer.epoch()
        return {RESULT: result, "done": self._trainer.done}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        del self._trainer  # its memory is free before the next model takes its own
        self.setup(new_config)
        return True
