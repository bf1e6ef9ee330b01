"""The search finds the best of a conditional space from noisy scores in fewer trainings than chance."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tests.support.records import space
from tune_seg.study.bayes.candidates import neighbour, random_assignment
from tune_seg.study.bayes.foresight import Tried
from tune_seg.study.bayes.search import BayesianSearch, expected_improvement
from tune_seg.study.bayes.surrogate import Belief
from tune_seg.study.search_space.space import Space

SCHEDULED = {"loss.kind": ["naive", "alternating"]}
SPACE: dict[str, Any] = {
    "loss.kind": {"choice": ["static", "compound", "naive", "alternating"]},
    "loss.start": {"choice": ["dice", "wdice", "focal"], "when": {"loss.kind": ["compound", "naive", "alternating"]}},
    "loss.end": {"choice": ["ce", "wce", "focal", "dual_focal"]},
    "loss.gamma": {"float": [0.5, 5.0], "when": [{"loss.start": ["focal"]}, {"loss.end": ["focal"]}]},
    "schedule.start": {"float": [0.1, 0.6], "when": SCHEDULED},
    "schedule.end": {"float": ["schedule.start + 0.1", 1.0], "when": SCHEDULED},
    "acw": {"choice": [True, False]},
}


def true_score(assignment: Mapping[str, Any]) -> float:
    """0.9 at most, for a naive schedule from dice to wce that begins late, without an adaptive layer."""
    score = 0.5 + 0.15 * (assignment["loss.end"] == "wce") + 0.1 * (assignment.get("loss.start") == "dice")
    score += 0.1 * (assignment["loss.kind"] == "naive") * assignment.get("schedule.start", 0.0) / 0.6
    return float(score + 0.05 * (not assignment["acw"]))


def searched(searched_space: Space, seed: int, trainings: int, *, startup: int) -> float:
    """What the training scores that is believed to be the best."""
    search, noise = BayesianSearch(searched_space, seed=seed, startup=startup), random.Random(seed)
    tried: list[Tried] = []
    for _ in range(trainings):
        assignment = search.choose(tried, {})
        searched_space.config.trial(assignment)  # it is one of the space
        tried.append(Tried(assignment, [true_score(assignment) + noise.gauss(0.0, 0.03)], whole=True))
    means = search.means(tried)
    return true_score(tried[int(np.argmax(means))].assignment)


def test_it_finds_better_ones_than_chance() -> None:
    of_losses = space(SPACE)
    ours = [searched(of_losses, seed, 40, startup=8) for seed in range(5)]
    chance = [searched(of_losses, seed, 40, startup=10**9) for seed in range(5)]
    assert np.mean(ours) > 0.88
    assert np.mean(ours) > np.mean(chance) + 0.02


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31 - 1))
def test_candidates_are_of_the_space_and_keep_what_is_fixed(seed: int) -> None:
    of_losses, rng = space(SPACE), random.Random(seed)
    fixed = {"loss.kind": "naive", "acw": True}
    drawn = random_assignment(of_losses, rng, fixed)
    moved = neighbour(of_losses, rng, fixed, random_assignment(of_losses, rng, {}))
    for each in (drawn, moved):
        of_losses.config.trial(each)
        assert of_losses.is_complete(each)
        assert fixed.items() <= each.items()
        assert each["schedule.start"] + 0.1 <= each["schedule.end"] + 1e-12 <= 1.0 + 1e-12


def test_a_neighbour_differs_in_few_keys() -> None:
    of_losses, rng = space(SPACE), random.Random(0)
    good = {"loss.kind": "static", "loss.end": "wce", "acw": False}
    others = [neighbour(of_losses, rng, {}, good) for _ in range(200)]
    kept = [sum(each.get(key) == value for key, value in good.items()) for each in others]
    assert np.mean(kept) > 2.0
    assert any(each["loss.kind"] != "static" for each in others)


def test_what_was_tried_is_not_chosen_again_while_there_is_anything_else() -> None:
    small = space({"loss.end": {"choice": ["ce", "wce", "focal"]}, "acw": {"choice": [True, False]}})
    search = BayesianSearch(small, startup=4)
    tried: list[Tried] = []
    for _ in range(4):
        tried.append(Tried(search.choose(tried, {}), [0.5], whole=True))
    while len({str(each.assignment) for each in tried}) < 6:
        before = {str(each.assignment) for each in tried}
        chosen = search.choose(tried, {})
        assert str(chosen) not in before
        tried.append(Tried(chosen, [0.5], whole=True))


def test_trainings_that_run_at_once_are_not_alike() -> None:
    of_losses, rng = space(SPACE), random.Random(1)
    known = [random_assignment(of_losses, rng, {}) for _ in range(12)]
    tried = [Tried(each, [true_score(each)], whole=True) for each in known]
    search = BayesianSearch(of_losses, seed=1)
    for _ in range(6):
        tried.append(Tried(search.choose(tried, {}), []))
    assert len({str(each.assignment) for each in tried[12:]}) == 6


def test_of_two_that_promise_the_same_the_cheaper_one_is_chosen() -> None:
    of_losses, rng = space(SPACE), random.Random(2)
    known = [random_assignment(of_losses, rng, {}) for _ in range(12)]
    tried = [Tried(each, [0.5], whole=True) for each in known]
    cheap = BayesianSearch(of_losses, seed=2, cost=lambda each: 0.1 if each["acw"] else 1.0)
    assert all(cheap.choose(tried, {})["acw"] for _ in range(5))


def test_one_that_failed_is_believed_to_be_as_bad_as_the_worst() -> None:
    of_losses, rng = space(SPACE), random.Random(3)
    known = [random_assignment(of_losses, rng, {"loss.end": "wce"}) for _ in range(10)]
    tried = [Tried(each, [0.6 + 0.01 * place], whole=True) for place, each in enumerate(known)]
    failed = [Tried(random_assignment(of_losses, rng, {"loss.end": "ce"}), [], failed=True) for _ in range(4)]
    means = BayesianSearch(of_losses).means([*tried, *failed])
    assert max(means[10:]) < np.mean(means[:10])


def test_a_space_without_keys_has_one_assignment() -> None:
    assert BayesianSearch(space({})).choose([Tried({}, [0.5], whole=True)] * 12, {}) == {}


def test_where_a_grid_decides_the_best_of_its_value_is_looked_for() -> None:
    """Scores with the fixed value are far below the others: what is good with it still decides."""
    keys = {
        "model.encoder": {"grid": ["resnet18", "resnet34"]},
        "loss.end": {"choice": ["ce", "wce", "focal", "dual_focal"]},
    }
    searched_space, rng = space(keys | {"acw": {"choice": [True, False]}}), random.Random(0)
    tried = []
    for place in range(24):
        fixed = {"model.encoder": ("resnet18", "resnet34")[place % 2]}
        drawn = random_assignment(searched_space, rng, fixed)
        tried.append(
            Tried(drawn, [0.9 * (place % 2) + 0.05 * (drawn["loss.end"] == "wce") + 0.001 * rng.random()], whole=True)
        )
    known = [
        each for each in tried if each.assignment["loss.end"] != "wce" or each.assignment["model.encoder"] == "resnet34"
    ]
    chosen = BayesianSearch(searched_space, seed=0).choose(known, {"model.encoder": "resnet18"})
    assert chosen["loss.end"] == "wce"


def test_expected_improvement_is_the_integral_that_it_stands_for() -> None:
    belief = Belief(np.array([0.3, 0.5, 0.7]), np.array([0.1, 0.02, 0.2]))
    steps = np.linspace(-3, 3, 200_001)
    expected = [
        np.trapezoid(np.maximum(steps - 0.5, 0.0) * norm.pdf(steps, mean, deviation), steps)
        for mean, deviation in zip(belief.mean, belief.deviation, strict=True)
    ]
    assert expected_improvement(belief, 0.5) == pytest.approx(expected, abs=1e-7)
