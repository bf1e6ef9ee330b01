"""A study from Python: a script without a guard, a notebook, and what comes out."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.support import CHECKOUT
from tests.support.rows_study import ROWS_STUDY
from tune_seg import InputError, Study
from tune_seg.config import StudyConfig, parse

TINY: dict[str, Any] = {
    "data": {"format": "synthetic", "size": [48, 48], "max_train": 8, "max_val": 4},
    "training": {"epochs": 1, "batch_size": 4, "lr": 1e-5},
    "search": {"sampler": "random", "trials": 2},
    "compute": {"max_concurrent": 1},
    "space": {"loss.end": {"grid": ["ce", "dice"]}},
}
SCRIPT = f"""
print("the script begins", flush=True)
from tune_seg import Study

study = Study({TINY!r}, name="tiny", studies="mine")
print(study.plan())
print(study.run())
print("best:", study.best["loss"], study.best["s_rec"] == study.trials["s_rec"].max())
"""


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=pytest.mark.long(f"guard {how}")) for how in ("script", "input", "command")]
)
def test_a_script_without_a_guard_runs_once(how: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = {"script": [str(script)], "input": ["-"], "command": ["-c", SCRIPT]}[how]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], input=SCRIPT, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=540
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("the script begins") == 1
    assert "trials: 2, up to 1 epochs each, on 8 training images" in lines
    assert "training steps: 2 per trial, up to 4 in all" in lines
    assert "  loss.end: grid [ce, dice]" in lines
    assert "Outcome.FINISHED" in lines
    assert lines[-1] in ("best: ce True", "best: dice True")
    assert "in use by another process" not in done.stderr
    assert (tmp_path / "mine" / "tiny" / "results.parquet").is_file()


def test_a_study_is_called_as_its_preset_or_file_and_lies_below_studies(tmp_path: Path) -> None:
    file = tmp_path / "some name.yaml"
    file.write_text(yaml.safe_dump(TINY))
    assert Study(studies=tmp_path).directory == tmp_path / "default"
    assert Study("loss_schedule", studies=tmp_path).directory == tmp_path / "loss_schedule"
    assert Study(file, studies=tmp_path).directory == tmp_path / "some name"
    assert Study(file, studies=tmp_path, name="other").directory == tmp_path / "other"
    assert Study(file).directory == Path.cwd() / "studies" / "some name"
    with pytest.raises(InputError, match="a configuration that is no file has no name"):
        Study(TINY)
    for name in ("a/b", "packs", "store", ""):
        with pytest.raises(InputError, match="a name is letters, digits, dots, spaces, - and _, and not packs or store"):
            Study(file, name=name)


def test_the_file_that_a_study_has_written_names_the_study_in_its_folder(tmp_path: Path) -> None:
    own = tmp_path / "elsewhere" / "try" / "study.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(yaml.safe_dump(TINY))
    assert (
        Study(own).directory == Path.cwd() / "studies" / "try"
    )  # somebody's own file of this name: no study has begun there
    (own.parent / "trials.journal").touch()
    assert Study(own).directory == own.parent
    assert Study(own, studies=tmp_path).directory == tmp_path / "try"
    assert Study(own, name="other").directory == Path.cwd() / "studies" / "other"


def test_every_data_set_of_a_table_has_a_folder_of_its_own(tmp_path: Path) -> None:
    names = {data: Study("hossain_table3", data=f"{data}=.", studies=tmp_path).directory.name for data in ("MRI", "trus")}
    assert names == {"MRI": "hossain_table3_mri", "trus": "hossain_table3_trus"}
    assert Study("hossain_table3", data="MRI=.", studies=tmp_path, name="x").directory == tmp_path / "x_mri"
    assert Study("hossain_table3", data=tmp_path, studies=tmp_path).directory == tmp_path / "hossain_table3"


def test_a_mapping_a_file_and_a_configuration_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY))
    overrides = {"search.trials": 5, "data.size": [32, 32]}
    configs = [Study(given, name="x", overrides=overrides).config for given in (TINY, file, parse(StudyConfig, TINY))]
    assert configs[0] == configs[1] == configs[2]
    assert (configs[0].search.trials, configs[0].data.size, configs[0].training.lr) == (5, (32, 32), 1e-5)
    with pytest.raises(InputError, match="trainin"):
        Study({"trainin": {}}, name="x")


def test_to_plan_a_study_writes_nothing(tmp_path: Path) -> None:
    study = Study(TINY, name="x", studies=tmp_path, overrides={"training.epochs": 3})
    assert study.plan().steps_per_trial == 6
    grid = {"search.sampler": "grid", "search.trials": 9, "search.early_stopping.kind": "none"}
    assert Study(TINY, name="x", studies=tmp_path, overrides=grid).plan().searched == 2
    assert list(tmp_path.iterdir()) == []


def test_trials_are_ranked_by_the_first_objective_and_the_best_one_has_finished(tmp_path: Path) -> None:
    study = Study({**TINY, "objective": ["recall", "accuracy"]}, name="x", studies=tmp_path)
    rows = [
        {"trial": 0, "state": "pruned", "epochs": 1, "recall": 0.9},
        {"trial": 1, "state": "completed", "epochs": 3, "recall": 0.2},
        {"trial": 2, "state": "completed", "epochs": 3, "recall": 0.4},
        {"trial": 3, "state": "failed", "epochs": 0, "recall": None},
        {"trial": 4, "state": "completed", "epochs": 3, "recall": float("nan")},
        {"trial": 5, "state": "pruned", "epochs": 2, "recall": 0.1},
    ]
    study.directory.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), study.directory / "results.parquet")
    assert study.trials["trial"].tolist() == [2, 1, 4, 5, 0, 3]
    assert list(study.trials.index) == list(range(6))
    assert (study.best["trial"], study.best["recall"]) == (2, 0.4)


def test_configurations_that_were_repeated_come_first_plain_cross_entropy_among_them(tmp_path: Path) -> None:
    study = Study(TINY, name="x", studies=tmp_path)
    rows = [
        {"name": "ce", "n": 4, "repeats": 4, "s_rec": 0.6, "difference": None, "recommended": False},
        {"name": "stopped early", "n": 0, "repeats": 0, "s_rec": None, "difference": None, "recommended": False},
        {"name": "lucky", "n": 1, "repeats": 0, "s_rec": 0.9, "difference": None, "recommended": False},
        {"name": "focal", "n": 4, "repeats": 4, "s_rec": 0.7, "difference": 0.1, "recommended": True},
    ]
    study.directory.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), study.directory / "configurations.parquet")
    assert study.configurations["name"].tolist() == ["focal", "ce", "lucky", "stopped early"]


def test_a_study_shows_its_name_its_folder_and_how_many_trials_have_ended(tmp_path: Path) -> None:
    study = Study(TINY, name="x", studies=tmp_path)
    assert repr(study) == f"study x in {tmp_path / 'x'}: 0 trials have ended"
    study.directory.mkdir()
    path = study.directory / "results.parquet"
    for states, said in (
        (["completed", "running", "failed", "pruned", "diverged"], "3 trials have ended"),
        (["completed"], "1 trial has ended"),
        (["running"], "0 trials have ended"),
    ):
        pq.write_table(pa.table({"state": states}), path)
        assert repr(study) == f"study x in {tmp_path / 'x'}: {said}"
    pq.write_table(pa.table({}), path)  # ended before its first trial
    assert repr(study).endswith(": 0 trials have ended")
    path.write_text("no table")
    assert repr(study).endswith(": results.parquet cannot be read")


def test_a_finished_study_is_read_as_it_is(rows_study: Path) -> None:
    study = Study(rows_study, studies=rows_study.parent / "studies")
    written = pq.read_table(study.directory / "results.parquet").to_pylist()
    assert len(study.trials) == len(written)
    assert list(study.trials.columns) == list(written[0])
    configurations = study.configurations
    (taken,) = configurations["configuration"][configurations["recommended"]]
    completed = [row for row in written if row["state"] == "completed" and row["configuration"] == taken]
    objective = study.config.objectives[0]
    assert study.best[objective] == max(row[objective] for row in completed)
    assert list(study.config.rows) == list(ROWS_STUDY["rows"])


def test_where_nothing_has_finished_that_is_said(tmp_path: Path) -> None:
    study = Study(TINY, name="x", studies=tmp_path)
    with pytest.raises(InputError, match=r"results\.parquet is not there yet: .* run the study first"):
        _ = study.trials
    study.directory.mkdir()
    path = study.directory / "results.parquet"
    pq.write_table(pa.table({"state": ["failed"], "epochs": [0], "s_rec": pa.array([None])}), path)
    assert len(study.trials) == 1
    with pytest.raises(InputError, match="no trial has run to its end yet"):
        _ = study.best
    pq.write_table(pa.table({}), path)  # ended before its first trial
    for read in (lambda: study.trials, lambda: study.best):
        with pytest.raises(InputError, match=r"results\.parquet has no trial yet: .* run the study first"):
            read()
    path.write_text("no table")
    with pytest.raises(InputError, match=r"results\.parquet cannot be read"):
        _ = study.trials


def test_a_study_does_not_end_the_ray_of_a_script_or_notebook(tmp_path: Path) -> None:
    import ray

    ray.init("local", num_cpus=1, include_dashboard=False)
    try:
        with pytest.raises(InputError, match=r"Ray runs already in this process.*: call ray.shutdown\(\) first"):
            Study(TINY, name="x", studies=tmp_path).run()
        assert ray.is_initialized()
    finally:
        ray.shutdown()
