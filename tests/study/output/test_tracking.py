"""MLflow as a view of the records: a real SQLite store, a real server, and a server that was away."""

import math
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.support.epoch_results import result
from tests.support.records import asked, open_records
from tune_seg.config import METRICS, RECORDED
from tune_seg.metric_names import CATALOGUE
from tune_seg.study.configurations import configurations
from tune_seg.study.output.mlflow_store import default_uri
from tune_seg.study.output.tracking import Tracker
from tune_seg.study.output.words import name_with_settings
from tune_seg.study.record import State
from tune_seg.study.records import Records
from tune_seg.training.result import ScaledScores


@pytest.fixture
def study(tmp_path: Path) -> Path:
    directory = tmp_path / "study one"
    directory.mkdir()
    (directory / "study.yaml").write_text("objective: s_rec\n")
    return directory


@contextmanager
def tracked(
    directory: Path,
    uri: str | None = None,
    interrupted: bool = False,
    class_names: Sequence[str] = (),
    **values: Any,
) -> Iterator[tuple[Records, Tracker]]:
    records = open_records(directory, **values)
    tracker = Tracker(uri or default_uri(directory), directory, records.study_id, records.config, class_names=class_names)
    records.observers.append(tracker.update)
    tracker.start(records.trials.values())
    yield records, tracker
    tracker.finish(interrupted=interrupted, artifacts=[directory / "study.yaml"])
    tracker.close()


def runs(directory: Path, uri: str | None = None) -> tuple[MlflowClient, list[Run], dict[int, Run]]:
    client = MlflowClient(uri or default_uri(directory))
    experiment = client.get_experiment_by_name(directory.name)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    children = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    numbered = {int(run.data.tags["tune_seg.trial"]): run for run in children}
    assert len(numbered) == len(children)  # every trial exactly once
    parents = [run for run in found if run not in children]
    assert all(run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id for run in children)
    return client, parents, numbered


