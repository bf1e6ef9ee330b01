"""What a study takes of the disk, as it is said before it starts. Real studies are in `tests/commands/test_clean.py`."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.rows_study import ROWS_STUDY
from tests.support.studies import SMALL, search, write_config
from tune_seg.config import StudyConfig, parse
from tune_seg.models.size import ModelSize
from tune_seg.study.disk import DiskNeed, disk_need
from tune_seg.study.files import STORE
from tune_seg.study.plan import plan_study

MODEL = ModelSize(weights=50_000_000, trained=40_000_000)


def need(directory: Path, values: dict[str, Any] = SMALL, **more: Any) -> DiskNeed:
    config = parse(StudyConfig, {**values, **more})
    return disk_need(plan_study(config, directory / "study"), MODEL, slots=2)


@pytest.mark.parametrize(
    ("search", "weights"),
    [
        ({"trials": 4, "sampler": "random"}, 4),  # fewer than contenders
        ({"trials": 12, "sampler": "random"}, 5),  # plain cross entropy and four finalists
        ({"trials": 30, "sampler": "random"}, 12),  # the repeats
        ({"trials": 30, "sampler": "random", "confirm": {"max_seeds": 2, "finalists": 1}}, 4),
    ],
)
def test_the_weights_that_are_kept_are_those_of_contenders(search: dict[str, Any], weights: int, tmp_path: Path) -> None:
    found = need(tmp_path, search=search)
    assert (found.weights.number, found.weights.size, found.models.number) == (weights, 50_000_000, 0)
    running = 2 * 2 * (50_000_000 + 2 * 40_000_000)  # adam keeps two numbers for each that it trains
    assert found.at_most - found.at_the_end == found.running == running


def test_a_training_that_can_be_extended_leaves_its_state(tmp_path: Path) -> None:
    found = need(tmp_path, training={**SMALL["training"], "lr_schedule": "constant"}, search={"trials": 30})
    assert (found.weights.size, found.models.number) == (130_000_000, 2)


def test_the_budget_of_the_store_is_not_exceeded(tmp_path: Path) -> None:
    whole, limited, none = (need(tmp_path, compute={"store_gb": gb}) for gb in (20, 0.06, 0))
    beside = whole.results + whole.mlflow + whole.packs
    assert limited.at_the_end == limited.at_most == 60_000_000 + beside
    assert none.at_most == beside


def test_the_states_that_trials_of_a_grid_share_are_counted(rows_study: Path, tmp_path: Path) -> None:
    states = [path for path in (rows_study.parent / "studies" / STORE).glob("*.pt") if "-" not in path.name]
    assert need(tmp_path, ROWS_STUDY).states.number == len(states) == 2


@pytest.mark.parametrize(
    ("values", "left_out"),
    [
        ({}, ""),
        ({"compute": {"store": "s3://bucket/path"}}, "store"),
        ({"mlflow_uri": "https://mlflow.example.org"}, "mlflow"),
        ({"mlflow_uri": "postgresql://user@host/name"}, "mlflow"),
    ],
)
def test_what_is_kept_behind_the_network_is_not_counted(values: dict[str, Any], left_out: str, tmp_path: Path) -> None:
    found = need(tmp_path, search={"trials": 30}, **values)
    assert (found.weights.total == 0) == (left_out == "store")
    assert (found.mlflow == 0) == (left_out == "mlflow")


def test_each_part_is_counted_on_the_disk_on_which_it_lies(tmp_path: Path, other_disk: Path) -> None:
    search = {"trials": 30}
    one = need(tmp_path, search=search)
    assert one.line.count("are free in") == 1
    store, database = other_disk / "store", other_disk / "mlflow" / "all.db"
    for values, where in (({"compute": {"store": str(store)}}, store), ({"mlflow_uri": f"sqlite:///{database}"}, database)):
        found = need(tmp_path, search=search, **values)
        assert found.line.count("are free in") == 2 and f"are free in {where}" in found.line
    # a store that its disk cannot hold is named with what helps; the disk of the studies may have all the space there is
    large = dataclasses.replace(need(tmp_path, search=search, compute={"store": str(store)}), running=10**15, budget=10**15)
    assert large.problem.startswith(f"{store}: the study takes up to 1000000.0 GB of the disk")
    assert "choose another store (--store DIR)" in large.problem
    # where both are on one disk they are one sum
    assert dataclasses.replace(one, running=10**15, budget=10**15).problem.startswith(f"{tmp_path}: ")


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk than the other files of a test."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm, and temporary files elsewhere")
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_a_study_that_the_disk_cannot_hold_is_refused_with_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "large.yaml")
    assert search(config, "--trials", "1000000000", "--dry-run") == 2
    said = capsys.readouterr()
    assert "the study could not start:" in said.err and "GB are missing. Make space" in said.err
    assert "Disk: at most" in said.out
    assert not (tmp_path / "studies").exists()


@pytest.mark.long("disk")
def test_it_is_refused_before_a_trial_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "large.yaml")
    assert search(config, "--trials", "1000000000") == 2
    assert "GB are missing. Make space" in capsys.readouterr().err
    assert not (tmp_path / "studies" / "large" / "trials.journal").exists()
