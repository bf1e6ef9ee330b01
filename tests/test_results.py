"""The table of results: written beside the study, complete at its end."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.test_records import asked, open_records, result, run_to_the_end, wait_for
from tune_seg.records import State
from tune_seg.results import ResultsFile


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
    records.report(failed.number, result(1, 0.25))
    records.close(failed.number, State.FAILED, "RuntimeError: no memory left")
    written.write()
    assert [row["state"] for row in rows(path)] == ["completed"] * 3 + ["failed"]
    assert [(row["epochs"], row["seconds"]) for row in rows(path)] == [(3, 4.5)] * 3 + [(1, 1.5)]
    assert rows(path)[0]["s_rec"] == pytest.approx(0.53)
    assert rows(path)[3]["error"] == "RuntimeError: no memory left"


def test_a_table_that_cannot_be_written_is_no_secret(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    written = ResultsFile(records, tmp_path / "missing" / "results.parquet")
    run_to_the_end(records, asked(records), 0.5)
    with pytest.raises(OSError, match="missing"):
        written.write()
