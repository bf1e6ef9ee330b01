"""What a person sees while a study runs: the screen at several widths, the lines in a log, and the sums behind them."""

import io
import math
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.support.reported import answer_of, record, repeats
from tune_seg.config import StudyConfig, parse
from tune_seg.study.output.live import LiveReport, Session
from tune_seg.study.output.progress import Planned, StudyProgress
from tune_seg.study.output.standing import standing
from tune_seg.study.record import Record, State
from tune_seg.training.trajectory import TrainingData

DATA = TrainingData("3f", (48, 64), 25)
SESSION = Session("try: 25 + 8 generated images", "s_rec", lambda: 65.0, lambda: "Best so far: none", lambda: "")


def progress(planned: Callable[[], Planned] = lambda: Planned(4, 0), epochs: int = 3, slots: int = 1) -> StudyProgress:
    return StudyProgress(parse(StudyConfig, {"training": {"epochs": epochs}}), slots, planned, DATA)


def lines_of(*changes: tuple[Record, float]) -> list[str]:
    """What a log has of these changes, each with its time, and then of a sign of life."""
    console, state = Console(width=200, record=True, file=io.StringIO()), progress()
    with LiveReport(console, SESSION, state) as report:
        for changed, now in changes:
            state.update(changed, now)
            report.update(changed)
        report.heartbeat()
    begins, *lines = console.export_text().splitlines()
    assert begins == "0/4 trials, 0:01:05 so far, waiting for the first worker to start"
    return lines


def screen_of(state: StudyProgress, width: int, height: int = 30, session: Session = SESSION) -> str:
    console = Console(width=width, height=height, record=True, file=io.StringIO(), force_terminal=True)
    console.print(LiveReport(console, session, state).screen)
    return console.export_text()


def test_a_log_has_a_line_for_each_trial_that_ends() -> None:
    lines = lines_of(
        (record(0, 0.5, State.RUNNING, epochs=0), 0.0),
        (record(0, 0.5, State.RUNNING, epochs=1), 9.0),
        (record(0, 0.5, end="dice"), 12.0),
        (record(1, 0.4, State.RUNNING, epochs=0), 12.0),
        (record(1, 0.4, State.PRUNED, epochs=1), 13.5),
    )
    assert len(lines) == 3
    assert lines[0].startswith("[1/4] trial 0 dice: completed, s_rec 0.5000, 3 epochs, 4.5 s, about 0:00:1")
    assert lines[1].startswith("[2/4] trial 1 ce: pruned")
    assert lines[2].startswith("2/4 trials, 0:01:05 so far, about 0:00:")


def test_a_sign_of_life_says_what_runs_and_is_padded_with_nothing() -> None:
    (line,) = lines_of((record(0, 0.5, State.RUNNING, epochs=0), 0.0))
    said = "0/4 trials, 0:01:05 so far, waiting for the first worker to start; running: trial 0 ce, begins"
    assert line == said
    (line,) = lines_of(
        (record(0, 0.5, State.RUNNING, epochs=0), 0.0),
        (record(0, 0.5, State.RUNNING, epochs=2), 9.0),
    )
    assert line.startswith("0/4 trials, 0:01:05 so far, about 0:00:") and line.endswith("running: trial 0 ce, epoch 2/30")


def test_a_line_names_some_of_many_running_trials() -> None:
    state = progress(slots=20)
    for number in range(20):
        state.update(record(number, 0.5, State.RUNNING, epochs=1), 1.0)
    assert state.running_text().count("epoch 1/30") == 8
    assert state.running_text().endswith("; and 12 more trials")


