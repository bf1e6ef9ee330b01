"""Trainings side by side, a row an epoch of each that came to its end: what `papers` and `record` have in common.

The file of the rows is the memory: a training that is in it is not run again, whoever asks for it.
"""

import json
import multiprocessing
import os
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from gpu_phases.common import Result, Task, earlier
from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData

if TYPE_CHECKING:
    from tune_seg.training.result import EpochResult

Rows = list[dict[str, Any]]
_WORKERS: Final = 4  # on a GPU, where `share` has found nothing


@dataclass(frozen=True)
class Training:
    """What is to be trained.

    Attributes:
        name: for people.
        config: the trial.
        content: the identity of the data.
    """

    name: str
    config: TrialConfig
    content: str

    @cached_property
    def key(self) -> str:
        """Equal for what gives the same rows; the device is part of it, as another one computes other last digits."""
        return _hash([self.config.model_dump(mode="json"), self.content])

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


def train(
    task: Task, result: Result, trainings: Sequence[Training], pack: PackedData, file: Path, *, most: int | None = None
) -> Iterator[Rows]:
    """Train what `file` lacks, in the order given and as long as there is time.

    A training that fails is noted, and the others go on. So is a worker that dies, with which the trainings end.

    Args:
        task: what the phase is told.
        result: gets `trained`, `taken_over`, and what failed and is lacking.
        trainings: what is wanted.
        pack: the data.
        file: where the rows are kept.
        most: of workers; None: as many as pay.

    Yields:
        All rows of `file`, at first and whenever a training has been added.
    """
    rows = read(file)
    known = {row["training"] for row in rows}
    wanted = {training.key: training for training in trainings}  # what is asked for twice is trained once
    missing = [training for key, training in wanted.items() if key not in known]
    lacking, done, died = {training.key: training for training in missing}, 0, ""
    result.put(trained=done, taken_over=len(wanted) - len(missing))
    yield rows
    pool = ProcessPoolExecutor(_workers(task, most), mp_context=worker_context())
    try:
        asked: dict[Future[tuple[Rows, str]], Training] = {}
        with suppress(BrokenProcessPool):  # those that were asked for have the same error
            for training in missing:
                values = training.config.model_dump(mode="json")
                asked[pool.submit(_trained, values, pack.path, task)] = training
        with suppress(TimeoutError):
            for ended in as_completed(asked, timeout=max(task.left, 0.0)):
                training = asked[ended]
                try:
                    epochs, error = ended.result()
                except BrokenProcessPool:  # of every training that had not ended
                    died = traceback.format_exc()
                    continue
                if error:
                    del lacking[training.key]
                    result.fail(training.name, error)
                elif epochs:
                    del lacking[training.key]
                    done += 1
                    rows += [{**training.columns, **epoch} for epoch in epochs]
                    write(file, rows)
                    result.put(trained=done)
                    yield rows
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if died:
        result.fail("a worker died", died)
    if lacking:
        result.put(
            lacking=[
                f"{training.name} seed {training.config.training.seed} fold {training.config.fold}"
                for training in lacking.values()
            ]
        )


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


def _workers(task: Task, most: int | None) -> int:
    """As many as `share` found best."""
    workers = int(earlier(task, "share").get("workers", _WORKERS if task.device == "cuda" else 1))
    return workers if most is None else min(workers, most)


def _trained(config: dict[str, Any], path: Path, task: Task) -> tuple[Rows, str]:
    """The epochs of a training, none if the time was over before its end; and the traceback of what it failed of."""
    import torch

    from tune_seg.training import Trainer

    epochs: Rows = []
    try:
        if task.left <= 0:
            return [], ""
        trainer = Trainer(parse(TrialConfig, config), PackedData(path), torch.device(task.device))
        while not trainer.done:
            epochs.append(_row(trainer.epoch()))
            if task.left <= 0 and not trainer.done:
                return [], ""
    except Exception:
        traceback.print_exc()
        text = traceback.format_exc()
        _leave_if_broken(task)
        return [], text
    return epochs, ""


def _leave_if_broken(task: Task) -> None:
    """End this process if its device can do nothing any more: every training that came here next would fail as well."""
    import torch

    if task.device == "cuda":
        try:
            torch.cuda.synchronize()
        except Exception:
            traceback.print_exc()
            os._exit(1)


def _row(result: "EpochResult") -> dict[str, Any]:
    """An epoch as a row; each loss's weight is a column `weights/NAME`, as two losses have other names than one."""
    evaluation, seconds = result.evaluation, result.seconds
    return {
        "epoch": result.epoch,
        **evaluation.metrics,
        **evaluation.per_class,
        **evaluation.scaled_metrics,
        **evaluation.fitted,
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
