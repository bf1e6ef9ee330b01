"""The regression is held to its formulas, written out for every pair of rows, and to what a belief must do."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from tune_seg.study.bayes.encoding import INACTIVE
from tune_seg.study.bayes.surrogate import Surrogate

CHOICES = np.array([True, False, True])


def covariance(one: Sequence[float], other: Sequence[float], parameters: np.ndarray) -> float:
    """What the module says of two rows, one key at a time."""
    scaled = []
    for a, b, choice, parameter in zip(one, other, CHOICES, parameters, strict=False):
        a, b = (0.5 if value == INACTIVE and not choice else value for value in (a, b))
        scaled.append(math.exp(parameter) * (float(a != b) if choice else 4.0 * (a - b) ** 2))
    main, product = np.exp(parameters[-3:-1])
    alike = [math.exp(-value) for value in scaled]
    return float(main * sum(alike) / len(alike) + product * math.prod(alike))


def some_rows(rng: np.random.Generator, count: int) -> np.ndarray:
    numbers = np.where(rng.random(count) < 0.3, INACTIVE, rng.random(count))
    return np.stack([rng.integers(0, 3, count), numbers, rng.integers(-1, 2, count)], axis=1).astype(float)


@pytest.mark.parametrize("tune", [False, True])
def test_mean_and_deviation_are_those_of_the_formula(tune: bool) -> None:
    rng = np.random.default_rng(3)
    rows, scores, others = some_rows(rng, 12), rng.random(12), some_rows(rng, 5)
    extra = np.where(rng.random(12) < 0.5, 0.02, 0.0)
    surrogate = Surrogate(CHOICES)
    surrogate.learn(rows, scores, extra, tune=tune)
    believed = surrogate.believe(others)

    parameters = surrogate.parameters
    spread = scores.std()
    known = np.array([[covariance(a, b, parameters) for b in rows] for a in rows])
    known += np.diag(math.exp(parameters[-1]) + extra / spread**2 + 1e-6)
    across = np.array([[covariance(a, b, parameters) for b in rows] for a in others])
    inverse = np.linalg.inv(known)
    mean = across @ inverse @ ((scores - scores.mean()) / spread)
    variance = math.exp(parameters[-3]) + math.exp(parameters[-2]) - np.einsum("nm,mk,nk->n", across, inverse, across)
    assert believed.mean == pytest.approx(mean * spread + scores.mean(), rel=1e-9)
    assert believed.deviation == pytest.approx(np.sqrt(variance) * spread, rel=1e-6)
    assert surrogate.noise == pytest.approx(math.exp(0.5 * parameters[-1]) * spread)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31 - 1), st.integers(4, 30))
def test_tuning_never_makes_the_scores_less_likely(seed: int, count: int) -> None:
    """The density that is maximised, from scipy's normal distribution and the priors."""
    rng = np.random.default_rng(seed)
    rows, scores = some_rows(rng, count), rng.random(count)

    def density(parameters: np.ndarray) -> float:
        known = np.array([[covariance(a, b, parameters) for b in rows] for a in rows])
        known += (math.exp(parameters[-1]) + 1e-6) * np.eye(count)
        likelihood = multivariate_normal(cov=known).logpdf((scores - scores.mean()) / scores.std())
        means, deviations = np.array([0, 0, 0, -1, -1, -2]), np.array([1.2, 1.2, 1.2, 1, 1, 1])
        return float(likelihood - 0.5 * (((parameters - means) / deviations) ** 2).sum())

    surrogate = Surrogate(CHOICES)
    before = surrogate.parameters.copy()
    surrogate.learn(rows, scores, np.zeros(count))
    assert density(surrogate.parameters) >= density(before) - 1e-9


def test_a_key_that_decides_matters_more_than_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    rows = some_rows(rng, 60)
    surrogate = Surrogate(CHOICES)
    for _ in range(3):
        surrogate.learn(rows, rows[:, 0] + 0.01 * rng.standard_normal(60), np.zeros(60))
    decides, _, other = surrogate.parameters[:3]
    assert decides > other + 1.0
    wanted = np.array([[0.0, 0.2, 1.0], [1.0, 0.9, 0.0], [2.0, INACTIVE, -1.0]])
    assert surrogate.believe(wanted).mean == pytest.approx([0.0, 1.0, 2.0], abs=0.1)


def test_a_score_with_more_variance_pulls_less() -> None:
    rows = np.array([[0.0, 0.5, 0.0], [1.0, 0.5, 0.0], [2.0, 0.5, 1.0], [0.0, 0.1, 1.0]])
    scores, means = np.array([0.9, 0.1, 0.2, 0.3]), []
    for extra in (0.0, 1.0):
        surrogate = Surrogate(CHOICES)
        surrogate.learn(rows, scores, np.array([extra, 0.0, 0.0, 0.0]), tune=False)
        means.append(surrogate.believe(rows[:1]).mean[0])
    assert means[0] > means[1] + 0.1


def test_equal_scores_are_no_trouble() -> None:
    surrogate = Surrogate(CHOICES)
    surrogate.learn(some_rows(np.random.default_rng(1), 8), np.full(8, 0.7), np.zeros(8))
    believed = surrogate.believe(some_rows(np.random.default_rng(2), 3))
    assert believed.mean == pytest.approx(np.full(3, 0.7))
    assert np.isfinite(believed.deviation).all()
