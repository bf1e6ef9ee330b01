"""A trial as Ray Tune runs it: one epoch a step, in an actor that is used again for the next trial."""

import functools
import json
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from ray import tune

from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData
from tune_seg.training.checkpoints import CheckpointStore

if TYPE_CHECKING:
    from tune_seg.training.resume import StoredTraining

RESULT = "epoch_results"
"""The key under which a step reports what :meth:`tune_seg.training.resume.StoredTraining.advance` returned.

Tune flattens the dictionaries that a step reports, and leaves what is in a list alone.
"""

ERROR = "epoch_error"
"""The key under which a step reports why it could not: a failure that would come again is not tried again, as Tune would."""

PROBLEMS = "store_problems"
"""The key under which a step reports what went wrong with the checkpoint store, a list of lines."""

SETUP = "setup_seconds"
"""The key under which a trial's first step reports how long the trial had been set up; the later ones report 0."""


class SegmentationTrial(tune.Trainable):
    """Trains the configuration `config["trial"]` on the packed data `config["pack"]`, as far as the store lacks it.

    The configuration is a text in JSON. The checkpoint store lies at `config["store"]` (None: there is none), and
    `config["uses"]` is a list of pairs (epochs done, trials that are expected to leave there). A loss of the user's own is
    imported from where the process that steers the study finds it, `config["path"]`.

    Nothing of a former trial is left in the actor but the mapped data file and the opened store: the model, the optimiser
    and every generator are made anew.
    """

    def setup(self, config: dict[str, Any]) -> None:
        started = time.perf_counter()
        self._training: StoredTraining | None = None
        self._store: CheckpointStore | None = None
        self._error = ""
        try:
            self._begin(config)
        except Exception as error:
            self._error = _described(error)
        self._setup_seconds = time.perf_counter() - started

    def _begin(self, config: dict[str, Any]) -> None:
        # here, because the process that steers the study names this class too, and need not wait for torch
        import torch

        from tune_seg.training.resume import StoredTraining

        sys.path += [entry for entry in config["path"] if entry not in sys.path]
        trial = parse(TrialConfig, json.loads(config["trial"]))
        self._store = None if config["store"] is None else _opened(config["store"])
        device = torch.device(trial.training.device)
        data = PackedData(config["pack"], trial.fold)
        self._training = StoredTraining(trial, data, device, self._store, dict(config["uses"]))

    def step(self) -> dict[str, Any]:
        setup, self._setup_seconds = self._setup_seconds, 0.0
        return {**self._advance(), SETUP: setup}

    def _advance(self) -> dict[str, Any]:
        try:
            if self._training is not None:
                results = self._training.advance()
                return {RESULT: results, PROBLEMS: self._problems(), "done": self._training.done}
        except Exception as error:
            self._error = _described(error)
        return {ERROR: self._error, PROBLEMS: self._problems(), "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._training is not None and not self._error:
            self._training.leave()
        self._training = None  # its memory is free before the next model takes its own
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """The study ends, perhaps before this trial does."""
        if self._training is not None and not self._error:
            self._training.close()

    def _problems(self) -> list[str]:
        if self._store is None:
            return []
        problems, self._store.problems = self._store.problems, []
        return problems


_opened = functools.cache(CheckpointStore)


def _described(error: Exception) -> str:
    """The exception in one line, then its traceback."""
    first, *_ = f"{type(error).__name__}: {error}".splitlines()
    return f"{first}\n{''.join(traceback.format_exception(error))}"