def history(client: MlflowClient, run: Run, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def test_a_trial_is_a_child_run_with_params_tags_and_history(study: Path) -> None:
    with tracked(study, baselines=[{"loss.end": "focal", "loss.gamma": 1.23456}]) as (records, _):
        number = asked(records).number
        for epoch, score in ((1, 0.3), (2, 0.8), (3, 0.5)):
            records.add(number, result(epoch, score, lr=0.1 / epoch, weights={"end": epoch / 3}, f1=math.nan))
        records.close(number, State.COMPLETED)
    client, (parent,), children = runs(study)
    child = children[number]
    assert parent.info.status == child.info.status == "FINISHED"
    assert [artifact.path for artifact in client.list_artifacts(parent.info.run_id)] == ["study.yaml"]
    assert (
        child.data.params.items()
        >= {
            "loss": "focal",
            "loss.kind": "static",
            "loss.end": "focal",
            "loss.gamma": "1.235",
            "acw": "False",
        }.items()
    )
    assert set(child.data.params) - set(records.trials[number].assignment) <= {"loss", "loss.kind", "loss.end", "acw"}
    assert history(client, child, "s_rec") == [(1, 0.3), (2, 0.8), (3, 0.5)]
    assert history(client, child, "weight/end") == [(1, 0.33333), (2, 0.66667), (3, 1.0)]
    assert {name for name in child.data.metrics if "/" not in name} == {
        *(name for name in METRICS if not CATALOGUE[name].boundary),
        *("lr", "train_loss"),
    } - {"f1"}  # which is not known
    assert history(client, child, "f1") == []
    (configuration,) = configurations([records.trials[number]])
    assert (
        child.data.tags.items()
        >= {
            "configuration": f"{name_with_settings(configuration)} [{configuration.id}]",
            "state": "completed",
            "baseline": "yes",
            "repeat": "no",
            "loss family": "pixel",
            "scheduled": "no",
        }.items()
    )
    assert "error" not in child.data.tags and "schedule" not in child.data.tags


def test_a_run_begins_and_ends_with_its_trial(study: Path) -> None:
    with tracked(study) as (records, _):
        before = time.time()
        number = asked(records).number
        time.sleep(0.05)
        records.add(number, result(1))
        time.sleep(0.05)
        records.close(number, State.COMPLETED)
        after = time.time()
        time.sleep(0.05)
    _, _, children = runs(study)
    began, ended = children[number].info.start_time / 1000, children[number].info.end_time / 1000
    assert before - 0.001 <= began <= ended - 0.099 and ended <= after


def test_a_schedule_and_the_families_of_losses_are_tags(study: Path) -> None:
    loss = {"kind": "naive", "start": "dice"}
    with tracked(study, loss=loss, schedule={"start": 0.25}, baselines=[{"loss.end": "ce"}]) as (records, _):
        run_to_the_end_with_lr(records)
    tags = runs(study)[2][0].data.tags
    assert (tags["schedule"], tags["scheduled"], tags["loss family"]) == ("naive 0.25 to 0.90", "yes", "region+pixel")


def test_the_recall_of_each_class_has_a_history(study: Path) -> None:
    with tracked(study, class_names=["road", "pole", "sky"]) as (records, _):
        number = asked(records).number
        for epoch in (1, 2):
            records.add(number, result(epoch, class_recall=[0.9, epoch / 3, math.nan]))
        records.close(number, State.COMPLETED)
    client, _, children = runs(study)
    assert history(client, children[number], "recall/pole") == [(1, 0.33333), (2, 0.66667)]
    assert history(client, children[number], "recall/sky") == []  # no validation image has it


def test_calibration_errors_have_a_history_and_scaled_logits_their_metrics(study: Path) -> None:
    scaled = {
        "temperature": ScaledScores({"nll": 0.25, "s_rec": math.nan}, 1.5),
        "class_temperature": ScaledScores({}, (1.0, 2.0)),
        "adjusted": ScaledScores({"nll": 0.4}, 1.25, tau=0.5),
    }
    with tracked(study) as (records, _):
        number = asked(records).number
        for epoch in (1, 2, 3):
            errors: dict[str, Any] = dict.fromkeys(RECORDED, 0.5 / epoch)
            every = {"temperature": ScaledScores({"nll": 1 / epoch}, float(epoch))}
            records.add(number, result(epoch, epoch / 10, scaled=scaled if epoch == 3 else every, **errors))
        records.close(number, State.COMPLETED)
    client, _, children = runs(study)
    child = children[number]
    for name in RECORDED:
        assert history(client, child, name) == [(1, 0.5), (2, 0.25), (3, 0.16667)]
    assert history(client, child, "temperature/nll") == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert history(client, child, "temperature/T") == [(1, 1.0), (2, 2.0), (3, 1.5)]
    assert history(client, child, "variant/adjusted/nll") == [(3, 0.4)]
    assert (child.data.metrics["variant/adjusted/T"], child.data.metrics["variant/adjusted/tau"]) == (1.25, 0.5)
    assert history(client, child, "temperature/s_rec") == []
    assert "variant/class_temperature/T" not in child.data.metrics  # one metric is one number


def test_the_weights_of_losses_and_classes_have_a_history(study: Path) -> None:
    names = ["road", "traffic light", "a/b", "tree (dead)", "tree [dead]", "Straße", "..", "x//y", "1:2"]
    with tracked(study, class_names=names) as (records, _):
        number = asked(records).number
        for epoch in (1, 2, 3):
            weights: dict[str, Any] = {"weights": {"overlap": 1 - epoch / 4, "entropy": 1.0}}
            acw: dict[str, Any] = {"acw_weight": [epoch + index / 10 for index in range(len(names))]}
            records.add(number, result(epoch, **weights, **acw))
        records.close(number, State.COMPLETED)
    client, _, children = runs(study)
    child = children[number]
    assert history(client, child, "weight/overlap") == [(1, 0.75), (2, 0.5), (3, 0.25)]
    assert history(client, child, "weight/entropy") == [(1, 1.0), (2, 1.0), (3, 1.0)]
    sent = ["road", "traffic light", "a/b", "tree _dead__3", "tree _dead__4", "Straße", "__", "x__y", "1_2"]
    assert {name for name in child.data.metrics if name.startswith("weight/acw/")} == {f"weight/acw/{name}" for name in sent}
    for index, name in enumerate(sent):
        assert history(client, child, f"weight/acw/{name}") == [(epoch, epoch + index / 10) for epoch in (1, 2, 3)]


def test_a_database_that_was_left_half_made_is_made_anew(study: Path) -> None:
    records = open_records(study)
    tracker = Tracker(default_uri(study), study, records.study_id, records.config)
    tracker.start([])
    records.observers.append(tracker.update)
    records.add(asked(records).number, result(1))
    while not size(study / "mlflow.partial") and not size(study / "mlflow.db"):
        time.sleep(0.001)
    tracker._child.kill()
    with tracked(study) as (records, tracker):
        run_to_the_end_with_lr(records)
    assert tracker.error == ""
    assert list(runs(study)[2]) == [0]
    assert not list(study.glob("mlflow.partial*"))


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_how_a_trial_ended_shows(study: Path) -> None:
    with tracked(study, interrupted=True) as (records, _):
        for state in (State.PRUNED, State.DIVERGED, State.FAILED):
            number = asked(records).number
            records.add(number, result(1))
            records.close(number, state, "RuntimeError: boom" if state is State.FAILED else "")
    _, (parent,), children = runs(study)
    assert parent.info.status == "KILLED"
    assert [children[n].info.status for n in range(3)] == ["FINISHED", "FAILED", "FAILED"]
    assert [children[n].data.tags["state"] for n in range(3)] == ["pruned", "diverged", "failed"]
    assert children[2].data.tags["error"] == "RuntimeError: boom"


def test_a_continued_study_goes_on_in_the_same_runs(study: Path) -> None:
    with tracked(study, interrupted=True) as (records, _):
        run_to_the_end_with_lr(records)
        interrupted = asked(records).number
        records.add(interrupted, result(1, 0.4))
    before = runs(study)
    with tracked(study) as (records, _):
        while records.ask() is not None:
            pass
        for number in range(1, 4):
            for epoch in (1, 2, 3):
                records.add(number, result(epoch, 0.4))
            records.close(number, State.COMPLETED)
    client, parents, children = runs(study)
    assert len(parents) == 1
    assert sorted(children) == [0, 1, 2, 3]
    assert {run.info.status for run in (*parents, *children.values())} == {"FINISHED"}
    for number in (0, 1):
        assert children[number].info.run_id == before[2][number].info.run_id
        assert [step for step, _ in history(client, children[number], "lr")] == [1, 2, 3]


def run_to_the_end_with_lr(records: Records) -> None:
    number = asked(records).number
    for epoch in (1, 2, 3):
        records.add(number, result(epoch))
    records.close(number, State.COMPLETED)


@contextmanager
def server(directory: Path, port: int) -> Iterator[str]:
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{directory / 'server.db'}", "--artifacts-destination", str(directory / "a")]
    with open(directory / "server.log", "w") as log:
        process = subprocess.Popen([*command, *store], stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None and time.monotonic() < deadline, (directory / "server.log").read_text()
            time.sleep(0.2)
        yield uri
    finally:
        process.terminate()
        process.wait(120)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.long("server away")
def test_what_a_server_missed_is_sent_when_the_study_is_continued(study: Path, tmp_path: Path) -> None:
    port = free_port()
    with tracked(study, f"http://127.0.0.1:{port}", search={"trials": 2}) as (records, tracker):  # nobody listens there
        run_to_the_end_with_lr(records)
    assert "Connection" in tracker.error or "Max retries" in tracker.error
    with server(tmp_path, port) as uri:
        with tracked(study, uri, search={"trials": 2}) as (records, tracker):
            run_to_the_end_with_lr(records)
        assert tracker.error == ""
        client, (parent,), children = runs(study, uri)
        assert sorted(children) == [0, 1]
        assert [step for step, _ in history(client, children[0], "s_rec")] == [1, 2, 3]
        assert [artifact.path for artifact in client.list_artifacts(parent.info.run_id)] == ["study.yaml"]
