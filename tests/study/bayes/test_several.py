"""Several objectives as one."""

import random

import numpy as np

from tune_seg.study.bayes.several import scalarised


def test_every_point_of_a_convex_or_concave_front_comes_out_best_now_and_then_and_no_other() -> None:
    front = np.array([[0.0, 1.0], [0.2, 0.6], [0.5, 0.5], [0.6, 0.2], [1.0, 0.0]])
    beaten = np.array([[0.1, 0.5], [0.4, 0.4], [0.0, 0.0]])
    rng = random.Random(0)
    best = {int(scalarised(np.concatenate([front, beaten]), rng).argmax()) for _ in range(300)}
    assert best == set(range(len(front)))


def test_the_scale_of_an_objective_does_not_matter() -> None:
    values = np.random.default_rng(0).random((9, 3))
    one, other = (scalarised(each, random.Random(1)) for each in (values, values * [1.0, 50.0, 0.1] + [0.0, 3.0, -7.0]))
    assert np.allclose(one, other)


def test_nothing_and_equal_values() -> None:
    assert scalarised(np.empty((0, 2)), random.Random(0)).shape == (0,)
    assert np.isfinite(scalarised(np.ones((3, 2)), random.Random(0))).all()
