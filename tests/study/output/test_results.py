"""The table of results: written beside the study, complete at its end."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.epoch_results import result
from tests.support.records import asked, open_records, run_to_the_end, wait_for
from tune_seg.errors import InputError
from tune_seg.study.output.results import ResultsFile
from tune_seg.study.record import State


def rows(path: Path) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return table


def test_a_trial_that_ends_is_written_in_a_while_and_the_last_writing_has_all(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    records = open_records(tmp_path)
    written = ResultsFile(records, path)
    records.observers.append(written.update)
    run_to_the_end(records, asked(records), 0.5)
    wait_for(path.exists)
    assert [(row["trial"], row["state"]) for row in rows(path)] == [(0, "completed")]
    for _ in range(2):
        run_to_the_end(records, asked(records), 0.5)
    failed = asked(records)
    records.add(failed.number, result(1, 0.25))
    records.close(failed.number, State.FAILED, "RuntimeError: no memory left")
    written.write()
    assert [row["state"] for row in rows(path)] == ["completed"] * 3 + ["failed"]
    assert [(row["epochs"], row["seconds"]) for row in rows(path)] == [(3, 4.5)] * 3 + [(1, 1.5)]
    assert rows(path)[0]["s_rec"] == pytest.approx(0.53)
    assert rows(path)[3]["error"] == "RuntimeError: no memory left"


def test_a_table_that_cannot_be_written_is_no_secret(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    written = ResultsFile(records, tmp_path / "missing" / "results.parquet")
    records.observers.append(written.update)
    for _ in range(2):
        run_to_the_end(records, asked(records), 0.5)
        wait_for(lambda: written._writing is not None and written._writing.done())
    with pytest.raises(InputError, match=r"missing/results\.parquet cannot be written"):
        written.write()


def test_a_table_takes_no_history_from_the_journal(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    for replayed in (2, 0):
        number = asked(records).number
        for epoch in (1, 2, 3):
            records.add(number, result(epoch, replayed=epoch <= replayed))
        records.close(number, State.COMPLETED)
    (tmp_path / "trials.journal").rename(tmp_path / "away")
    ResultsFile(records, tmp_path / "results.parquet").write()
    assert [row["epochs_replayed"] for row in rows(tmp_path / "results.parquet")] == [2, 0]
