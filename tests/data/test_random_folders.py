"""Folders drawn at random are read as they were drawn, or it is said in what not, or they are refused in plain words.

Long runs: `python -m tests.support.random_folders --seeds 2000`.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.support.random_folders.folder import draw_folder
from tests.support.random_folders.verdict import judged, refusal, verdict_on

SEEDS = range(30)
_EXACT = 0  # a seed whose folder is read as it was drawn


def test_no_folder_is_read_otherwise_than_it_was_drawn_without_a_word(tmp_path: Path) -> None:
    verdicts = {seed: judged(seed, tmp_path / str(seed), 120.0) for seed in SEEDS}
    assert {seed: verdict.why for seed, verdict in verdicts.items() if verdict.kind == "wrong"} == {}
    kinds = Counter(verdict.kind for verdict in verdicts.values())
    assert kinds["exact"] >= 5 and kinds["said"] >= 2 and kinds["refused"] >= 5


def test_a_seed_is_one_folder(tmp_path: Path) -> None:
    one, other = (draw_folder(3, tmp_path / name) for name in "ab")
    assert one.choices == other.choices
    files = [
        {path.relative_to(folder.root): path.read_bytes() for path in folder.root.rglob("*.*")} for folder in (one, other)
    ]
    assert files[0] and files[0] == files[1]


@pytest.mark.parametrize("what", ["a pixel", "an image", "the name of a class", "a mask"])
def test_what_is_read_otherwise_is_found(tmp_path: Path, what: str) -> None:
    folder = draw_folder(_EXACT, tmp_path / "data")
    assert verdict_on(folder, tmp_path / "packs").kind == "exact"
    first, second = folder.pictures[:2]
    assert first.classes is not None
    if what == "a pixel":
        first.classes = np.where(np.arange(first.classes.size).reshape(first.classes.shape) == 0, 1, first.classes)
    elif what == "an image":
        folder.pictures.remove(first)
    elif what == "a mask":
        first.classes, second.classes = second.classes, first.classes
    else:
        folder.names = {number: f"other {number}" for number in range(9)}
    assert verdict_on(folder, tmp_path / "packs").kind == "wrong"


def test_what_hangs_and_what_a_library_says_is_wrong(tmp_path: Path) -> None:
    assert judged(_EXACT, tmp_path, 0.0).why.startswith("hangs")
    folder = draw_folder(_EXACT, tmp_path / "other")
    assert refusal(folder, "data.root: cannot identify image file").kind == "wrong"
    assert refusal(folder, "something is wrong").kind == "wrong"
    assert refusal(folder, "data.root: holds no images").kind == "refused"
