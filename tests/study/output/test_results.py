"""The table of results: written beside the study, complete at its end."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.epoch_results import result
from tests.support.records import asked, open_records, run_to_the_end, wait_for
from tests.support.reported import answer_of, record
from tune_seg.config import RECORDED
from tune_seg.errors import InputError
from tune_seg.study.output.results import ResultsFile, write_configurations
from tune_seg.study.record import State
from tune_seg.training.result import ScaledScores


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
    (tmp_path / "file").touch()
    written = ResultsFile(records, tmp_path / "file" / "results.parquet")
    records.observers.append(written.update)
    for _ in range(2):
        run_to_the_end(records, asked(records), 0.5)
        wait_for(lambda: written._writing is not None and written._writing.done())
    with pytest.raises(InputError, match=r"file/results\.parquet cannot be written"):
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


def test_the_results_have_the_errors_and_what_became_of_scaled_logits(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    errors: dict[str, Any] = dict.fromkeys(RECORDED, 0.25)
    one, every = (ScaledScores({"nll": nll}, 1.5) for nll in (0.5, 0.125))
    last = {
        "temperature": every,
        "class_temperature": ScaledScores({}, (1.0, 2.0)),
        "adjusted": ScaledScores({"nll": 0.25}, 1.25, tau=0.75),
    }
    for state, values in (
        (State.PRUNED, {**errors, "scaled": {"temperature": one}}),
        (State.COMPLETED, {**errors, "scaled": last}),
        (State.FAILED, {}),
    ):
        number = asked(records).number
        records.add(number, result(1, 0.5, **values))
        records.close(number, state)
    ResultsFile(records, tmp_path / "results.parquet").write()
    table = pq.read_table(tmp_path / "results.parquet").to_pydict()
    for name in RECORDED:
        assert table[name] == [0.25, 0.25, None]
    assert table["temperature/nll"] == [0.5, 0.125, None]
    assert table["adjusted/nll"] == [None, 0.25, None]
    assert table["class_temperature/T"] == [None, [1.0, 2.0], None]
    assert table["adjusted/tau"] == [None, 0.75, None]


def test_a_configuration_is_a_row_with_mean_scatter_and_how_it_compares(tmp_path: Path) -> None:
    seeds = range(1, 5)
    records = [
        record(0, 0.5, end="ce"),
        record(1, 0.9, end="focal"),
        *(record(10 + seed, 0.5 + 0.01 * seed, end="ce", seed=seed, repeat=True) for seed in seeds),
        *(record(20 + seed, 0.7 + 0.01 * (seed % 3), end="focal", seed=seed, repeat=True) for seed in seeds),
        record(30, 0.6, end="dice"),
    ]
    answer = answer_of(records)
    path = tmp_path / "configurations.parquet"
    write_configurations(records, answer, path)
    plain, focal, dice = rows(path)
    assert [row["name"] for row in (plain, focal, dice)] == ["ce", "focal", "dice"]
    assert [(row["n"], row["repeats"]) for row in (plain, focal, dice)] == [(4, 4), (4, 4), (1, 0)]
    assert focal["s_rec"] == pytest.approx(0.71) and focal["s_rec/sd"] == pytest.approx(0.00816, rel=1e-2)
    assert (focal["trials"], dice["trials"]) == ([1, 21, 22, 23, 24], [30])
    assert focal["recommended"] and not plain["recommended"]
    assert focal["difference"] == pytest.approx(0.185) and 0 < focal["low"] < 0.185 < focal["high"]
    assert dice["difference"] is None and dice["s_rec/sd"] is None
    write_configurations(records, None, path)  # nothing was decided
    assert not any(row["recommended"] for row in rows(path))
