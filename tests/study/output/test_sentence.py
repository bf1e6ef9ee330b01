"""The words of the verdict."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.contenders import counted
from tests.support.reported import answer_of, record, repeats, scaled
from tune_seg.study.confirmation import Answer
from tune_seg.study.output.sentence import Cost, called, temperature_line, verdict_text
from tune_seg.study.record import Record
from tune_seg.study.verdict import Kind

CE = repeats("ce", [0.50, 0.51, 0.49, 0.50], 0)
FOCAL = repeats("focal", [0.70, 0.72, 0.69, 0.70], 10)
EVEN = [0.5 + 0.001 * k for k in range(8)]
UNCERTAIN = [*repeats("ce", [0.50, 0.56, 0.47], 0), *repeats("focal", [0.60, 0.58, 0.55], 10)]
OVER_SEEDS = " Intervals are over seeds alone: the counts of the validation images are not known."


def words(answer: Answer, *objectives: str, seconds: float | None = 30.0, slots: int = 1) -> str:
    text = verdict_text(answer, objectives or ("s_rec",), 0.01, Cost(seconds, slots)).plain
    assert text.endswith(OVER_SEEDS) or not answer.verdict.difference.n
    return text.removesuffix(OVER_SEEDS)


def verdict_of(answer: Answer, **values: Any) -> Answer:
    """The same with another verdict, as many studies would be needed to have each by chance."""
    return replace(answer, verdict=replace(answer.verdict, **values))


def wavering(end: str, first: int, by: float, **values: Any) -> list[Record]:
    return repeats(end, [score + by * (-1) ** k for k, score in enumerate(EVEN)], first, **values)


def test_a_better_loss_is_called_better_with_its_interval() -> None:
    found = re.fullmatch(
        r"Verdict: focal is better than plain cross entropy in s_rec by 0\.2025 \[(0\.\d+), (0\.\d+)\] with 4 seeds each\. "
        r"Take focal\.",
        words(answer_of([*CE, *FOCAL])),
    )
    assert found is not None and float(found[1]) < 0.2025 < float(found[2])


def test_plain_cross_entropy_may_be_the_better_one() -> None:
    answer = answer_of([*repeats("ce", [0.70, 0.72, 0.69, 0.70], 0), *repeats("focal", [0.50, 0.51, 0.49, 0.50], 10)])
    assert words(answer).startswith("Verdict: plain cross entropy is better than focal in s_rec by 0.2025 [0.")


def test_within_the_margin_the_simpler_one_is_to_be_taken() -> None:
    text = words(answer_of([*repeats("ce", EVEN, 0), *wavering("focal", 10, 0.0005)]))
    assert "are indistinguishable in s_rec within the margin of 0.01" in text and ", 8 seeds each). Take plain" in text
    answer = answer_of([*repeats("ce", [score - 0.001 for score in EVEN], 0), *wavering("focal", 10, 0.003)])
    assert answer.verdict.kind is Kind.INDISTINGUISHABLE
    text = words(answer)
    assert text.startswith("Verdict: focal and plain cross entropy are indistinguishable in s_rec within")
    assert "(focal minus plain cross entropy: +0.0010 [" in text
    assert text.endswith("Take plain cross entropy, the simpler one.")


def test_who_is_better_and_who_is_to_be_taken_may_be_two_and_both_are_named() -> None:
    low = [score - 0.2 for score in EVEN]
    alike = [*repeats("ce", low, 0), *wavering("focal", 10, 0.0005), *repeats("wdice", [s + 0.001 for s in EVEN], 20)]
    answer = answer_of(alike)
    best, taken = (answer.contenders[id].name for id in (answer.verdict.best, answer.verdict.recommended))
    assert (best, taken) == ("wdice", "focal")
    text = words(answer)
    assert text.startswith(f"Verdict: {best} is better than plain cross entropy in s_rec by 0.2")
    assert text.endswith(f" {taken} is within the margin of {best} and simpler: take {taken}.")
    undecided = words(verdict_of(answer, kind=Kind.UNDECIDED, more_seeds=2))
    assert f"Best so far: {best}; {taken} is within the margin of {best} and simpler." in undecided
    plain = words(verdict_of(answer, recommended=answer.reference))
    assert plain.endswith(f"Plain cross entropy is within the margin of {best} and simpler: take plain cross entropy.")


def test_two_of_one_name_are_told_apart_by_their_settings() -> None:
    answer = answer_of([*CE, *repeats("focal", [0.7] * 4, 10, gamma=1.5), *repeats("focal", [0.6] * 4, 20, gamma=3.0)])
    assert words(answer).startswith("Verdict: focal (gamma 1.5000) is better than plain cross entropy")
    assert sorted(called(answer).values()) == ["focal (gamma 1.5000)", "focal (gamma 3.0000)", "plain cross entropy"]


@pytest.mark.parametrize("slots", [1, 2])
def test_what_is_not_decided_says_what_would_decide_it_and_what_it_costs(slots: int) -> None:
    found = re.search(
        r"Verdict: not decided between focal and plain cross entropy in s_rec \(focal minus plain cross entropy: "
        r"\+0\.0667 \[.*\], 3 seeds each\): about (\d+) more seeds? \((\d+) trainings, about (.*)\) would decide it\. "
        r"Best so far: focal\.",
        words(answer_of(UNCERTAIN), slots=slots),
    )
    assert found is not None
    seeds, trainings = int(found[1]), int(found[2])
    seconds = round(30 * trainings / slots)
    assert trainings == 2 * seeds and found[3] == f"0:{seconds // 60:02d}:{seconds % 60:02d}"


def test_a_round_may_train_a_rival_too_and_a_time_that_is_not_known_is_left_out() -> None:
    answer = answer_of([*UNCERTAIN, *repeats("dice", [0.56, 0.57, 0.55], 20)])
    more = answer.verdict.more_seeds
    assert more is not None
    assert f"(up to {3 * more} trainings) would decide it" in words(answer, seconds=None)


def test_one_group_is_no_reason_to_say_that_nothing_is_known_of_the_images() -> None:
    answer = answer_of([*CE, *FOCAL])
    one = counted("focal", np.array([[0.5]])).repeats[0, None]
    measured = [replace(each, repeats=dict.fromkeys(each.repeats, one)) for each in answer.measured]
    text = verdict_text(replace(answer, measured=measured), ("s_rec",), 0.01, Cost(30.0)).plain
    assert "over seeds alone: all validation images are of one group (a patient, a volume, a sequence), and" in text
    two = counted("focal", np.array([[0.5, 0.6]])).repeats[0, None]
    measured = [replace(each, repeats=dict.fromkeys(each.repeats, two)) for each in answer.measured]
    text = verdict_text(replace(answer, measured=measured), ("s_rec",), 0.01, Cost(30.0)).plain
    assert text.endswith("over seeds alone: the objective does not follow from what is counted in each image.")


def test_too_few_seeds_decide_nothing_and_no_interval_is_shown() -> None:
    answer = answer_of([*repeats("ce", [0.5], 0), *repeats("focal", [0.7], 10)])
    assert "plain cross entropy: +0.2000, 1 seed each): too few seeds yet, it takes 3 of each at least." in words(answer)
    nothing = replace(answer.verdict.difference, mean=math.nan, n=0)
    text = words(verdict_of(answer, difference=nothing))
    assert "in s_rec (no seed in common yet): too few seeds yet" in text and "nan" not in text


def test_more_images_are_asked_for_where_no_seed_helps() -> None:
    answer = answer_of(UNCERTAIN)
    limited = verdict_of(answer, more_seeds=None, images_limit=True, bound=0.0421)
    assert "more seeds cannot decide it, more validation images can; they are known to agree within 0.042." in words(limited)
    overlap = words(verdict_of(answer, more_seeds=None, folds_limit=True))
    assert "more seeds hardly can, as the training images of the folds overlap" in overlap
    assert "more than 200 further seeds would be needed." in words(verdict_of(answer, more_seeds=None))


def test_the_interval_that_decides_is_shown_where_the_other_one_seems_to_decide() -> None:
    answer = answer_of(UNCERTAIN)
    shown, decisive = answer.verdict.difference, answer.verdict.decisive
    split = verdict_of(answer, difference=replace(shown, low=0.01), decisive=replace(decisive, low=-0.02, high=0.15))
    deciding = "The interval that decides is corrected for several comparisons and repeated checks: [-0.0200, +0.1500]."
    assert words(split).endswith(deciding)
    assert "that decides" not in words(verdict_of(answer, difference=replace(shown, low=-0.01)))


def test_of_several_objectives_the_first_says_who_is_better_in_it_and_not_what_to_take() -> None:
    for answer in (answer_of([*CE, *FOCAL]), answer_of(UNCERTAIN)):
        text = words(answer, "s_rec", "accuracy")
        assert " in s_rec " in text and "Take" not in text and "Best" not in text
        assert text.endswith("Which one to take depends on the other objectives: see the Pareto front.")


def test_what_was_compared_as_trained_is_compared_with_a_temperature_as_well() -> None:
    def both(objective: str, trained: float = 0.6) -> str | None:
        of_ce, of_focal = ({"s_rec": s, "recall": 0.6, "calibration": c} for s, c in ((0.55, 0.9), (0.75, 0.8)))
        records = [record(0, 0.5, end="ce", scaled=scaled(of_ce, {}, {}), repeat=True, seed=1)]
        records += [record(1, trained, end="focal", scaled=scaled(of_focal, {}, {}), repeat=True, seed=1)]
        answer = answer_of(records)
        plain, focal = (answer.contenders[id] for id in (answer.reference, answer.verdict.best))
        return temperature_line(focal, plain, called(answer), [objective])

    compared = "With one temperature each, focal against plain cross entropy: "
    calibration = "temperature/calibration 0.8000 against 0.9000."
    assert both("s_rec") == f"{compared}temperature/s_rec 0.7500 against 0.5500, {calibration}"
    assert both("recall") == f"{compared}{calibration}"  # a temperature changes no recall
    assert both("calibration") == f"{compared}{calibration}"
    assert both("temperature/s_rec") is None
