"""A trial as Ray Tune runs it: one epoch a step, in an actor that is used again for the next trial."""

import functools
import json
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import tune

from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.result import EpochResult, Progress

if TYPE_CHECKING:
    from tune_seg.training.resume import StoredTraining

REPORT = "report"
"""The key under which a step reports a :class:`StepReport`; Tune leaves alone what is no dictionary."""


@dataclass(frozen=True)
class StepReport:
    """What a step tells the process that steers the study.

    Attributes:
        results: of the epochs that it trained or took over from the store; none where it failed.
        progress: of the checkpoints; None where it failed.
        error: why it failed: one line, then the traceback. A failure that would come again is reported in this way, because
            Tune would try the trial again.
        problems: what went wrong with the checkpoint store, a line each.
        setup_seconds: how long the trial had been set up before its first step; 0 in later steps.
    """

    results: Sequence[EpochResult] = ()
    progress: Progress | None = None
    error: str = ""
    problems: Sequence[str] = ()
    setup_seconds: float = 0.0


class SegmentationTrial(tune.Trainable):
    """Trains the configuration `config["trial"]` on the packed data `config["pack"]`, as far as the store lacks it.

    The configuration is a text in JSON. The checkpoint store lies at `config["store"]` (None: there is none), and
    `config["uses"]` is a list of pairs (epochs done, trials that are expected to leave there), `config["weights"]` says
    whether the weights are needed that it ends with. A loss of the user's own is imported from where the process that steers
    the study finds it, `config["path"]`.

    Nothing of a former trial is left in the actor but the mapped data file and the opened store: the model, the optimizer
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
        uses, weights = dict(config["uses"]), config["weights"]
        self._training = StoredTraining(trial, data, device, self._store, uses, weights=weights)

    def step(self) -> dict[str, Any]:
        setup, self._setup_seconds = self._setup_seconds, 0.0
        results, progress = self._advance()
        report = StepReport(results, progress, self._error, self._problems(), setup)
        return {REPORT: report, "done": self._training is None or bool(self._error) or self._training.done}

    def _advance(self) -> tuple[Sequence[EpochResult], Progress | None]:
        try:
            if self._training is not None:
                return self._training.advance()
        except Exception as error:
            self._error = _described(error)
        return (), None

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
