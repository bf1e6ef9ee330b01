"""A training that begins where the checkpoint store leaves off, and leaves its own states there.

Resuming after a crash, another trial with the same beginning, a repeated configuration and a longer training are one thing
here: the longest stored prefix of a trajectory is replayed, and the training goes on from its state.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tune_seg.config import TrialConfig
from tune_seg.data import PackedData, steps_per_epoch
from tune_seg.training.checkpoints import WEIGHTS, Checkpoint, CheckpointStore, History
from tune_seg.training.result import EpochResult, Progress, Seconds
from tune_seg.training.trainer import Trainer, last_iteration
from tune_seg.training.trajectory import TrainingData, can_be_extended, final_key, trajectory_keys

_MAX_TIME_SHARE = 0.05
"""The largest share of its time that a training spends on states that only a crash would need."""

_FIRST_COST = 1.0
"""Seconds that writing a state is assumed to take until one has been written."""


class StoredTraining:
    """Trains a configuration, unless the store has it already.

    A state is stored where another trial is expected to leave the trajectory, if that saves more time than it takes, at
    the newest epoch, as long as that takes at most a twentieth of the time, and at the end, where a longer training could
    go on from it; where none could, the weights alone. The newest one is removed when a newer one is there.

    Args:
        config: the trial.
        data: the packed data.
        device: where to train.
        store: where checkpoints are kept; None: nowhere.
        uses: by the number of epochs done, how many trials are expected to leave the trajectory there, or at its end to
            repeat it; from 1 on a state is stored whatever it takes.
        weights: whether the weights are needed that it ends with: it is then trained again where the store has its results
            and no weights.

    Example:
        >>> training = StoredTraining(TrialConfig(), PackedData(path), torch.device("cpu"), store)  # doctest: +SKIP
        >>> while not training.done:  # doctest: +SKIP
        ...     results, progress = training.advance()
        ...     for result in results:
        ...         print(result.epoch, result.score("s_rec"), result.replayed)
    """

    def __init__(
        self,
        config: TrialConfig,
        data: PackedData,
        device: torch.device,
        store: CheckpointStore | None,
        uses: Mapping[int, float] | None = None,
        *,
        weights: bool = False,
    ) -> None:
        self.config = config
        self._data = data.of_fold(config.fold)
        self._device = device
        self._store = store
        self._uses = uses or {}
        self._needs_weights = weights
        self._steps = steps_per_epoch(len(self._data.train), config.training.batch_size)
        self._keys = self._keys_of(config)
        self._last = final_key(self._keys, config)
        self._trainer: Trainer | None = None
        self._history: History = []
        self._found: Checkpoint | None = None
        self._stored = 0
        self._newest: int | None = None
        self._epoch_seconds = 0.0
        self._cost = _FIRST_COST
        self._paid = time.perf_counter()
        self._buffer: Any = None
        started = time.perf_counter()
        self._replay = self._look_up()
        self._checkpoint_seconds = time.perf_counter() - started

    @property
    def done(self) -> bool:
        """Whether every epoch of the configuration is done, or the training has diverged (loss or outputs not finite)."""
        return not self._replay and self._finished

    def advance(self) -> tuple[list[EpochResult], Progress]:
        """What is stored of the trajectory, at the first call if there is any, else the next epoch.

        Returns:
            the results of one or more epochs, and how far the checkpoints are after them.
        """
        if self._replay:
            results, self._replay = self._replay, []
        else:
            results = [self._compute()]
        progress = Progress(
            stored=self._stored,
            writing=self._store is not None and self._store.busy,
            checkpoint_seconds=self._checkpoint_seconds,
            checkpoint=self._checkpoint() if self._finished else None,
        )
        self._checkpoint_seconds = 0.0
        return results, progress

    def close(self) -> None:
        """Store the newest epoch of a training that ends before its time and may go on."""
        if self._store is not None and self._trainer is not None and not self._finished:
            self._save(self._trainer, newest=True)
            self._store.flush()

    def leave(self) -> None:
        """Store the newest epoch of a training that was given up, if other trials need this epoch or a later one."""
        if self._store is None:
            return
        self._store.flush()  # somebody may be waiting for it
        done = len(self._history)
        later = [uses for epochs, uses in self._uses.items() if epochs > done]
        saved = (done - max(self._stored, self._newest or 0)) * self._epoch_seconds
        if max(later, default=0.0) >= 1.0 or sum(later) * saved > self._cost or self._store.wanted(self._keys[done:]):
            self.close()

    @property
    def _finished(self) -> bool:
        history = self._history
        return len(history) >= self.config.training.epochs or bool(history and history[-1].diverged)

    def _keys_of(self, config: TrialConfig) -> tuple[str, ...]:
        threads = config.training.threads or torch.get_num_threads()
        training = config.training.model_copy(update={"device": self._device.type, "threads": threads})
        data = TrainingData.of(self._data)
        return trajectory_keys(config.model_copy(update={"training": training}), data)

    def _look_up(self) -> list[EpochResult]:
        """Find the longest stored prefix; the results of its epochs."""
        if self._store is None:
            return []
        boundaries = [(len(self._keys) - 1, self._last), *reversed(list(enumerate(self._keys))[1:])]
        present = self._store.present([key for _, key in boundaries])
        if self._needs_weights and not self._store.present([self._keys[-1], self._keys[-1] + WEIGHTS]):
            present.discard(self._last)
        for epochs, key in boundaries:
            found = self._store.load(key) if key in present else None
            if found is None or (found.state is None and key != self._last and not found.history[-1].diverged):
                continue
            self._found, self._stored = found, epochs
            self._history = found.history
            if key == self._keys[-1] and not found.history[-1].diverged:
                self._history = found.history[:-1]  # by a longer training, which measured less here
            return [self._replayed(result) for result in self._history]
        return []

    def _replayed(self, result: EpochResult) -> EpochResult:
        # what the losses are called, and thus their weights, differs between two ways to write one training
        lr, weights = last_iteration(self.config, result.epoch, self._steps)
        return replace(result, lr=lr, weights=weights, seconds=Seconds(), replayed=True)

    def _compute(self) -> EpochResult:
        trainer = self._begin()
        started = time.perf_counter()
        self._keep_what_was_asked_for(trainer)
        self._checkpoint_seconds += time.perf_counter() - started
        self._trainer = None  # an epoch that is broken off leaves a state of no boundary, which `close` must not store
        if trainer.epochs_done > len(self._history) and self._found is not None:
            started = time.perf_counter()
            evaluation = trainer.evaluate(final=True)
            seconds = Seconds(eval=time.perf_counter() - started)
            result = replace(self._replayed(self._found.history[-1]), evaluation=evaluation, seconds=seconds)
        else:
            result = trainer.epoch()
        self._history = [*self._history, result]
        self._trainer = trainer
        started = time.perf_counter()
        self._epoch_seconds = result.seconds.total
        self._keep(trainer)
        self._checkpoint_seconds += time.perf_counter() - started
        return result

    def _begin(self) -> Trainer:
        if self._trainer is None:
            self._trainer = Trainer(self.config, self._data, self._device)
            if self._found is not None and self._found.state is not None:
                self._trainer.load_state_dict(self._found.state, len(self._found.history))
                self._found = Checkpoint(self._found.history, None)  # its memory is free
            assert self._trainer.epochs_done >= len(self._history), "an epoch was broken off; begin anew from the store"
        return self._trainer

    def _keep_what_was_asked_for(self, trainer: Trainer) -> None:
        """Store the newest epoch if somebody asked for it after it was done."""
        done = len(self._history)
        if self._store is not None and self._stored < done == trainer.epochs_done and self._store.wanted([self._keys[done]]):
            self._save(trainer, newest=False)

    def _keep(self, trainer: Trainer) -> None:
        if self._store is None:
            return
        done = len(self._history)
        uses = self._uses.get(done, 0.0)
        if self._finished:
            diverged = self._history[-1].diverged
            if not diverged:
                self._keep_weights(trainer)
            self._store.flush()
            # last, because whoever finds these in the store computes nothing, and has no weights to store
            self._store.save(self._keys[done] if diverged else self._last, self._history, None)
            self._forget(self._newest)
        elif (
            uses >= 1.0
            or uses * (done - self._stored) * self._epoch_seconds > self._cost
            or self._store.wanted([self._keys[done]])
        ):
            self._save(trainer, newest=False)
        elif not self._store.busy and time.perf_counter() - self._paid > self._cost / _MAX_TIME_SHARE:
            self._save(trainer, newest=True)

    def _keep_weights(self, trainer: Trainer) -> None:
        """Store what the training ended with: its state where a longer one could go on from it, else the weights alone."""
        store, key = self._store, self._keys[-1] + WEIGHTS
        assert store is not None
        if can_be_extended(self.config, TrainingData.of(self._data)):
            self._save(trainer, newest=False)
        elif not store.present([key]):
            weights = trainer.state_dict()["model"]
            if store.affordable(sum(value.nbytes for value in weights.values())):
                store.save(key, [], {"model": _copy(weights, None)})
            else:
                store.problems.append(
                    f"the disk of {store.location} is nearly full: the weights that trials end with are not stored; make "
                    f"space to have them"
                )

    def _checkpoint(self) -> str | None:
        if self._store is None or self._history[-1].diverged:
            return None
        keys = (self._keys[-1], self._keys[-1] + WEIGHTS)
        present = self._store.present(keys)
        return next((self._store.file(key) for key in keys if key in present), None)

    def _save(self, trainer: Trainer, *, newest: bool) -> None:
        """Store the state, unless that was done before. A `newest` one is removed when a newer one is there."""
        store, done = self._store, len(self._history)
        assert store is not None
        if store.present([self._keys[done]]):
            self._stored = done
            return
        store.flush()  # what is being written is read from the buffer
        self._paid = time.perf_counter()
        self._buffer = _copy(trainer.state_dict(), self._buffer)
        copied = time.perf_counter() - self._paid

        def written(seconds: float, asked_for: bool) -> None:
            self._cost = copied + seconds
            stays = asked_for or not newest
            self._stored = done if stays else self._stored
            former, self._newest = self._newest, None if stays else done
            self._forget(former)

        # what only a last epoch has is no part of a longer training's history
        history = [replace(result, evaluation=result.evaluation.of_any_epoch()) for result in self._history]
        store.save_later(self._keys[done], history, self._buffer, written)

    def _forget(self, epochs: int | None) -> None:
        if epochs is not None and self._store is not None:
            self._store.remove(self._keys[epochs])


def _copy(value: Any, into: Any) -> Any:
    """`value` with its tensors copied to the host, into the memory of an earlier copy where it has their shapes."""
    if isinstance(value, Tensor):
        fits = isinstance(into, Tensor) and (into.shape, into.dtype, into.stride()) == (
            value.shape,
            value.dtype,
            value.stride(),
        )
        return into.copy_(value.detach()) if fits else value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        into = into if isinstance(into, Mapping) else {}
        return {key: _copy(entry, into.get(key)) for key, entry in value.items()}
    return value
