"""Studies that share what they compute, on real Ray workers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_study import results, scores, search, write_config
from tune_seg.config import StudyConfig, parse
from tune_seg.trajectory import TrainingData, trajectory_keys

NAIVE = {"loss.kind": ["naive"]}
SHARING: dict[str, Any] = {
    "training": {"epochs": 4, "batch_size": 4, "optimizer": "adam", "threads": 1},
    "search": {"sampler": "grid", "trials": 20, "early_stopping": {"kind": "none"}},
    "baselines": [],
    "loss": {"start": "dice"},
    "space": {
        "loss.kind": {"choice": ["static", "naive"]},
        "loss.end": {"choice": ["dice", "wce"]},
        "schedule.start": {"choice": [0.5, 0.25], "when": NAIVE},
    },
}


def distinct_epochs(config: dict[str, Any], rows: list[dict[str, Any]]) -> int:
    study = parse(StudyConfig, config)
    data = TrainingData("", (48, 48), 8)
    keys: set[str] = set()
    for row in rows:
        assignment = {key: row[key] for key in config["space"] if row.get(key) is not None}
        keys.update(trajectory_keys(study.trial(assignment), data)[1:])
    return len(keys)


def test_a_grid_computes_each_epoch_once_and_a_second_study_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "grid.yaml", **SHARING)
    assert search(config) == 0
    rows = results(config)
    assert [(row["state"], row["epochs"]) for row in rows] == [("completed", 4)] * 6
    executed = sum(row["epochs"] - row["epochs_replayed"] for row in rows)
    assert executed == distinct_epochs(SHARING, rows) < 4 * len(rows)

    # of a damaged checkpoint no more is lost than what it alone held, and it is said
    damaged = next((tmp_path / "studies" / "store").glob("*-last.pt"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert search(config, "--study", "again", "--max-concurrent", "1") == 0
    printed = capsys.readouterr().out
    assert f"Warning: checkpoint {damaged}" in printed.replace("\n", "") and "is damaged" in printed
    again = results(config, "again")
    for row, first in zip(again, rows, strict=True):
        np.testing.assert_equal(scores(row), scores(first))
    assert sorted(row["epochs"] - row["epochs_replayed"] for row in again)[:-1] == [0] * 5

    # without a store every trial is trained from its start, to the same end
    assert search(config, "--study", "alone", "--store-gb", "0", "--trials", "3") == 0
    by_loss = {(row["loss"], row.get("schedule.start")): scores(row) for row in rows}
    for row in results(config, "alone"):
        assert row["epochs_replayed"] == 0
        np.testing.assert_equal(scores(row), by_loss[row["loss"], row.get("schedule.start")])


def test_a_store_that_cannot_be_used_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "refused.yaml")
    (tmp_path / "file").write_text("no folder")
    assert search(config, "--store", str(tmp_path / "file" / "store")) == 2
    assert "error: compute.store" in capsys.readouterr().err
    assert search(config, "--store", "ftp://nowhere/store") == 2
    assert "a URI such as s3://bucket/path" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "studies" / "refused" / "trials.journal").exists()
