"""Which weights a study keeps, and which it removes from the store that it shares: the trials are not trained."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.epoch_results import result
from tune_seg.config import StudyConfig, parse
from tune_seg.data import PackedData
from tune_seg.errors import InputError
from tune_seg.study.confirmation import Confirmation
from tune_seg.study.files import CONFIGURATION, JOURNAL, RESULTS, STORE
from tune_seg.study.kept_weights import begun_with, clear_weights, missing_users, unneeded
from tune_seg.study.record import Record, State
from tune_seg.study.store_users import USERS, note_use, users_of
from tune_seg.training.checkpoints import CheckpointStore


def study(**values: Any) -> StudyConfig:
    space = {"loss.end": {"choice": ["ce", "wce", "focal", "dice", "wdice", "dual_focal"]}, **values.pop("space", {})}
    confirm = {"finalists": 2, **values.pop("confirm", {})}
    search = {"sampler": "random", "confirm": confirm, **values.pop("search", {})}
    return parse(StudyConfig, {"space": space, "training": {"epochs": 1}, "search": search, **values})


def trial(number: int, end: str, score: float, config: StudyConfig | None = None, seed: int = 0, **values: Any) -> Record:
    assignment = {"loss.end": end, "training.seed": seed}
    history = [result(1, score)]
    values = {"state": State.COMPLETED, "repeat": seed > 0, **values}
    return Record(number, assignment, (config or study()).trial(assignment), history=history, **values)


SEARCH = [
    trial(0, "ce", 0.3),
    trial(1, "wce", 0.5),
    trial(2, "focal", 0.4),
    trial(3, "dice", 0.6),
    trial(4, "wdice", 0.7, state=State.PRUNED),
]


def needed(records: Sequence[Record], packed: PackedData, directory: Path, **values: Any) -> set[int]:
    return Confirmation(study(**values), directory, packed, budget=6, slots=1).needed(records)


def test_plain_cross_entropy_and_the_best_of_the_search_are_needed(packed: PackedData, tmp_path: Path) -> None:
    assert needed(SEARCH, packed, tmp_path) == {0, 1, 3}
    assert needed(SEARCH, packed, tmp_path, confirm={"finalists": 1}) == {0, 3}


def test_repeats_take_the_place_of_the_trials_that_they_repeat(packed: PackedData, tmp_path: Path) -> None:
    repeats = [trial(5, "ce", 0.3, seed=1), trial(6, "dice", 0.5, seed=1), trial(7, "dice", 0.4, seed=2)]
    assert needed([*SEARCH, *repeats], packed, tmp_path) == {1, 5, 6, 7}
    # of one whose only repeat has diverged the trial of the search has the weights
    diverged = trial(5, "ce", 0.3, seed=1, state=State.DIVERGED)
    assert needed([*SEARCH, diverged, *repeats[1:]], packed, tmp_path) == {0, 1, 6, 7}
    # what was repeated once stays, though the search finds better ones later
    better = [trial(8, "wdice", 0.9), trial(9, "dual_focal", 0.8)]
    assert needed([*SEARCH[:4], *repeats, *better], packed, tmp_path) == {5, 6, 7, 8, 9}


def test_a_session_that_compares_fewer_keeps_what_the_study_needs(packed: PackedData, tmp_path: Path) -> None:
    session = Confirmation(study(confirm={"finalists": 1}), tmp_path, packed, budget=None, slots=1, keeps=2)
    assert session.needed(SEARCH) == {0, 1, 3}
    assert {each["loss.end"] for each in session.next_round(SEARCH)} == {"ce", "dice"}


def test_all_on_the_front_are_needed(packed: PackedData, tmp_path: Path) -> None:
    assert needed(SEARCH, packed, tmp_path, objective=["s_rec", "accuracy"], confirm={"finalists": 1}) >= {0, 3}


def test_a_grid_over_seeds_needs_all_that_ended(packed: PackedData, tmp_path: Path) -> None:
    grid = {"space": {"training.seed": {"grid": [0, 1]}}, "search": {"sampler": "grid"}}
    records = [trial(number, each.config.loss.end, 0.5) for number, each in enumerate(SEARCH[:4])]
    assert needed([*records, SEARCH[4]], packed, tmp_path, **grid) == {0, 1, 2, 3}


class Folder:
    """A folder of studies, with a store and the weights of trials in it."""

    def __init__(self, path: Path) -> None:
        self.directory = path / "mine"
        self.store = CheckpointStore(str(path / STORE))
        self.directory.mkdir()

    def weights(self, key: str) -> str:
        file = Path(self.store.file(f"{key}-weights"))
        file.write_bytes(key.encode())
        return str(file)

    @property
    def left(self) -> set[str]:
        return {entry.key.removesuffix("-weights") for entry in self.store.entries()}

    def other(self, name: str, files: str = "{}", checkpoint: str | None = None, journal: str = "") -> Path:
        directory = self.directory.parent / name
        directory.mkdir(parents=True)
        (directory / CONFIGURATION).write_text(f"files: {files}\n")
        (directory / JOURNAL).write_text(journal)
        rows = {"state": ["completed"], "checkpoint": pa.array([checkpoint], pa.string())}
        pq.write_table(pa.table(rows), directory / RESULTS)
        return directory


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_what_nobody_needs_is_removed_and_noted(folder: Folder) -> None:
    trials = [trial(number, "ce", 0.5, checkpoint=folder.weights(f"{number}")) for number in range(3)]
    trials.append(trial(3, "ce", 0.5, checkpoint=trials[0].checkpoint))  # equal to the first from beginning to end
    elsewhere = folder.directory / "copied.pt"
    elsewhere.write_bytes(b"")
    trials.append(trial(4, "ce", 0.5, checkpoint=str(elsewhere)))
    trials.append(trial(5, "ce", 0.5, checkpoint="s3://bucket/5-weights.pt"))
    trials.append(trial(6, "ce", 0.5, checkpoint=str(folder.directory.parent / STORE / "6-weights.pt")))  # evicted
    clear_weights(trials, {0, 6}, folder.directory, folder.store)
    assert folder.left == {"0"} and elsewhere.is_file() and not folder.store.problems
    assert [each.number for each in trials if each.checkpoint is not None] == [0, 3, 4, 5]


def test_the_store_is_found_where_the_folder_was_moved(folder: Folder) -> None:
    folder.weights("0")
    moved = trial(0, "ce", 0.5, checkpoint="/elsewhere/before/store/0-weights.pt")
    assert [each.number for each in unneeded([moved], set(), folder.directory)] == [0]


def test_what_another_study_has_or_begins_with_stays(folder: Folder) -> None:
    trials = [trial(number, "ce", 0.5, checkpoint=folder.weights(f"{number}")) for number in range(5)]
    folder.other("has", checkpoint=trials[0].checkpoint)
    folder.other("begins", files=f"{{{trials[1].checkpoint}: abc}}")
    line = '{"user_attr":{"outcome":{"state":"completed","history":[],"error":"","checkpoint":"%s"}}}\n'
    told = "".join(line % trials[number].checkpoint for number in (2, 3))
    folder.other("killed", checkpoint=trials[2].checkpoint, journal=told)
    gave_up = folder.other("gave up", checkpoint=None, journal=line % trials[4].checkpoint)
    assert [each.number for each in unneeded(trials, set(), folder.directory)] == [4]
    (gave_up / RESULTS).write_bytes(b"damaged")
    clear_weights(trials, set(), folder.directory, folder.store)
    (problem,) = folder.store.problems
    assert "gave up/results.parquet cannot be read" in problem
    assert folder.left == {"0", "1", "2", "3", "4"}


def keys(*numbers: int) -> list[str]:
    """What files of a store are called."""
    return [f"{number:032x}" for number in numbers]


def test_what_a_study_of_another_folder_has_or_begins_with_stays(folder: Folder, tmp_path: Path) -> None:
    trials = [trial(number, "ce", 0.5, checkpoint=folder.weights(key)) for number, key in enumerate(keys(0, 1, 2, 3))]
    has, begins, gone = (f"../elsewhere {tmp_path.name}/{name}" for name in ("has", "begins", "gone"))
    store = study(compute={"store": folder.store.location})
    assert not note_use(store, folder.other(has, checkpoint=trials[0].checkpoint))
    begun = study(files={trials[1].checkpoint: "abc"})
    assert not note_use(begun, folder.other(begins, files=f"{{{trials[1].checkpoint}: abc}}"))
    # of one that was moved or removed it is known with what it began
    left = folder.other(gone, checkpoint=trials[3].checkpoint)
    assert not note_use(study(files={trials[2].checkpoint: "abc"}), left)
    shutil.rmtree(left)
    assert [each.number for each in unneeded(trials, set(), folder.directory)] == [3]
    assert missing_users(folder.directory) == [left.resolve()]
    clear_weights(trials, set(), folder.directory, folder.store)
    assert folder.left == set(keys(0, 1, 2))


def test_what_other_studies_begin_with_is_not_evicted(folder: Folder) -> None:
    mine, beside, elsewhere = (folder.weights(key) for key in keys(0, 1, 2))
    (folder.directory / CONFIGURATION).write_text(f"files: {{{mine}: abc}}\n")
    folder.other("beside", files=f"{{{beside}: abc}}")
    note_use(study(files={elsewhere: "abc"}), folder.directory.parent.parent / "other" / "study")
    assert begun_with(folder.directory) == {Path(file).name for file in (mine, beside, elsewhere)}


def test_a_study_leaves_a_note_where_others_cannot_know_of_it(folder: Folder, tmp_path: Path) -> None:
    studies, key = folder.directory.parent, folder.weights("0" * 32)
    assert not note_use(study(files={key: "abc"}), folder.directory)  # beside the store
    assert not note_use(study(files={str(tmp_path / "resnet.pth"): "abc"}), tmp_path / "x" / "study")  # no store
    assert not note_use(study(compute={"store": "s3://bucket/path"}), folder.directory)
    assert not users_of(studies / STORE)
    # a store that studies of two folders call their own by links
    linked = tmp_path / "x" / STORE
    linked.parent.mkdir(exist_ok=True)
    linked.symlink_to(studies / STORE)
    assert not note_use(study(), tmp_path / "x" / "study")
    assert [user.directory for user in users_of(studies / STORE)] == [(tmp_path / "x" / "study").resolve()]
    (note,) = (studies / STORE / USERS).iterdir()
    note.write_text("half")
    with pytest.raises(InputError, match="cannot be read"):
        users_of(studies / STORE)


def test_a_store_in_which_no_note_can_be_left_is_said(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / STORE / USERS).write_bytes(b"")  # for root, whom no permission stops
    (said,) = note_use(study(files={folder.weights("0" * 32): "abc"}), tmp_path / "x" / "study")
    assert f"{tmp_path / STORE} cannot be written" in said and "copy the weights that are to stay" in said
