"""Whole studies, through the command, on real Ray workers."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from tests.support.studies import SMALL, results, scores, search, write_config
from tune_seg.config import ComputeConfig, StudyConfig, parse
from tune_seg.data import PackedData
from tune_seg.errors import InputError
from tune_seg.search import main
from tune_seg.study.confirmation import Confirmation
from tune_seg.study.output.mlflow_store import default_uri
from tune_seg.study.output.results import check_same_study, write_study
from tune_seg.study.plan import plan_study
from tune_seg.study.prepare import Prepared, checkpoint_store
from tune_seg.study.ray_tune import cluster
from tune_seg.study.records import Records
from tune_seg.study.run import _reuse_store
from tune_seg.training.checkpoints import WEIGHTS
from tune_seg.training.trajectory import TrainingData


def mlflow_trials(directory: Path) -> list[int]:
    return sorted(
        int(run.data.tags["tune_seg.trial"]) for run in mlflow_runs(directory) if "tune_seg.trial" in run.data.tags
    )


def mlflow_artifacts(directory: Path) -> list[str]:
    """Of the run of the study."""
    (parent,) = (run for run in mlflow_runs(directory) if "tune_seg.trial" not in run.data.tags)
    return [artifact.path for artifact in MlflowClient(default_uri(directory)).list_artifacts(parent.info.run_id)]


def mlflow_runs(directory: Path) -> list[Run]:
    client = MlflowClient(default_uri(directory))
    experiment = client.get_experiment_by_name(directory.name)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_a_study_is_not_continued_when_its_file_of_weights_has_another_content(tmp_path: Path) -> None:
    weights, described = tmp_path / "initial.pt", tmp_path / "study.yaml"
    config = parse(StudyConfig, {**SMALL, "model": {"weights": str(weights)}})
    weights.write_bytes(b"some")
    noted = plan_study(config, tmp_path).config
    write_study(noted, described)
    check_same_study(noted, described)
    again = parse(StudyConfig, yaml.safe_load(described.read_text()))
    assert plan_study(again, tmp_path).config == noted
    write_study(config, tmp_path / "older.yaml")  # of before the contents were noted
    check_same_study(noted, tmp_path / "older.yaml")

    weights.write_bytes(b"other")
    with pytest.raises(InputError, match=rf"configuration:\n  the content of {weights}: \w+ in the study, \w+ now\n"):
        check_same_study(plan_study(config, tmp_path).config, described)
    with pytest.raises(InputError, match=rf"model.weights {weights}: the study was made with another content of this file"):
        plan_study(again, tmp_path)


def test_a_study_of_before_images_kept_their_shape_goes_on_stretching_or_says_what_differs(tmp_path: Path) -> None:
    described = tmp_path / "study.yaml"
    before = parse(StudyConfig, {**SMALL, "data": {"root": "mydata", "content": "0f"}}).model_dump(mode="json")
    del before["data"]["resize"], before["data"]["tiles"]
    described.write_text(yaml.safe_dump(before))
    again = parse(StudyConfig, yaml.safe_load(described.read_text()))
    assert again.data.resize == "stretch"
    check_same_study(again, described)
    same, other = (
        parse(StudyConfig, {**SMALL, "data": {"root": "mydata", "content": content, "resize": "fit"}})
        for content in ("0f", "1f")
    )
    check_same_study(same, described)  # equal in content, so nothing had to be stretched
    with pytest.raises(
        InputError, match=r"data\.content: 0f in the study, 1f now\n  data\.resize: stretch in the study, fit now"
    ):
        check_same_study(other, described)


def test_a_study_never_removes_the_weights_that_it_begins_with_from_its_store(tmp_path: Path, packed: PackedData) -> None:
    initial = tmp_path / "store" / f"3f{WEIGHTS}.pt"
    config = parse(StudyConfig, {**SMALL, "model": {"weights": str(initial)}, "compute": {"store_gb": 1e-9}})
    store = checkpoint_store(config, tmp_path / "study")
    for key in (f"3f{WEIGHTS}", "40"):
        store.save(key, [], {"weight": torch.zeros(2)})
    plan = plan_study(config, tmp_path / "study")
    ready = Prepared(plan.config, plan.config.compute, plan.space, packed, plan.directory, store)
    confirmation = Confirmation(plan.config, plan.directory, packed, budget=0, slots=1)
    plan.directory.mkdir()
    records = Records(plan.directory, plan.config, plan.space)
    with _reuse_store(ready, records, confirmation, TrainingData("", (48, 48), 8)):
        pass
    assert [entry.key for entry in store.entries()] == [f"3f{WEIGHTS}"]
    assert plan_study(plan.config, plan.directory).config == plan.config  # it can go on


@pytest.mark.long("more trials")
def test_a_study_leaves_its_results_and_goes_on_when_asked_for_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "small.yaml")
    assert search(config) == 0
    printed = capsys.readouterr().out
    directory = tmp_path / "studies" / "small"
    assert "Best of single runs: trial" in printed and "Not decided" in printed
    assert re.search(rf"^MLflow: .*tune[-_]seg ui {re.escape(str(directory))}$", printed, re.MULTILINE)
    rows = results(config)
    assert [row["trial"] for row in rows] == [0, 1, 2, 3]
    assert (rows[0]["loss"], rows[0]["state"], rows[0]["epochs"]) == ("ce acw" if rows[0]["acw"] else "ce", "completed", 3)
    assert {row["state"] for row in rows} <= {"completed", "pruned"}
    assert all(row["epochs"] == 3 for row in rows if row["state"] == "completed")
    assert all(0 < row["accuracy"] < 1 and row["seconds"] > 0 for row in rows)
    assert not list(directory.glob(".ray-*"))
    assert all(Path(row["checkpoint"]).is_file() for row in rows if row["state"] == "completed")

    # continued with two trials more, from the file that the study itself has written
    assert (
        main([str(directory / "study.yaml"), "--studies", str(tmp_path / "studies"), "--study", "small", "--trials", "6"])
        == 0
    )
    more = results(config)
    assert more[:4] == rows or [scores(a) == scores(b) for a, b in zip(more, rows, strict=False)]
    assert [row["trial"] for row in more] == list(range(6))
    assert mlflow_trials(directory) == list(range(6))
    tables = ["configurations.parquet", "report.html", "report.md", "results.parquet"]
    assert mlflow_artifacts(directory) == ["classes.png", *tables, "study.yaml"]

    # the same study under another configuration is rejected, and nothing of it changes
    before = (directory / "results.parquet").read_bytes()
    assert search(config, "--trials", "6", "--set", "training.lr=0.5") == 2
    assert "training.lr: 0.001 in the study, 0.5 now" in capsys.readouterr().err
    assert (directory / "results.parquet").read_bytes() == before


@pytest.mark.long("actors")
def test_a_trial_does_not_depend_on_the_actor_or_on_what_it_ran_before(tmp_path: Path) -> None:
    grid: dict[str, list[Any]] = {"loss.end": ["ce", "dice", "dual_focal"], "acw": [True, False]}
    orders = {
        "forward": {key: {"choice": values} for key, values in grid.items()},
        "shuffled": {key: {"choice": values[::-1]} for key, values in reversed(grid.items())},
    }
    seen: dict[str, dict[Any, Any]] = {}
    for name, space in orders.items():
        grid_search = {"sampler": "grid", "trials": 6, "early_stopping": {"kind": "none"}}
        values = {"space": space, "baselines": [], "search": grid_search}
        config = write_config(tmp_path / f"{name}.yaml", **values)
        assert search(config, "--max-concurrent", "1" if name == "forward" else "2", "--epochs", "2") == 0
        seen[name] = {row["loss"]: scores(row) for row in results(config)}
    assert len(seen["forward"]) == 6
    assert seen["forward"].keys() == seen["shuffled"].keys()
    for loss, expected in seen["forward"].items():
        np.testing.assert_equal(seen["shuffled"][loss], expected)  # to the last bit, with nan equal to nan


@pytest.mark.long("keyframes")
def test_a_study_searches_the_keyframes_of_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    falling = [{"at": 0.0, "weight": 1.0}, {"at": 0.4, "weight": 0.5, "move": "cosine"}, {"at": 0.9, "weight": 0.0}]
    loss = {
        "kind": "program",
        "components": {
            "overlap": {"loss": "wdice", "keyframes": falling},
            "entropy": {"loss": "focal", "weight": 1.0},
            "more": {"loss": "dual_focal", "keyframes": [{"at": 0.5, "weight": 0.0}, {"at": 1.0, "weight": 0.25}]},
        },
    }
    at = "loss.components.overlap.keyframes.1.at"
    move = "loss.components.overlap.keyframes.1.move"
    space = {
        at: {"float": [0.1, 0.5]},
        move: {"grid": ["hold", "oscillating"]},
        "loss.components.overlap.keyframes.1.cycles": {"int": [2, 3], "when": {move: ["oscillating"]}},
        "loss.components.overlap.keyframes.2.at": {"float": [f"{at} + 0.1", 1.0]},
        "loss.components.entropy.params.gamma": {"float": [0.5, 5.0]},
        "acw": {"grid": [True, False]},
        "acw_options.positive": {"choice": [True, False], "when": {"acw": [True]}},
    }
    config = write_config(tmp_path / "program.yaml", loss=loss, space=space, baselines=[{at: 0.25, move: "hold"}])
    early = ("--set", "search.early_stopping.kind=none", "--epochs", "2")
    assert search(config, *early, "--trials", "5") == 0
    assert "focal+dual_focal*+wdice*" in capsys.readouterr().out
    rows = results(config)
    assert [row["state"] for row in rows] == ["completed"] * 5
    assert (rows[0][at], rows[0][move]) == (0.25, "hold")
    assert len({row[at] for row in rows}) == 5
    assert {(row[move], row["acw"]) for row in rows[1:]} == {(m, a) for m in ("hold", "oscillating") for a in (True, False)}
    for row in rows:
        assert row["loss.components.overlap.keyframes.2.at"] >= row[at] + 0.1
        assert "loss.gamma" not in row
        assert row["acw_weight"] is None if not row["acw"] else len(row["acw_weight"]) == len(row["class_recall"])

    directory = tmp_path / "studies" / "program"
    client = MlflowClient(default_uri(directory))
    experiment = client.get_experiment_by_name("program")
    assert experiment is not None
    children = client.search_runs([experiment.experiment_id], "tags.`tune_seg.trial` != ''")
    for run in children:
        row = rows[int(run.data.tags["tune_seg.trial"])]
        weights = {name for name in run.data.metrics if name.startswith("weight/") and "/acw/" not in name}
        assert weights == {"weight/overlap", "weight/entropy", "weight/more"}
        learnt = [value for name, value in run.data.metrics.items() if name.startswith("weight/acw/")]
        assert sorted(learnt) == sorted(float(f"{weight:.5g}") for weight in row["acw_weight"] or [])
        assert run.data.params[at] == f"{row[at]:.4g}"
    # the file that the study has written describes it, keyframes and all
    assert (
        main([str(directory / "study.yaml"), "--studies", str(directory.parent), "--study", "program", "--trials", "6"]) == 0
    )
    assert len(results(config)) == 6


def test_losses_that_cannot_take_the_classes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = {"loss.end": {"choice": ["ce", "sigmoid_focal"]}}
    config = write_config(tmp_path / "classes.yaml", space=space, baselines=[])
    assert search(config) == 2
    assert "error: loss.end: loss 'sigmoid_focal': num_classes = 10 is not possible; it takes at most 2" in (
        capsys.readouterr().err
    )


def test_losses_that_cannot_take_the_classes_are_refused_before_an_image_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "mine"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
        for stem in "abcd":
            (root / part / f"{stem}.png").write_bytes(b"no image")
    message = "loss.end: loss 'sigmoid_ce': num_classes = 3 is not possible; it takes at most 2"
    space = {"loss.end": {"choice": ["ce", "sigmoid_ce"]}}
    data = {"size": [48, 48], "classes": ["x", "y", "z"]}
    config = write_config(tmp_path / "early.yaml", space=space, baselines=[], data=data)
    for options in (["--dry-run"], []):
        assert search(config, "--data", str(root), *options) == 2
        assert message in (printed := capsys.readouterr()).err
        assert "no image" not in printed.err and "loss.end: choice" not in printed.out
    assert not (tmp_path / "studies").exists()
    # two classes it takes
    data["classes"] = ["x", "y"]
    write_config(config, space=space, baselines=[], data=data)
    assert search(config, "--data", str(root), "--dry-run") == 2
    assert message not in (printed := capsys.readouterr()).err and "a.png: cannot be read as an image" in printed.err
    # and where the masks tell how many classes there are, they must be read first
    del data["classes"]
    write_config(config, space=space, baselines=[], data=data)
    assert search(config, "--data", str(root), "--dry-run") == 2
    assert message not in (printed := capsys.readouterr()).err and "a.png: cannot be read as an image" in printed.err


@pytest.mark.long("stopped halfway")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_study_stopped_halfway_and_run_again_has_every_trial_once(tmp_path: Path, sent: signal.Signals) -> None:
    # with two slots, one trial runs when the other has ended
    longer = {"training": SMALL["training"] | {"epochs": 6}, "compute": {"max_concurrent": 2}}
    config = write_config(tmp_path / "stopped.yaml", **longer)
    directory = tmp_path / "studies" / "stopped"
    command = [sys.executable, "-m", "tune_seg.search", str(config), "--studies", str(tmp_path / "studies")]
    command += ["--set", "search.early_stopping.kind=none"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("[1/4]"):
            if sent == signal.SIGINT:
                os.killpg(process.pid, sent)  # what Ctrl-C does: the whole foreground group gets it
            else:
                process.send_signal(sent)
            break
    printed += process.stdout.read()
    assert process.wait(60) == 130, printed
    assert printed.count("Ctrl-C: finishing the epoch; what was computed is kept.") == 1
    assert "run the same command again to continue" in printed
    assert f"Report: {directory / 'report.html'}" in printed and (directory / "report.html").is_file()
    half = results(config)
    assert {"completed", "running"} == {row["state"] for row in half}
    finished = {row["trial"]: scores(row) for row in half if row["state"] == "completed"}

    assert subprocess.run(command, capture_output=True, text=True).returncode == 0
    rows = results(config)
    assert [row["trial"] for row in rows] == [0, 1, 2, 3]
    assert {(row["state"], row["epochs"]) for row in rows} == {("completed", 6)}
    for number, expected in finished.items():
        np.testing.assert_equal(scores(rows[number]), expected)
    for row in half:  # nothing that was computed is computed again
        if row["state"] == "running":
            assert rows[row["trial"]]["epochs_replayed"] >= row["epochs"]
    assert mlflow_trials(directory) == [0, 1, 2, 3]


@pytest.mark.long("several objectives")
def test_several_objectives_give_a_pareto_front_and_stop_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "pareto.yaml", objective=["recall", "calibration"])
    assert search(config, "--trials", "3", "--epochs", "2") == 0
    assert "Pareto front over recall, calibration: trial" in capsys.readouterr().out
    assert {row["state"] for row in results(config)} == {"completed"}


def test_a_dry_run_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "dry.yaml")
    assert search(config, "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "loss.gamma: float [0.5, 5] when loss.end in [focal]" in printed
    assert printed.count("'loss.kind':") == 5
    assert "training steps: 6 per trial, up to 24 in all\n" in printed
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            ["--gpus-per-trial", "64"],
            "compute.gpus_per_trial: a trial asks for 64 GPUs; the machines have",
            marks=pytest.mark.long("too many GPUs"),  # Ray starts, as it does for the next
        ),
        (["--cpus-per-trial", "4096"], "compute.cpus_per_trial: a trial asks for 4096 CPUs"),
        (["--set", "model.encoder=resnet19"], "model.encoder: unknown name 'resnet19'"),
        (["--set", "model.weights=no/such.pt"], "no/such.pt: cannot be read (No such file or directory); allowed are none,"),
        (
            ["--set", "compute.gpus_per_trial=-1"],
            "compute.gpus_per_trial: -1 is not possible; allowed: a number ≥ 0 or auto",
        ),
        (["--address", "127.0.0.1:1"], "compute.address 127.0.0.1:1: no Ray cluster answers there"),
        (["--set", "search.sampler=best"], "search.sampler: unknown name 'best'"),
        (["--set", "data.content=abcd"], "data.content: the study was made with data abcd"),
        (["--set", "space.loss.alpha={choice: [[1, 2]]}", "--set", "loss.end=focal"], "alpha = (1.0, 2.0) has 2 values"),
        (["--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_bad_input_is_refused_before_a_trial_starts(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "bad.yaml")
    assert search(config, *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "studies" / "bad" / "trials.journal").exists()


def test_a_number_of_gpus_that_is_none_is_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        search(write_config(tmp_path / "bad.yaml"), "--gpus-per-trial", "abc")
    assert "--gpus-per-trial: 'abc' is not possible; allowed: a number or auto" in capsys.readouterr().err


def test_a_study_directory_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "unwritable.yaml")
    (tmp_path / "studies").write_text("a file where the folder should be")
    assert search(config) == 2
    assert "study directory" in (printed := capsys.readouterr().err) and "cannot be written" in printed


def test_a_study_that_another_process_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "busy.yaml")
    directory = tmp_path / "studies" / "busy"
    directory.mkdir(parents=True)
    holder = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holder, str(directory / ".lock")], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        assert search(config) == 2
        assert "is in use by another process" in capsys.readouterr().err
    finally:
        process.kill()
        process.wait()


@pytest.mark.long("bad files")
def test_every_bad_file_is_named_at_once_and_keeps_no_other_data_set_of_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for root in (tmp_path / "bad", tmp_path / "good"):
        for part in ("images", "masks"):
            (root / part).mkdir(parents=True)
        for stem in "abcdef":
            Image.fromarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)).save(root / "images" / f"{stem}.png")
            Image.fromarray(rng.integers(0, 3, (48, 48), dtype=np.uint8)).save(root / "masks" / f"{stem}.png")
    bad = tmp_path / "bad"
    (bad / "masks" / "a.png").unlink()
    Image.fromarray(np.zeros((20, 48), dtype=np.uint8)).save(bad / "masks" / "b.png")
    Image.fromarray(np.full((48, 48), 7, dtype=np.uint8)).save(bad / "masks" / "c.png")
    whole = (bad / "images" / "d.png").read_bytes()
    (bad / "images" / "d.png").write_bytes(whole[: len(whole) // 2])
    table = {"paper": "hossain_table3", "datasets": {"MRI": {}, "TRUS": {}}, "rows": {"CE": {"loss.end": "ce"}}}
    data = {"size": [48, 48], "classes": ["x", "y", "z"]}
    config = write_config(tmp_path / "table.yaml", **table, data=data, space={}, baselines=[])
    handler = signal.getsignal(signal.SIGINT)
    options = ["--epochs", "1", "--trials", "1"]
    assert search(config, f"--data=MRI={bad}", f"--data=TRUS={tmp_path / 'good'}", *options) == 2
    printed = capsys.readouterr()
    assert "error: table_mri: " in printed.err
    for stem in "abcd":
        assert f"{stem}.png" in printed.err
    assert "e.png" not in printed.err
    assert not (tmp_path / "studies" / "table_mri" / "trials.journal").exists()
    assert [row["row"] for row in results(config, "table_trus")] == ["CE"]
    assert "Table 3: over different datasets; TRUS" in printed.out and "; MRI" not in printed.out
    assert signal.getsignal(signal.SIGINT) is handler  # the next Ctrl-C is no longer Ray Tune's

    # a study that cannot be continued is known before any other goes on
    assert search(config, f"--data=MRI={tmp_path / 'good'}", f"--data=TRUS={tmp_path / 'good'}", "--epochs", "2") == 2
    assert "table_trus holds a study with a different configuration" in capsys.readouterr().err.replace("\n", "")
    assert not (tmp_path / "studies" / "table_mri" / "trials.journal").exists()


@pytest.mark.long("failing trials")
def test_trials_that_fail_leave_the_others_and_their_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # batch normalisation over one pixel, at the bottom of this network, fails in the worker where the batch is one image
    space = {"training.batch_size": {"grid": [4, 1]}}
    config = write_config(tmp_path / "failing.yaml", space=space, baselines=[], model={"architecture": "DeepLabV3Plus"})
    assert search(config, "--trials", "2", "--epochs", "1") == 1
    assert "Trial 1 failed: ValueError: Expected more than 1 value per channel" in capsys.readouterr().out
    good, bad = results(config)
    assert (good["state"], bad["state"]) == ("completed", "failed")
    assert "Expected more than 1 value per channel" in bad["error"]


@pytest.mark.long("lost worker")
def test_a_trial_that_loses_its_worker_begins_again(tmp_path: Path) -> None:
    space = {"training.seed": {"grid": [0, 1]}}
    config = write_config(tmp_path / "lost.yaml", space=space, baselines=[], training=SMALL["training"] | {"epochs": 40})
    command = [sys.executable, "-m", "tune_seg.search", str(config), "--studies", str(tmp_path / "studies")]
    command += ["--trials", "1", "--set", "search.early_stopping.kind=none"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 180
        while not trial_workers(process.pid):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(1)  # some epochs
        while not (workers := trial_workers(process.pid)):  # between two epochs Ray gives it another name
            assert process.poll() is None
        os.kill(workers[0], signal.SIGKILL)
        printed, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, printed
    assert "failed" not in printed
    (row,) = results(config)
    assert (row["state"], row["epochs"]) == ("completed", 40)
    client = MlflowClient(default_uri(tmp_path / "studies" / "lost"))
    (run,) = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()], "tags.`tune_seg.trial` = '0'"
    )
    assert run.info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "s_rec")] == list(range(1, 41))


def trial_workers(driver: int) -> list[int]:
    """The processes in which Ray trains trials for the process `driver`; Ray names them after what they are doing."""
    parents = {}
    names = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                names[int(entry.name)] = (entry / "cmdline").read_text()
            except OSError:
                continue  # it has ended meanwhile

    def descends(process: int) -> bool:
        return process == driver or (process in parents and descends(parents[process]))

    return [
        process for process, name in names.items() if name.startswith("ray::ResourceTrainable.train") and descends(process)
    ]


@pytest.mark.long("every trial fails")
def test_a_study_whose_every_trial_fails_gives_up(tmp_path: Path) -> None:
    space = {"training.seed": {"grid": list(range(20))}}
    training = {"batch_size": 1, "epochs": 1}
    config = write_config(
        tmp_path / "hopeless.yaml", space=space, baselines=[], training=training, model={"architecture": "DeepLabV3Plus"}
    )
    assert search(config, "--trials", "20") == 1
    assert len(results(config)) <= 5


def test_slots_follow_the_machines() -> None:
    nodes = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 3.0}]
    allotted = cluster.allot(ComputeConfig(cpus_per_trial=2), "auto", nodes)
    assert (allotted.gpus_per_trial, allotted.max_concurrent) == (1.0, 2)
    assert cluster.allot(ComputeConfig(cpus_per_trial=2, gpus_per_trial=0.0), "auto", nodes).max_concurrent == 5
    assert cluster.allot(ComputeConfig(gpus_per_trial=0.4), "auto", nodes).max_concurrent == 4
    assert cluster.allot(ComputeConfig(gpus_per_trial=0.25), "auto", nodes).max_concurrent == 8
    assert cluster.allot(ComputeConfig(max_concurrent=3), "auto", nodes).max_concurrent == 2
    with pytest.raises(InputError, match=r"above 1 it must be a whole number, got 1.5"):
        cluster.allot(ComputeConfig(gpus_per_trial=1.5), "auto", nodes)
    with pytest.raises(
        InputError, match=r"asks for 3 GPUs; the machines have 8 CPUs and 2 GPUs; 3 CPUs and 0 GPUs\. Lower it"
    ):
        cluster.allot(ComputeConfig(gpus_per_trial=3.0), "auto", nodes)
    with pytest.raises(InputError, match=r"no machine has 4 CPUs and 1 GPUs together; .* Lower compute\.cpus_per_trial"):
        cluster.allot(ComputeConfig(cpus_per_trial=4), "auto", [{"CPU": 8.0}, {"CPU": 2.0, "GPU": 1.0}])
    assert cluster.allot(ComputeConfig(), "cpu", nodes).gpus_per_trial == 0.0
    with pytest.raises(
        InputError, match=r"training.device cuda does not go with 0 GPUs a trial: .* Set training.device to auto"
    ):
        cluster.allot(ComputeConfig(), "cuda", [{"CPU": 2.0}])


@contextmanager
def running_cluster(directory: Path) -> Iterator[str]:
    """A Ray head node of two CPUs in a session of its own, as an administrator starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", f"--object-store-memory={100 * 2**20}"]
    with open(directory / "ray.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while "Ray runtime started" not in (directory / "ray.log").read_text():
            assert process.poll() is None and time.monotonic() < deadline, (directory / "ray.log").read_text()
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


@pytest.mark.long("cluster")
def test_a_study_runs_on_a_running_cluster(tmp_path: Path) -> None:
    config = write_config(tmp_path / "cluster.yaml")
    with running_cluster(tmp_path) as address:
        for trials in ("2", "3"):  # the cluster is still there after the first study has left it
            command = [sys.executable, "-m", "tune_seg.search", str(config), "--studies", str(tmp_path / "studies")]
            command += ["--address", address, "--trials", trials, "--epochs", "2"]
            done = subprocess.run(command, env={**os.environ, "RAY_AUTH_MODE": "token"}, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
    assert [row["trial"] for row in results(config)] == [0, 1, 2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_study_uses_the_gpu_that_is_there(tmp_path: Path) -> None:
    config = write_config(tmp_path / "gpu.yaml")
    assert search(config, "--gpus-per-trial", "0.5", "--trials", "2") == 0
    assert {row["state"] for row in results(config)} <= {"completed", "pruned"}
