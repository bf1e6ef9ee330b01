"""A study from its configuration to its results: prepare, run the trials on Ray, write down what came out."""

import importlib
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from tune_seg._posix import fcntl
from tune_seg.config import ComputeConfig, ModelConfig, StudyConfig, TrialConfig
from tune_seg.data import Dataset, PackedData, pack, read
from tune_seg.data.reading import detect_format
from tune_seg.errors import InputError
from tune_seg.losses.catalogue import LOSSES
from tune_seg.study.model_check import model_check
from tune_seg.study.output.class_chart import show_classes
from tune_seg.study.output.report import LiveReport, final_report
from tune_seg.study.output.results import ResultsFile, check_same_study, write_study
from tune_seg.study.output.tracking import Tracker, default_uri
from tune_seg.study.profiling import Profile
from tune_seg.study.ray_tune import cluster, gpu_share
from tune_seg.study.records import Records, State
from tune_seg.study.reuse import Reuse, in_order_of_prefixes
from tune_seg.study.search_space.samplers import check_sampler, planned_points, sample_trials
from tune_seg.study.search_space.space import Space
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.trajectory import TrainingData, weights_identity

if TYPE_CHECKING:
    from ray import tune

    from tune_seg.study.ray_tune.searcher import StudySearcher


_CLASSES = "classes.png"
_SAMPLES = 128
"""So many configurations are drawn, to see what the trials to come may have in common."""


@dataclass(frozen=True)
class Plan:
    """A study whose configuration, space and data listing have been checked; nothing is written or started yet."""

    config: StudyConfig
    space: Space
    dataset: Dataset
    directory: Path

    @property
    def train_images(self) -> int:
        """How many images a trial is trained on."""
        return sum(sample.split == "train" for sample in self.dataset.samples)

    @property
    def steps_per_trial(self) -> int:
        """Training steps of a trial that runs to its end, with the batch size of the configuration."""
        training = self.config.training
        return training.epochs * max(1, self.train_images // training.batch_size)


def plan_study(config: StudyConfig, directory: Path) -> Plan:
    """Check all of a study that can be checked without decoding an image or starting a process.

    Raises:
        InputError: the configuration, the space, or the layout of the data is wrong.
    """
    space = Space(config)
    planned_points(config, space)
    check_sampler(config, space)
    config = config.model_copy(update={"files": _files(config, space)})
    dataset = read(config.data)
    for trial in space.probes:
        trial.augmentation.normalisation(dataset.channels)
    if dataset.masks_to_scan == 0:
        for trial in space.probes:
            trial.loss.check(len(dataset.class_names))
    return Plan(config, space, dataset, directory)


def _files(config: StudyConfig, space: Space) -> dict[str, str]:
    """The files of weights that trials begin with, and the identity of each's content."""
    paths = {trial.model.weights for trial in space.probes if isinstance(trial.model.weights, Path)}
    files = {str(path): weights_identity(path) for path in sorted(paths)}
    for path, content in files.items():
        if config.files.get(path, content) != content:
            raise InputError(
                f"model.weights {path}: the study was made with another content of this file; put that back, or begin a new "
                f"study with --study NAME --set files={{}}"
            )
    return files


class Outcome(Enum):
    """How a session of a study ended; the value is the command's exit status."""

    FINISHED = 0
    FAILED = 1  # some trials ended with an error
    INTERRUPTED = 130


def run_study(plan: Plan, console: Console, *, profile_from: float | None = None) -> Outcome:
    """Run the study, or what is left of it, and print its results.

    Ctrl-C (SIGINT) ends it early; what was computed is kept, and running it again continues it.

    Args:
        plan: the study.
        console: where to print.
        profile_from: when the command began, by :func:`time.perf_counter`; print where its time went, and write that to
            `profile.json`. None: do not.

    Raises:
        InputError: the data, the model, the resources or the study directory are not what the study needs.
    """
    directory = plan.directory
    with _locked(directory):
        check_same_study(plan.config, directory / "study.yaml")
        if plan.config.compute.store_gb:
            _store(plan.config, directory)
        # Ray starts in processes of its own and the models are checked in another: neither waits for the other, nor for
        # the data, which are packed meanwhile. What either finds wrong ends the packing.
        with ThreadPoolExecutor(1) as starter, model_check(_models(plan), plan.dataset.channels) as models:
            machines = starter.submit(_machines, plan.config)
            try:
                packed = _pack(plan, console, checks=(machines, models))
                show_classes(packed, directory / _CLASSES, console)
                # loads Ray Tune, which takes a second of its own
                importlib.import_module("tune_seg.study.ray_tune.searcher")
                notes = models.result()
                compute = _fractioned(plan, packed, machines.result())
                config = _settled(plan.config, packed, compute)
                check_same_study(config, directory / "study.yaml")
                profile = Profile(compute.max_concurrent or 1, time.perf_counter() if profile_from is None else profile_from)
                for note in notes:
                    console.print(f"Note: {note}.", soft_wrap=True, markup=False)
                outcome = _run(config, compute, plan.space, packed, directory, console, profile)
            finally:
                machines.exception()  # waits: what has not started yet cannot be stopped
                cluster.stop()
        if profile_from is not None:
            profile.write(directory / "profile.json")
            console.print(profile.table())
        return outcome


def _machines(config: StudyConfig) -> ComputeConfig:
    return cluster.allot(config.compute, config.training.device, cluster.start(config.compute.address))


def _fractioned(plan: Plan, packed: PackedData, compute: ComputeConfig) -> ComputeConfig:
    """`compute`, with the share of a GPU that a trial needs measured where the study asks for that and has one."""
    asked = plan.config.compute
    if asked.gpus_per_trial != "auto" or not compute.gpus_per_trial:
        return compute
    share = gpu_share.measure(plan.space.probes[0], packed.path)
    return cluster.allot(asked.model_copy(update={"gpus_per_trial": share}), plan.config.training.device, cluster.nodes())


def _settled(config: StudyConfig, packed: PackedData, compute: ComputeConfig) -> StudyConfig:
    """The configuration with what only the data and the machines could tell, of all that a trial's result depends on."""
    device = "cuda" if compute.gpus_per_trial else "cpu"
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"content": packed.content_id, "format": detect_format(config.data)}),
            "training": config.training.model_copy(update={"device": device}),
        }
    )


