"""MLflow's UI of a study that was trained: a real server, what Chromium shows of it, and the models that MLflow loads."""

import html
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

import tune_seg
from tests.support import CHECKOUT
from tune_seg.errors import InputError
from tune_seg.study.configuration import load_config
from tune_seg.study.exporting import PLAIN, model_file
from tune_seg.study.mlflow_ui import StudyUi, serving, usable_port
from tune_seg.study.output.mlflow_store import default_uri

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def original(rows_study: Path) -> Path:
    return rows_study.parent / "studies" / "rows"


@pytest.fixture
def moved(original: Path, tmp_path: Path) -> Path:
    """A copy of the study under another name, in another folder."""
    return Path(shutil.copytree(original, tmp_path / "moved study"))


def parent_of(directory: Path) -> Run:
    client = MlflowClient(default_uri(directory))
    (experiment,) = client.search_experiments()
    (parent,) = (run for run in client.search_runs([experiment.experiment_id]) if "tune_seg.trial" not in run.data.tags)
    return parent


def test_a_study_that_was_moved_is_found_with_its_files(moved: Path) -> None:
    ui = StudyUi(moved)
    client = MlflowClient(default_uri(moved))
    (experiment,) = client.search_experiments()
    assert (experiment.name, experiment.experiment_id) == ("moved study", ui.experiment)
    parent = parent_of(moved)
    assert client.list_artifacts(parent.info.run_id, "predictions")
    assert {"results.parquet", "study.yaml"} <= {each.path for each in client.list_artifacts(parent.info.run_id)}
    assert parent.info.artifact_uri.startswith(f"{(moved / 'artifacts').as_uri()}/")
    models = client.search_logged_models([ui.experiment])
    assert models and all(each.artifact_location.startswith(f"{(moved / 'artifacts').as_uri()}/") for each in models)


def test_mlflow_loads_the_models_of_a_study(original: Path, moved: Path) -> None:
    StudyUi(moved)
    mlflow.set_tracking_uri(default_uri(moved))
    loaded = mlflow.pyfunc.load_model(f"runs:/{parent_of(moved).info.run_id}/{PLAIN}")
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), np.uint8)
    expected = tune_seg.load_model(model_file(moved, PLAIN))
    found = loaded.predict(images)
    assert np.array_equal(found, np.stack([expected.probabilities(image) for image in images]))
    assert found.shape == (2, len(expected.class_names), 40, 56)
    assert loaded.predict(loaded.input_example).shape[1] == len(expected.class_names)
    copies = list((original / "artifacts").rglob(model_file(original, PLAIN).name))
    assert [copy.samefile(model_file(original, PLAIN)) for copy in copies] == [True]  # on the disk once
    assert not list((original / "artifacts").rglob("*.pkl"))


def test_a_folder_that_mlflow_has_nothing_of_is_said(moved: Path) -> None:
    (moved / "mlflow.db").unlink()
    with pytest.raises(InputError, match=r"mlflow\.db is not there yet"):
        StudyUi(moved)
    (moved / "mlflow.db").write_text("nothing")
    with pytest.raises(InputError, match=r"MLflow's store sqlite:.* cannot be read \("):
        StudyUi(moved)


def test_a_port_that_is_taken_gives_way_to_a_free_one() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = other.getsockname()[1]
        assert usable_port(taken) not in (0, taken)
    assert usable_port(taken) == taken


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    port = usable_port(0)
    why = rf"does not start on port {port}; it says:\n(.*\n)*.*nowhere"
    with pytest.raises(InputError, match=why), serving("nowhere://store", port):
        pass
    monkeypatch.setattr("tune_seg.study.mlflow_ui._LONGEST_START", 0.0)
    why = rf"has not answered on port {port} for 0 seconds; the machine may be busy: try again"
    with pytest.raises(InputError, match=why), serving("sqlite://", port):
        pass


@contextmanager
def shown(study: Path, port: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """What `tune-seg ui` prints until it serves, and its process."""
    command = [sys.executable, "-m", "tune_seg.ui", str(study), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    assert process.stdout is not None
    lines: list[str] = []
    try:
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        yield "".join(lines), process
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def page(link: str, folder: Path, width: int) -> str:
    """What a fresh Chromium has on its page some time after it has opened a link in a window of a width."""
    assert CHROMIUM is not None
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", f"--window-size={width},800"]
    command = [CHROMIUM, *options, "--virtual-time-budget=60000", "--dump-dom", link]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
@pytest.mark.long("mlflow ui")
def test_the_link_alone_shows_which_loss_won_and_how(moved: Path, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = other.getsockname()[1]
        with shown(moved, taken) as (printed, process):
            assert f"port {taken} is taken" in printed
            (link,) = re.findall(r"http://tune-seg\.localhost:\d+/#/\S+", printed)
            pages = [page(link, tmp_path / f"profile {width}", width) for width in (1280, 1920)]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(link.split(":")[2].split("/")[0])))
    (objective,) = load_config(moved / "study.yaml").objectives
    metrics = (objective, "recall", "accuracy", "temperature/calibration")
    completed = [row for row in pq.read_table(moved / "results.parquet").to_pylist() if row["state"] == "completed"]
    best, *_ = sorted(completed, key=lambda row: -row[objective])
    scheduled = next(row for row in completed if row.get("schedule.start") is not None)
    when = f"{scheduled['schedule.start']:.2f} to {scheduled['schedule.end']:.2f}"
    for text in pages:
        for column in (*metrics, "loss.gamma", "schedule", "acw", "state"):
            assert re.search(rf">{column}<", text), column
        cells = [cell for row in re.findall(r'row-index="0".*?(?=row-index=|$)', text, re.DOTALL) for cell in texts(row)]
        assert any(cell.startswith(f"{best['trial']:03d} ") and best["loss"] in cell for cell in cells)
        assert [f"{best[name]:.5g}" for name in metrics] == [cell for cell in cells if re.fullmatch(r"0\.\d+", cell)][:4]
        assert f"{scheduled['loss.kind']} {when}" in texts(text)
        assert "Verdict:" in texts(text)
        assert "MLflow Assistant" not in texts(text)  # a panel over the columns on the right


def texts(page: str) -> list[str]:
    """What a page shows, piece by piece."""
    return [html.unescape(piece).strip() for piece in re.findall(r">([^<>]+)<", page) if piece.strip()]
