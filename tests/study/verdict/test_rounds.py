"""Which trainings come next."""

import math

import numpy as np
import pytest

from tests.support.contenders import METRIC
from tune_seg.study.verdict import Contender, Repeat
from tune_seg.study.verdict.contender import Key
from tune_seg.study.verdict.rounds import Training, next_round

SEEDS = range(100, 120)
NOISE = np.random.default_rng(3).normal(0, 0.02, (8, 20))


class Trial:
    """Contenders with true scores, the reference first, and the rounds that they go through."""

    def __init__(self, *means: float, folds: tuple[int | None, ...] = (None,)) -> None:
        self.means, self.folds = means, folds
        self.repeats: list[dict[Key, Repeat]] = [{} for _ in means]
        self.contenders = [
            Contender("ce" if i == 0 else f"f{i}", "", (i,), repeats) for i, repeats in enumerate(self.repeats)
        ]

    def next(self, budget: int, *, max_seeds: int = 20, margin: float = 0.01, slots: int = 1) -> list[Training]:
        return next_round(
            self.contenders,
            "ce",
            METRIC,
            margin=margin,
            budget=budget,
            max_seeds=max_seeds,
            seeds=SEEDS,
            folds=self.folds,
            test_share=0.2,
            slots=slots,
        )

    def train(self, trainings: list[Training]) -> None:
        by_id = {each.id: i for i, each in enumerate(self.contenders)}
        for id, seed, fold in trainings:
            i = by_id[id]
            score = self.means[i] + NOISE[i, SEEDS.index(seed)]
            assert (seed, fold) not in self.repeats[i]
            self.repeats[i][seed, fold] = Repeat(seed, fold, {METRIC: float(score)})

    def run(self, budget: int, *, max_seeds: int = 20, margin: float = 0.01, slots: int = 1) -> list[list[Training]]:
        rounds = []
        while trainings := self.next(budget, max_seeds=max_seeds, margin=margin, slots=slots):
            assert len(trainings) <= budget
            self.train(trainings)
            budget -= len(trainings)
            rounds.append(trainings)
        return rounds


def test_everybody_starts_with_the_same_three_seeds() -> None:
    first = Trial(0.6, 0.7, 0.65).next(30)
    assert first == [(id, seed, None) for seed in (100, 101, 102) for id in ("ce", "f1", "f2")]


@pytest.mark.parametrize(
    ("budget", "ids", "seeds"),
    [(12, "ce f1 f2 f3", 3), (11, "ce f1 f2", 3), (7, "ce f1", 3), (6, "ce f1", 3), (5, "ce f1", 2), (4, "ce f1", 2)],
)
def test_a_small_budget_has_fewer_finalists_rather_than_fewer_seeds(budget: int, ids: str, seeds: int) -> None:
    first = Trial(0.6, 0.7, 0.65, 0.6).next(budget)
    assert {id for id, _, _ in first} == set(ids.split())
    assert len(first) == seeds * len(ids.split())


@pytest.mark.parametrize("budget", [0, 1, 3])
def test_a_budget_for_no_pair_is_not_spent(budget: int) -> None:
    assert Trial(0.6, 0.7).next(budget) == []


def test_further_seeds_go_to_the_best_the_reference_and_the_closest_rival() -> None:
    trial = Trial(0.6, 0.63, 0.625, 0.3)
    rounds = trial.run(40)
    later = {id for trainings in rounds[1:] for id, _, _ in trainings}
    assert later == {"ce", "f1", "f2"}
    assert sum(map(len, rounds)) <= 40
    n = {each.id: len(each.repeats) for each in trial.contenders}
    assert n["f3"] == 3 < n["ce"]


def test_it_ends_when_all_is_decided() -> None:
    rounds = Trial(0.3, 0.9, 0.5).run(60)
    assert sum(map(len, rounds)) < 25


def test_it_ends_at_the_most_seeds_and_within_the_budget() -> None:
    trial = Trial(0.6, 0.6, 0.6)
    trial.run(100, max_seeds=6)
    assert max(len(each.repeats) for each in trial.contenders) == 6
    assert sum(map(len, Trial(0.6, 0.6, 0.6).run(17))) == 17


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_a_budget_that_is_too_small_for_a_round_goes_to_the_pair_of_the_verdict(slots: int) -> None:
    trial = Trial(0.6, 0.63, 0.625)
    rounds = trial.run(14, slots=slots)  # as in the default study: three seeds of three, and five trainings for the rest
    assert sum(map(len, rounds)) == 14
    assert {id for id, _, _ in rounds[-1]} == {"ce", "f1"}
    assert [len(each.repeats) for each in trial.contenders] == [5, 5, 4]


def test_a_rest_that_brings_no_pair_a_common_seed_is_not_spent() -> None:
    trial = Trial(0.6, 0.63, 0.625)
    trial.train(trial.next(13))
    assert trial.next(1) == []


def test_a_reference_that_is_decided_does_not_take_the_rest_from_the_rival_that_is_not() -> None:
    trial = Trial(0.1, 0.63, 0.625)
    trial.train(trial.next(30))
    assert [id for id, _, _ in trial.next(3)] == ["f1", "f2", "ce"]
    assert [id for id, _, _ in trial.next(2)] == ["f1", "f2"]


def test_a_rival_without_further_seeds_leaves_them_to_the_next() -> None:
    trial = Trial(0.6, 0.62, 0.62, 0.6)
    trial.train(trial.next(12))
    trial.train([(id, seed, None) for seed in SEEDS[3:6] for id in ("ce", "f1", "f2")])
    # nothing but f3 lacks a seed
    rounds = trial.run(20, max_seeds=6)
    assert {id for trainings in rounds for id, _, _ in trainings} == {"f3"}


def test_an_interrupted_study_goes_on() -> None:
    whole, broken = Trial(0.6, 0.63, 0.62), Trial(0.6, 0.63, 0.62)
    expected = whole.run(30)
    left, done = 30, []
    while trainings := broken.next(left):  # stopped after the first training of each round
        broken.train(trainings[:1])
        done += trainings[:1]
        left -= 1
    assert done[:9] == expected[0]
    assert done[9:12] == expected[1]
    seeds = [list(each.repeats) for each in broken.contenders]
    assert len(seeds[0]) > 5
    assert all(keys == [(seed, None) for seed in SEEDS[: len(keys)]] for keys in seeds)  # none is left out


def test_a_training_that_failed_is_not_asked_for_again() -> None:
    trial = Trial(0.6, 0.63, 0.62)
    trial.train(trial.next(30))
    for key in trial.repeats[1]:
        trial.repeats[1][key] = Repeat(*key, {METRIC: math.nan})
    assert {id for id, _, _ in trial.next(20)} <= {"ce", "f2"}


def test_nothing_is_asked_for_where_the_reference_has_no_score() -> None:
    trial = Trial(0.6, 0.63, 0.62)
    trial.train(trial.next(30))
    for key in trial.repeats[0]:
        trial.repeats[0][key] = Repeat(*key, {METRIC: math.nan})
    assert trial.next(20) == []


def test_folds_take_turns() -> None:
    trial = Trial(0.6, 0.7, folds=(0, 1, 2, 3, 4))
    assert trial.next(20) == [(id, 100 + i, i) for i in range(3) for id in ("ce", "f1")]


def test_many_slots_get_several_seeds_in_a_round() -> None:
    trial = Trial(0.6, 0.605, 0.6)
    trial.train(trial.next(60))
    one, many = trial.next(50), trial.next(50, slots=8)
    assert len(one) < 8 <= len(many)
    assert many[: len(one)] == one
    assert len(set(many)) == len(many)