def _run(
    config: StudyConfig,
    compute: ComputeConfig,
    space: Space,
    packed: PackedData,
    directory: Path,
    console: Console,
    profile: Profile,
) -> Outcome:
    from tune_seg.study.ray_tune.searcher import StudySearcher
    from tune_seg.study.ray_tune.step_times import StepTimes
    from tune_seg.study.ray_tune.trainable import SegmentationTrial

    described, results = directory / "study.yaml", directory / "results.parquet"
    write_study(config, described)
    data = TrainingData.of(packed)
    points = planned_points(config, space)
    if config.search.sampler == "grid" and compute.store_gb:
        points = in_order_of_prefixes(points, config.trial, data)
    records = Records(directory, config, space, points)
    tracker = Tracker(
        config.mlflow_uri or default_uri(directory),
        directory,
        records.study_id,
        config.objectives[0],
        class_names=packed.class_names,
    )
    report = LiveReport(console, config, lambda: records.target)
    written = ResultsFile(records, results)
    before = list(records.trials.values())
    report.begin(before)
    tracker.start(before)
    records.observers += [report.update, tracker.update, written.update]
    _warn_of_classes(console, packed)
    _warn_of_frozen_encoders(console, space)
    say = _once(console)
    try:
        with report, _shared(config, space, records.planned, data, directory) as (store, reuse):
            location = None if store is None else store.location
            searcher = StudySearcher(records, packed.path, location, reuse, say)
            fit(SegmentationTrial, searcher, compute, records, data, directory, [StepTimes(profile, records)])
        for problem in () if store is None else store.problems:
            say(problem)
    finally:
        profile.trials_over()
        written.write()
        outcome = _outcome(records)
        # Ray needs a second or two to end, and MLflow may need as long. Ray ends in this thread: what Tune leaves behind
        # must not be cleared away in one thread while Ray ends in another.
        with ThreadPoolExecutor(1) as other:
            artifacts = [described, results, directory / _CLASSES]
            sent = other.submit(tracker.finish, interrupted=outcome is not Outcome.FINISHED, artifacts=artifacts)
            cluster.stop()
            with profile.tracking():
                sent.result()
    final_report(console, config, list(records.trials.values()), packed.class_names)
    _say_where(console, directory, tracker, outcome)
    _say_failures(console, records)
    return outcome


