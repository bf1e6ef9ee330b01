"""What a study leaves on the disk, what it says of it, and what `tune-seg clean` removes: on real studies."""

import fcntl
import json
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.support.studies import SMALL, results, scores, search, write_config
from tune_seg import Study, cli, confirm
from tune_seg.clean import main
from tune_seg.errors import InputError
from tune_seg.inference.model_file import read_model
from tune_seg.models.weights import read_weights
from tune_seg.search import main as main_search
from tune_seg.study.exporting import PLAIN, WINNER, model_file
from tune_seg.study.files import JOURNAL, PACKS, RESULTS, STORE, bytes_of
from tune_seg.training.checkpoints import WEIGHTS, load_weights

CONFIG: dict[str, Any] = {
    "data": {**SMALL["data"], "split": {"test": "published"}},
    "training": SMALL["training"] | {"epochs": 1},
    "objective": "temperature/s_rec",
    "space": {"loss.end": {"choice": ["ce", "wce", "focal"]}, "acw": {"choice": [False]}},
    "search": {
        "sampler": "random",
        "trials": 16,
        "early_stopping": {"kind": "none"},
        # three seeds of two contenders decide, whatever they score
        "confirm": {"share": 0.6, "finalists": 1, "margin": 2.0, "max_seeds": 3},
    },
    "baselines": [{"loss.end": "ce", "acw": False}],
}


def clean(directory: Path, *options: str) -> int:
    return main([str(directory), *options])


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def weights(folder: Path) -> set[str]:
    return {path.name for path in (folder / STORE).glob(f"*{WEIGHTS}.pt")}


def checkpoints(config: Path, name: str) -> Mapping[int, str]:
    """The names of the files of weights that the table of a study has, by trial."""
    rows = results(config, name)
    return {row["trial"]: Path(row["checkpoint"]).name for row in rows if row["checkpoint"] is not None}


def said_bytes(printed: str, pattern: str) -> float:
    found = re.search(rf"{pattern} ([\d.]+) (MB|GB)", printed)
    assert found is not None, printed
    return float(found[1]) * {"MB": 1e6, "GB": 1e9}[found[2]]


