"""What the study relies on in Ray Tune without Ray's promise, on the installed version."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tune_seg.study.ray_tune._ray_private import NotSaved, leave_out_state  # isort: skip  (sets what Ray reads at once)

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher


class Numbers(NotSaved, Searcher):
    """Hands out two numbers, and holds what cannot be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._left = [0, 1]

    def suggest(self, trial_id: str) -> Any:
        return {"number": self._left.pop()} if self._left else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass


class Scheduler(NotSaved, FIFOScheduler):
    """Leaves out the state of the trial with the number 1, and holds what cannot be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        if trial.config["number"] == 1:
            leave_out_state(trial)


class Listener(NotSaved, tune.Callback):
    """Counts the trials that have ended, and holds what cannot be pickled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.ended = 0

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self.ended += 1


@pytest.fixture
def one_core() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    ray.init("local", num_cpus=1, include_dashboard=False, configure_logging=False, log_to_driver=False)
    yield
    ray.shutdown()
    for each, handler in before.items():  # Ray and Ray Tune leave theirs behind
        signal.signal(each, handler)


@pytest.mark.usefixtures("one_core")
def test_a_run_writes_no_state_of_what_is_not_saved(tmp_path: Path) -> None:
    class Trivial(tune.Trainable):
        """One step; in here, because the workers need not find this file."""

        def step(self) -> dict[str, Any]:
            return {"done": True}

    listener = Listener()
    results = tune.Tuner(
        Trivial,
        tune_config=tune.TuneConfig(search_alg=Numbers(), scheduler=Scheduler(), num_samples=-1, max_concurrent_trials=1),
        run_config=tune.RunConfig(
            name="run",
            storage_path=str(tmp_path),
            verbose=0,
            callbacks=[listener],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
    assert (len(results), results.num_errors, listener.ended) == (2, 0, 2)
    assert not list((tmp_path / "run").glob("searcher-state*"))
    (state,) = (tmp_path / "run").glob("experiment_state-*.json")
    described = [json.loads(trial) for trial, _ in json.loads(state.read_text())["trial_data"]]
    # the number 1, which is handed out first, has none; that of the other is what Tune writes unless it is kept from it
    assert described[0] == {}
    assert described[1]["config"] == {"number": 0}
