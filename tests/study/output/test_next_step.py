"""What to type next, after every ending."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.reported import answer_of, record, repeats
from tune_seg.config import StudyConfig, parse
from tune_seg.study.configurations import configurations
from tune_seg.study.confirmation import Answer
from tune_seg.study.exporting import WINNER, model_file
from tune_seg.study.output.next_step import next_lines
from tune_seg.study.output.sentence import Cost, verdict_text
from tune_seg.study.record import Record, State
from tune_seg.study.verdict import Kind

BETTER = [*repeats("ce", [0.50, 0.51, 0.49, 0.50], 0), *repeats("focal", [0.70, 0.72, 0.69, 0.70], 10)]
UNCERTAIN = [*repeats("ce", [0.50, 0.56, 0.47], 0), *repeats("focal", [0.60, 0.58, 0.55], 10)]
OWN = {"data": {"root": ".", "format": "folder"}}
COMMAND = r"(tune-seg|.*python[\d.]* -m tune_seg)"


def said(records: list[Record], answer: Answer | None, directory: Path | None = None, **config: Any) -> list[str]:
    """The lines for a study of somebody's own images."""
    study = parse(StudyConfig, {**OWN, **config})
    return list(next_lines(study, directory or Path.cwd() / "studies" / "mine", records, answer, Cost(30.0)))


def test_what_is_decided_is_to_be_used(tmp_path: Path) -> None:
    (line,) = said(BETTER, answer_of(BETTER))
    assert line == "To use focal: its settings are in configurations.parquet; its weights were not stored."
    (line,) = said(BETTER, answer_of(BETTER), objective=["s_rec", "accuracy"])
    assert line.startswith("To use one of the front: ")
    assert line.endswith(" predict mine IMAGES --out DIR --trial N (column `trial` of results.parquet)")
    model_file(tmp_path, WINNER).parent.mkdir()
    model_file(tmp_path, WINNER).touch()
    (line,) = said(BETTER, answer_of(BETTER), tmp_path)
    assert line.startswith("To use focal: ") and line.endswith(f" predict {tmp_path} IMAGES --out DIR")


def test_what_is_not_decided_is_decided_by_more_seeds_with_their_price() -> None:
    answer = answer_of(UNCERTAIN)
    more = answer.verdict.more_seeds
    assert more is not None
    (line,) = said(UNCERTAIN, answer)
    found = re.fullmatch(rf"To decide it: {COMMAND} confirm mine --seeds (\d+) \((\d+) trainings, about [\d:]+\)", line)
    assert found is not None and (int(found[2]), int(found[3])) == (3 + more, 2 * more)
    study = parse(StudyConfig, OWN)
    (again,) = next_lines(study, Path.cwd() / "studies" / "mine", UNCERTAIN, answer, Cost(30.0), opened=True)
    assert again == f"{line}; it scores the test split again, which makes it less of a test"


def test_what_is_taken_until_it_is_decided_can_be_used(tmp_path: Path) -> None:
    model_file(tmp_path, WINNER).parent.mkdir()
    model_file(tmp_path, WINNER).touch()
    decide, use = said(UNCERTAIN, answer_of(UNCERTAIN), tmp_path)
    assert decide.startswith("To decide it: ")
    assert re.fullmatch(rf"To use (plain cross entropy|focal) meanwhile: {COMMAND} predict {tmp_path} IMAGES --out DIR", use)


def test_after_a_grid_over_seeds_all_seeds_are_fresh_ones() -> None:
    answer = answer_of(UNCERTAIN)
    more = answer.verdict.more_seeds
    assert more is not None
    of_the_grid = replace(answer, of_the_grid=True)
    (line,) = said(UNCERTAIN, of_the_grid)
    every = 3 + more  # those of the grid are its search, and count no longer
    assert re.search(rf"confirm mine --seeds {every} \({2 * every} trainings, about", line)
    text = verdict_text(of_the_grid, ("s_rec",), 0.01, Cost(30.0)).plain
    assert f"about {every} fresh seeds ({2 * every} trainings, about" in text
    assert (
        f"about {more} more seeds ({2 * more} trainings, about" in verdict_text(answer, ("s_rec",), 0.01, Cost(30.0)).plain
    )