def test_epochs_from_the_store_are_counted_as_saved() -> None:
    state = progress()
    state.begin([record(0, 0.5)])
    state.update(record(1, 0.4, replayed=True), 1.0)
    assert state.remaining_text(1.0).startswith("about 0:0")  # the first took 4.5 s in its own session
    replayed = record(2, 0.4)
    replayed.history = [*replayed.history[:2], replace(replayed.history[2], replayed=True)]
    state.update(record(2, 0.4, State.RUNNING, epochs=0), 2.0)
    state.update(replayed, 3.0)
    batch = replayed.config.training.batch_size
    assert (state.done, state.replayed, state.steps_replayed) == (9, 4, 4 * (25 // batch))
    assert f"4 epochs ({state.steps_replayed} steps) from the store" in screen_of(state, 120)


def test_a_study_whose_last_epoch_takes_longer_is_nearly_done() -> None:
    state = progress(lambda: Planned(1, 0))
    config = parse(StudyConfig, {"training": {"epochs": 3}}).trial({})
    for epochs, now in ((0, 0.0), (1, 1.0), (2, 2.0)):
        state.update(Record(0, {}, config, history=record(0, 0.5, epochs=epochs).history), now)
    assert state.remaining_text(2.0) == "about 0:00:01 left"
    assert state.remaining_text(9.0) == "nearly done"


def test_nothing_is_known_of_the_time_before_an_epoch() -> None:
    state = progress()
    state.update(record(1, 0.4, replayed=True), 1.0)
    assert state.remaining_text(1.0) == "remaining time not known yet"


def test_the_screen_follows_how_many_trials_there_will_be() -> None:
    planned = [Planned(4, 0)]
    state = progress(lambda: planned[-1])
    state.update(record(0, 0.5), 1.0)
    assert (state.done, state.epochs, state.target) == (3, 12, 4)
    planned.append(Planned(2, 3))
    assert (state.epochs, state.target) == (3 + 3 + 9, 5)
    state.update(record(1, 0.5, State.RUNNING, 1, repeat=True), 2.0)
    assert state.epochs == 3 + 1 + 29 + 3 + 6  # a repeat has all epochs of its configuration
    planned.append(Planned(1, 1, more=True))
    assert state.remaining_text(2.0).endswith("in this round of seeds") is (state.remaining(2.0) is not None)


@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from(list(State)), st.integers(0, 5)), max_size=40))
def test_the_sums_are_those_over_all_trials(changes: list[tuple[int, State, int]]) -> None:
    state = progress(lambda: Planned(12, 0), epochs=5)
    trials: dict[int, Record] = {}
    for time, (number, kind, epochs) in enumerate(changes):  # also a trial that had failed and begins again
        trials[number] = record(number, number / 12, kind, epochs)
        state.update(trials[number], float(time))
    ended = [trial for trial in trials.values() if trial.state is not State.RUNNING]
    assert state.done == sum(len(trial.history) for trial in trials.values())
    assert state.ended == len(ended)
    assert sorted(state.running) == sorted({*trials} - {trial.number for trial in ended})
    text = screen_of(state, 200, height=60)
    assert f"{len(ended)}/12 trials" in text
    shown = [int(line.split("│")[1]) for line in text.splitlines() if line.startswith("│")]
    assert sorted(shown) == sorted(trials)


def tried() -> StudyProgress:
    state = progress(lambda: Planned(18, 8), slots=2)
    losses: list[dict[str, Any]] = [
        {"end": "ce"},
        {"end": "dual_focal_2021", "gamma": 2.3456},
        {"end": "focal", "gamma": 1.2345},
    ]
    for number, values in enumerate(losses):
        state.update(record(number, 0.5, State.RUNNING, 0, **values), float(number))
        state.update(record(number, 0.5 + number / 10, **values), number + 0.5)
    for number in (3, 4):
        state.update(record(number, 0.4, State.RUNNING, epochs=1, end="tversky", seed=number, repeat=True), 5.0)
    return state


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_nothing_on_the_screen_is_cut(width: int) -> None:
    text = screen_of(tried(), width)
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert len(rows) == 5 and all(row[0] for row in rows)  # no blank rows, and no settings on two lines
    assert [row[1] for row in rows] == [
        "tversky training.seed 3",
        "tversky training.seed 4",
        "focal gamma 1.2345",
        "dual_focal_2021 gamma 2.3456",
        "ce",
    ]
    assert rows[2][:5] == ["2", "focal gamma 1.2345", "completed", "3/30", "0.7000"]
    assert ("accuracy" in text) is (width >= 100)


def test_settings_that_are_too_long_go_on_in_the_next_line() -> None:
    state = progress()
    settings = {"loss.end": "tversky", "loss.params.tversky.alpha": 0.25, "loss.params.tversky.beta": 0.75}
    config = parse(StudyConfig, {"loss": {"end": "tversky"}}).trial({})
    state.update(Record(0, {**settings, "training.momentum": 0.9, "training.weight_decay": 1e-4}, config), 0.0)
    text = screen_of(state, 80)
    assert "…" not in text
    cells = " ".join(line.split("│")[2].strip() for line in text.splitlines() if line.startswith("│"))
    assert "tversky.alpha 0.2500, tversky.beta 0.7500, training.momentum 0.9000" in cells
    assert "s_rec" in text


