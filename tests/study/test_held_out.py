"""The looks at a test split, by all studies, and the scores on it."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from tests.support.epoch_results import image_counts
from tune_seg.errors import InputError
from tune_seg.study.files import TEST
from tune_seg.study.held_out import HeldOutScore, looks_file, note_look, read_looks, read_scores, write_scores


def test_a_look_counts_whichever_study_it_was(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert note_look(one, "c0", "id 1", [3, 4]) == 1
    assert note_look(one, "c0", "id 1", [4, 3]) == note_look(one, "c0", "id 1", [3]) == 1  # the same again
    assert note_look(two, "c0", "id 2", [3, 4]) == 2
    assert note_look(one, "c0", "id 1", [3, 4, 5]) == 3
    assert note_look(one, "c1", "id 1", [3, 4]) == 1  # other images
    looks = read_looks(looks_file(two, "c0"))
    assert [(look.study, sorted(look.trials)) for look in looks] == [("id 1", [3, 4]), ("id 2", [3, 4]), ("id 1", [3, 4, 5])]


def test_studies_that_look_at_once_are_all_counted(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(note_look, [(tmp_path / "study", "c0", f"id {number}", [number]) for number in range(40)])
    assert {look.study for look in read_looks(looks_file(tmp_path / "study", "c0"))} == {
        f"id {number}" for number in range(40)
    }


@pytest.mark.parametrize("damage", ['{"study": "id 1", "tri', "[]", '{"study": "id 1"}', '{"study": "", "trials": 5}', ""])
def test_a_damaged_look_is_not_taken_for_none(tmp_path: Path, damage: str) -> None:
    note_look(tmp_path / "study", "c0", "id 1", [1])
    path = looks_file(tmp_path / "study", "c0")
    with path.open("a") as file:
        file.write(f"{damage}\n")
    with pytest.raises(InputError, match=r"line 2 is damaged.*put the file back as it was, or write (.*) in place") as error:
        note_look(tmp_path / "study", "c0", "id 1", [1, 2])
    offered = str(error.value).partition("or write ")[2].partition(" in place")[0]
    path.write_text("\n".join([path.read_text().splitlines()[0], offered]) + "\n")
    assert note_look(tmp_path / "study", "c0", "id 1", [1, 2]) == 3


def test_the_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_scores(tmp_path, "c0") == {}
    scores = {number: HeldOutScore({"s_rec": 0.1 * number, "f1": np.nan}, image_counts(seed=number)) for number in (2, 11)}
    write_scores(tmp_path, "c0", scores)
    write_scores(tmp_path, "c1", {2: scores[11]})
    found = read_scores(tmp_path, "c0")
    assert found.keys() == scores.keys()
    for number, score in found.items():
        assert score.metrics == pytest.approx(dict(scores[number].metrics), nan_ok=True)
        assert score.images == scores[number].images
    assert read_scores(tmp_path, "c1")[2].images == scores[11].images
    for damage in ("{", "[]", '{"c0": {"2": {}}}', '{"c0": {"2": {"metrics": {}, "images": "00000"}}}'):
        (tmp_path / TEST).write_text(damage)
        with pytest.raises(InputError, match=r"test.json is damaged; put it back as it was, or move it away"):
            read_scores(tmp_path, "c0")
