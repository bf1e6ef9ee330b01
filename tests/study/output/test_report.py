"""What the final report says of records whose order is known."""

import io
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.support.epoch_results import result
from tests.support.reported import answer_of, record, repeats, scaled
from tune_seg.config import StudyConfig, parse
from tune_seg.study.configurations import configurations, pareto_front
from tune_seg.study.output.report import Surroundings, final_report, ranked
from tune_seg.study.record import Record, State
from tune_seg.study.scoring import Scored
from tune_seg.training.result import ScaledScores

CLASSES = ("road", "pole", "light")


def printed(records: list[Record], width: int = 160, surroundings: Surroundings | None = None, **config: Any) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    final_report(console, parse(StudyConfig, config), records, None, surroundings or Surroundings(CLASSES))
    return console.export_text()


def rows(text: str) -> list[list[str]]:
    """The cells of the rows of tables."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def numbers(records: list[Record], objective: str = "s_rec") -> list[int]:
    return [each.trials[0].number for each in ranked(configurations(records), objective)]


def test_completed_configurations_stand_before_stopped_ones_and_the_best_first() -> None:
    records = [
        record(0, 0.5, end="ce"),
        record(1, 0.9, State.PRUNED, epochs=1, end="focal"),
        record(2, 0.7, end="dice"),
        record(3, 0.2, State.PRUNED, epochs=2, end="wdice"),
        record(4, math.nan, end="wce"),
        record(5, 0.0, State.FAILED, epochs=0, end="poly1"),
    ]
    assert numbers(records) == [2, 0, 4, 3, 1, 5]


def test_seeds_of_a_configuration_are_one_row_with_their_mean_and_scatter() -> None:
    records = [
        record(0, 0.9, end="focal"),
        record(1, 0.8, end="dice"),
        record(2, 0.5, end="focal", seed=1, repeat=True),
        record(3, 0.7, end="focal", seed=2, repeat=True),
        record(4, 0.95, end="wce"),
    ]
    first, second, third = rows(printed(records))[:3]
    # repeated ones first: a single run is the best of many by luck as well
    assert first[1:3] == ["0", "focal"] and first[4:7] == ["0.6000", "0.1414", "2"]
    assert second[1:3] == ["4", "wce"] and second[4:7] == ["0.9500", "-", "1"]
    assert third[1:3] == ["1", "dice"]


def test_a_configuration_that_is_alone_is_the_best_of_nothing() -> None:
    text = printed([record(0, 0.5, end="ce")])
    assert "One configuration ran to its end: trial 0, ce, s_rec 0.5000. There is nothing to compare it with." in text
    assert "nobody can tell" not in text


def test_an_f1_that_is_undefined_is_no_number() -> None:
    text = printed([record(0, math.nan, end="ce"), record(1, math.nan, end="dice")], objective="f1")
    assert "f1 undefined, as a class is never predicted" in text and "nan" not in text


def test_single_runs_decide_nothing_and_it_is_said() -> None:
    text = printed([record(0, 0.5, end="ce"), record(1, 0.75, end="focal", gamma=1.5)])
    assert "Best of single runs: trial 1, focal, s_rec 0.7500; plain cross entropy has 0.5000. Not decided: " in text
    assert "inner" not in text
    assert " gamma 1.5000" in text


def test_what_plain_cross_entropy_misses_and_who_finds_it() -> None:
    text = printed(
        [
            record(0, 0.5, end="ce", class_recall=[0.9, 0.0, 0.2]),
            record(1, 0.7, end="focal", class_recall=[0.8, 0.4, 0.0]),
            record(2, 0.6, end="dice", class_recall=[0.8, 0.6, 0.005]),
        ]
    )
    assert "Plain cross entropy (1 seed) misses 2 of 3 classes (recall below 0.25):" in text
    assert "pole, recall 0.000: found by dice (0.600, 1 seed), focal (0.400, 1 seed)" in text  # nobody is recommended
    assert "light, recall 0.200: nothing that was tried finds it" in text


def test_nobody_finds_a_class_that_no_validation_image_has() -> None:
    records = [record(0, 0.5, end="ce", class_recall=[0.9, 0.5, math.nan])]
    text = printed(records, surroundings=Surroundings(CLASSES, absent=["light"]))
    assert "No validation image has light: whether a loss finds that is not known." in text
    assert "Plain cross entropy (1 seed) finds every other class (recall of at least 0.25)." in text


def test_the_settings_name_a_parameter_without_the_section_that_it_lies_in() -> None:
    components = {"a": {"loss": "focal", "weight": 1.0}, "b": {"loss": "tversky", "weight": 1.0}}
    values = parse(StudyConfig, {"loss": {"kind": "program", "components": components}})
    assignment = {"loss.params.tversky.beta": 0.25, "loss.components.a.params.gamma": 1.5}
    history = [result(1, 0.5, class_recall=[0.9, 0.5, 0.1])]
    text = printed([Record(0, assignment, values.trial(assignment), False, State.COMPLETED, history)])
    assert re.search(r"(?<![.\w])tversky\.beta 0\.2500", text)
    assert re.search(r"(?<![.\w])a\.params\.gamma 1\.5000", text)


@pytest.mark.parametrize(
    ("width", "lacks"),
    [(60, {"sd", "recall"}), (80, {"sd", "accuracy", "epochs", "f1", "miou"}), (100, {"f1", "miou"}), (160, set())],
)
def test_a_narrow_terminal_shows_fewer_columns_and_each_of_them_whole(width: int, lacks: set[str]) -> None:
    records = [
        record(0, 0.5, end="ce"),
        record(1, 0.7, State.PRUNED, end="dual_focal"),
        record(12, 0.6, end="focal", gamma=1.23456),
    ]
    text = printed(records, width=width).partition("Best of")[0]
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    header = [cell.strip() for cell in [line for line in text.splitlines() if "┃" in line][-1].split("┃")[1:-1]]
    assert {"rank", "loss", "s_rec", "n"} <= {*header}
    assert not lacks & {*header} and (lacks or {"miou", "settings"} <= {*header})
    first, *others = rows(text)
    assert first[header.index("loss")] == "focal" and len(others) == (3 if lacks else 2)
    # the settings are below the name, whole, before a metric is left out
    below = others[0][header.index("loss")] if lacks else first[header.index("settings")]
    assert below == "gamma 1.2346"


def test_many_settings_are_broken_between_two_of_them() -> None:
    settings = {"loss.end": "tversky", "loss.params.tversky.alpha": 0.25, "loss.params.tversky.beta": 0.75}
    config = parse(StudyConfig, {"loss": {"end": "tversky"}}).trial({})
    assignment = {**settings, "training.momentum": 0.9, "training.nesterov_like": "a b"}
    history = [result(1, 0.5, class_recall=[0.9, 0.5, 0.1])]
    text = printed([Record(0, assignment, config, False, State.COMPLETED, history)], width=80)
    cells = [row[2] if len(row) > 2 else "" for row in rows(text)][:5]
    assert cells == [
        "tversky",
        "tversky.alpha 0.2500,",
        "tversky.beta 0.7500,",
        "training.momentum 0.9000,",
        "training.nesterov_like a b",
    ]


def test_the_best_and_plain_cross_entropy_are_shown_with_what_is_free_after_training() -> None:
    def free(one: float, each: float, adjusted: float) -> dict[str, Any]:
        return {"scaled": scaled({"s_rec": one}, {"s_rec": each}, {"s_rec": adjusted})}

    records = [
        record(0, 0.5, end="ce", **free(0.52, 0.63, 0.64)),
        record(1, 0.75, end="focal", **free(0.76, 0.78, 0.79)),
        *(record(n, 0.6, end=end, **free(0.61, 0.62, 0.63)) for n, end in ((2, "dice"), (3, "wdice"), (4, "wce"))),
    ]
    ensemble = {"s_rec": 0.55, "temperature/s_rec": 0.58, "seeds": 4}
    text = printed(records, surroundings=Surroundings(CLASSES, scored=Scored(ensemble)))
    _, _, after = text.partition("What is free after training")
    assert "Each half of the validation images with what was fitted to the other half" in after
    found = rows(after)
    assert [row[0] for row in found] == ["focal", "dice", "wdice", "ce", "ce, mean output of its seeds"]
    assert found[0][1:] == ["1", "0.7500", "0.7600", "0.7800", "0.7900", "1.3200", "0.2500"]
    assert found[-1][1:4] == ["4", "0.5500", "0.5800"]


def test_what_is_free_is_left_out_where_it_is_not_known() -> None:
    nothing = {"s_rec": math.nan}  # of a single validation image
    records = [record(0, 0.5, end="ce", scaled=scaled(nothing, nothing, nothing))]
    assert "free after training" not in printed(records)


def test_a_study_without_a_completed_trial_says_so() -> None:
    assert "No trial ran to its end." in printed([record(0, 0.5, State.PRUNED, epochs=1)])


def test_of_many_configurations_the_best_are_printed() -> None:
    many = [record(number, number / 100, end="focal", gamma=1 + number / 100) for number in range(60)]
    text = printed(many)
    assert "10 more configurations are in configurations.parquet." in text
    assert [int(row[1]) for row in rows(text) if row[1]] == list(range(59, 9, -1))
    assert "more configurations" not in printed(many[:50])


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    records = [
        record(0, 0, end="ce", recall=0.5, calibration=0.5),
        record(1, 0, end="focal", recall=0.9, calibration=0.1),
        record(2, 0, end="dice", recall=0.4, calibration=0.5),
        record(3, 0, end="wdice", recall=0.9, calibration=0.1),
        record(4, 0, State.PRUNED, end="wce", recall=1.0, calibration=1.0),
    ]
    front = pareto_front(configurations(records), ("recall", "calibration"))
    assert [each.trials[0].number for each in front] == [0, 1, 3]
    text = printed(records, objective=["recall", "calibration"])
    assert "Pareto front over recall, calibration: trial 1, trial 3, trial 0 (marked ^)." in text


SCORES = st.sampled_from([math.nan, 0.0, 0.25, 0.5, 0.75, 1.0])


@given(st.lists(st.tuples(SCORES, SCORES, SCORES), max_size=30), st.sampled_from([2, 3]))
def test_the_pareto_front_is_what_comparing_every_pair_leaves(points: list[tuple[float, ...]], count: int) -> None:
    names = ("recall", "calibration", "f1")[:count]
    trials = [
        record(number, 0, epochs=1, end="focal", gamma=number + 1.0, recall=point[0], calibration=point[1], f1=point[2])
        for number, point in enumerate(points)
    ]
    plain = [tuple(-math.inf if math.isnan(score) else score for score in point[:count]) for point in points]

    def beaten(point: tuple[float, ...]) -> bool:
        return any(other != point and all(a >= b for a, b in zip(other, point, strict=True)) for other in plain)

    front = pareto_front(configurations(trials), names)
    assert [each.trials[0].number for each in front] == [n for n, point in enumerate(plain) if not beaten(point)]


def test_temperature_and_tau_are_means_over_the_trials_that_the_scores_are_of() -> None:
    def free(temperature: float, tau: float) -> dict[str, Any]:
        scores = {"s_rec": 0.6}
        kinds = ("temperature", "class_temperature", "adjusted")
        return {"scaled": {kind: ScaledScores(scores, temperature, tau=tau) for kind in kinds}}

    records = [record(0, 0.9, end="ce", **free(9.0, 1.5))]
    records += [record(k, 0.5, end="ce", seed=k, repeat=True, **free(float(k), k / 4)) for k in (1, 2)]
    (row,) = (row for row in rows(printed(records)) if len(row) == 8 and row[0] == "ce")
    assert row[1] == "2" and row[6:] == ["1.5000", "0.3750"]


def verdict(records: list[Record], **config: Any) -> str:
    """The report of a study whose repeats say something."""
    objective = config.get("objective", "s_rec")
    answer = answer_of(records, objective if isinstance(objective, str) else objective[0])
    if not isinstance(objective, str):
        answer = replace(answer, front=dict.fromkeys(answer.contenders, 0.99))
    console = Console(width=160, record=True, file=io.StringIO())
    final_report(console, parse(StudyConfig, config), records, answer, Surroundings(CLASSES))
    return console.export_text()


FINDS = {"class_recall": [0.8, 0.1, 0.6]}
MISSES = {"class_recall": [0.9, 0.0, 0.2]}
RECORDS = [
    *repeats("ce", [0.50, 0.51, 0.49], 0, **MISSES),
    *repeats("dice", [0.60, 0.62, 0.61], 10, class_recall=[0.8, 0.5, 0.3]),
    *repeats("focal", [0.70, 0.72, 0.69], 20, **FINDS),
    record(30, 0.9, end="wdice", class_recall=[0.9, 0.9, 0.9]),
]


def test_the_recall_of_the_one_to_take_is_said_of_each_missed_class_found_or_not() -> None:
    text = verdict(RECORDS)
    assert "Plain cross entropy (3 seeds) misses 2 of 3 classes (recall below 0.25):" in text
    # those with repeats before the single run, however good that was
    assert "  pole, recall 0.000, focal 0.100: found by dice (0.500, 3 seeds), wdice (0.900, 1 seed)" in text
    assert "  light, recall 0.200, focal 0.600: found by focal (0.600, 3 seeds), dice (0.300, 3 seeds), wdice" in text


def test_with_several_objectives_the_front_has_its_probabilities_and_nothing_is_to_be_taken() -> None:
    text = verdict(RECORDS, objective=["s_rec", "accuracy"])
    assert "Verdict: focal is better than plain cross entropy in s_rec by " in text and "Take " not in text
    front = "Probability to be on the Pareto front, over seeds and images: plain cross entropy 99%, dice 99%, focal 99%."
    assert front in text
