"""The words of the verdict, its table, and what the test split says."""

import io
import re

from rich.console import Console

from tests.support.reported import answer_of, record
from tune_seg.study.confirmation import Answer
from tune_seg.study.output.answer import answer_table, beside_lines, verdict_text
from tune_seg.study.output.answer import test_lines as lines_of_the_test
from tune_seg.study.record import Record
from tune_seg.study.scoring import TestScores as Scores


def repeats(end: str, scores: list[float], first: int) -> list[Record]:
    return [record(first + k, score, end=end, seed=k + 1, repeat=True) for k, score in enumerate(scores)]


def words(answer: Answer, margin: float = 0.01, cost: float = 30.0) -> str:
    return verdict_text(answer, "s_rec", margin, cost).plain


def test_a_better_loss_is_called_better_with_its_interval() -> None:
    answer = answer_of([*repeats("ce", [0.50, 0.51, 0.49, 0.50], 0), *repeats("focal", [0.70, 0.72, 0.69, 0.70], 10)])
    text = words(answer)
    found = re.fullmatch(
        r"Verdict: focal is better than plain cross entropy \(s_rec \+0\.2025 \[\+(0\.\d+), \+(0\.\d+)\], 4 seeds each\)\. "
        r"Take focal\.",
        text,
    )
    assert found is not None and float(found[1]) < 0.2025 < float(found[2])


def test_plain_cross_entropy_may_be_the_better_one() -> None:
    answer = answer_of([*repeats("ce", [0.70, 0.72, 0.69, 0.70], 0), *repeats("focal", [0.50, 0.51, 0.49, 0.50], 10)])
    assert words(answer).startswith("Verdict: plain cross entropy is better than focal (s_rec +0.2025")


def test_within_the_margin_the_simpler_one_is_to_be_taken() -> None:
    even = [0.5 + 0.001 * k for k in range(8)]
    answer = answer_of(
        [*repeats("ce", even, 0), *repeats("focal", [score + 0.0005 * (-1) ** k for k, score in enumerate(even)], 10)]
    )
    text = words(answer)
    assert "are indistinguishable within the margin of 0.01" in text
    assert text.endswith("Take plain cross entropy, the simpler one.") or text.endswith("Take plain cross entropy.")


def test_what_is_not_decided_says_what_would_decide_it() -> None:
    answer = answer_of([*repeats("ce", [0.50, 0.56, 0.47], 0), *repeats("focal", [0.60, 0.58, 0.55], 10)])
    found = re.search(
        r"Verdict: not decided between focal and plain cross entropy \(.*\): about (\d+) more seeds? \((.*)\) "
        r"would decide it\. Best so far: focal\.",
        words(answer),
    )
    assert found is not None
    seconds = 30 * int(found[1])
    assert found[2] == f"0:{seconds // 60:02d}:{seconds % 60:02d}"


def test_the_table_marks_what_to_take_and_has_the_difference_of_each() -> None:
    records = [
        *repeats("ce", [0.50, 0.51, 0.49, 0.50], 0),
        *repeats("focal", [0.70, 0.72, 0.69, 0.70], 10),
        *repeats("dice", [0.40, 0.42, 0.41, 0.40], 20),
    ]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(answer_table(answer_of(records), "s_rec", 0.95))
    text = console.export_text()
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert [line[0] for line in lines] == ["* focal", "ce", "dice"]
    assert [line[1] for line in lines] == ["4", "4", "4"]
    assert lines[0][2] == "0.7025 ± 0.013" and lines[0][3].startswith("+0.2025 [+0.")
    assert lines[1][3] == "" and lines[2][3].startswith("-0.0925 [-0.")


def test_what_is_gained_and_lost_beside_the_objective_is_said_with_intervals() -> None:
    records = [
        record(k, 0.5 + 0.01 * k, end="ce", seed=k, repeat=True, recall=0.4 + 0.01 * k, accuracy=0.9) for k in (1, 2, 3, 4)
    ] + [record(10 + k, 0.7, end="focal", seed=k, repeat=True, recall=0.6, accuracy=0.8 + 0.01 * k) for k in (1, 2, 3, 4)]
    (line,) = beside_lines(answer_of(records, beside=("recall", "accuracy")), ("road",))
    assert line.startswith("focal minus plain cross entropy: recall +0.175 [+0.")
    assert "; accuracy -0.075 [-0." in line and line.count("P(better)") == 2


def test_the_test_split_is_set_beside_what_validation_promised() -> None:
    answer = answer_of([*repeats("ce", [0.50, 0.51, 0.49, 0.50], 0), *repeats("focal", [0.70, 0.72, 0.69, 0.70], 10)])
    winner = answer.verdict.recommended
    scores = {winner: [{"s_rec": 0.68}] * 4, answer.reference: [{"s_rec": 0.5}] * 4}
    promised = {winner: 0.7025, answer.reference: 0.5}
    first, focal, plain = lines_of_the_test(answer, "s_rec", Scores(233, 1, scores, promised, None))
    assert first == "Test split, 233 images that no trial has seen (scored once):"
    assert "focal: s_rec 0.6800" in focal and "4 seeds; validation had 0.7025, +0.0225" in focal
    assert "plain cross entropy: s_rec 0.5000" in plain
    again, *_ = lines_of_the_test(answer, "s_rec", Scores(233, 2, scores, promised, None))
    assert "scored 2 times: each further look makes it less of a test" in again
