"""A study begins with what won in another one."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.records import asked, run_to_the_end, space
from tune_seg import Study
from tune_seg.errors import InputError
from tune_seg.study.files import CONFIGURATION
from tune_seg.study.like import like_study
from tune_seg.study.output.results import write_study
from tune_seg.study.records import Records
from tune_seg.study.search_space.portfolio import portfolio_of
from tune_seg.study.search_space.space import Space

OTHER: dict[str, Any] = {
    "loss.end": {"choice": ["ce", "wce", "focal"]},
    "loss.gamma": {"float": [0.5, 5.0], "when": {"loss.end": ["focal"]}},
}
NEW: dict[str, Any] = {
    "loss.kind": {"choice": ["static", "compound"]},
    "loss.start": {"choice": ["dice"], "when": {"loss.kind": ["compound"]}},
    "loss.end": {"choice": ["ce", "wce", "focal"]},
    "loss.gamma": {"float": [0.5, 2.0], "when": {"loss.end": ["focal"]}},
    "training.lr": {"float": [1e-4, 1e-2], "log": True},
}
SCORES = {"ce": 0.5, "wce": 0.8}


def other_study(directory: Path, trials: int = 6) -> Path:
    directory.mkdir()
    searched = space(OTHER, training={"epochs": 3, "lr": 2e-3}, search={"sampler": "random", "trials": trials})
    records = Records(directory, searched.config, searched)
    for _ in range(trials):
        record = asked(records)
        end = record.assignment["loss.end"]
        run_to_the_end(records, record, SCORES.get(end, 0.6 + record.assignment.get("loss.gamma", 0.0) / 100))
    write_study(searched.config, directory / CONFIGURATION)
    return directory


def test_the_best_come_first_and_what_was_fixed_there_is_taken_too(tmp_path: Path) -> None:
    config = like_study(space(NEW).config, other_study(tmp_path / "other"))
    assert isinstance(config.search.portfolio, tuple)
    first, *rest = config.search.portfolio
    assert first == {"loss.kind": "static", "loss.end": "wce", "training.lr": 2e-3}
    assert {each["loss.end"] for each in rest} <= {"ce", "focal"}
    gammas = [each["loss.gamma"] for each in rest if each["loss.end"] == "focal"]
    assert gammas == sorted(gammas, reverse=True)


def test_what_the_new_space_cannot_have_is_left_out_and_said(tmp_path: Path) -> None:
    config = like_study(space(NEW).config, other_study(tmp_path / "other", trials=8))
    assert isinstance(config.search.portfolio, tuple)
    found = portfolio_of(Space(config))
    too_large = [each for each in config.search.portfolio if each.get("loss.gamma", 0.0) > 2.0]
    assert too_large
    assert len(found.left_out) == len(too_large)
    assert all("loss.gamma cannot be" in why for why in found.left_out)
    assert len(found.assignments) == len(config.search.portfolio) - len(too_large)


def test_from_python_by_name_or_by_folder(tmp_path: Path) -> None:
    other = other_study(tmp_path / "other")
    new: dict[str, Any] = {"space": NEW}
    by_name, by_folder = (Study(new, name="new", studies=tmp_path, like=like) for like in ("other", other))
    assert by_name.config.search.portfolio == by_folder.config.search.portfolio
    assert by_name.config.search.portfolio
    with pytest.raises(InputError, match="holds no study"):
        Study(new, name="new", studies=tmp_path, like="nobody")


def test_a_study_in_which_nothing_has_ended_is_refused(tmp_path: Path) -> None:
    searched = space(OTHER)
    asked(Records(tmp_path, searched.config, searched))
    write_study(searched.config, tmp_path / CONFIGURATION)
    with pytest.raises(InputError, match="no trial of that study has run to its end"):
        like_study(space(NEW).config, tmp_path)
