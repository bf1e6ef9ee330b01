"""What the final report says of records whose order is known."""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.support.epoch_results import result
from tests.support.records import asked, open_records
from tune_seg.config import CALIBRATION_ERRORS, StudyConfig, TrialConfig, parse
from tune_seg.study.output.report import LiveReport, final_report, pareto_front, ranked
from tune_seg.study.output.results import ResultsFile
from tune_seg.study.record import Record, State
from tune_seg.training.result import ScaledScores

CLASSES = ("road", "pole", "light")
RECALLS: dict[str, Any] = {"class_recall": [0.9, 0.5, 0.1]}


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


def test_the_winner_is_measured_against_the_trials_on_its_own_fold() -> None:
    def trial(number: int, score: float, **values: Any) -> Record:
        config = parse(TrialConfig, values)
        return Record(number, {}, config, False, State.COMPLETED, [result(1, score, **RECALLS)])

    text = printed(
        [
            trial(0, 0.875, fold=1, loss={"end": "focal"}),
            trial(1, 0.75, fold=0, loss={"end": "ce"}),
            trial(2, 0.625, fold=1, loss={"end": "dice"}),
            trial(3, 0.5, fold=1, loss={"end": "ce"}),
        ]
    )
    assert "Winner on fold 1: trial 0, focal, s_rec 0.8750; +0.2500 over the second (trial 2, dice)" in text
    assert "+0.3750 over plain cross entropy (trial 3, 0.5000)." in text


def test_plain_cross_entropy_is_told_by_what_is_active() -> None:
    def trial(number: int, score: float, **values: Any) -> Record:
        config = parse(TrialConfig, values)
        return Record(number, {}, config, False, State.COMPLETED, [result(1, score, **RECALLS)])

    ce, focal = {"loss": "ce", "weight": 1.0}, {"loss": "focal", "weight": 1.0}
    others = [
        trial(0, 0.9, loss={"end": "focal"}),
        trial(1, 0.8, loss={"end": "ce"}, acw=True),
        trial(2, 0.7, loss={"kind": "compound", "start": "dice", "end": "ce"}),
        # loss.end is ce, which this kind does not use
        trial(3, 0.6, loss={"kind": "program", "components": {"a": ce, "b": focal}}),
    ]
    assert "lain cross entropy" not in printed(others)
    for loss in ({"end": "ce"}, {"kind": "program", "end": "dice", "components": {"a": ce}}):
        text = printed([*others, trial(4, 0.5, loss=loss), trial(5, 0.4, loss={"end": "ce"})])
        assert "+0.4000 over plain cross entropy (trial 4, 0.5000)." in text


def test_the_settings_name_a_parameter_without_the_section_that_it_lies_in() -> None:
    values = parse(
        StudyConfig,
        {
            "loss": {
                "kind": "program",
                "components": {"a": {"loss": "focal", "weight": 1.0}, "b": {"loss": "tversky", "weight": 1.0}},
            }
        },
    )
    assignment = {"loss.params.tversky.beta": 0.25, "loss.components.a.params.gamma": 1.5}
    history = [result(1, 0.5, **RECALLS)]
    text = printed([Record(0, assignment, values.trial(assignment), False, State.COMPLETED, history)])
    assert re.search(r"(?<![.\w])tversky\.beta 0\.2500", text)
    assert re.search(r"(?<![.\w])a\.params\.gamma 1\.5000", text)


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


def scaled(calibration: Sequence[float], s_rec: Sequence[float] = (0.5, 0.5, 0.5)) -> dict[str, Any]:
    """What a last epoch adds: the metrics with one temperature, with one per class, of adjusted logits."""
    one, each, adjusted = ({"calibration": cal, "s_rec": s} for cal, s in zip(calibration, s_rec, strict=True))
    return {
        "scaled": {
            "temperature": ScaledScores(one, 1.32),
            "class_temperature": ScaledScores(each, (1.0, 2.0, 3.0)),
            "adjusted": ScaledScores(adjusted, 1.4, tau=0.25),
        }
    }


