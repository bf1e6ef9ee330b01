"""The journal of a study: Optuna's own file, whatever cuts it short, and histories that stay on the disk."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from tests.support.epoch_results import result
from tests.support.records import room_for
from tune_seg.study.journal import StoredHistory, StudyJournal
from tune_seg.training.result import EpochResult

optuna.logging.set_verbosity(optuna.logging.ERROR)


def study(backend: BaseJournalBackend) -> optuna.Study:
    return optuna.create_study(storage=JournalStorage(backend), study_name="one", load_if_exists=True)


def history(epochs: int) -> list[EpochResult]:
    return [result(epoch, epoch / 100) for epoch in range(1, epochs + 1)]


def outcome(epochs: int) -> dict[str, Any]:
    return {"state": "completed", "history": [epoch.to_json() for epoch in history(epochs)], "error": ""}


def run(started: optuna.Study, trials: int = 3, epochs: int = 4) -> None:
    for number in range(trials):
        trial = started.ask()
        trial.suggest_float("x", 0.0, 1.0)
        trial.suggest_categorical("kind", ["a", "b"])
        trial.report(0.5, step=1)
        trial.set_user_attr("outcome", outcome(epochs))
        started.tell(trial, float(number))


def told(trials: list[optuna.trial.FrozenTrial]) -> list[Any]:
    return [
        (
            t.number,
            t.state,
            t.values,
            t.params,
            t.distributions,
            t.intermediate_values,
            t.datetime_start,
            t.datetime_complete,
        )
        for t in trials
    ]


def test_optunas_own_backend_reads_the_file_and_the_other_way_round(tmp_path: Path) -> None:
    path = tmp_path / "trials.journal"
    ours = study(StudyJournal(path))
    run(ours)
    theirs = study(JournalFileBackend(str(path)))
    assert told(theirs.trials) == told(ours.trials)
    assert theirs.trials[0].user_attrs["outcome"] == outcome(4)
    run(theirs)
    again = study(StudyJournal(path))
    assert told(again.trials) == told(theirs.trials)
    assert len(again.trials) == 6


def test_a_history_is_read_from_the_file_when_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "trials.journal"
    ours = study(StudyJournal(path))
    run(ours, epochs=5)
    for opened in (ours, study(StudyJournal(path))):
        for trial in opened.get_trials(deepcopy=False):
            kept = trial.user_attrs["outcome"]["history"]
            assert isinstance(kept, StoredHistory)
            assert kept == history(5) and list(kept) == history(5) and kept[1:3] == history(5)[1:3]
            assert len(kept) == 5 and kept[-1] == kept[4] == history(5)[4]
            assert kept.seconds == 7.5
            assert "_read" not in vars(kept) and len(json.dumps({k: str(v) for k, v in vars(kept).items()})) < 2000
    path.unlink()
    with pytest.raises(FileNotFoundError):
        list(kept)
    assert (len(kept), kept[-1], kept.seconds) == (5, history(5)[4], 7.5)  # what is always at hand


@given(cut=st.integers(1, 10**6))
def test_wherever_the_file_is_cut_whole_lines_remain(cut: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "trials.journal"
        journal = StudyJournal(path)
        for index, length in enumerate((10, 70_000, 200_000, 3)):  # lines longer than what is read at once
            journal.append_logs([{"index": index, "text": "x" * length}])
        journal.close()
        whole = path.read_bytes()
        path.write_bytes(whole[:cut])
        kept = [log["index"] for log in StudyJournal(path).read_logs(0)]
        assert kept == list(range(whole[:cut].count(b"\n")))
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[: len(kept)])


def test_a_disk_that_is_full_for_a_while_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "trials.journal"
    ours = study(StudyJournal(path))
    run(ours, trials=1)
    whole = path.read_bytes()
    trial = ours.ask()
    with room_for(path, 100), pytest.raises(OSError, match="too large"):
        trial.set_user_attr("outcome", outcome(4))
    assert path.read_bytes().startswith(whole) and path.read_bytes().endswith(b"\n")
    trial.set_user_attr("outcome", outcome(4))
    ours.tell(trial, 1.0)
    for opened in (ours, study(StudyJournal(path))):
        assert list(opened.trials[1].user_attrs["outcome"]["history"]) == history(4)


def test_nothing_is_written_behind_part_of_a_line_that_cannot_be_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "trials.journal"
    journal = StudyJournal(path)
    journal.append_logs([{"n": 0}])
    own = os.dup(journal._file.fileno())
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._file.fileno())  # takes nothing, and cannot be truncated
    with pytest.raises(OSError, match="No space left"):
        journal.append_logs([{"n": 1}])
    os.dup2(own, journal._file.fileno())
    with pytest.raises(OSError, match="part of a line"):
        journal.append_logs([{"n": 2}])
    journal.close()
    os.close(own)
    os.close(full)
    assert path.read_text() == '{"n":0}\n'


def test_each_change_is_read_once_and_in_its_order(tmp_path: Path) -> None:
    journal = StudyJournal(tmp_path / "trials.journal")
    journal.append_logs([{"n": 0}, {"n": 1}])
    assert [log["n"] for log in journal.read_logs(0)] == [0, 1]
    journal.append_logs([{"n": 2}])
    journal.append_logs([{"n": 3}, {"n": 4}])
    changes = iter(journal.read_logs(2))
    assert next(changes) == {"n": 2}  # whoever stops between two goes on with the next
    assert [log["n"] for log in journal.read_logs(3)] == [3, 4]
    assert list(journal.read_logs(5)) == []
    journal.sync()
    journal.close()
    assert (tmp_path / "trials.journal").read_text().splitlines() == [f'{{"n":{n}}}' for n in range(5)]
