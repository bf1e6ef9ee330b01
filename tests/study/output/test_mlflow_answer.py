"""What MLflow is told of a study as a whole."""

import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from PIL import Image

from tests.support.reported import answer_of, record, repeats
from tune_seg.config import StudyConfig, parse
from tune_seg.study.output.mlflow_answer import Conclusion, Data, command_line, conclusion
from tune_seg.study.output.mlflow_store import default_uri
from tune_seg.study.output.sentence import Cost
from tune_seg.study.output.tracking import Tracker
from tune_seg.study.record import Record

CONFIG = parse(StudyConfig, {"objective": "s_rec"})
TRIALS = [
    *repeats("ce", [0.50, 0.51, 0.49, 0.50], 0),
    *repeats("focal", [0.70, 0.72, 0.69, 0.70], 10, gamma=1.25),
    *repeats("dual_focal", [0.40, 0.42, 0.41, 0.40], 20),
]
"""focal with gamma 1.25 is better than plain cross entropy."""


def concluded(directory: Path, trials: list[Record], **values: Any) -> Conclusion:
    return conclusion(CONFIG, directory, trials, answer_of(trials), cost=Cost(None), **values)


def test_the_description_is_the_verdict_and_the_ranked_table(tmp_path: Path) -> None:
    verdict, _, titles, _, *rows = concluded(tmp_path, TRIALS).note.splitlines()
    assert verdict.startswith("**Verdict:** focal is better than plain cross entropy in s_rec by 0.2025")
    assert "Take focal." in verdict and verdict.endswith("Settings of focal: gamma 1.2500.")
    assert titles.startswith("| configuration | n | s_rec | minus ce | recall | accuracy |")
    assert [row.split(" | ")[0] for row in rows] == [
        "| **focal** (take this one)",
        "| plain cross entropy",
        "| dual_focal",
    ]
    assert rows[0].split(" | ")[1:4] == ["4", "0.7025", rows[0].split(" | ")[3]]
    assert rows[0].split(" | ")[3].startswith("+0.2025 [+0.")


def test_metrics_and_settings_are_those_of_the_one_to_take_and_of_plain_cross_entropy(tmp_path: Path) -> None:
    found = concluded(tmp_path, TRIALS)
    assert found.metrics["verdict/recommended/s_rec"] == 0.7025
    assert found.metrics["verdict/ce/recall"] == 0.5
    assert (found.tags["recommended/loss"], found.tags["recommended/loss.gamma"]) == ("focal", "1.2500")
    assert found.recommended == {10, 11, 12, 13}


def test_without_repeats_nothing_is_recommended(tmp_path: Path) -> None:
    found = conclusion(CONFIG, tmp_path, [record(0, 0.5), record(1, 0.6, end="focal")], None, cost=Cost(None))
    assert found.note.startswith("Not decided: no configuration was trained again")
    assert "| focal" in found.note and not found.recommended
    assert {name.split("/")[1] for name in found.metrics} == {"ce"}


def test_with_several_objectives_nothing_is_recommended(tmp_path: Path) -> None:
    config = parse(StudyConfig, {"objective": ["s_rec", "accuracy"]})
    found = conclusion(config, tmp_path, TRIALS, answer_of(TRIALS), cost=Cost(None))
    assert not found.recommended and "take this one" not in found.note
    assert "verdict/ce/accuracy" in found.metrics


def test_a_study_without_a_finished_trial_says_so(tmp_path: Path) -> None:
    assert conclusion(CONFIG, tmp_path, [], None, cost=Cost(None)).note == "No trial has run to its end yet."


def test_a_password_in_an_address_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["search", "default", "--mlflow-uri", "https://me:secret@host/path"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/tune-seg", *words])
    assert command_line() == "tune-seg search default --mlflow-uri https://***@host/path"


@pytest.mark.long("later session")
def test_what_a_later_session_concludes_takes_the_place_of_what_was_said(tmp_path: Path) -> None:
    directory = tmp_path / "study"
    directory.mkdir()
    (directory / "report.html").write_text("<p>report</p>")
    data = Data("street", "0123456789abcdef" * 2, "/data/street", {"training images": 12})
    losing = [*repeats("ce", [0.80, 0.81, 0.79, 0.80], 0), *TRIALS[4:]]
    for trials in (TRIALS, losing):
        tracker = Tracker(default_uri(directory), directory, "id", CONFIG)
        tracker.start(trials)
        tracker.finish(interrupted=False, artifacts=[])
        pictures = {"1.png": Image.new("RGB", (4, 3), "red" if trials is TRIALS else "blue")}
        tracker.conclude(concluded(directory, trials, data=data, pictures=pictures))
        tracker.close()
        assert tracker.error == ""
    client = MlflowClient(default_uri(directory))
    (experiment,) = client.search_experiments()  # and none called Default
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = (run for run in runs if "tune_seg.trial" not in run.data.tags)
    tagged = {int(run.data.tags["tune_seg.trial"]) for run in runs if "recommended" in run.data.tags}
    assert tagged == {0, 1, 2, 3}
    assert parent.data.metrics["verdict/recommended/s_rec"] == parent.data.metrics["verdict/ce/s_rec"] == 0.8
    assert parent.data.tags["recommended/loss"] == "ce"
    assert parent.data.tags["mlflow.note.content"] == experiment.tags["mlflow.note.content"]
    assert "Take plain cross entropy" in parent.data.tags["mlflow.note.content"]
    assert [artifact.path for artifact in client.list_artifacts(parent.info.run_id)] == ["predictions", "report.html"]
    (picture,) = client.list_artifacts(parent.info.run_id, "predictions")
    with Image.open(client.download_artifacts(parent.info.run_id, picture.path, str(tmp_path))) as image:
        assert (picture.path, image.size) == ("predictions/1.png", (4, 3))
        assert image.convert("RGB").getpixel((0, 0)) == (0, 0, 255)
    assert parent.inputs is not None
    (dataset,) = parent.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("street", data.content)
    assert parent.info.status == "FINISHED"
