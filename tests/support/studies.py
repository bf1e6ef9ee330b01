"""A study small enough to be run in a test, from its file to its results."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from tune_seg.config import METRICS
from tune_seg.search import main

SMALL: dict[str, Any] = {
    "data": {"format": "synthetic", "size": [48, 48], "max_train": 8, "max_val": 4},
    "training": {"epochs": 3, "batch_size": 4, "optimizer": "adam"},
    "search": {"sampler": "random", "trials": 4, "early_stopping": {"grace_epochs": 1, "reduction_factor": 2}},
    "compute": {"max_concurrent": 1},  # a second worker takes longer to start than these trials to train
    "baselines": [{"loss.kind": "static", "loss.end": "ce"}],
    "space": {
        "loss.kind": {"choice": ["static", "naive"]},
        "loss.start": {"choice": ["dice", "wdice"], "when": {"loss.kind": ["naive"]}},
        "loss.end": {"choice": ["ce", "wce", "focal"]},
        "loss.gamma": {"float": [0.5, 5.0], "when": {"loss.end": ["focal"]}},
        "schedule.start": {"float": [0.1, 0.5], "when": {"loss.kind": ["naive"]}},
        "acw": {"choice": [True, False]},
    },
}


def write_config(path: Path, **values: Any) -> Path:
    path.write_text(yaml.safe_dump({**SMALL, **values}))
    return path


def search(config: Path, *options: str) -> int:
    return main([str(config), "--studies", str(config.parent / "studies"), *options])


def results(config: Path, name: str | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        config.parent / "studies" / (name or config.stem) / "results.parquet"
    ).to_pylist()
    return rows


def scores(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in (*METRICS, "class_recall")}
