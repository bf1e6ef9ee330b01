"""From a plan to trials that can run: lock the study, pack the data, start Ray, check models and losses."""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from tune_seg._posix import fcntl
from tune_seg.config import ComputeConfig, StudyConfig, TrialConfig
from tune_seg.data import PackedData, PackedTest, pack
from tune_seg.data.dataset import TEST
from tune_seg.data.packing.counts import Counts
from tune_seg.data.packing.write import packed_origin
from tune_seg.data.reading import detect_format
from tune_seg.errors import InputError
from tune_seg.losses.catalogue import LOSSES
from tune_seg.study.disk import disk_need, models_of
from tune_seg.study.files import ANOTHER_FOLDER, CLASSES, CONFIGURATION, PACKS, STORE
from tune_seg.study.model_check import CheckedModels, model_check
from tune_seg.study.output.class_chart import show_classes
from tune_seg.study.output.class_warnings import note_of_twins, pairs, say_ignored, warn_of_test
from tune_seg.study.output.class_weights import warn_of_weights, weights_in_use
from tune_seg.study.output.messages import say_notes
from tune_seg.study.output.results import check_same_study
from tune_seg.study.output.sampling import sampled_shares, say_sampling
from tune_seg.study.output.say import counting, say, waiting
from tune_seg.study.plan import Plan
from tune_seg.study.ray_tune import cluster, gpu_share
from tune_seg.study.search_space.space import Space
from tune_seg.study.store_users import note_use
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.class_weights import weighting