def test_few_rows_leave_the_running_trials() -> None:
    text = screen_of(tried(), 120, height=12)
    shown = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    assert shown == ["3", "4", "2"]
    assert len(text.splitlines()) <= 12


def test_ctrl_c_is_seen_on_the_screen_and_in_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    console = Console(width=120, record=True, file=io.StringIO(), force_terminal=True)
    report = LiveReport(console, SESSION, tried())
    console.print(report.screen)
    assert "Ctrl-C ends it" in console.export_text()
    report.ending()
    console.print(report.screen)
    assert "Ctrl-C: finishing the epoch" in console.export_text()
    assert capfd.readouterr().err == ""
    LiveReport(Console(file=io.StringIO()), SESSION, progress()).ending()
    assert "Ctrl-C: finishing the epoch" in capfd.readouterr().err


def test_ctrl_c_is_survived_where_the_terminal_is_gone() -> None:
    saved = os.dup(2)
    os.close(2)
    try:
        LiveReport(Console(file=io.StringIO()), SESSION, progress()).ending()
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def test_the_standing_names_the_best_and_plain_cross_entropy() -> None:
    assert standing([], None, "s_rec") == "Best so far: no trial has run to its end yet."
    ce, focal = record(0, 0.5, end="ce"), record(1, 0.7, end="focal")
    assert standing([ce], None, "s_rec") == "Best so far: ce, s_rec 0.5000."
    said = standing([ce, focal, record(2, 0.6, end="dice")], None, "s_rec")
    assert said == "Best so far in s_rec: focal 0.7000, ce 0.5000. Single runs decide nothing yet."
    undefined = standing([record(0, math.nan, end="ce"), focal], None, "s_rec")
    assert undefined == "Best so far in s_rec: focal 0.7000, ce -. Single runs decide nothing yet."
    assert standing([record(0, 0.8, end="ce"), focal], None, "s_rec").startswith(
        "Best so far in s_rec: ce 0.8000, focal 0.7"
    )


def test_the_standing_says_whether_it_is_decided() -> None:
    clear = [*repeats("ce", [0.50, 0.51, 0.49], 0), *repeats("focal", [0.70, 0.72, 0.69], 10)]
    said = standing(clear, answer_of(clear), "s_rec")
    assert said.startswith("Best so far in s_rec: focal 0.7033, ce 0.5000. Decided: focal is better, +0.2033 [")
    unclear = [*repeats("ce", [0.50, 0.71, 0.49], 0), *repeats("focal", [0.60, 0.52, 0.79], 10)]
    assert ". Not decided yet: +0.07" in standing(unclear, answer_of(unclear), "s_rec")
    same = [*repeats("ce", [0.50, 0.501, 0.502], 0), *repeats("focal", [0.501, 0.502, 0.503], 10)]
    assert "Decided: no difference that matters, +0.0010" in standing(same, answer_of(same, margin=0.1), "s_rec")


def test_without_a_seed_in_common_nothing_is_said_of_the_difference() -> None:
    apart = [*repeats("ce", [0.5], 0), record(10, 0.7, end="focal", seed=2, repeat=True)]
    said = standing(apart, answer_of(apart), "s_rec")
    assert said == "Best so far in s_rec: focal 0.7000, ce 0.5000. Not decided yet: no seed in common."


def test_the_screen_of_a_running_study_has_what_takes_a_moment_to_find_out() -> None:
    found = threading.Event()

    def disk() -> str:
        found.set()
        return "disk: 3 MB for this study"

    state, shown = tried(), io.StringIO()
    console = Console(width=120, height=30, file=shown, force_terminal=True)
    report = LiveReport(console, replace(SESSION, standing=lambda: f"{state.ended} have ended", disk=disk), state)
    with report:
        assert found.wait(60)
    console.print(report.screen)
    printed = shown.getvalue()
    assert "3 have ended" in printed and "Disk: 3 MB for this study." in printed
