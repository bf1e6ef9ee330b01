"""A study that was given hours ends in time."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.records import SPACE as VARIED
from tests.support.records import asked, run_to_the_end, space
from tune_seg.study.deadline import Deadline, time_for
from tune_seg.study.records import Records


def test_the_share_of_the_trials_that_repeats_are_kept_is_kept_of_the_hours() -> None:
    searched = space(VARIED, search={"trials": 100, "hours": 2.0, "confirm": {"share": 0.4}})
    deadline = Deadline.of(searched.config, searched, began=1000.0)
    assert deadline is not None
    assert deadline.end == 1000.0 + 7200
    assert deadline.search == pytest.approx(1000.0 + 0.6 * 7200)
    assert Deadline.of(space(VARIED).config, space(VARIED), began=0.0) is None


def test_there_is_time_for_what_ends_before() -> None:
    assert time_for(5.0, time.monotonic() + 6.0)
    assert not time_for(7.0, time.monotonic() + 6.0)


def records(directory: Path, deadline: Deadline | None, **search: Any) -> Records:
    searched = space(VARIED, training={"epochs": 3}, search={"sampler": "random", "trials": 9, **search})
    return Records(directory, searched.config, searched, deadline=deadline)


def test_no_trial_begins_that_would_end_too_late(tmp_path: Path) -> None:
    now = time.monotonic()
    study = records(tmp_path, Deadline(now + 3600, now + 3600))
    run_to_the_end(study, asked(study), 0.5)  # which has taken some seconds, by what its epochs say
    took = study.trials[0].seconds
    assert 0.0 < took < 3600.0
    assert not study.out_of_time
    late = records(tmp_path, Deadline(time.monotonic() + took / 2, time.monotonic() + took / 2))
    assert late.ask() is None
    assert late.out_of_time
    assert late.handed_out_all
    assert late.finished  # as far as the time went


def test_a_trial_that_was_chosen_and_not_begun_stays_open_for_the_next_session(tmp_path: Path) -> None:
    left = asked(records(tmp_path, None))  # by a session that was killed
    over = Deadline(time.monotonic() - 1.0, time.monotonic() - 1.0)
    late = records(tmp_path, over)
    assert late.ask() is None
    assert late.out_of_time
    assert late.handed_out_all
    again = asked(records(tmp_path, None))
    assert (again.number, again.assignment) == (left.number, left.assignment)


def test_the_next_session_has_its_own_hours(tmp_path: Path) -> None:
    over = Deadline(time.monotonic() - 1.0, time.monotonic() - 1.0)
    study = records(tmp_path, over)
    assert study.ask() is None
    again = records(tmp_path, None)
    assert not again.finished
    assert again.ask() is not None


def test_how_many_trials_there_will_be_follows_from_the_time_that_is_left(tmp_path: Path) -> None:
    now = time.monotonic()
    study = records(tmp_path, Deadline(now + 3600, now + 3600), trials=10_000)
    assert study.expected == (10_000, 0)  # nothing is known yet
    run_to_the_end(study, asked(study), 0.5)
    search, repeats = study.expected
    assert search == pytest.approx(1 + 3600 / study.trials[0].seconds, abs=2)
    assert repeats == 0
