"""The script for a GPU, run for real on the CPU: a little of everything, in processes without Ray, Optuna and MLflow."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support import CHECKOUT
from tests.support.image_files import numbers, photo, write_image
from tune_seg.config import DataConfig, TrialConfig, parse
from tune_seg.data import pack, read

pytestmark = pytest.mark.long("gpu bench")

ROOT = CHECKOUT
BENCH = ROOT / "scripts" / "bench"
PHASES = ["correct", "step", "losses", "share", "papers", "record"]
ABSENT = ("ray", "optuna", "mlflow")
Smoke = tuple[Path, str, dict[str, Any]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the study's libraries cannot be imported, and one thread computes."""
    folder: Path = tmp_path_factory.mktemp("absent")
    for name in ABSENT:
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} is not on this machine')")
    return {**os.environ, "PYTHONPATH": f"{folder}", "OMP_NUM_THREADS": "1"}


def gpu(environment: dict[str, str], out: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    """The exit status, what was printed, and `gpu.json`."""
    command = [sys.executable, str(BENCH / "gpu.py"), "--device", "cpu", "--smoke", "--out", str(out), *options]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = json.loads((out / "gpu.json").read_text(), parse_constant=_no_number)["phases"]
    return ended.returncode, ended.stdout + ended.stderr, found


def _no_number(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Smoke:
    """The folder that all phases were run into, what they printed, and what they found. Tests leave the folder alone."""
    folder: Path = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers: one of them runs it
    out, said = folder / "gpu", folder / "gpu.txt"
    with (folder / "gpu.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.is_file():
            # so many seconds that on a busy machine nothing is cut short
            status, printed, _ = gpu(environment, out, "--seconds", "3000")
            assert status == 0, printed
            said.write_text(printed)
    return out, said.read_text(), json.loads((out / "gpu.json").read_text())["phases"]


def test_every_phase_runs_to_its_end(smoke: Smoke) -> None:
    _, printed, phases = smoke
    assert list(phases) == PHASES
    assert {phase: entry["status"] for phase, entry in phases.items()} == dict.fromkeys(PHASES, "ok")
    *_, last = printed.split("| phase | status |")
    assert [line.split(" | ")[:2] for line in last.splitlines()[2:]] == [[f"| {phase}", "ok"] for phase in PHASES]


def test_the_study_layer_is_absent(environment: dict[str, str]) -> None:
    """Or the runs above would show nothing."""
    for name in ABSENT:
        ended = subprocess.run([sys.executable, "-c", f"import {name}"], env=environment, capture_output=True, text=True)
        assert f"{name} is not on this machine" in ended.stderr


def test_correct_runs_tests_and_trainings_that_agree(smoke: Smoke) -> None:
    found = smoke[2]["correct"]["result"]
    assert found["tests"]["passed"] > 5 and found["tests"]["failed"] == []
    assert len(found["comparisons"]) == 4
    for comparison in found["comparisons"]:  # on a CPU to the last bit
        assert (comparison["loss"], comparison["metric"], comparison["weights"], comparison["within"]) == (0, 0, 0, True)


def test_step_measures_every_loop(smoke: Smoke) -> None:
    found = smoke[2]["step"]["result"]
    assert found["bandwidth"] > 0
    unet, deeplab = found["steps"]
    assert (unet["architecture"], deeplab["architecture"]) == ("Unet", "DeepLabV3Plus")
    assert unet["ours"] > 0 and unet["eager"] > 0 and unet["compiled"] > 0
    assert unet["compiled/ours"] == pytest.approx(unet["compiled"] / unet["ours"])
    (epoch,) = found["epochs"]
    assert epoch["steps"] > epoch["of it, batches on the host"] > 0 and epoch["evaluation"] > 0


def test_losses_are_compared_with_cross_entropy_and_with_the_bandwidth(smoke: Smoke) -> None:
    found = smoke[2]["losses"]["result"]
    assert [row["loss"] for row in found["losses"]] == ["ce", "dual_focal", "dice"]
    for row in found["losses"]:
        small = row["small"]
        logits = 4 * np.prod(small["shape"])
        assert small["passes"] == pytest.approx(small["ms"] / 1e3 / (2 * logits / found["bandwidth"]))
        assert row["deviation"] < 1e-5 and row["eager ratio"] > 0 and small["not recorded"] == "a CPU"


def test_share_measures_processes_and_threads(smoke: Smoke) -> None:
    found = smoke[2]["share"]["result"]
    assert [(entry["as"], entry["copies"]) for entry in found["measurements"]] == [
        ("processes", 1),
        ("processes", 2),
        ("threads", 1),
        ("threads", 2),
    ]
    assert all(entry["images_per_second"] > 0 and entry["peak_bytes"] > 0 for entry in found["measurements"])
    assert found["auto"] in (1.0, 0.5) and found["workers"] == 1 / found["auto"]


def test_papers_prints_the_tables_and_trains_a_row_of_both_once(smoke: Smoke) -> None:
    out, printed, phases = smoke
    found = phases["papers"]["result"]
    rows = {(run["table"], run["row"]): run["mdice"] for run in found["runs"]}
    assert rows["hossain_table3", "ADFL"] == rows["hossain_table5", "ADFL"]
    assert rows["hossain_table3", "CE"] != rows["hossain_table5", "ACW+CE"]
    assert len(rows) == 9 and found["trained"] == 8
    assert len(pq.read_table(out / "papers.parquet")) == 8  # of one epoch each
    for what in (
        "Table 3: over different datasets",
        "Table 5: the combination of ACW layer and DFL",
        "Table 1: loss functions",
    ):
        assert what in printed
    assert "│ ADFL   │  1/1 │ 67.84 │" in printed


def test_record_has_a_row_an_epoch_with_calibrated_scores(smoke: Smoke) -> None:
    rows = pq.read_table(smoke[0] / "record.parquet").to_pylist()
    assert sorted((row["name"], row["seed"], row["epoch"]) for row in rows) == [  # the shorter training may end first
        ("ce", 0, 1),
        ("ce", 0, 2),
        ("wce", 0, 1),
        ("wce", 0, 2),
    ]
    assert len({row["training"] for row in rows}) == len({row["configuration"] for row in rows}) == 2
    for row in rows:
        assert 0 <= row["accuracy"] <= 1 and row["temperature/T"] > 0 and row["weights/end"] == 1
        assert np.isfinite(row["temperature/s_rec"]) and len(row["class_recall"]) == 10
        parse(TrialConfig, json.loads(row["trial"]))


def test_record_goes_on_and_trains_nothing_twice(smoke: Smoke, environment: dict[str, str], tmp_path: Path) -> None:
    _, _, before = smoke
    out = shutil.copytree(smoke[0], tmp_path / "gpu")
    rows = pq.read_table(out / "record.parquet").to_pylist()
    status, printed, phases = gpu(environment, out, "--phases", "record", "--seeds", "2")
    assert status == 0, printed
    found = phases["record"]["result"]
    assert (found["taken_over"], found["trained"]) == (2, 2)
    now = pq.read_table(out / "record.parquet").to_pylist()
    assert json.dumps(now[: len(rows)]) == json.dumps(rows)
    assert [row["seed"] for row in now] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert {row["configuration"] for row in now} == {row["configuration"] for row in rows}
    assert [phases[phase] for phase in PHASES[:-1]] == [before[phase] for phase in PHASES[:-1]]


def test_trainings_that_are_all_there_already_are_not_run_again(
    smoke: Smoke, environment: dict[str, str], tmp_path: Path
) -> None:
    out = shutil.copytree(smoke[0], tmp_path / "gpu")
    rows = (out / "record.parquet").read_bytes()
    status, printed, phases = gpu(environment, out, "--phases", "record")
    assert status == 0, printed
    found = phases["record"]["result"]
    assert phases["record"]["status"] == "ok" and (found["taken_over"], found["trained"], found["rows"]) == (2, 0, 4)
    assert (out / "record.parquet").read_bytes() == rows


def test_a_phase_that_fails_leaves_its_traceback_and_the_others_run(environment: dict[str, str], tmp_path: Path) -> None:
    damaged = tmp_path / "1234.arrow.xz"
    damaged.write_bytes(b"no pack")
    status, printed, phases = gpu(environment, tmp_path, "--phases", "losses,papers,record", "--pack", str(damaged))
    assert status == 0
    assert [phases[phase]["status"] for phase in PHASES[2:]] == ["ok", "not started", "failed", "failed"]
    assert "no compressed pack" in phases["papers"]["traceback"] and "Traceback" in phases["papers"]["traceback"]
    assert phases["record"]["result"] == {}
    assert "| papers | failed |" in printed


def test_a_training_that_fails_is_named_and_the_others_go_on(environment: dict[str, str], tmp_path: Path) -> None:
    configurations = tmp_path / "list.yaml"
    configurations.write_text("base: {loss: {end: ce}}\ntrials: {wrong: {loss: {end: sigmoid_ce}}, right: {acw: true}}\n")
    status, printed, phases = gpu(environment, tmp_path, "--phases", "record", "--configurations", str(configurations))
    assert status == 0
    (failure,) = phases["record"]["result"]["failed"]
    assert failure["name"] == "wrong" and "Traceback" in failure["traceback"]
    assert "failed: wrong" in printed
    assert {row["name"] for row in pq.read_table(tmp_path / "record.parquet").to_pylist()} == {"right"}


def test_a_worker_that_dies_ends_the_trainings_and_not_the_phase(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text("import os\ndef loss(num_classes, *, ignore_index=255): os._exit(1)\n")
    configurations = tmp_path / "list.yaml"
    configurations.write_text("trials: {good: {loss: {end: ce}}, deadly: {loss: {end: 'deadly:loss'}}, last: {acw: true}}\n")
    paths = {**environment, "PYTHONPATH": f"{environment['PYTHONPATH']}{os.pathsep}{tmp_path}"}
    status, printed, phases = gpu(paths, tmp_path, "--phases", "record", "--configurations", str(configurations))
    assert status == 0, printed
    entry = phases["record"]
    (failure,) = entry["result"]["failed"]
    assert failure["name"] == "a worker died" and "BrokenProcessPool" in failure["traceback"]
    assert [name.split()[0] for name in entry["result"]["lacking"]] == ["deadly", "last"]
    assert entry["result"]["summary"].startswith("1 of 3 trainings recorded, 1 of them now")
    assert {row["name"] for row in pq.read_table(tmp_path / "record.parquet").to_pylist()} == {"good"}


def test_a_phase_ends_at_its_limit_and_a_run_of_which_nothing_came_says_so(
    environment: dict[str, str], tmp_path: Path
) -> None:
    status, _, phases = gpu(environment, tmp_path, "--phases", "share", "--seconds", "0.5")
    assert status == 1
    assert phases["share"]["status"] == "out of time"


def test_trainings_are_not_waited_for_when_the_time_is_over(environment: dict[str, str], tmp_path: Path) -> None:
    """The phase ends by itself, with what it has, before its process is ended."""
    configurations = tmp_path / "list.yaml"
    configurations.write_text("trials: {quick: {acw: true}}\n")
    options = ("--phases", "record", "--configurations", str(configurations), "--seeds", "1000")
    status, printed, phases = gpu(environment, tmp_path, *options, "--seconds", "25")
    assert status == 0, printed
    found = phases["record"]["result"]
    assert phases["record"]["status"] == "out of time"
    assert found["trained"] + len(found["lacking"]) == 1000 and found["lacking"]


def test_an_end_to_a_process_is_one_to_what_it_has_started(environment: dict[str, str]) -> None:
    """As for pytest, whose workers would go on."""
    code = "import sys; from gpu_phases.correct import _kill; _kill(int(sys.argv[1]))"
    with subprocess.Popen(["sh", "-c", "(sleep 600 & wait) & sleep 600 & wait"]) as process:
        while len(children := _offspring(process.pid)) < 3:
            time.sleep(0.05)
        paths = {**environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{BENCH}"}
        subprocess.run([sys.executable, "-c", code, str(process.pid)], env=paths, check=True)
    assert _end(children)


def test_a_signal_ends_what_runs_and_the_table_is_printed(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "gpu.py"), "--device", "cpu", "--smoke", "--out", str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while not (found := _correct(tmp_path)).get("result") and process.poll() is None:
            time.sleep(0.05)
        assert found["status"] == "running" and found["result"]["machine"]
        children = _offspring(process.pid)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate()
    assert process.returncode == 130
    assert "| correct | interrupted |" in printed and "| step | not started |" in printed
    assert children and _end(children)


def _correct(out: Path) -> dict[str, Any]:
    """What is known of the phase now."""
    file = out / "gpu.json"
    found: dict[str, Any] = json.loads(file.read_text())["phases"]["correct"] if file.is_file() else {}
    return found


def _end(pids: list[int]) -> bool:
    """Whether all processes end within a minute; one that nobody has waited for has."""
    files = [Path(f"/proc/{pid}/stat") for pid in pids]
    for _ in range(600):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may go while it is looked at
            if all(not file.exists() or file.read_text().rpartition(")")[2].split()[0] == "Z" for file in files):
                return True
        time.sleep(0.1)
    return False


def _offspring(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(each for child in children for each in _offspring(child))]


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """Sixteen small images in CamVid's layout."""
    root = tmp_path / "CamVid"
    for split, images in (("train", 10), ("val", 6)):
        for number in range(images):
            write_image(root / split / f"{split}{number}.png", photo(40, 48))
            write_image(root / f"{split}annot" / f"{split}{number}.png", numbers([0, 3, 9, 10], 40, 48))
    return root


def test_a_compressed_pack_gives_the_pack_back(environment: dict[str, str], camvid: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "gpu_pack.py"), str(camvid), str(tmp_path / "packed")]
    ended = subprocess.run(
        command, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr  # it compares the bytes
    assert "16 images of 224 x 224, training and validation by fold: 15 + 1, 15 + 1, 15 + 1" in ended.stdout
    assert [path.suffixes for path in (tmp_path / "packed").iterdir()] == [[".arrow", ".xz"]]


def test_papers_trains_every_fold_of_a_pack_that_was_carried_along(
    environment: dict[str, str], camvid: Path, tmp_path: Path
) -> None:
    split = {"folds": 3, "val_fraction": 0.2}
    config = parse(DataConfig, {"root": camvid, "size": (32, 32), "split": split, "options": {"classes": 11}})
    packed = pack(read(config), tmp_path, config.size)
    code = "import sys; from pathlib import Path; from gpu_pack import compress; print(compress(*map(Path, sys.argv[1:])))"
    paths = {**environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{BENCH}"}
    ended = subprocess.run(
        [sys.executable, "-c", code, packed, tmp_path], env=paths, capture_output=True, text=True, check=True
    )
    status, printed, phases = gpu(environment, tmp_path / "out", "--phases", "papers", "--pack", ended.stdout.strip())
    assert status == 0, printed
    found = phases["papers"]["result"]
    assert found["trained"] == 3 * 6 + 2
    assert [run["fold"] for run in found["runs"]] == [*([0] * 7), *([1] * 7), *([2] * 7), None, None]
    assert "│ ADFL   │  3/3 │ 67.84 │" in printed
