"""What a person sees while a study runs: a line a trial, the progress, and the sums behind it."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.support.reported import record
from tune_seg.config import StudyConfig, parse
from tune_seg.study.output.live import LiveReport
from tune_seg.study.record import Record, State


def test_without_a_terminal_each_trial_that_ends_is_a_line() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    report = LiveReport(console, parse(StudyConfig, {"training": {"epochs": 3}}), target=lambda: 4)
    with report:
        report.update(record(0, 0.5, State.RUNNING, epochs=1))
        report.update(record(0, 0.5, end="dice"))
        report.update(record(1, 0.4, State.PRUNED, epochs=1))
    lines = console.export_text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("[1/4] trial 0 dice: completed, s_rec 0.5000, 3 epochs, 4.5 s, about 0:0")
    assert lines[1].startswith("[2/4] trial 1 ce: pruned")


def test_epochs_from_the_store_say_nothing_of_how_long_the_others_take() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    report = LiveReport(console, parse(StudyConfig, {"training": {"epochs": 3}}), target=lambda: 4)
    report.begin([record(0, 0.5)])
    report.update(record(1, 0.4, replayed=True))
    replayed = record(2, 0.4)
    replayed.history = [*replayed.history[:2], replace(replayed.history[2], replayed=True)]
    report.update(record(2, 0.4, State.RUNNING, epochs=0))
    report.update(replayed)
    lines = console.export_text().splitlines()
    assert report.progress[0] == 9
    assert lines[0].endswith("remaining time not known yet") and "about 0:0" in lines[1]
    assert report._new == 2


def test_the_live_table_follows_how_many_trials_there_will_be() -> None:
    targets = [4]
    report = LiveReport(Console(file=io.StringIO()), parse(StudyConfig, {"training": {"epochs": 3}}), lambda: targets[-1])
    report.update(record(0, 0.5))
    assert report.progress == (3, 12)
    targets.append(2)
    assert report.progress == (3, 6)


@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from(list(State)), st.integers(0, 5)), max_size=40))
def test_the_sums_of_the_live_table_are_those_over_all_trials(changes: list[tuple[int, State, int]]) -> None:
    console = Console(width=200, file=io.StringIO(), force_terminal=True)
    report = LiveReport(console, parse(StudyConfig, {"training": {"epochs": 5}}), target=lambda: 12)
    trials: dict[int, Record] = {}
    for number, state, epochs in changes:  # also a trial that had failed and begins again
        trials[number] = record(number, number / 12, state, epochs)
        report.update(trials[number])
    ended = [trial for trial in trials.values() if trial.state is not State.RUNNING]
    mean = (sum(len(trial.history) for trial in ended) + 5) / (len(ended) + 1)
    left = [max(0.0, mean - len(trial.history)) for trial in trials.values() if trial.state is State.RUNNING]
    done = sum(len(trial.history) for trial in trials.values())
    assert report.progress[0] == done
    assert report.progress[1] == pytest.approx(done + sum(left) + mean * (12 - len(trials)))
    table = Console(width=200, record=True, file=io.StringIO())
    table.print(report.table)
    text = table.export_text()
    assert f"{len(ended)}/12 trials" in text
    shown = [int(line.split("│")[1]) for line in text.splitlines() if line.startswith("│")]
    assert sorted(shown) == sorted(trials)
