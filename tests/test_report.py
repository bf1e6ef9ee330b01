"""What the final report says of records whose order is known."""

import io
import math
from typing import Any

from rich.console import Console

from tests.test_records import result
from tune_seg.config import StudyConfig, parse
from tune_seg.records import Record, State
from tune_seg.report import LiveReport, final_report, pareto_front, ranked

CLASSES = ("road", "pole", "light")


def record(number: int, score: float, state: State = State.COMPLETED, epochs: int = 3, **values: Any) -> Record:
    assignment = {f"loss.{key}": values.pop(key) for key in ("end", "gamma") if key in values}
    config = parse(StudyConfig, {}).trial(assignment)
    recalls = values.pop("class_recall", [0.9, 0.5, 0.1])
    history = [result(epoch, score, class_recall=recalls, **values) for epoch in range(1, epochs + 1)]
    return Record(number, assignment, config, False, state, history)


def printed(records: list[Record], width: int = 160, **config: Any) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    final_report(console, parse(StudyConfig, config), records, CLASSES)
    return console.export_text()


def test_completed_trials_stand_before_stopped_ones_and_the_best_first() -> None:
    records = [
        record(0, 0.5),
        record(1, 0.9, State.PRUNED, epochs=1),
        record(2, 0.7),
        record(3, 0.2, State.PRUNED, epochs=2),
        record(4, math.nan),
        record(5, 0.0, State.FAILED, epochs=0),
    ]
    assert [entry.number for entry in ranked(records, "s_rec")] == [2, 0, 4, 3, 1, 5]


def test_the_winner_is_measured_against_the_second_and_against_plain_cross_entropy() -> None:
    text = printed(
        [
            record(0, 0.5, end="ce", class_recall=[0.9, 0.0, 0.004]),
            record(1, 0.75, end="focal", gamma=1.5, class_recall=[0.8, 0.4, 0.0]),
            record(2, 0.625, end="dice", class_recall=[0.8, 0.6, 0.005]),
        ]
    )
    assert "Winner: trial 1, focal, s_rec 0.7500; +0.1250 over the second (trial 2, dice)" in text
    assert "+0.2500 over plain cross entropy (trial 0, 0.5000)." in text
    assert "Plain cross entropy (trial 0) misses 2 of 3 classes:" in text
    assert "pole (recall 0.000): trial 2, dice, finds it with recall 0.600" in text
    assert "light (recall 0.004): no trial finds it" in text
    assert "loss.gamma 1.5000" in text


def test_a_class_that_does_not_occur_is_not_missed() -> None:
    text = printed([record(0, 0.5, end="ce", class_recall=[0.9, 0.5, math.nan])])
    assert "finds every class" in text


def test_a_narrow_terminal_still_shows_rank_score_and_state() -> None:
    text = printed([record(0, 0.5, end="ce")], width=100)
    assert "0.5000" in text and "completed" in text and "miou" not in text


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    records = [
        record(0, 0, recall=0.5, calibration=0.5),
        record(1, 0, recall=0.9, calibration=0.1),
        record(2, 0, recall=0.4, calibration=0.5),
        record(3, 0, recall=0.9, calibration=0.1),
        record(4, 0, State.PRUNED, recall=1.0, calibration=1.0),
    ]
    assert [entry.number for entry in pareto_front(records, ("recall", "calibration"))] == [0, 1, 3]
    text = printed(records, objective=["recall", "calibration"])
    assert "Pareto front over recall, calibration: trials 1, 3, 0" in text


def test_a_study_without_a_completed_trial_says_so() -> None:
    assert "No trial ran to its end." in printed([record(0, 0.5, State.PRUNED, epochs=1)])


def test_without_a_terminal_each_trial_that_ends_is_a_line() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    report = LiveReport(console, parse(StudyConfig, {"training": {"epochs": 3}}), target=4)
    with report:
        report.update(record(0, 0.5, State.RUNNING, epochs=1))
        report.update(record(0, 0.5, end="dice"))
        report.update(record(1, 0.4, State.PRUNED, epochs=1))
    lines = console.export_text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("[1/4] trial 0 dice: completed, s_rec 0.5000, 3 epochs, 4.5 s, about 0:0")
    assert lines[1].startswith("[2/4] trial 1 ce: pruned")
