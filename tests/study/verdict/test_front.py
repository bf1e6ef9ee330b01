"""The front with its uncertainty."""

import numpy as np
import pytest

from tune_seg.study.verdict import Contender, Repeat
from tune_seg.study.verdict.front import _draws, front_probabilities

METRICS = ["recall", "accuracy"]


def contender(id: str, recall: float, accuracy: float, n: int = 1, sd: float = 0.0) -> Contender:
    noise = np.random.default_rng(len(id)).normal(0, 1, (2, n))
    noise = sd * (noise - noise.mean(axis=1, keepdims=True))
    scores = [{"recall": recall + noise[0, s], "accuracy": accuracy + noise[1, s]} for s in range(n)]
    return Contender(id, id, (), {(s, None): Repeat(s, None, each) for s, each in enumerate(scores)})


def test_without_scatter_it_is_the_front() -> None:
    named = {"ce": (0.5, 0.9), "wce": (0.8, 0.8), "mid": (0.7, 0.75), "tie": (0.8, 0.7)}
    found = front_probabilities([contender(id, *scores) for id, scores in named.items()], METRICS)
    assert found == {"ce": 1, "wce": 1, "mid": 0, "tie": 0}


def test_equals_share_the_front() -> None:
    assert front_probabilities([contender("a", 0.5, 0.9), contender("b", 0.5, 0.9)], METRICS) == {"a": 1, "b": 1}


def test_scatter_makes_it_a_probability() -> None:
    far = [contender("ce", 0.5, 0.9, 5, 0.01), contender("worse", 0.3, 0.6, 5, 0.01)]
    near = [contender("ce", 0.5, 0.9, 5, 0.05), contender("worse", 0.49, 0.88, 5, 0.05)]
    assert front_probabilities(far, METRICS) == {"ce": 1, "worse": 0}
    found = front_probabilities(near, METRICS)
    assert 0.1 < found["worse"] < found["ce"] < 1
    assert front_probabilities(near, METRICS) == found


def test_a_configuration_without_one_of_the_metrics_is_on_no_front() -> None:
    lacking = Contender("x", "x", (), {(0, None): Repeat(0, None, {"recall": 0.99})})
    assert front_probabilities([contender("ce", 0.5, 0.9), lacking], METRICS) == {"ce": 1, "x": 0}


@pytest.mark.parametrize("n", [3, 10])
def test_the_mean_varies_as_much_as_its_standard_error_says(n: int) -> None:
    one = contender("ce", 0.5, 0.9, n, 0.1)
    weights = {key: np.random.default_rng(key[0]).exponential(size=20000) for key in one.repeats}
    scores = np.array([repeat.scores["recall"] for repeat in one.repeats.values()])
    drawn = _draws(one, "recall", weights)
    assert drawn.std() == pytest.approx(scores.std(ddof=1) / n**0.5, rel=0.03)