def test_what_a_session_asked_for_is_kept_and_the_longer_of_the_two_counts() -> None:
    answer = answer_of([*UNCERTAIN, record(30, 0.51, end="ce", seed=9, repeat=True)])
    more = answer.verdict.more_seeds
    assert more is not None and answer.verdict.difference.n == 3
    study = parse(StudyConfig, OWN)
    asked = {"search.confirm.margin": 0.02, "search.confirm.max_seeds": 4, "search.confirm.finalists": 6}
    (line,) = next_lines(study, Path.cwd() / "studies" / "mine", UNCERTAIN, answer, Cost(30.0), asked=asked)
    assert f" confirm mine --finalists 6 --margin 0.02 --seeds {4 + more} (" in line


def test_what_leads_without_a_repeat_is_to_be_compared_as_well() -> None:
    late = record(30, 0.9, end="poly1")
    (ahead,) = configurations([late])
    answer = replace(answer_of(BETTER), left_out=[ahead])
    line = said([*BETTER, late], answer)[-1]
    assert re.fullmatch(
        rf"Without a repeat yet, and ahead in the search: poly1\. To compare it as well: {COMMAND} confirm mine", line
    )


def test_what_seeds_cannot_decide_needs_images_or_a_choice() -> None:
    answer = answer_of(UNCERTAIN)
    never = replace(answer.verdict, kind=Kind.UNDECIDED, more_seeds=None)
    (line,) = said(UNCERTAIN, replace(answer, verdict=replace(never, images_limit=True)))
    assert line.startswith("To decide it takes more validation images") and "confirm" not in line
    (line,) = said(UNCERTAIN, replace(answer, verdict=never))
    assert line.startswith("More seeds will hardly decide it") and "confirm" not in line


def test_single_runs_are_to_be_repeated_unless_there_is_nothing_to_compare() -> None:
    (line,) = said([record(0, 0.5, end="ce"), record(1, 0.7, end="focal")], None)
    start = rf"To be sure of the best: {COMMAND} confirm mine"
    assert re.fullmatch(rf"{start} \(at least 3 seeds of each: 6 trainings, about 0:03:00\)", line)
    (line,) = said([record(0, 0.5, end="ce"), record(1, 0.6, end="ce", seed=1)], None)
    assert "confirm" not in line and re.search(rf"To try other losses: {COMMAND} search loss_schedule --data ROOT$", line)
    (line,) = said([record(0, 0.5, State.DIVERGED, end="focal")], None)
    assert line.startswith("No trial ran to its end: try a lower learning rate") and "confirm" not in line


def test_generated_images_are_followed_by_ones_own() -> None:
    lines = said(BETTER, answer_of(BETTER), data={"format": "synthetic"})
    assert len(lines) == 2 and re.fullmatch(rf"For your own images: {COMMAND} search loss_schedule --data ROOT", lines[1])


def test_a_study_elsewhere_is_named_by_its_folder(tmp_path: Path) -> None:
    directory = tmp_path / "my study"
    (line,) = said([record(0, 0.5, end="ce"), record(1, 0.7, end="focal")], None, directory)
    assert f" confirm '{directory}' (" in line


def test_the_command_is_one_that_this_terminal_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    script = python.with_name("tune-seg")
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.chdir(tmp_path)
    records = [record(0, 0.5, end="ce"), record(1, 0.7, end="focal")]
    monkeypatch.setenv("PATH", str(tmp_path))  # as after scripts/search.sh: the environment is not active
    assert said(records, None)[0].startswith("To be sure of the best: .venv/bin/python -m tune_seg confirm ")
    monkeypatch.setenv("PATH", str(script.parent))
    assert said(records, None)[0].startswith("To be sure of the best: tune-seg confirm ")