def test_the_best_and_plain_cross_entropy_are_shown_with_all_that_can_be_done_to_their_logits() -> None:
    records = [
        record(0, 0.5, end="ce", **scaled((0.93, 0.95, 0.97), (0.52, 0.63, 0.64))),
        record(1, 0.75, end="focal", **scaled((0.94, 0.96, 0.98), (0.76, 0.78, 0.79))),
        *(record(number, 0.6, end="dice", **scaled((0.1, 0.2, 0.3))) for number in (2, 3, 4)),
    ]
    _, _, after = printed(records).partition("After training")
    assert "each half of the validation images with what was fitted to the other half" in after
    lines = [[cell for cell in line.split() if cell != "│"] for line in after.splitlines() if line.startswith("│")]
    assert [line[0] for line in lines] == ["1", "2", "3", "0"]  # the three best, and plain cross entropy
    assert lines[0] == ["1", "focal", "0.7500", "0.7600", "0.7800", "0.7900", "1.3200", "0.2500"]
    answer = "With one temperature each, the winner's calibration is 0.9400 and that of plain cross entropy 0.9300."
    assert answer in after
    _, _, after = printed(records, objective="recall").partition("After training")
    assert "calibration as trained" in after and "0.9600" in after and "0.7800" not in after


def test_a_winner_that_is_plain_cross_entropy_is_not_compared_with_itself() -> None:
    plain = record(0, 0.5, end="ce", **scaled((0.8, 0.9, 0.9)))
    text = printed([plain, record(1, 0.25, end="focal", **scaled((0.9, 0.9, 0.9)))])
    assert "The winner is plain cross entropy; with one temperature its calibration is 0.8000." in text


def test_what_scaling_does_is_left_out_where_it_is_not_known() -> None:
    # a single validation image
    assert "temperature" not in printed([record(0, 0.5, end="ce", **scaled([math.nan] * 3, [math.nan] * 3))])


def test_the_results_have_the_errors_and_what_became_of_scaled_logits(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    errors: dict[str, Any] = dict.fromkeys(CALIBRATION_ERRORS, 0.25)
    one, every = (ScaledScores({"nll": nll}, 1.5) for nll in (0.5, 0.125))
    last = {
        "temperature": every,
        "class_temperature": ScaledScores({}, (1.0, 2.0)),
        "adjusted": ScaledScores({"nll": 0.25}, 1.25, tau=0.75),
    }
    for state, values in (
        (State.PRUNED, {**errors, "scaled": {"temperature": one}}),
        (State.COMPLETED, {**errors, "scaled": last}),
        (State.FAILED, {}),
    ):
        number = asked(records).number
        records.add(number, result(1, 0.5, **values))
        records.close(number, state)
    ResultsFile(records, tmp_path / "results.parquet").write()
    table = pq.read_table(tmp_path / "results.parquet").to_pydict()
    for name in CALIBRATION_ERRORS:
        assert table[name] == [0.25, 0.25, None]
    assert table["temperature/nll"] == [0.5, 0.125, None]
    assert table["adjusted/nll"] == [None, 0.25, None]
    assert table["class_temperature/T"] == [None, [1.0, 2.0], None]
    assert table["adjusted/tau"] == [None, 0.75, None]


def test_a_study_without_a_completed_trial_says_so() -> None:
    assert "No trial ran to its end." in printed([record(0, 0.5, State.PRUNED, epochs=1)])


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


def test_of_many_trials_the_best_are_printed() -> None:
    text = printed([record(number, number / 100) for number in range(60)])
    assert "10 more trials are in results.parquet." in text
    shown = [int(line.split("│")[2]) for line in text.splitlines() if line.startswith("│")]
    assert shown == list(range(59, 9, -1))
    assert "more trials" not in printed([record(number, number / 100) for number in range(50)])


SCORES = st.sampled_from([math.nan, 0.0, 0.25, 0.5, 0.75, 1.0])


@given(st.lists(st.tuples(SCORES, SCORES, SCORES), max_size=30), st.sampled_from([2, 3]))
def test_the_pareto_front_is_what_comparing_every_pair_leaves(points: list[tuple[float, ...]], count: int) -> None:
    names = ("recall", "calibration", "f1")[:count]
    config = parse(StudyConfig, {}).trial({})
    trials = [
        Record(number, {}, config, False, State.COMPLETED, [result(1, recall=point[0], calibration=point[1], f1=point[2])])
        for number, point in enumerate(points)
    ]
    plain = [tuple(-math.inf if math.isnan(score) else score for score in point[:count]) for point in points]

    def beaten(point: tuple[float, ...]) -> bool:
        return any(other != point and all(a >= b for a, b in zip(other, point, strict=True)) for other in plain)

    assert [trial.number for trial in pareto_front(trials, names)] == [
        n for n, point in enumerate(plain) if not beaten(point)
    ]


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
