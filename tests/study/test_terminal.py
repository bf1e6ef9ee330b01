"""A real study on a real terminal, in a log, and told to a machine."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.studies import SMALL, results, scores, search, write_config
from tune_seg.study.output import heartbeat as beat


def command(config: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tune_seg.search", str(config), "--studies", str(config.parent / "studies"), *options]


def on_a_terminal(argv: list[str]) -> tuple[int, int]:
    """The process and the controlling end of the terminal that it runs on, as the leader of a session of its own."""
    process, terminal = pty.fork()
    if not process:
        os.execve(argv[0], argv, {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"})
    return process, terminal


def processes_of(session: int) -> list[str]:
    """The command lines of the processes of a session, and of Ray's that belong to its leader."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            line = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if state != "Z" and (int(of) == session or re.search(rf"session_[\d_-]+_{session}\b", line)):
            found.append(line)
    return found


@pytest.mark.long("closed terminal")
def test_a_terminal_that_is_closed_leaves_a_study_that_goes_on(tmp_path: Path) -> None:
    longer = {"training": SMALL["training"] | {"epochs": 20}, "compute": {"max_concurrent": 1}}
    config = write_config(tmp_path / "closed.yaml", **longer)
    options = ["--set", "search.early_stopping.kind=none", "--trials", "3"]
    process, terminal = on_a_terminal(command(config, *options))
    printed = b""
    while b"1/3 trials" not in printed:
        printed += os.read(terminal, 65536)
    assert processes_of(process)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert processes_of(process) == []
    half = results(config)
    assert {row["state"] for row in half} == {"completed", "running"}
    report = (tmp_path / "studies" / "closed" / "report.md").read_text()
    assert "1 trial has ended. The study is not finished" in report or "2 trials have ended" in report
    finished = {row["trial"]: scores(row) for row in half if row["state"] == "completed"}

    assert search(config, *options) == 0
    rows = results(config)
    assert [(row["trial"], row["state"], row["epochs"]) for row in rows] == [(n, "completed", 20) for n in range(3)]
    for number, expected in finished.items():
        np.testing.assert_equal(scores(rows[number]), expected)
    for row in half:  # nothing that was computed is computed again
        if row["state"] == "running":
            assert rows[row["trial"]]["epochs_replayed"] >= row["epochs"]


@pytest.mark.long("told to machines")
def test_a_machine_is_told_in_json_and_people_elsewhere(tmp_path: Path) -> None:
    config = write_config(tmp_path / "told.yaml", search={**SMALL["search"], "trials": 2})
    ran = subprocess.run(command(config, "--epochs", "2", "--json"), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    events: list[dict[str, Any]] = [json.loads(line) for line in ran.stdout.splitlines()]
    kinds = [event["event"] for event in events if event["event"] != "progress"]
    assert kinds == ["started", "trial_ended", "trial_ended", "answer", "end"]
    directory = tmp_path / "studies" / "told"
    assert {event["study"] for event in events} == {str(directory)}
    assert events[0]["trials"] == 2 and events[-1]["status"] == 0
    ended = {event["trial"]: event for event in events if event["event"] == "trial_ended"}
    for row in results(config):
        told = ended[row["trial"]]
        assert (told["state"], told["epochs"], told["scores"]["s_rec"]) == (row["state"], row["epochs"], row["s_rec"])
    assert "Best of single runs" in ran.stderr or "One configuration" in ran.stderr
    assert "\x1b" not in ran.stderr

    refused = subprocess.run(command(config, "--epochs", "0", "--json"), capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "training.epochs" in refused.stderr
    assert [json.loads(line) for line in refused.stdout.splitlines()] == [{"event": "end", "study": "", "status": 2}]


@pytest.mark.long("sign of life")
def test_a_log_has_signs_of_life_and_the_folder_has_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat, "_EVERY", 0.1)
    config = write_config(tmp_path / "alive.yaml")
    assert search(config, "--trials", "2", "--set", "search.early_stopping.kind=none") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Waiting: the images are listed" and "Packing images: 0 of 12" in lines
    for what in (
        "the models are checked",
        "Ray starts",
        "Ray and MLflow end",
        "the report is written",
        "MLflow gets the answer",
    ):
        assert f"Waiting: {what}" in lines
    assert any(re.fullmatch(r"Waiting: .*, \d:\d\d:\d\d so far", line) for line in lines)
    alive = [line for line in lines if "; running: trial " in line]
    assert any("waiting for the first worker to start; running: trial 0 ce, begins" in line for line in alive)
    assert any(re.search(r"about \d:\d\d:\d\d left; running: trial \d .*, epoch \d/3$", line) for line in alive)
    assert [line for line in lines if re.match(r"\[[12]/2\] trial ", line)]
    assert [line for line in alive if line != line.rstrip()] == []
    report = (tmp_path / "studies" / "alive" / "report.md").read_text()
    assert report.startswith("# alive\n\n**") and "| rank | trial | loss |" in report
