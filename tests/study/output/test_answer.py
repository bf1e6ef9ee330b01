"""The tables of the finalists, and what the test split says."""

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
from rich.console import Console, RenderableType

from tests.support.reported import answer_of, record, repeats, scaled
from tune_seg.study.output.answer import (
    adjusted_lines,
    answer_table,
    apart_lines,
    beside_table,
    columns_beside,
    diverged_lines,
    undefined_lines,
)
from tune_seg.study.output.answer import test_lines as lines_of_the_test
from tune_seg.study.record import Record, State
from tune_seg.study.scoring import TestScores as Scores
from tune_seg.study.verdict.free import beyond_adjusted


def console(width: int = 160) -> Console:
    return Console(width=width, record=True, file=io.StringIO())


def printed(table: RenderableType | None, width: int = 160) -> str:
    assert table is not None
    here = console(width)
    here.print(table)
    return here.export_text()


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def finalists(records: Sequence[Record], objectives: Sequence[str] = ("s_rec",), width: int = 160) -> str:
    answer = answer_of(records, objectives[0])
    return printed(answer_table(console(width), answer, objectives, 0.95), width)


THREE = [
    *repeats("ce", [0.50, 0.51, 0.49, 0.50], 0),
    *repeats("focal", [0.70, 0.72, 0.69, 0.70], 10, gamma=1.25),
    *repeats("dice", [0.40, 0.42, 0.41, 0.40], 20),
]


def test_the_table_marks_what_to_take_and_has_the_difference_of_each() -> None:
    text = finalists(THREE)
    title = "Finalists, trained with new seeds; * take this one; minus ce: with its 95% interval over seeds"
    assert text.splitlines()[0].rstrip() == title
    lines = cells(text)
    assert [line[0] for line in lines] == ["* focal", "gamma 1.2500", "ce", "dice"]
    assert [line[1] for line in lines] == ["4", "", "4", "4"]
    assert lines[0][2] == "0.7025 ± 0.013" and lines[0][3].startswith("+0.2025 [+0.")
    assert lines[2][3] == "" and lines[3][3].startswith("-0.0925 [-0.")


@pytest.mark.parametrize(("free", "end"), [(0.55, "."), (0.71, ": not shown to be better than that.")])
def test_the_one_to_take_is_compared_with_what_plain_cross_entropy_has_for_free(free: float, end: str) -> None:
    def with_scaled(loss: str, scores: list[float], first: int, adjusted: float) -> list[Record]:
        values = [
            scaled({"s_rec": score}, {"s_rec": score}, {"s_rec": adjusted + 0.01 * (k % 2)})
            for k, score in enumerate(scores)
        ]
        return [
            record(first + k, score - 0.1, end=loss, seed=k + 1, repeat=True, scaled=values[k])
            for k, score in enumerate(scores)
        ]

    records = [
        *with_scaled("ce", [0.50, 0.51, 0.49, 0.50], 0, free),
        *with_scaled("focal", [0.70, 0.72, 0.69, 0.70], 10, 0.9),
    ]
    answer = answer_of(records, "temperature/s_rec")
    ce, focal = answer.measured
    found = beyond_adjusted(focal, ce, "temperature/s_rec", level=0.95, test_share=None)
    assert found is not None and found.n == 4 and found.mean == pytest.approx(0.7025 - free - 0.005)
    (line,) = adjusted_lines(replace(answer, beyond_adjusted=found))
    assert line.startswith("focal minus plain cross entropy with adjusted logits, which are free after training: ")
    assert line.endswith(f"], over seeds alone{end}")
    assert beyond_adjusted(ce, ce, "temperature/s_rec", level=0.95, test_share=None) is None
    first = ce.repeats[1, None]
    lost = replace(first, scores={"temperature/s_rec": 0.0}, diverged=True)
    with_lost = replace(ce, repeats={**ce.repeats, (1, None): lost})  # what diverged has no adjusted logits
    counted = beyond_adjusted(focal, with_lost, "temperature/s_rec", level=0.95, test_share=None)
    assert counted is not None and counted.n == 4 and counted.mean == pytest.approx(found.mean + free / 4)
    for metric in ("nll", "boundary_f1"):  # of which no adjusted logits are known
        assert beyond_adjusted(focal, with_lost, metric, level=0.95, test_share=None) is None


