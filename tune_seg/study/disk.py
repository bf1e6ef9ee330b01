"""What a study will take of the disk: said before it starts, from the size of its models, and compared with what is free."""

import math
import os
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import pyarrow.parquet as pq

from tune_seg.config import ModelConfig
from tune_seg.data import Dataset
from tune_seg.data.cores import available_cores
from tune_seg.data.packing.disk import existing, free_bytes
from tune_seg.data.packing.file_format import Form
from tune_seg.data.packing.write import packed_origin
from tune_seg.study.budget import most_repeats
from tune_seg.study.files import ANOTHER_FOLDER, MODELS, PACKS, RESULTS, STORE, bytes_of
from tune_seg.study.output.words import counted, size_of
from tune_seg.study.plan import Plan
from tune_seg.study.samplers.build import sample_trials
from tune_seg.training.trajectory import TrainingData, can_be_extended, trajectory_keys

if TYPE_CHECKING:
    from tune_seg.models.size import ModelSize

_OPTIMIZER_NUMBERS: Final = {"sgd": 1, "adam": 2, "adamw": 2}
"""How many numbers an optimizer keeps for each that it trains."""
_BYTES_A_STUDY: Final = 5_500_000
"""Of tables and a journal before the first trial, and of the report's page."""
_BYTES_AN_EPOCH: Final = 3_000
"""Of the same, for each epoch of a trial."""
_MLFLOW_BYTES_A_STUDY: Final = 6_000_000
"""Of an MLflow database before the first trial, and of its copy of the report's page."""
_MLFLOW_BYTES_AN_EPOCH: Final = 29_000
"""Of an MLflow database, for each epoch of a trial."""
_BYTES_AN_IMAGE: Final = 300
"""Of the counts of a validation image."""
_FASTEST_EPOCH: Final = 1.0
"""Seconds that an epoch takes at least, where hours and not a number of trials end a study."""
_SAMPLES: Final = 64
"""Configurations that are drawn to see which beginnings trials may share."""
_STATES_A_SLOT: Final = 2
"""The newest state of a trial that runs, and the one that takes its place."""


@dataclass(frozen=True)
class Alike:
    """Files of one size: how many there are, and the bytes of each."""

    number: int
    size: int

    @property
    def total(self) -> int:
        """Their bytes."""
        return self.number * self.size


