"""Run the trials of a study on Ray Tune."""

import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig

from tune_seg._endings import ENDINGS, treat_as_ctrl_c
from tune_seg.config import ComputeConfig
from tune_seg.study.ray_tune._ray_private import NotSaved
from tune_seg.study.ray_tune.searcher import StudyScheduler, StudySearcher

_RETRIES = 2
"""How often a trial that lost its worker begins again."""


@dataclass(frozen=True)
class Steering:
    """Who steers Ray Tune.

    Attributes:
        searcher: asked for trials.
        scheduler: asked which to stop.
        ending: told at once of Ctrl-C, by the handler of the signal: what it does must be safe whoever runs at that moment.
        callbacks: told of steps.
    """

    searcher: StudySearcher
    scheduler: StudyScheduler
    ending: Callable[[], None]
    callbacks: Sequence[tune.Callback] = ()


def fit(trainable: type[tune.Trainable], steering: Steering, compute: ComputeConfig, directory: Path) -> None:
    """Run trials until the searcher has no more.

    Args:
        trainable: what a trial is.
        steering: which trials there are, and which are stopped.
        compute: what a trial is given, and how many run at once.
        directory: of the study; what Tune writes there is removed again.
    """
    for left in directory.glob(".ray-*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    resources: dict[str, Any] = {"CPU": compute.cpus_per_trial, "GPU": compute.gpus_per_trial or 0.0}
    with tempfile.TemporaryDirectory(dir=directory, prefix=".ray-") as storage, _own_handlers_afterwards():
        tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=TuneConfig(
                search_alg=steering.searcher,
                scheduler=steering.scheduler,
                num_samples=-1,
                max_concurrent_trials=compute.max_concurrent,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                name="tune",
                storage_path=storage,
                verbose=0,
                callbacks=[_Endings(steering.ending), *steering.callbacks],
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                failure_config=FailureConfig(max_failures=_RETRIES),
            ),
        ).fit()


class _Endings(NotSaved, tune.Callback):
    """Says at once that Ctrl-C was understood, and treats what else ends a study alike.

    Ray Tune has a handler of Ctrl-C, which ends when the epochs that run have come to an end; Ray has one of SIGTERM, which
    ends the process at once.
    """

    def __init__(self, ending: Callable[[], None]) -> None:
        self._ending = ending
        self._installed = False

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Put own handlers before those, once these are there."""
        if self._installed or threading.current_thread() is not threading.main_thread():
            return
        self._installed = True
        tunes = signal.getsignal(signal.SIGINT)
        if not callable(tunes) or tunes is signal.default_int_handler:  # it was told to leave Ctrl-C alone
            return

        def said(number: int, frame: FrameType | None) -> None:
            tunes(number, frame)
            self._ending()

        signal.signal(signal.SIGINT, said)
        treat_as_ctrl_c()


@contextmanager
def _own_handlers_afterwards() -> Iterator[None]:
    """Ray Tune leaves its handler of Ctrl-C behind, which would swallow the next Ctrl-C."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, *ENDINGS)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for each, handler in before.items():
                signal.signal(each, handler)