@pytest.mark.long("clean")
def test_a_study_keeps_what_its_answer_needs_and_goes_on_after_it_was_cleaned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "first.yaml", **CONFIG)
    folder = tmp_path / "studies"
    directory = folder / "first"
    assert search(config) == 0
    printed = capsys.readouterr().out

    # the estimate is the real size, but for the rounding
    taken = bytes_of(files(folder))
    assert taken == pytest.approx(said_bytes(printed, "Disk: at most"), rel=0.02)
    said = sum(
        said_bytes(printed, what)
        for what in ("Disk: results", "models", "packed images", "other checkpoints of all studies")
    )
    assert said == pytest.approx(taken, rel=0.02)
    assert f"What can be removed: tune-seg clean {directory}" in printed or f"clean {directory}" in printed

    # the weights of the repeats are there and no others
    rows = results(config, "first")
    kept = checkpoints(config, "first")
    assert kept.keys() == {row["trial"] for row in rows if row["repeat"]} and len(kept) == 6
    assert weights(folder) == set(kept.values())
    # those of a model to use are one file with it, which is read as the others are
    linked = [path for path in (folder / STORE).iterdir() if path.samefile(model_file(directory, WINNER))]
    assert len(linked) == 1
    model = read_model(model_file(directory, WINNER))[1]
    for found in (load_weights(linked[0]), read_weights(linked[0])):
        assert found.keys() == model.keys() and all(torch.equal(found[name], model[name]) for name in model)
    study = Study(config, name="first", studies=folder)
    assert Path(study.best["checkpoint"]).is_file()
    with pytest.raises(InputError, match=r"the weights of trial 0 are not stored") as refused:
        study.load_model(0)
    expected = study.load_model().predict(np.zeros((48, 48, 3), np.uint8)).mask

    # nothing but what a killed process has left is to be removed, and nothing is where nobody says so
    (directory / ".ray-left").mkdir()
    (directory / ".ray-left" / "log").write_bytes(bytes(3_000_000))
    (directory / "results.partial").write_text("half")
    before = files(folder)
    assert clean(directory) == 0
    printed = capsys.readouterr().out
    assert "3.0 MB: files that a killed process has left." in printed and "Nothing was removed; --yes removes it" in printed
    assert files(folder).keys() == before.keys()
    assert clean(directory, "--yes") == 0
    assert "removed 3.0 MB" in capsys.readouterr().out
    assert before.keys() - files(folder).keys() == {directory / ".ray-left" / "log", directory / "results.partial"}

    # all weights and packs: the models to use stay, and the study can be continued
    assert clean(directory, "--weights", "--packs", "--yes") == 0
    printed = capsys.readouterr().out
    assert "weights of 6 trials" in printed and "They are generated again" in printed
    assert "The models ce and winner stay." in printed or "The model ce stays." in printed
    assert not weights(folder) and not checkpoints(config, "first") and not list((folder / PACKS).iterdir())
    assert clean(directory, "--weights", "--packs") == 0
    assert "there is nothing to remove" in capsys.readouterr().out
    assert np.array_equal(study.load_model().predict(np.zeros((48, 48, 3), np.uint8)).mask, expected)
    models = {name: model_file(directory, name).read_bytes() for name in (WINNER, PLAIN)}
    assert confirm.main([str(directory), "--seeds", "4"]) == 0
    assert {name: model_file(directory, name).read_bytes() for name in (WINNER, PLAIN)} == models
    assert search(config, "--trials", "18") == 0
    again = results(config, "first")
    np.testing.assert_equal([scores(row) for row in again[: len(rows)]], [scores(row) for row in rows])
    assert all(Path(row["checkpoint"]).is_file() for row in again if row["checkpoint"] is not None)

    # a trial whose weights are gone is trained again by the command that its message names
    command = shlex.split(str(refused.value).partition("train it again: ")[2])
    assert cli.main(command[command.index("search") :]) == 0
    (trained,) = results(config, "first-trial-0")
    np.testing.assert_equal(scores(trained), scores(rows[0]))
    assert Study(config, name="first-trial-0", studies=folder).load_model(0).class_names


@pytest.mark.long("clean beside")
def test_what_another_study_of_the_folder_has_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "any.yaml", **CONFIG)
    folder = tmp_path / "studies"
    assert search(config, "--study", "one") == 0
    assert search(config, "--study", "two") == 0
    one, two = checkpoints(config, "one"), checkpoints(config, "two")
    rows = results(config, "two")
    shared = set(one.values()) & set(two.values())
    assert len(shared) == 6  # all repeats were taken over, with their weights
    assert all(row["epochs_replayed"] == row["epochs"] for row in rows if row["repeat"])
    capsys.readouterr()

    assert clean(folder / "one", "--weights", "--packs", "--yes") == 0
    printed = capsys.readouterr().out
    assert "weights of 6 trials; 6 of them stay because another study has them" in printed
    assert "packed images" not in printed
    assert shared <= weights(folder) and checkpoints(config, "two") == two and not checkpoints(config, "one")
    model = Study(config, name="two", studies=folder).load_model(max(two))  # the pack and the weights are there

    # a table that is older than the journal, as that of a killed session, does not give them away
    table = (folder / "two" / RESULTS).read_bytes()
    (folder / "two" / RESULTS).unlink()
    assert clean(folder / "one", "--weights", "--yes") == 0
    assert shared <= weights(folder)
    (folder / "two" / RESULTS).write_bytes(table)

    # nobody else has them any more
    assert clean(folder / "two", "--weights", "--yes") == 0
    assert not weights(folder)
    assert model.class_names

    # what needs its weights is trained again though its results are stored; what does not need them is not
    assert search(config, "--study", "three") == 0
    three = results(config, "three")
    repeated, before = ([scores(row) for row in of if row["repeat"]] for of in (three, rows))
    np.testing.assert_equal(repeated, before)
    assert {row["epochs_replayed"] for row in three if row["repeat"]} == {0}
    assert {row["epochs_replayed"] for row in three if not row["repeat"]} == {1}
    assert weights(folder) == set(checkpoints(config, "three").values())


