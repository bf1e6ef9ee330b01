"""Hossain's Tables 3 and 5 on CamVid at the paper's own settings, then rows of Taubert's Table 1."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gpu_pack import preset

from gpu_phases.common import Result, Task, data
from gpu_phases.trainings import Training, train
from tune_seg.compare import print_comparison
from tune_seg.config import ROW, StudyConfig, TrialConfig, parse
from tune_seg.data import PackedData
from tune_seg.study.papers.comparison import FinishedStudy
from tune_seg.study.search_space.space import Space

_HOSSAIN: Final = ("hossain_table3", "hossain_table5")
_TAUBERT: Final = "taubert_table1"
_WORKERS: Final = 6  # at most: a fold of Hossain's tables has as many trainings, and a whole one is wanted first


@dataclass(frozen=True)
class Planned:
    """A row of a table, in one fold."""

    table: str
    row: str
    training: Training


def run(task: Task, result: Result) -> None:
    """A whole fold of Hossain's rows first; what is in both tables is trained once."""
    pack = data(task)
    studies = {name: _hossain(task, name, pack) for name in _HOSSAIN} | {_TAUBERT: _taubert(task, pack)}
    planned = [each for name, study in studies.items() for each in _planned(task, name, study, pack)]
    planned.sort(key=lambda each: (each.table == _TAUBERT, each.training.config.fold or 0))
    if task.smoke:
        planned = [each for each in planned if each.table != _TAUBERT or each.row in ("CE", "DLNWCE")]
    trainings, file = [each.training for each in planned], Path(task.out) / "papers.parquet"
    for rows in train(task, result, trainings, pack, file, most=_WORKERS):
        last = {row["training"]: row for row in rows}  # of each training, the last epoch
        ended = [each for each in planned if each.training.key in last]
        for name, study in studies.items():
            mine = [each for each in ended if each.table == name]
            if mine:
                result.show(name, _printed(task, name, study, mine, last))
        counts = ", ".join(
            f"{name} {sum(each.table == name for each in ended)} of {sum(each.table == name for each in planned)}"
            for name in studies
        )
        result.put(summary=f"runs: {counts}", runs=[_run(each, last) for each in ended])


def _hossain(task: Task, name: str, pack: PackedData) -> StudyConfig:
    """The preset; on data without folds, which are not CamVid, each row has one run."""
    values = preset(name, "Cityscape", pack.path)
    if not pack.folds:
        values["space"] = {}
        values["data"] = {"format": "synthetic"}
    return _study(task, values)


def _taubert(task: Task, pack: PackedData) -> StudyConfig:
    """The preset's rows, schedules and training, with a small model from random weights on the same images, whole."""
    values = preset(_TAUBERT, "VOC", pack.path)
    values["data"] = {"format": "camvid", "root": str(pack.path)} if pack.folds else {"format": "synthetic"}
    values["model"] = {"architecture": "Unet", "encoder": "resnet18", "weights": "none", "train": "all"}
    values["augmentation"]["crop"] = None
    values["space"] = {}
    del values["rows"]["refine"]  # which begins with COCO's weights
    return _study(task, values)


def _study(task: Task, values: dict[str, Any]) -> StudyConfig:
    values["training"]["device"] = task.device
    values["training"]["threads"] = 1
    if task.smoke:
        values["training"] |= {"epochs": 1, "batch_size": 4}
    return parse(StudyConfig, values)


def _planned(task: Task, name: str, study: StudyConfig, pack: PackedData) -> Iterator[Planned]:
    for point in Space(study).enumerate():
        config: TrialConfig = study.trial(point)
        yield Planned(name, point[ROW], Training(f"{name} {point[ROW]}", config, pack.content_id))


def _printed(task: Task, name: str, study: StudyConfig, ended: list[Planned], last: dict[str, dict[str, Any]]) -> str:
    trials = [
        last[each.training.key] | {ROW: each.row, "fold": each.training.config.fold, "state": "completed", "repeat": False}
        for each in ended
    ]
    asked = {"dataset": "Cityscapes", "variant": "FCN"} if name == _TAUBERT else {"dataset": "Cityscape"}
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print_comparison(FinishedStudy(Path(task.out) / name, study, trials), **asked)
    return text.getvalue()


def _run(each: Planned, last: dict[str, dict[str, Any]]) -> dict[str, Any]:
    row = last[each.training.key]
    figures = {name: row[name] for name in ("mdice", "miou", "accuracy", "recall", "calibration", "s_rec")}
    return {"table": each.table, "row": each.row, "fold": each.training.config.fold, **figures}
