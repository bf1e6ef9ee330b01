"""What a training would score in the end follows from what whole ones gained."""

import pytest

from tune_seg.study.bayes.foresight import Foreseen, Foresight, Tried

WHOLE = [Tried({}, scores, whole=True) for scores in ([0.1, 0.4, 0.6], [0.2, 0.3, 0.5], [0.0, 0.2, 0.7])]


def test_a_whole_training_is_known() -> None:
    assert Foresight(WHOLE).of(WHOLE[1]) == Foreseen(0.5)
    assert Foresight([]).of(WHOLE[1]) == Foreseen(0.5)


def test_one_that_was_stopped_gains_what_whole_ones_gained_on_average() -> None:
    found = Foresight(WHOLE).of(Tried({}, [0.3, 0.45]))
    assert found is not None
    assert found.score == pytest.approx(0.45 + (0.2 + 0.2 + 0.5) / 3)
    assert found.variance == pytest.approx(0.03)  # of 0.2, 0.2 and 0.5


def test_with_few_whole_trainings_or_no_epoch_nothing_is_known() -> None:
    assert Foresight(WHOLE[:2]).of(Tried({}, [0.3])) is None
    assert Foresight(WHOLE).of(Tried({}, [])) is None


def test_trainings_of_another_length_are_left_out() -> None:
    shorter = Tried({}, [0.9, 0.9], whole=True)
    assert Foresight([*WHOLE, shorter]).of(Tried({}, [0.3])) == Foresight(WHOLE).of(Tried({}, [0.3]))