@pytest.mark.long("clean elsewhere")
def test_what_a_study_of_another_folder_has_in_the_store_stays(
    rows_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, elsewhere = Path(shutil.copytree(rows_study.parent / "studies", tmp_path / "studies")), tmp_path / "elsewhere"
    config = Path(shutil.copy(rows_study, tmp_path / "rows.yaml"))
    options = ["--study", "again", "--studies", str(elsewhere), "--store", str(folder / STORE)]
    assert main_search([str(config), *options, "--trials", "3"]) == 0
    has = {Path(row["checkpoint"]).name for row in pq.read_table(elsewhere / "again" / RESULTS).to_pylist()}
    all_of_them = weights(folder)
    assert len(has) == 3 and has < all_of_them
    capsys.readouterr()

    assert clean(folder / "rows", "--weights") == 0
    printed = capsys.readouterr().out
    assert "3 of them stay because another study has them" in printed
    assert "those of other folders that have left a note" in printed and "is not there any more" not in printed
    with (elsewhere / "again" / ".lock").open("w") as lock:  # it runs
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert clean(folder / "rows", "--weights", "--yes") == 2
        assert "again is in use by another process" in capsys.readouterr().err
    assert clean(folder / "rows", "--weights", "--yes") == 0
    assert weights(folder) == has

    # what is not known is said before anything is removed
    shutil.move(elsewhere, tmp_path / "moved")
    assert search(config, "--study", "more", "--trials", "3") == 0
    capsys.readouterr()
    assert clean(folder / "more", "--weights") == 0
    assert f"{elsewhere / 'again'}, which has used the store, is not there any more" in capsys.readouterr().out


def test_nothing_is_removed_while_a_study_of_the_folder_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("mine", "other"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "study.yaml").write_text("{}")
        (directory / JOURNAL).touch()
    for running in ("mine", "other"):
        with (tmp_path / running / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert clean(tmp_path / "mine", "--yes") == 2
            assert f"{running} is in use by another process" in capsys.readouterr().err
    assert clean(tmp_path / "nowhere") == 2
    assert "holds no study" in capsys.readouterr().err


@pytest.mark.long("states go")
def test_states_go_when_no_trial_begins_from_them_any_more(
    rows_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(rows_study.parent / "studies", tmp_path / "studies"))
    config, directory = Path(shutil.copy(rows_study, tmp_path / "rows.yaml")), folder / "rows"
    states = {path.name for path in (folder / STORE).glob("*.pt") if "-" not in path.name}
    before = results(config)
    assert states
    # another study, which was interrupted, may begin from them
    journal = (directory / JOURNAL).read_text().splitlines(keepends=True)
    other = Path(shutil.copytree(directory, folder / "other"))
    ended = [index for index, line in enumerate(journal) if '"outcome"' in line]
    (other / JOURNAL).write_text("".join(journal[: ended[0]]))
    assert clean(directory, "--yes") == 0
    assert states <= {path.name for path in (folder / STORE).iterdir()}
    shutil.rmtree(other)

    assert clean(directory, "--yes") == 0
    printed = capsys.readouterr().out
    assert f"{len(states)} training state" in printed and "train the epochs again" in printed
    assert states & {path.name for path in (folder / STORE).iterdir()} == set()
    assert search(config) == 0
    assert json.dumps([scores(row) for row in results(config)]) == json.dumps([scores(row) for row in before])