@dataclass(frozen=True)
class DiskNeed:
    """What a study takes of the disk at most, in bytes. What is kept behind the network is not among it.

    Attributes:
        weights: of trained models, which stay in the store.
        models: the models to use, as far as they are no files of the store.
        states: the training states that other trials begin from.
        running: of the newest states of the trials that run.
        results: of tables, journal and counts of images.
        mlflow: of MLflow's database and its files.
        packs: of packed images.
        budget: of the store.
        there: what of all that the disk has already, but for the store.
        stored: the same of the store.
        folder: of the studies.
        store: the folder of the store.
        tracking: the folder of MLflow's database.
    """

    weights: Alike
    models: Alike
    states: Alike
    running: int
    results: int
    mlflow: int
    packs: int
    budget: int
    there: int
    stored: int
    folder: Path
    store: Path
    tracking: Path

    @property
    def at_the_end(self) -> int:
        """When the study has ended."""
        return self._beside + self.mlflow + min(self.budget, self.weights.total + self.states.total)

    @property
    def at_most(self) -> int:
        """While it runs."""
        return self._beside + self.mlflow + self._store

    @property
    def _beside(self) -> int:
        return self.models.total + self.results + self.packs

    @property
    def _store(self) -> int:
        """Of the store, while the study runs."""
        return min(self.budget, self.weights.total + self.states.total + self.running)

    @property
    def line(self) -> str:
        """Both, and what they consist of, for a person."""
        parts = [
            _said(self.weights, "trained model") + " in the store",
            _said(self.states, "training state") + " that others begin from",
            _said(self.models, "model") + " to use",
            f"results {size_of(self.results + self.mlflow)}",
            f"packed images {size_of(self.packs)}",
        ]
        listed = ", ".join(part for part in parts if not part.startswith("no "))
        free = ", ".join(f"{size_of(free_bytes(disk.folder))} are free in {disk.folder}" for disk in self._disks())
        return (
            f"Disk: at most {size_of(self.at_the_end)} when the study has ended ({listed}), "
            f"{size_of(self.at_most)} while it runs; {free}"
        )

    @property
    def problem(self) -> str:
        """Why the study could not end well on a disk that it writes to; empty where it can."""
        for disk in self._disks():
            free = free_bytes(disk.folder)
            missing = disk.size - disk.there - free
            if missing > 0:
                return (
                    f"{disk.folder}: the study takes up to {size_of(disk.size)} of the disk while it runs, of which it has "
                    f"{size_of(disk.there)}, and {size_of(free)} are free: {size_of(missing)} are missing. Make space "
                    f"(tune-seg clean STUDY says what a study can do without), choose {self._another(disk)}, or keep "
                    f"fewer checkpoints (--store-gb N)"
                )
        return ""

    def _disks(self) -> list["_Disk"]:
        """The disks that the study writes to, that of its folder first."""
        disks: dict[int, _Disk] = {}
        for folder, size, there in (
            (self.folder, self._beside, self.there),
            (self.store, self._store, self.stored),
            (self.tracking, self.mlflow, 0),
        ):
            device = existing(folder).stat().st_dev
            if device in disks or size:
                before = disks.get(device, _Disk(folder, 0, 0))
                disks[device] = _Disk(before.folder, before.size + size, before.there + there)
        return list(disks.values())

    def _another(self, disk: "_Disk") -> str:
        others = {self.store: "another store (--store DIR)", self.tracking: "another place for MLflow (--mlflow-uri)"}
        return ANOTHER_FOLDER if disk.folder == self.folder else others[disk.folder]


class _Disk(NamedTuple):
    """What a study takes of a disk while it runs, and what of that is there already; `folder` is on it."""

    folder: Path
    size: int
    there: int


def _said(files: Alike, thing: str) -> str:
    return f"{counted(files.number, thing)} of {size_of(files.size)}" if files.number else "no"


def models_of(plan: Plan) -> dict[ModelConfig, list[tuple[int, int]]]:
    """Every model of the space, with the image sizes (H, W) that it must take."""
    sizes: dict[ModelConfig, set[tuple[int, int]]] = {}
    for trial in plan.space.probes:
        sizes.setdefault(trial.model, {plan.config.data.size}).add(trial.augmentation.crop or plan.config.data.size)
    return {model: sorted(found) for model, found in sizes.items()}


def disk_need(plan: Plan, model: "ModelSize", slots: int | None = None) -> DiskNeed:
    """What a study takes of the disk.

    Args:
        plan: the study.
        model: the size of its largest model.
        slots: how many trials run at once; None: as many as this machine has cores for.
    """
    config = plan.config
    probes = plan.space.probes
    at_once = min(slots or config.compute.max_concurrent or _cores(config.training.threads or 1), plan.trials)
    trials = plan.trials
    if config.search.hours is not None:
        trials = min(trials, math.ceil(config.search.hours * 3600 / config.training.epochs / _FASTEST_EPOCH) * at_once)
    state = model.weights + max(_OPTIMIZER_NUMBERS[probe.training.optimizer] for probe in probes) * model.trained
    data = TrainingData("", config.data.size, plan.train_images, plan.dataset.channels)
    extended = any(can_be_extended(probe, data) for probe in probes)
    store = _store_folder(plan)
    budget = 0 if store is None else round(config.compute.store_gb * 1e9)
    answers = config.compute.store_gb and (plan.repeats or plan.repeats_itself)
    val_images = len(plan.dataset.samples) - plan.train_images
    epochs = trials * config.training.epochs
    folder, tracking = plan.directory.parent, _tracking_folder(config.mlflow_uri, plan.directory)
    return DiskNeed(
        weights=Alike(_kept(plan) if budget else 0, state if extended else model.weights),
        # weights that stand alone in the store of the folder are one file with the model
        models=Alike(2 if answers and (extended or config.compute.store is not None) else 0, model.weights),
        states=Alike(_shared(plan, data) if budget else 0, state),
        running=at_once * _STATES_A_SLOT * state if budget else 0,
        results=_BYTES_A_STUDY + epochs * _BYTES_AN_EPOCH + trials * val_images * _BYTES_AN_IMAGE,
        mlflow=0 if tracking is None else _MLFLOW_BYTES_A_STUDY + epochs * _MLFLOW_BYTES_AN_EPOCH,
        packs=sum(_packed_bytes(dataset, config.data.size) for dataset in (plan.dataset, plan.test) if dataset is not None),
        budget=budget,
        there=_there(plan),
        stored=0 if store is None else _stored(plan, store),
        folder=folder,
        store=store or folder,
        tracking=tracking or folder,
    )


