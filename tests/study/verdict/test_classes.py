"""The classes that are missed, and what is shown beside the objective."""

import math

from tune_seg.study.verdict import Contender, Repeat
from tune_seg.study.verdict.classes import mean_score, metrics_beside, missed_classes
from tune_seg.study.verdict.contender import Key


def contender(id: str, *recalls: tuple[float, ...]) -> Contender:
    """With the recall of each class for each seed; nan: the class has no pixels."""
    repeats: dict[Key, Repeat] = {
        (seed, None): Repeat(seed, None, {f"recall/{c}": recall for c, recall in enumerate(row)})
        for seed, row in enumerate(recalls)
    }
    return Contender(id, id, (), repeats)


CE = contender("ce", (0.99, 0.02, 0.3, math.nan), (0.98, 0.0, 0.1, math.nan))


def test_a_class_is_missed_by_its_mean_and_an_absent_one_is_not() -> None:
    assert list(missed_classes(CE)) == [1, 2]
    assert missed_classes(CE)[1] == 0.01


def test_calibration_is_shown_beside_with_a_temperature_whatever_the_objective() -> None:
    for objective in ("temperature/s_rec", "miou"):
        shown = metrics_beside(objective, CE)
        assert shown == ("recall", "accuracy", "temperature/calibration", "recall/1", "recall/2")
    for objective in ("recall", "temperature/recall"):
        assert metrics_beside(objective, contender("ce", (0.9,))) == ("accuracy", "temperature/calibration")


def test_a_score_that_nobody_has_is_nan() -> None:
    assert math.isnan(mean_score(CE, "s_rec"))
