"""What the bookkeeping of a large study costs: trials whose steps only wait, through everything else that a study does.

    PYTHONPATH=. python scripts/bench/scale.py [--trials 10000] [--slots 16] [--seconds 1] [--epochs 1] [--sampler tpe]

The space is that of `search_spaces/loss_schedule.yaml`, and the learning rate, so that no trial repeats another: a
trial that only waits leaves nothing to be replayed, and its repetition would wait for its end and then wait again.
Waiting needs no processor, so there may be more slots than the machine has. Ray is started before the clock; the start
of its workers counts, and is also given apart, as it takes processors that a study of 16 slots would have. Ray's own
benchmark of its bookkeeping has 10,000 trials of one second on 16 slots and allows 715 s for these 625 s.
"""

import argparse
import cProfile
import io
import json
import logging
import random
import resource
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.result import TRAINING_ITERATION
from rich.console import Console

from tune_seg.config import METRICS, RECORDED, ComputeConfig, StudyConfig, parse
from tune_seg.study.output.live import LiveReport, Session
from tune_seg.study.output.mlflow_store import default_uri
from tune_seg.study.output.progress import Planned, StudyProgress
from tune_seg.study.output.results import ResultsFile
from tune_seg.study.output.tracking import Tracker
from tune_seg.study.profiling import Profile
from tune_seg.study.ray_tune import cluster
from tune_seg.study.ray_tune.fit import Steering, fit
from tune_seg.study.ray_tune.searcher import StudyScheduler, StudySearcher
from tune_seg.study.ray_tune.step_times import StepTimes
from tune_seg.study.ray_tune.trainable import REPORT, StepReport
from tune_seg.study.records import Records
from tune_seg.study.reuse import Reuse
from tune_seg.study.samplers.build import sample_trials
from tune_seg.study.search_space.space import Space
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.result import SCALINGS, EpochResult, Evaluation, Progress, ScaledScores, Seconds
from tune_seg.training.trajectory import TrainingData

BEGAN = "began"  # the key under which a step reports when it began
CLASSES = [f"class {index}" for index in range(12)]