def _store_folder(plan: Plan) -> Path | None:
    """Where checkpoints are kept; None: in an object store."""
    store = plan.config.compute.store
    if store is None:
        return plan.directory.parent / STORE
    return None if "://" in store else Path(store)


def _tracking_folder(uri: str | None, directory: Path) -> Path | None:
    """Where MLflow's database lies; None: on a server."""
    if uri is None:
        return directory
    address = urlsplit(uri)
    if address.scheme == "sqlite":  # sqlite:///relative.db, sqlite:////absolute.db
        return Path(address.path.removeprefix("/"))
    return Path(address.path) if address.scheme in ("", "file") else None


def _kept(plan: Plan) -> int:
    """How many trials keep their weights at most, see :meth:`tune_seg.study.confirmation.Confirmation.needed`."""
    if plan.repeats_itself or len(plan.config.objectives) > 1:  # all of them may be on the front
        return plan.trials
    confirm = plan.config.search.confirm
    return max(min(1 + confirm.finalists, plan.searched), min(plan.repeats, most_repeats(confirm)))


def _shared(plan: Plan, data: TrainingData) -> int:
    """At how many epoch boundaries one trial or more are expected to leave what another trains, as far as that is known."""
    config = plan.config
    known = [config.trial(point) for point in plan.known]
    drawn = [] if config.search.sampler == "grid" else list(sample_trials(config, plan.space, _SAMPLES))
    share = max(0, plan.searched - len(known)) / max(1, len(drawn))
    through: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    weighed = chain(((trial, 1.0) for trial in known), ((config.trial(point), share) for point in drawn))
    for trial, weight in weighed:
        for here, there in pairwise(trajectory_keys(trial, data)[1:]):
            through[here][there] += weight
    return sum(_leaving(onwards) >= 1.0 for onwards in through.values())


def _leaving(onwards: Mapping[str, float]) -> float:
    """How many leave the trajectory of the rarest that goes on from a boundary."""
    return sum(onwards.values()) - min(onwards.values())


def _packed_bytes(dataset: Dataset, size: tuple[int, int]) -> int:
    return len(dataset.samples) * Form(size, dataset.channels, dataset.dtype).row_bytes


def _there(plan: Plan) -> int:
    """What of the study the disk has beside the store: its directory and its packed images."""
    folder, size = plan.directory.parent, plan.config.data.size
    found = [path for path in plan.directory.rglob("*") if path.is_file()]
    for dataset in (plan.dataset, plan.test):
        origin = None if dataset is None else packed_origin(dataset, folder / PACKS, size)
        if origin is not None:
            found.append(folder / PACKS / origin.pack)
    return bytes_of(found)


def _stored(plan: Plan, store: Path) -> int:
    """What of the study the store has: its weights, but for those that are one file with a model to use."""
    checkpoints: list[str | None] = []
    with suppress(OSError, ValueError, KeyError):  # there is no table yet, or it is written anew
        checkpoints = pq.read_table(plan.directory / RESULTS)["checkpoint"].to_pylist()
    weights = {store / os.path.basename(checkpoint) for checkpoint in checkpoints if checkpoint is not None}
    models = set((plan.directory / MODELS).glob("*"))
    return bytes_of(weights | models) - bytes_of(models)


def _cores(threads: int) -> int:
    return max(1, available_cores() // threads)