@dataclass(frozen=True)
class Prepared:
    """A study whose trials can run: Ray runs, the data are packed, models and losses are checked.

    Attributes:
        config: the study, with the format and the content of the data and the device of the training.
        compute: what a trial is given, and how many run at once.
        space: the search space.
        packed: the data.
        directory: of the study.
        store: the checkpoint store; None where the study keeps no checkpoints.
        test: the packed test split, which no trial is told of; None: there is none.
        counts: what was counted in the files of the masks, by subset.
    """

    config: StudyConfig
    compute: ComputeConfig
    space: Space
    packed: PackedData
    directory: Path
    store: CheckpointStore | None
    test: PackedTest | None = None
    counts: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """How many trials run at once."""
        return self.compute.max_concurrent or 1


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Make the study directory and hold it for this process alone.

    Raises:
        InputError: it cannot be written, or another process holds it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".lock").touch()
    except OSError as error:
        raise InputError(
            f"study directory {directory} cannot be written ({error.strerror}); choose {ANOTHER_FOLDER}"
        ) from error
    with open(directory / ".lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"study directory {directory} is in use by another process; wait for it to end") from None
        except OSError as error:
            raise InputError(
                f"study directory {directory}: its file system cannot lock a file ({error.strerror}); "
                f"choose {ANOTHER_FOLDER}"
            ) from error
        yield


@contextmanager
def prepared(plan: Plan, console: Console, *, search: bool = True) -> Iterator[Prepared]:
    """Prepare the study `plan`; Ray ends with the context.

    Args:
        plan: the study, whose directory this process holds.
        console: where to print.
        search: whether its search goes on: then it is known how many trials there are, and what they take of the disk.

    Raises:
        InputError: the data, the model, the resources or the study directory are not what the study needs.
    """
    cluster.check_unused()
    check_same_study(plan.config, plan.directory / CONFIGURATION)
    store = checkpoint_store(plan.config, plan.directory) if plan.config.compute.store_gb else None
    say_notes(console, note_use(plan.config, plan.directory))
    # Ray starts in processes of its own and the models are checked in another: neither waits for the other, nor for
    # the data, which are packed meanwhile. What either finds wrong ends the packing.
    with ThreadPoolExecutor(1) as starter, model_check(models_of(plan), plan.dataset.channels) as models:
        machines = starter.submit(_machines, plan.config)
        try:
            ready = _prepare(plan, console, store, machines, models)
            if search:
                _check_disk(plan, models.result(), ready.compute, console)
            yield ready
        except KeyboardInterrupt:
            if not machines.done():
                say(console, "Ctrl-C: the command ends once Ray has started, which cannot be stopped halfway.")
            raise
        finally:
            machines.exception()  # waits: what has not started yet cannot be stopped
            cluster.stop()


def checkpoint_store(config: StudyConfig, directory: Path) -> CheckpointStore:
    """The study's checkpoint store: the one of all studies beside `directory`, unless the configuration names another."""
    return CheckpointStore(config.compute.store or str(directory.parent / STORE))


def _prepare(
    plan: Plan,
    console: Console,
    store: CheckpointStore | None,
    machines: Future[ComputeConfig],
    models: Future[CheckedModels],
) -> Prepared:
    packed = _packed(plan, console, checks=(machines, models))
    _check_data(plan, packed)
    test = _packed_test(plan, packed)
    origin = packed_origin(plan.dataset, plan.directory.parent / PACKS, plan.config.data.size)
    counts = {} if origin is None else origin.counts
    weights = weights_in_use(plan.space.probes, packed)
    show_classes(packed, plan.directory / CLASSES, console, counts, weights, sampled_shares(plan.space.probes, packed))
    say_ignored(console, packed, counts)
    if plan.test is not None and test is not None:
        of_test = packed_origin(plan.test, plan.directory.parent / PACKS, plan.config.data.size)
        warn_of_test(console, test, None if of_test is None else of_test.counts.get(TEST))
    say_sampling(console, plan.space.probes, packed)
    warn_of_weights(console, packed, weights)
    with waiting(console, "the models are checked"):
        importlib.import_module("tune_seg.study.ray_tune.fit")  # loads Ray Tune, which takes a second of its own
        checked = models.result()
    with waiting(console, "Ray starts"):
        started = machines.result()
    compute = _with_gpu_share(plan, packed, started)
    config = _resolved(plan.config, packed, test, compute)
    check_same_study(config, plan.directory / CONFIGURATION)
    of_data = [] if origin is None else origin.notes
    say_notes(console, [*of_data, *note_of_twins(packed.twins()), *checked.notes])
    return Prepared(config, compute, plan.space, packed, plan.directory, store, test, counts)


def _machines(config: StudyConfig) -> ComputeConfig:
    return cluster.allot(config.compute, config.training.device, cluster.start(config.compute.address))


def _check_disk(plan: Plan, models: CheckedModels, compute: ComputeConfig, console: Console) -> None:
    """Say what the study will take of the disk.

    Raises:
        InputError: so much is not free, and the number of trials is known.
    """
    need = disk_need(plan, models.largest, compute.max_concurrent)
    if need.problem and plan.config.search.hours is None:
        raise InputError(need.problem)
    if need.problem:  # how many trials the hours bring is not known
        say(console, f"Warning: as many trials as the hours may bring could fill the disk. {need.problem}")
    say(console, need.line)


def _packed(plan: Plan, console: Console, checks: Sequence[Future[Any]]) -> PackedData:
    """Pack the data, unless that was done before.

    Raises:
        InputError: as :func:`tune_seg.data.pack`, or as the first of `checks` that finds something wrong meanwhile.
    """
    with counting(console, "Packing images", len(plan.dataset.samples)) as count:

        def progress(done: int, total: int) -> None:
            count(done, total)
            for check in checks:
                if check.done():
                    check.result()

        return PackedData(pack(plan.dataset, plan.directory.parent / PACKS, plan.config.data.size, progress=progress))


def _packed_test(plan: Plan, packed: PackedData) -> PackedTest | None:
    """Pack the test split, unless that was done before.

    Raises:
        InputError: as :func:`tune_seg.data.pack`, or it has other classes, another content than it had, or images that
            train or validate as well.
    """
    if plan.test is None:
        return None
    test = PackedTest(pack(plan.test, plan.directory.parent / PACKS, plan.config.data.size))
    if test.class_names != packed.class_names:
        raise InputError(
            f"data.split.test: its images have the classes {', '.join(test.class_names)}, the others "
            f"{', '.join(packed.class_names)}; name the classes with data.classes"
        )
    if twins := packed.twins(test):
        raise InputError(
            f"data.split.test: {len(twins)} of its {len(test.val)} images are pixel for pixel among those that train or "
            f"validate ({pairs(twins)}), so a test with them would be too good; remove the copies, or hold out a list "
            "without them (--set data.split.test=LIST)"
        )
    content = plan.config.data.test_content
    if content not in (None, test.content_id):
        raise InputError(
            f"data.test_content: the study was made with a test split {content}, this one is {test.content_id}; give it the "
            f"images that it had, or begin a new study"
        )
    return test


def _check_data(plan: Plan, packed: PackedData) -> None:
    """Check what depends on the content of the data or on the number of classes.

    Raises:
        InputError: the data are others than the study was made with, or a loss, the background or an objective does not go
            with them.
    """
    content = plan.config.data.content
    if content not in (None, packed.content_id):
        raise InputError(
            f"data.content: the study was made with data {content}, these are {packed.content_id}; "
            f"give it the data that it had, or remove data.content"
        )
    for trial in plan.space.probes:
        background = trial.evaluation.background
        if background not in (None, *packed.class_names):
            raise InputError(f"evaluation.background: no class {background!r}; they are {', '.join(packed.class_names)}")
        trial.loss.check(packed.class_names)
    _check_objectives(plan.config.objectives, packed)
    _check_own_losses(plan.space.probes, packed)


def _check_objectives(objectives: Sequence[str], packed: PackedData) -> None:
    """Check that there are images enough for what a temperature is fitted for.

    Raises:
        InputError: there are not.
    """
    scaled = [name for name in objectives if "/" in name]
    folds: list[PackedData] = [packed.of_fold(fold) for fold in range(packed.folds)] or [packed]
    fewest = min(len(data.val) for data in folds)
    if scaled and fewest < 2:
        where = "a fold has a single validation image" if packed.folds else "there is a single validation image"
        raise InputError(
            f"objective {scaled[0]}: {where}, and a temperature is fitted to half of the images and judged on the others; "
            f"validate at least two (data.split, data.max_val), or set objective to {scaled[0].rpartition('/')[2]}"
        )


def _check_own_losses(trials: Iterable[TrialConfig], packed: PackedData) -> None:
    """Run each loss of the user's own once with each set of parameters that it is tried with.

    Raises:
        InputError: it fails, or what it returns is no loss.
    """
    own = {
        (loss.loss, repr(loss.params), weighting(trial.loss)): (loss, trial.loss)
        for trial in trials
        for loss in trial.components
        if loss.loss not in LOSSES
    }
    if not own:
        return
    # here, because the process that steers the study need not load torch for the losses of the package
    from tune_seg.losses import check_loss
    from tune_seg.training.loss_program import loss_class_weights

    for loss, config in own.values():
        weights = loss_class_weights(loss.loss, config, packed.trained_on)
        check_loss(loss.loss, num_classes=packed.num_classes, class_weights=weights, **loss.params)


def _with_gpu_share(plan: Plan, packed: PackedData, compute: ComputeConfig) -> ComputeConfig:
    """`compute`, with the share of a GPU that a trial needs measured where the study asks for that and has a GPU."""
    asked = plan.config.compute
    if asked.gpus_per_trial != "auto" or not compute.gpus_per_trial:
        return compute
    share = gpu_share.measure(plan.space.probes[0], packed.path)
    return cluster.allot(asked.model_copy(update={"gpus_per_trial": share}), plan.config.training.device, cluster.nodes())


def _resolved(config: StudyConfig, packed: PackedData, test: PackedTest | None, compute: ComputeConfig) -> StudyConfig:
    """The configuration with what only the data and the machines tell of all that a trial's result depends on."""
    device = "cuda" if compute.gpus_per_trial else "cpu"
    return config.model_copy(
        update={
            "data": config.data.model_copy(
                update={
                    "content": packed.content_id,
                    "test_content": None if test is None else test.content_id,
                    "format": detect_format(config.data),
                }
            ),
            "training": config.training.model_copy(update={"device": device}),
        }
    )
