"""What looking again and again costs."""

import numpy as np
import pytest
from scipy import stats

from tune_seg.study.verdict.looks import share_of_a_look


@pytest.mark.parametrize(("alpha", "bound"), [(0.05, 0.055), (0.01, 0.015), (0.1, 0.1)])
def test_a_test_after_every_seed_errs_as_often_as_it_says(alpha: float, bound: float) -> None:
    looks = np.arange(3, 201)
    values = np.random.default_rng(0).standard_normal((4000, 200))
    means = values.cumsum(axis=1)[:, 2:] / looks
    variances = ((values**2).cumsum(axis=1)[:, 2:] - looks * means**2) / (looks - 1)
    p = 2 * stats.t.sf(np.abs(means) / np.sqrt(variances / looks), looks - 1)
    assert (p < alpha).any(axis=1).mean() > 2 * alpha  # as a plain test would
    assert (p < alpha * np.array([share_of_a_look(int(n)) for n in looks])).any(axis=1).mean() < bound


def test_two_seeds_decide_nothing_that_three_would_not() -> None:
    assert share_of_a_look(2) < share_of_a_look(3) == share_of_a_look(20) > share_of_a_look(40)
