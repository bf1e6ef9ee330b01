"""A journal that version 0.1 has written: read, shown in the same table, and continued; anything else is named."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.records import asked, run_to_the_end
from tune_seg.config import CALIBRATION_ERRORS, METRICS, StudyConfig, parse
from tune_seg.errors import InputError
from tune_seg.study.output.results import ResultsFile
from tune_seg.study.record import State
from tune_seg.study.records import Records
from tune_seg.study.search_space.space import Space
from tune_seg.training.result import SCALINGS

WRITTEN = Path(__file__).parent / "files" / "journal_of_version_0_1.jsonl"
"""Of two trials of two epochs, by the search command of version 0.1; only the folder of the store was shortened."""

SCALED = ("calibration", *CALIBRATION_ERRORS, "s_rec", "s_acc", "recall", "accuracy")
COLUMNS = [
    *("trial", "state", "loss", "loss.kind", "loss.end", "acw"),
    *METRICS,
    *CALIBRATION_ERRORS,
    *("class_recall", "acw_weight"),
    *(f"{scaling}/{name}" for scaling in SCALINGS for name in SCALED),
    *("temperature/T", "class_temperature/T"),
    *("epochs", "epochs_replayed", "seconds", "checkpoint", "error", "loss.gamma"),
]
"""Those of the table that version 0.1 wrote of it."""


def open_records(directory: Path, trials: int = 2) -> Records:
    values = {
        "training": {"epochs": 2},
        "search": {"sampler": "random", "trials": trials},
        "space": {"loss.end": {"choice": ["ce", "focal"]}, "acw": {"choice": [True, False]}},
        "baselines": [{"loss.end": "ce", "acw": True}, {"loss.end": "focal", "acw": False}],
    }
    config = parse(StudyConfig, values)
    return Records(directory, config, Space(config))


def last_epochs() -> list[dict[str, Any]]:
    """What the file says of the last epoch of each trial."""
    lines = [json.loads(line) for line in WRITTEN.read_text().splitlines()]
    return [line["user_attr"]["outcome"]["history"][-1] for line in lines if "outcome" in line.get("user_attr", {})]


def equal(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # nan with nan, and every bit


def test_the_table_of_an_old_journal_has_the_columns_and_the_values_that_it_had(tmp_path: Path) -> None:
    shutil.copy(WRITTEN, tmp_path / "trials.journal")
    ResultsFile(open_records(tmp_path), tmp_path / "results.parquet").write()
    table = pq.read_table(tmp_path / "results.parquet")
    assert table.column_names == COLUMNS
    for row, epoch in zip(table.to_pylist(), last_epochs(), strict=True):
        shown = [name for name in COLUMNS if name in epoch]
        assert len(shown) > 45
        assert [name for name in shown if not equal(row[name], epoch[name])] == []
        assert (row["state"], row["epochs"], row["epochs_replayed"], row["error"]) == ("completed", 2, 0, "")


def test_the_epochs_of_an_old_journal_are_read_whole(tmp_path: Path) -> None:
    shutil.copy(WRITTEN, tmp_path / "trials.journal")
    adaptive, plain = open_records(tmp_path).trials.values()
    for record, epoch in zip((adaptive, plain), last_epochs(), strict=True):
        first, last = record.history
        assert (first.epoch, last.epoch) == (1, 2) and not first.evaluation.scaled
        assert (last.train_loss, last.lr, last.weights) == (epoch["train_loss"], epoch["lr"], {"end": 1.0})
        assert last.score("temperature/s_rec") == epoch["temperature/s_rec"]
        assert equal(list(last.evaluation.per_class["class_iou"]), epoch["class_iou"])
        assert last.seconds.train == epoch["train_seconds"] > last.seconds.data == epoch["data_seconds"] > 0
        assert record.checkpoint == epoch["checkpoint"]
    assert plain.history[1].acw_weight is None and len(adaptive.history[1].acw_weight or ()) == 10
    assert math.isnan(adaptive.history[0].score("f1"))


def test_a_study_that_version_0_1_began_goes_on(tmp_path: Path) -> None:
    shutil.copy(WRITTEN, tmp_path / "trials.journal")
    records = open_records(tmp_path, trials=3)
    run_to_the_end(records, asked(records), 0.5)
    assert records.ask() is None
    again = open_records(tmp_path, trials=3)
    assert [(number, record.state) for number, record in again.trials.items()] == [
        (number, State.COMPLETED) for number in range(3)
    ]
    assert again.trials[2].score("s_rec") == pytest.approx(0.53)


@pytest.mark.parametrize("change", [{"lr": None}, {"train_loss": None, "added": 1}])
def test_a_journal_of_a_version_that_is_not_known_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    lines = [json.loads(line) for line in WRITTEN.read_text().splitlines()]
    for line in lines:
        for epoch in line.get("user_attr", {}).get("outcome", {}).get("history", ()):
            for name in change:
                epoch.pop(name, None)
    (tmp_path / "trials.journal").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(
        InputError,
        match=r"trials\.journal: it was written by a version .* begin a new study under another name \(--study NAME",
    ):
        open_records(tmp_path)
