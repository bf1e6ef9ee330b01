"""One trial's training, an epoch at a time: a pure function of the configuration and the packed data."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch

from tune_seg.config import TrialConfig
from tune_seg.data import PackedData, batches, feature_batches, steps_per_epoch
from tune_seg.data.loading.augmentation import changes_nothing
from tune_seg.data.loading.sampling import build_sampler, sampling, trained_on
from tune_seg.layers import AdaptiveClassWeight
from tune_seg.models import build_model, frozen_encoder
from tune_seg.models.build import to_device
from tune_seg.training.evaluation import evaluate
from tune_seg.training.frozen_features import Features, model_id
from tune_seg.training.loss_program import build_program
from tune_seg.training.lr_schedule import learning_rate, learning_rate_factor
from tune_seg.training.memory import keep_freed_memory
from tune_seg.training.optimizer import build_optimizer
from tune_seg.training.result import EpochResult, Evaluation, Seconds
from tune_seg.training.step import CapturedStep, Inputs, Step

Batch = tuple[Inputs, torch.Tensor]


class Trainer:
    """Trains the model of one configuration.

    The initial weights depend on `training.seed` and the model alone, the batches on the seed and the epoch, dropout on
    the seed and the epoch: two trainers with one configuration agree, whatever ran in their processes before. On the CPU
    they agree to the last bit. One on the CPU changes how its process allocates memory, from then on: see
    :func:`~tune_seg.training.memory.keep_freed_memory`.

    Args:
        config: the trial.
        data: the packed data.
        device: where to train; bfloat16 autocast is used on a GPU unless `training.precision` says otherwise.

    Example:
        >>> trainer = Trainer(TrialConfig(), PackedData(path), torch.device("cpu"))  # doctest: +SKIP
        >>> for _ in range(trainer.config.training.epochs):  # doctest: +SKIP
        ...     print(trainer.epoch().score("s_rec"))
    """

    def __init__(self, config: TrialConfig, data: PackedData, device: torch.device) -> None:
        self.config = config
        self.data = data = data.of_fold(config.fold)
        self.device = device
        training = config.training
        if device.type == "cpu":
            keep_freed_memory()
            if training.threads is not None:
                torch.set_num_threads(training.threads)  # another number of threads adds in another order
        self.epochs_done = 0
        self._diverged = False
        self.steps = steps_per_epoch(len(data.train), training.batch_size)
        # no bound method: the step would hold the trainer, which holds the step, and the model would outlive both
        self._autocast = partial(autocast, device.type, training.precision)
        torch.manual_seed(training.seed)
        model = build_model(
            config.model,
            data.num_classes,
            in_channels=data.channels,
            acw=config.acw,
            acw_positive=config.acw_options.positive,
        )
        # mostly faster than contiguous, by up to a third, at worst 7 % slower, on a CPU too: scripts/bench/step.py --layouts
        self.model = to_device(model, device)
        self._features = self._fixed_features()
        self.optimizer = build_optimizer(training, self.model, acw_lr=config.acw_options.lr)
        how = sampling(training)
        self._sampler = build_sampler(how, data.train)
        self.loss = build_program(config, trained_on(how, data), training.epochs * self.steps).to(device)
        step = CapturedStep if device.type == "cuda" else Step
        self._step = step(self.model, self.loss, self.optimizer, self._autocast)

    def epoch(self) -> EpochResult:
        """Train for one epoch and evaluate; after the last planned one, all that there is to know."""
        started = time.perf_counter()
        train_loss = self._train().item()  # the one wait for the device in an epoch of training
        trained = time.perf_counter()
        evaluation = self.evaluate(final=self.epochs_done + 1 == self.config.training.epochs)
        # the last step of an epoch can ruin the weights when the loss was still finite: then no output is a number
        self._diverged = not (math.isfinite(train_loss) and math.isfinite(evaluation.metrics["calibration"]))
        if self._diverged:  # a divergence is the end of a training, however many epochs were planned
            evaluation = evaluation.of_any_epoch()
        self.epochs_done += 1
        lr, weights = last_iteration(self.config, self.epochs_done, self.steps)
        return EpochResult(
            epoch=self.epochs_done,
            evaluation=evaluation,
            train_loss=train_loss,
            diverged=self._diverged,
            lr=lr,
            weights=weights,
            acw_weight=self._acw_weight(),
            seconds=Seconds(trained - started, self._data_seconds, time.perf_counter() - trained),
        )

    def evaluate(self, *, final: bool) -> Evaluation:
        """The metrics of the model as it is, see :func:`~tune_seg.training.evaluation.evaluate`."""
        return evaluate(
            self.model,
            self.data,
            self.config,
            device=self.device,
            autocast=self._autocast(),
            final=final,
            features=self._features.get("val"),
        )

    def state_dict(self) -> dict[str, Any]:
        """All that the epochs to come depend on beside the configuration and their number; the tensors are not copied."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()["state"]}

    def load_state_dict(self, state: Mapping[str, Any], epochs_done: int) -> None:
        """Go on from what :meth:`state_dict` was after `epochs_done` epochs of a training with the same trajectory."""
        self._step.forget()
        self.model.load_state_dict(state["model"])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["optimizer"], "param_groups": groups})
        self.epochs_done = epochs_done

    @property
    def done(self) -> bool:
        """Whether every epoch of the configuration is trained, or the training has diverged (loss or outputs not finite)."""
        return self.epochs_done >= self.config.training.epochs or self._diverged

    def _acw_weight(self) -> tuple[float, ...] | None:
        layers = [module for module in self.model.modules() if isinstance(module, AdaptiveClassWeight)]
        return tuple(layers[0].weight.tolist()) if layers else None

    def _train(self) -> torch.Tensor:
        training = self.config.training
        iteration = self.epochs_done * self.steps
        # dropout draws from the process's generator, so each epoch sets it
        torch.manual_seed(training.seed + (self.epochs_done + 1) * 1_000_003)
        self.model.train()
        total = torch.zeros((), device=self.device)
        for inputs, target in self._timed(self._batches()):
            total += self._step(inputs, target, iteration, learning_rate_factor(training, iteration, self.steps))
            iteration += 1
        return total / self.steps

    def _batches(self) -> Iterator[Batch]:
        """The batches of the epoch: images, or what a frozen encoder makes of them where it always makes the same."""
        training = self.config.training
        order: dict[str, Any] = {
            "epoch": self.epochs_done,
            "seed": training.seed,
            "batch_size": training.batch_size,
            "sampler": self._sampler,
        }
        if "train" in self._features:
            yield from feature_batches(self.data.train, self._features["train"], **order, device=self.device, train=True)
        else:
            yield from batches(
                self.data.train, **order, augmentation=self.config.augmentation, device=self.device, train=True
            )

    def _fixed_features(self) -> dict[str, Features]:
        """The features, by split, of a model whose encoder is frozen, where the split's images are always the same."""
        encoder = frozen_encoder(self.model)
        if encoder is None:
            return {}
        config, data = self.config, self.data
        identity = model_id(f"{config.model.architecture} {config.model.encoder}", encoder)
        fixed = [data.train, data.val] if changes_nothing(config.augmentation, data.size) else [data.val]
        return {
            split.name: Features(
                encoder,
                data,
                split,
                config.augmentation,
                device=self.device,
                autocast=self._autocast(),
                model_id=identity,
            )
            for split in fixed
        }

    def _timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches; `data_seconds` counts the host's time for them from 0."""
        self._data_seconds = 0.0
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            self._data_seconds += time.perf_counter() - started
            if batch is None:
                return
            yield batch


def autocast(device: str, precision: str) -> AbstractContextManager[None]:
    """The context that a model computes in, by the type of its device and `training.precision`."""
    bfloat16 = precision == "bfloat16" or (precision == "auto" and device == "cuda")
    return torch.autocast(device, dtype=torch.bfloat16, enabled=bfloat16)


def last_iteration(config: TrialConfig, epoch: int, steps: int) -> tuple[float, dict[str, float]]:
    """The learning rate, and the weight of each loss by its name, in the last iteration of an epoch (from 1) of `steps`."""
    last = epoch * steps - 1
    iterations = config.training.epochs * steps
    weights = {component.name: component.weight(iterations)(last) for component in config.components}
    return learning_rate(config.training, last, steps), weights
