"""Run the trials of a study on Ray Tune."""

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig

from tune_seg.config import ComputeConfig
from tune_seg.study.ray_tune.searcher import StudyScheduler, StudySearcher

_RETRIES = 2
"""How often a trial that lost its worker begins again."""


@dataclass(frozen=True)
class Steering:
    """Who steers Ray Tune: it asks `searcher` for trials and `scheduler` which to stop, and tells `callbacks` of steps."""

    searcher: StudySearcher
    scheduler: StudyScheduler
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
    with tempfile.TemporaryDirectory(dir=directory, prefix=".ray-") as storage, _own_handler_afterwards():
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
                callbacks=list(steering.callbacks),
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                failure_config=FailureConfig(max_failures=_RETRIES),
            ),
        ).fit()


@contextmanager
def _own_handler_afterwards() -> Iterator[None]:
    """Ray Tune leaves its handler of Ctrl-C behind, which would swallow the next Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
