"""Trainings side by side, a row an epoch of each that came to its end: what `papers` and `record` have in common.

The file of the rows is the memory: a training that is in it is not run again, whoever asks for it.
"""

import json
import multiprocessing
import os
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from gpu_phases.common import Result, Task, earlier
from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData

if TYPE_CHECKING:
    from tune_seg.training.result import EpochResult

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Training:
    """What is to be trained.

    Attributes:
        name: for people.
        config: the trial.
        content: the identity of the data.
        scaling: whether every epoch gives the scores with a temperature, or the last one alone.
    """

    name: str
    config: TrialConfig
    content: str
    scaling: bool = False

    @cached_property
    def key(self) -> str:
        """Equal for what gives the same rows."""
        return _hash([self.config.model_dump(mode="json"), self.content, self.scaling])

    @property
    def columns(self) -> dict[str, Any]:
        """What every row of it says of it; `configuration` is the same for all seeds and folds."""
        values = self.config.model_dump(mode="json")
        seed, fold = values["training"].pop("seed"), values.pop("fold")
        return {
            "training": self.key,
            "name": self.name,
            "configuration": _hash(values),
            "seed": seed,
            "fold": fold,
            "content": self.content,
            "trial": json.dumps(values),
        }


def train(task: Task, result: Result, trainings: Sequence[Training], pack: PackedData, file: Path) -> Rows:
    """Train what `file` lacks, in the order given and as long as there is time; all rows of `file` afterwards.

    A training that fails is noted, and the others go on.
    """
    rows = read(file)
    known = {row["training"] for row in rows}
    wanted = {training.key: training for training in trainings}  # what is asked for twice is trained once
    missing = [training for key, training in wanted.items() if key not in known]
    done = 0
    with ProcessPoolExecutor(_workers(task), mp_context=worker_context()) as pool:
        asked = {
            pool.submit(_trained, training.config.model_dump(mode="json"), training.scaling, pack.path, task): training
            for training in missing
        }
        for ended in as_completed(asked):
            training = asked[ended]
            epochs, error = ended.result()
            if error:
                result.add("failed", {"name": training.name, "traceback": error})
            elif not epochs:
                result.add("lacking", f"{training.name} seed {training.config.training.seed} fold {training.config.fold}")
            else:
                done += 1
                rows += [{**training.columns, **epoch} for epoch in epochs]
                write(file, rows)
            result.put(trained=done, taken_over=len(wanted) - len(missing))
    return rows


def worker_context() -> ForkServerContext:
    """How processes are started that use the device: from one that has imported everything and never used it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gpu_phases.worker_imports"])
    return context


def read(file: Path) -> Rows:
    """The rows of a Parquet file, none if there is no such file."""
    return pq.read_table(file).to_pylist() if file.is_file() else []


def write(file: Path, rows: Rows) -> None:
    """Put the rows in the place of the file, at once and whole; a column that a row lacks is null there."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: pa.array([row.get(name) for row in rows]) for name in names}
    partial = file.with_name(f".{file.name}.partial")
    pq.write_table(pa.table(columns), partial)
    os.replace(partial, file)


def _workers(task: Task) -> int:
    """As many as `share` found best, one where it did not run."""
    return int(earlier(task, "share").get("workers", 1))


def _trained(config: dict[str, Any], scaling: bool, path: Path, task: Task) -> tuple[Rows, str]:
    """The epochs of a training, none if the time was over before its end; and the traceback of what it failed of."""
    import torch

    from tune_seg.training import Trainer

    epochs: Rows = []
    try:
        if task.left <= 0:
            return [], ""
        trainer = Trainer(parse(TrialConfig, config), PackedData(path), torch.device(task.device))
        while not trainer.done:
            epochs.append(_row(trainer.epoch(scaling=scaling)))
            if task.left <= 0 and not trainer.done:
                return [], ""
    except Exception:
        return [], traceback.format_exc()
    return epochs, ""


def _row(result: "EpochResult") -> dict[str, Any]:
    """An epoch as a row; each loss's weight is a column `weights/NAME`, as two losses have other names than one."""
    evaluation, seconds = result.evaluation, result.seconds
    return {
        "epoch": result.epoch,
        **evaluation.metrics,
        **evaluation.per_class,
        **evaluation.scaled_metrics,
        **evaluation.temperatures,
        "train_loss": result.train_loss,
        "diverged": result.diverged,
        "lr": result.lr,
        **{f"weights/{name}": weight for name, weight in result.weights.items()},
        "acw_weight": result.acw_weight,
        "train_seconds": seconds.train,
        "data_seconds": seconds.data,
        "eval_seconds": seconds.eval,
    }


def _hash(values: Any) -> str:
    return blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=8).hexdigest()