def test_a_single_repeat_has_neither_scatter_nor_interval() -> None:
    lines = cells(finalists([*repeats("ce", [0.5], 0), *repeats("focal", [0.7], 10)]))
    assert lines[0][:4] == ["* focal", "1", "0.7000", "+0.2000"]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_names_and_intervals_are_whole_in_any_terminal(width: int) -> None:
    records = [
        *repeats("ce", [0.50, 0.51, 0.49, 0.50], 0),
        *repeats("dual_focal", [0.70, 0.72, 0.69, 0.70], 10),
        *repeats("focal", [0.60, 0.62, 0.61, 0.60], 20, gamma=1.25),
    ]
    text = finalists(records, width=width)
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    lines = cells(text)
    assert [line[0] for line in lines] == ["* dual_focal", "focal", "gamma 1.2500", "ce"]
    assert all(line[3].endswith("]") for line in lines[:2])
    assert ("P(better)" in text, "accuracy" in text) == {80: (False, False), 100: (False, True), 160: (True, True)}[width]


def test_what_stands_beside_the_objective_stands_there_once() -> None:
    assert columns_beside(["temperature/s_rec"]) == ("recall", "accuracy", "temperature/calibration")
    assert columns_beside(["s_rec"]) == ("recall", "accuracy", "temperature/calibration")
    assert columns_beside(["temperature/recall"]) == ("accuracy", "temperature/calibration")
    assert columns_beside(["recall", "accuracy", "temperature/calibration"]) == ("accuracy", "temperature/calibration")
    text = finalists(THREE, ("recall", "accuracy", "temperature/calibration"))
    header = "".join(line for line in text.splitlines() if "┃" in line)
    assert header.count("recall") == 1 and header.count("accuracy") == 1 and header.count("calibration") == 1
    assert "*" not in text  # what to take is not for the first of several objectives to say


def test_repeats_that_diverged_or_have_no_f1_count_as_0_and_it_is_said() -> None:
    diverged = record(14, 0.9, State.DIVERGED, end="focal", seed=5, repeat=True)
    answer = answer_of([*repeats("ce", [0.5] * 4, 0), *repeats("focal", [0.7] * 4, 10), diverged])
    assert list(diverged_lines(answer)) == ["focal diverged in 1 of 5 repeats; each counts as 0."]
    answer = answer_of([*repeats("ce", [0.4] * 3, 0), *repeats("focal", [0.7, 0.8, math.nan], 10)], "f1")
    (line,) = undefined_lines(answer, "f1")
    assert line == "f1 of focal is undefined in 1 of 3 repeats, as a class is never predicted; each counts as 0."
    assert list(undefined_lines(answer, "s_rec")) == []
    lines = cells(printed(answer_table(console(), answer, ["f1"], 0.95)))
    assert [line[2][:6] for line in lines] == ["0.5000", "0.4000"]


def test_a_training_far_below_the_others_is_named() -> None:
    ce, low = repeats("ce", [0.50, 0.51, 0.49, 0.50], 0), [0.70, 0.72, 0.69, 0.70, 0.01]
    (line,) = apart_lines(answer_of([*ce, *repeats("focal", low, 10)]), "s_rec", 0.01)
    assert line == (
        "Warning: of 5 trainings of focal trial 14 scored 0.0100, the others 0.6900 to 0.7200: it can fail, and plain cross "
        "entropy has no training with its seed, so it is not compared."
    )
    (line,) = apart_lines(answer_of([*ce, *repeats("focal", low[1:], 10)]), "s_rec", 0.01)
    assert line.endswith("trial 13 scored 0.0100, the others 0.6900 to 0.7200: it can fail.")
    assert list(apart_lines(answer_of(THREE), "s_rec", 0.01)) == []
    for scores in ([0.70, 0.72, 0.69, 0.64], [0.7, 0.7, 0.69], [0.9, 0.1]):  # as far as the others are, the margin, too few
        assert list(apart_lines(answer_of([*ce, *repeats("focal", scores, 10)]), "s_rec", 0.01)) == []


