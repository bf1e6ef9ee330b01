"""Studies that share what they compute, on real Ray workers."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.rows_study import ROWS_STUDY
from tests.support.studies import results, scores, search, write_config
from tune_seg.config import StudyConfig, parse
from tune_seg.study.exporting import WINNER, model_file
from tune_seg.training.checkpoints import WEIGHTS
from tune_seg.training.trajectory import TrainingData, trajectory_keys


def distinct_epochs(rows: list[dict[str, Any]]) -> int:
    study = parse(StudyConfig, ROWS_STUDY)
    data = TrainingData("", (48, 48), 8)
    keys: set[str] = set()
    for row in rows:
        assignment = {key: row[key] for key in ("row", "training.seed") if row[key] is not None}
        keys.update(trajectory_keys(study.trial(assignment), data)[1:])
    return len(keys)


@pytest.mark.long("shared prefixes")
def test_a_grid_computes_each_epoch_once_and_a_second_study_none(
    rows_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = results(rows_study)
    assert [(row["state"], row["epochs"]) for row in rows] == [("completed", 3)] * 10
    executed = sum(row["epochs"] - row["epochs_replayed"] for row in rows)
    # the three schedules share two epochs, one and one with the Dice loss
    assert executed == distinct_epochs(rows) == 10 * 3 - (2 + 1 + 1)

    # of a damaged checkpoint no more is lost than what it alone held, and it is said
    shutil.copytree(rows_study.parent / "studies" / "store", tmp_path / "studies" / "store")
    config = tmp_path / rows_study.name
    shutil.copy(rows_study, config)
    damaged = next((tmp_path / "studies" / "store").glob("*-last-*.pt"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert search(config, "--study", "again", "--max-concurrent", "1") == 0
    printed = capsys.readouterr().out
    assert f"Warning: checkpoint {damaged}" in printed.replace("\n", "") and "is damaged" in printed
    assert "Not shown beside the paper" in printed
    assert "data.format synthetic of the study is not a data set of this table" in printed
    again = results(config, "again")
    for row, first in zip(again, rows, strict=True):
        np.testing.assert_equal(scores(row), scores(first))
    assert sorted(row["epochs"] - row["epochs_replayed"] for row in again)[:-1] == [0] * 9

    # without a store every trial is trained from its start, to the same end
    assert search(config, "--study", "alone", "--store-gb", "0", "--trials", "3") == 0
    by_point = {(row["row"], row["training.seed"]): scores(row) for row in rows}
    for row in results(config, "alone"):
        assert row["epochs_replayed"] == 0
        np.testing.assert_equal(scores(row), by_point[row["row"], row["training.seed"]])


@pytest.mark.long("grid without weights")
def test_a_grid_over_seeds_has_weights_though_the_store_has_its_results_alone(rows_study: Path, tmp_path: Path) -> None:
    store = tmp_path / "studies" / "store"
    shutil.copytree(rows_study.parent / "studies" / "store", store)
    for weights in store.glob(f"*{WEIGHTS}.pt"):
        weights.unlink()
    config = tmp_path / rows_study.name
    shutil.copy(rows_study, config)
    assert search(config, "--study", "again", "--trials", "4", "--max-concurrent", "1") == 0
    rows = results(config, "again")
    for row, first in zip(rows, results(rows_study), strict=False):
        np.testing.assert_equal(scores(row), scores(first))
    assert all(Path(row["checkpoint"]).is_file() for row in rows)
    assert model_file(tmp_path / "studies" / "again", WINNER).is_file()


def test_a_store_that_cannot_be_used_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "refused.yaml")
    (tmp_path / "file").write_text("no folder")
    assert search(config, "--store", str(tmp_path / "file" / "store")) == 2
    assert "error: compute.store" in capsys.readouterr().err
    assert search(config, "--store", "ftp://nowhere/store") == 2
    assert "a URI such as s3://bucket/path" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "studies" / "refused" / "trials.journal").exists()