def _outcome(records: Records) -> Outcome:
    states = [record.state for record in records.trials.values()]
    if State.FAILED in states and State.RUNNING not in states:
        return Outcome.FAILED
    return Outcome.FINISHED if len(states) >= records.target and State.RUNNING not in states else Outcome.INTERRUPTED


@contextmanager
def _shared(
    config: StudyConfig, space: Space, planned: Sequence[TrialConfig], data: TrainingData, directory: Path
) -> Iterator[tuple[CheckpointStore | None, Reuse | None]]:
    """The checkpoint store, kept within its budget, and what the trials have in common; None where none are kept."""
    if not config.compute.store_gb:
        yield None, None
        return
    store = _store(config, directory)
    store.keep(map(Path, config.files))
    grid = config.search.sampler == "grid"
    possible = () if grid else (config.trial(assignment) for assignment in sample_trials(config, space, _SAMPLES))
    reuse = Reuse(data, planned, possible, store)
    with store.within(config.compute.store_gb * 1e9, reuse.uses):
        yield store, reuse


def _store(config: StudyConfig, directory: Path) -> CheckpointStore:
    return CheckpointStore(config.compute.store or str(directory.parent / "store"))


def _once(console: Console) -> Callable[[str], None]:
    """What prints a warning, each only once."""
    said: set[str] = set()

    def say(line: str) -> None:
        if line not in said:
            said.add(line)
            console.print(f"Warning: {line}", soft_wrap=True, markup=False)

    return say


def fit(
    trainable: type["tune.Trainable"],
    searcher: "StudySearcher",
    compute: ComputeConfig,
    records: Records,
    data: TrainingData,
    directory: Path,
    callbacks: Sequence["tune.Callback"] = (),
) -> None:
    """Run what is left of the trials of `records`, as `searcher` hands them out, on Ray, each as a `trainable`."""
    from ray import tune
    from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig

    from tune_seg.study.ray_tune.searcher import StudyScheduler

    for left in directory.glob(".ray-*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    resources: dict[str, Any] = {"CPU": compute.cpus_per_trial, "GPU": compute.gpus_per_trial or 0.0}
    ahead = records.asking_ahead(compute.max_concurrent or 1)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".ray-") as storage, ahead, _own_handler_afterwards():
        tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=TuneConfig(
                search_alg=searcher,
                scheduler=StudyScheduler(records, data),
                num_samples=-1,
                max_concurrent_trials=compute.max_concurrent,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                name="tune",
                storage_path=storage,
                verbose=0,
                callbacks=list(callbacks),
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                # a trial that lost its worker begins again, twice at the most
                failure_config=FailureConfig(max_failures=2),
            ),
        ).fit()


