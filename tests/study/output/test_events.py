"""What `--json` tells: one JSON object a line, with nothing else on the standard output."""

import io
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.reported import answer_of, record, repeats
from tune_seg.config import StudyConfig, parse
from tune_seg.errors import InputError
from tune_seg.study.output.events import Events, reported_in_events
from tune_seg.study.output.progress import Planned, StudyProgress
from tune_seg.study.output.sentence import Cost
from tune_seg.study.record import State
from tune_seg.training.trajectory import TrainingData

CONFIG = parse(StudyConfig, {"training": {"epochs": 3}})


def told(text: str) -> list[dict[str, Any]]:
    """The events; a number that is none in JSON is an error here."""

    def refused(constant: str) -> None:
        raise ValueError(constant)

    return [json.loads(line, parse_constant=refused) for line in text.splitlines()]


def test_the_events_of_a_study_in_their_order() -> None:
    file = io.StringIO()
    events, progress = Events(file), StudyProgress(CONFIG, 2, lambda: Planned(3, 1), TrainingData("3f", (48, 64), 25))
    events.started(Path("studies/try"), CONFIG, Planned(3, 1), 2)
    first = record(0, 0.5, State.RUNNING, epochs=1, end="dice")
    progress.update(first, 0.0)
    events.trial(first)  # has not ended: nothing is told
    events.progress(progress, 0.0, 61.5)
    events.trial(record(0, 0.5, end="dice", f1=math.nan))
    events.end(0)
    started, running, ended, end = told(file.getvalue())
    assert started == {
        "event": "started",
        "study": "studies/try",
        "objectives": ["s_rec"],
        "trials": 4,
        "searched": 3,
        "repeats": 1,
        "epochs": 3,
        "slots": 2,
    }
    assert running == {
        "event": "progress",
        "study": "studies/try",
        "trials_ended": 0,
        "trials": 4,
        "running": [{"trial": 0, "name": "dice", "epoch": 1, "epochs": 30}],
        "epochs_replayed": 0,
        "elapsed_seconds": 61.5,
        "remaining_seconds": None,
    }
    assert ended["event"] == "trial_ended" and ended["state"] == "completed" and ended["settings"] == {"loss.end": "dice"}
    assert ended["scores"]["s_rec"] == 0.5 and ended["scores"]["f1"] is None
    assert (ended["epochs"], ended["seconds"], ended["repeat"], ended["error"]) == (3, 4.5, False, "")
    assert end == {"event": "end", "study": "studies/try", "status": 0}


def test_the_answer_names_configurations_by_id_and_in_words() -> None:
    file = io.StringIO()
    records = [*repeats("ce", [0.50, 0.51, 0.49], 0), *repeats("focal", [0.70, 0.72, 0.69], 10)]
    answer = answer_of(records)
    Events(file).answer(answer, CONFIG, Cost(2.0))
    Events(file).answer(None, CONFIG, Cost(None))
    found, nothing = told(file.getvalue())
    names = {each["configuration"]: each["name"] for each in found["contenders"]}
    assert found["verdict"] == "better" and names[found["recommended"]] == "focal" == names[found["best"]]
    assert names[found["other"]] == "plain cross entropy"
    assert found["difference"]["mean"] == pytest.approx(0.2033, abs=1e-4) and found["difference"]["seeds"] == 3
    assert found["sentence"].startswith("Verdict: focal is better than plain cross entropy in s_rec by 0.2033")
    assert nothing == {"event": "answer", "study": "", "verdict": None}


def test_the_standard_output_has_events_alone(capsys: pytest.CaptureFixture[str]) -> None:
    def study(events: Events) -> int:
        print("for people")
        raise InputError("data.root: nothing there")

    assert reported_in_events(study) == 2
    printed = capsys.readouterr()
    assert told(printed.out) == [{"event": "end", "study": "", "status": 2}]
    assert printed.err == "for people\nerror: data.root: nothing there\n"
    print("again", end="")
    assert capsys.readouterr().out == "again"


def test_a_reader_that_has_gone_away_does_not_end_the_study() -> None:
    read, write = os.pipe()
    file = os.fdopen(write, "w")
    events = Events(file)
    events.end(0)
    os.close(read)
    events.end(1)
    events.end(2)
    with pytest.raises(BrokenPipeError):  # it was written to
        file.close()