def beside(**values: Any) -> str:
    """What `focal` gains, with a scatter of its own in each seed."""
    names = ("recall", "accuracy", "temperature/calibration", "recall/1", "recall/2")
    records = []
    for k, pole in enumerate((0.0, 0.05, 0.0, 0.3), 1):
        ce: dict[str, Any] = {"recall": 0.4 + 0.01 * k, "accuracy": 0.9, "class_recall": [0.9, 0.0, 0.1 + 0.02 * k]}
        focal: dict[str, Any] = {"recall": 0.6, "accuracy": 0.8 + 0.01 * k, "class_recall": [0.8, pole, 0.4]}
        of = [scaled({"calibration": value}, {}, {}) for value in (0.9 + 0.01 * k, 0.7)]
        records.append(record(k, 0.5 + 0.01 * k, end="ce", seed=k, repeat=True, scaled=of[0], **ce))
        records.append(record(10 + k, 0.7, end="focal", seed=k, repeat=True, scaled=of[1], **focal))
    return printed(beside_table(console(), answer_of(records, beside=names), ("road", "pole", "light")), **values)


def test_what_is_gained_and_lost_beside_the_objective_is_a_table_with_intervals() -> None:
    text = beside()
    assert text.startswith("What focal gains and loses beside plain cross entropy")
    rows = {line[0]: line[1:] for line in cells(text)}
    assert [*rows] == ["recall", "accuracy", "temperature/calibration", "recall of pole", "recall of light"]
    assert rows["recall"][:2] == ["0.600", "0.425"] and rows["recall"][2].startswith("+0.175 [+0.")
    assert rows["accuracy"][2].startswith("-0.075 [-0.") and rows["accuracy"][3] == "<1%"
    assert rows["temperature/calibration"][:2] == ["0.700", "0.925"]
    assert rows["recall of light"][3] == ">99%"


def test_intervals_end_where_no_score_can_go_and_nothing_is_worse_than_0() -> None:
    rows = {line[0]: line[1:] for line in cells(beside())}
    mean, ce, difference, chance = rows["recall of pole"]  # plain cross entropy has 0 with every seed
    assert (mean, ce, chance) == ("0.087", "0.000", "")
    assert difference.startswith("+0.087 [+0.000, +0.")


def with_test(scores: list[dict[str, float]], plain: dict[str, float], metric: str, looks: int = 1) -> list[str]:
    answer = answer_of(THREE)
    of_test = {answer.verdict.best: scores, answer.reference: [plain] * 4}
    promised = {id: fmean(answer.contenders[id].scores(metric)) for id in of_test}
    return list(lines_of_the_test(answer, metric, Scores(233, looks, of_test, promised, answer.verdict.difference)))


def test_the_test_split_is_set_beside_what_validation_promised() -> None:
    first, focal, plain, difference = with_test([{"s_rec": 0.68}] * 4, {"s_rec": 0.5}, "s_rec")
    assert first == "Test split, 233 images that no trial has seen (scored once):"
    assert focal == "  focal: s_rec 0.6800, 4 seeds; validation 0.7025, validation minus test +0.0225"
    assert plain == "  plain cross entropy: s_rec 0.5000, 4 seeds; validation 0.5000, validation minus test +0.0000"
    assert difference.startswith("  focal minus plain cross entropy: +0.2025 [+0.")
    again, *_ = with_test([{"s_rec": 0.68}], {"s_rec": 0.5}, "s_rec", looks=2)
    assert "scored 2 times: each further look makes it less of a test" in again


def test_the_test_split_is_shown_with_and_without_a_temperature_where_that_differs() -> None:
    scores = {"s_rec": 0.6, "temperature/s_rec": 0.7, "recall": 0.5, "temperature/recall": 0.5}
    assert "s_rec 0.6000 (with a temperature 0.7000), 1 seed;" in with_test([scores], scores, "s_rec")[1]
    assert "recall 0.5000, 1 seed;" in with_test([scores], scores, "recall")[1]