@contextmanager
def _own_handler_afterwards() -> Iterator[None]:
    """Ray Tune leaves its handler of Ctrl-C behind, which would keep the next one to itself."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _pack(plan: Plan, console: Console, checks: Sequence[Future[Any]]) -> PackedData:
    """Pack the data, unless that was done before, and check what needs the number of classes.

    Raises:
        InputError: as :func:`tune_seg.data.pack`, or as the first of `checks` that finds something wrong meanwhile.
    """
    config = plan.config
    with Progress(*Progress.get_default_columns(), console=console, transient=True) as bar:
        task = bar.add_task("Packing images", total=len(plan.dataset.samples))

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            for check in checks:
                if check.done():
                    check.result()

        path = pack(plan.dataset, plan.directory.parent / "packs", config.data.size, progress=progress)
    packed = PackedData(path)
    if config.data.content not in (None, packed.content_id):
        raise InputError(
            f"data.content: the study was made with data {config.data.content}, these are {packed.content_id}; "
            f"give it the data that it had, or remove data.content"
        )
    for trial in plan.space.probes:
        background = trial.evaluation.background
        if background not in (None, *packed.class_names):
            raise InputError(f"evaluation.background: no class {background!r}; they are {', '.join(packed.class_names)}")
        trial.loss.check(packed.num_classes)
    _check_own_losses(plan.space.probes, packed)
    return packed


def _check_own_losses(trials: Iterable[TrialConfig], packed: PackedData) -> None:
    """Run each loss of the user's own once with each set of parameters that it is tried with.

    Raises:
        InputError: it fails, or what it returns is no loss.
    """
    own = {
        (loss.loss, repr(loss.params), trial.loss.class_weights): (loss, trial.loss)
        for trial in trials
        for loss in trial.components
        if loss.loss not in LOSSES
    }
    if not own:
        return
    # here, because the process that steers the study need not load torch for the losses of the package
    import torch

    from tune_seg.losses import check_loss
    from tune_seg.training.loss_program import loss_class_weights

    frequencies = torch.as_tensor(packed.frequencies)
    for loss, config in own.values():
        weights = loss_class_weights(loss.loss, config, frequencies)
        check_loss(loss.loss, num_classes=packed.num_classes, class_weights=weights, **loss.params)


def _models(plan: Plan) -> dict[ModelConfig, list[tuple[int, int]]]:
    """Every model of the space, with the image sizes (H, W) that it must take."""
    sizes: dict[ModelConfig, set[tuple[int, int]]] = {}
    for trial in plan.space.probes:
        sizes.setdefault(trial.model, {plan.config.data.size}).add(trial.augmentation.crop or plan.config.data.size)
    return {model: sorted(found) for model, found in sizes.items()}


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Make the study directory and hold it for this process alone.

    Raises:
        InputError: it cannot be written, or another process holds it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".lock").touch()
    except OSError as error:
        raise InputError(
            f"study directory {directory} cannot be written ({error.strerror}); choose another with --studies DIR"
        ) from error
    with open(directory / ".lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"study directory {directory} is in use by another process; wait for it to end") from None
        except OSError as error:
            raise InputError(
                f"study directory {directory}: its file system cannot lock a file ({error.strerror}); "
                f"choose another with --studies DIR"
            ) from error
        yield


def _warn_of_classes(console: Console, packed: PackedData) -> None:
    folds = [packed.of_fold(fold) for fold in range(packed.folds)] or [packed]
    unseen = {
        name: None
        for data in folds
        for name, train, val in zip(data.class_names, data.train_pixels, data.val_pixels, strict=True)
        if val and not train
    }
    if unseen:
        console.print(
            f"Warning: {', '.join(unseen)} in the validation images and in no training image: no loss can find them.",
            soft_wrap=True,
            markup=False,
        )


def _warn_of_frozen_encoders(console: Console, space: Space) -> None:
    if any(trial.model.train == "head" and trial.model.weights == "none" for trial in space.probes):
        console.print(
            "Warning: model.train head with model.weights none: the encoder is frozen at random weights; "
            "set model.weights to imagenet or a file, or model.train to all.",
            soft_wrap=True,
            markup=False,
        )


def _say_where(console: Console, directory: Path, tracker: Tracker, outcome: Outcome) -> None:
    lines = [f"Results: {directory / 'results.parquet'}; configuration: {directory / 'study.yaml'}"]
    if tracker.uri.startswith("sqlite:"):
        command = shlex.join([sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracker.uri])
        lines.append(f"MLflow UI: {command}")
    else:
        lines.append(f"MLflow: {tracker.uri}, experiment {directory.name}")
    if tracker.error:
        lines.append(f"MLflow lacks some results ({tracker.error}); run the command again to send them.")
    if outcome is not Outcome.FINISHED:
        lines.append("The study is not finished: run the same command again to continue it.")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _say_failures(console: Console, records: Records) -> None:
    failed = [record for record in records.trials.values() if record.state is State.FAILED]
    for record in failed[:3]:
        console.print(f"Trial {record.number} failed: {record.reason}", soft_wrap=True, markup=False)
    if failed:
        console.print("`error` in results.parquet holds the whole traceback of each failed trial.")