class Waiting(tune.Trainable):
    """A trial whose epoch takes a fixed time and reports as much as a real one."""

    def setup(self, config: dict[str, Any]) -> None:
        self._number, self._epoch = config["number"], 0
        self._epochs = json.loads(config["trial"])["training"]["epochs"]
        self._seconds = float(config["pack"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        began = time.time()
        time.sleep(self._seconds)
        self._epoch += 1
        rng = random.Random(f"{self._number}/{self._epoch}")
        done = self._epoch == self._epochs
        scaled = {
            name: ScaledScores({metric: rng.random() for metric in (*RECORDED, *METRICS)}, 1.5)
            for name in (SCALINGS if done else SCALINGS[:1])
        }
        result = EpochResult(
            epoch=self._epoch,
            evaluation=Evaluation(
                {name: rng.random() for name in (*METRICS, *RECORDED)},
                {f"class_{name}": tuple(rng.random() for _ in CLASSES) for name in ("recall", "precision", "iou", "dice")},
                scaled,
            ),
            train_loss=rng.random(),
            diverged=False,
            lr=0.001,
            weights={"start": 0.5, "end": 0.5},
            seconds=Seconds(train=time.time() - began),
        )
        return {REPORT: StepReport([result], Progress(0, False, 0.0)), BEGAN: began, "done": done}


class Starts(StepTimes):
    """Also notes when the first step of each trial began."""

    def __init__(self, profile: Profile, records: Records) -> None:
        super().__init__(profile, records)
        self.began: list[float] = []

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        super().on_trial_result(iteration, trials, trial, result, **info)
        if result[TRAINING_ITERATION] == 1:
            self.began.append(result[BEGAN])


class TimedSpace(Space):
    """Takes the processor time of each suggestion."""

    def __init__(self, config: StudyConfig) -> None:
        super().__init__(config)
        self.seconds: list[float] = []

    def sample(self, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
        started = time.thread_time()
        assignment = super().sample(trial)
        self.seconds.append(time.thread_time() - started)
        return assignment


def main() -> None:
    arguments = parser().parse_args()
    config = study_config(arguments)
    space = TimedSpace(config)
    compute = ComputeConfig(max_concurrent=arguments.slots, gpus_per_trial=0.0)
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # as for a study
    ray.init("local", num_cpus=arguments.slots, include_dashboard=False, configure_logging=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        records = Records(directory, config, space)
        tracker = Tracker(default_uri(directory), directory, records.study_id, config, class_names=CLASSES)
        written = ResultsFile(records, directory / "results.parquet")
        data = TrainingData("", (64, 96), 32)
        progress = StudyProgress(config, arguments.slots, lambda: Planned(records.searched, 0), data)
        session = Session("scale", config.objectives[0], time.monotonic, lambda: "", lambda: "")
        report = LiveReport(Console(file=io.StringIO()), session, progress)
        tracker.start([])
        records.observers += [lambda record: progress.update(record, time.monotonic()), report.update]
        records.observers += [tracker.update, written.update]
        profile = cProfile.Profile() if arguments.profile else nullcontext()
        began, cpu, own_cpu = time.time(), time.process_time(), time.thread_time()
        store = CheckpointStore(str(directory / "store"))
        possible = (config.trial(assignment) for assignment in sample_trials(config, space, 128))
        reuse = Reuse(data, records.planned, possible, store)
        space.seconds.clear()  # what was drawn for `reuse` is no suggestion
        with report, profile, store.within(1e9, reuse.uses, lambda: None):
            searcher = StudySearcher(records, Path(str(arguments.seconds)), store.location, reuse, print)
            starts = Starts(Profile(arguments.slots, 0.0), records)
            with records.asking_ahead(arguments.slots):
                steering = Steering(searcher, StudyScheduler(records, data), report.ending, [starts])
                fit(Waiting, steering, compute, directory)
        ended = time.time()
        cpu, own_cpu = time.process_time() - cpu, time.thread_time() - own_cpu
        written.write()
        tracker.finish(interrupted=False, artifacts=[], timeout=600.0)
        tracker.close()
        tracked = time.time() - ended
        if isinstance(profile, cProfile.Profile):
            profile.dump_stats(arguments.profile)
    cluster.stop()
    say(arguments, records, space.seconds, starts.began, began, ended)
    print(
        f"processor time of the driver: {cpu:.1f} s, {own_cpu:.1f} s of it in the thread of Tune, a trial "
        f"{1e3 * own_cpu / arguments.trials:.1f} ms; to write the rest of the results and tell MLflow: {tracked:.1f} s"
    )


def study_config(arguments: argparse.Namespace) -> StudyConfig:
    import yaml

    path = Path(__file__).parents[2] / "search_spaces" / "loss_schedule.yaml"
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    values["training"]["epochs"] = arguments.epochs
    values["space"]["training.lr"] = {"float": [1e-4, 1e-2], "log": True}
    values["search"] = {"sampler": arguments.sampler, "trials": arguments.trials, "early_stopping": {"kind": "none"}}
    return parse(StudyConfig, values)


def say(
    arguments: argparse.Namespace,
    records: Records,
    suggested: list[float],
    starts: list[float],
    began: float,
    ended: float,
) -> None:
    histories = [record.history for record in records.trials.values()]
    assert len(histories) == arguments.trials and all(len(history) == arguments.epochs for history in histories)
    work = arguments.trials * arguments.epochs * arguments.seconds / arguments.slots
    firsts = sorted(starts)[: arguments.slots]
    start = sum(firsts) / len(firsts) - began
    print(
        f"{arguments.trials} trials of {arguments.epochs} x {arguments.seconds:g} s, {arguments.slots} slots, "
        f"{arguments.sampler}: wall {ended - began:.1f} s, ideal {work:.1f} s, ratio {(ended - began) / work:.3f}; "
        f"without {start:.1f} s for the start of the workers {(ended - began - start) / work:.3f}"
    )
    print(f"waited for suggestions: {records.sampler_seconds:.2f} s in all")
    first, last = (1e3 * sum(some) / len(some) for some in (suggested[:100], suggested[-100:]))
    print(f"suggestions: first 100 {first:.2f} ms each, last 100 {last:.2f} ms, ratio {last / first:.1f}")
    print(f"memory of the driver, at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description="What the bookkeeping of a large study costs.")
    options.add_argument("--trials", type=int, default=10_000)
    options.add_argument("--slots", type=int, default=16)
    options.add_argument("--seconds", type=float, default=1.0, help="of a step")
    options.add_argument("--epochs", type=int, default=1, help="steps of a trial")
    options.add_argument("--sampler", default="tpe")
    options.add_argument("--profile", metavar="FILE", help="where to write a cProfile of Tune's thread")
    return options


if __name__ == "__main__":
    main()
