"""Successive halving: the same decisions as Optuna's pruner within a group, and none across groups."""

import optuna
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_seg.config import EarlyStoppingConfig
from tune_seg.early_stopping import SuccessiveHalving


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=9, max_size=9), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(2, 4),
)
def test_decides_as_optunas_successive_halving(curves: list[list[float]], grace: int, factor: int) -> None:
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=grace, reduction_factor=factor)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    halving = SuccessiveHalving(EarlyStoppingConfig(grace_epochs=grace, reduction_factor=factor), epochs=10)
    trials = [study.ask() for _ in curves]
    stopped: set[int] = set()
    for epoch in range(1, 10):  # all trials advance together, the hardest order for an asynchronous rule
        for number, (trial, curve) in enumerate(zip(trials, curves, strict=True)):
            if number in stopped:
                continue
            trial.report(curve[epoch - 1], step=epoch)
            expected = trial.should_prune()
            assert halving.stops("static", number, epoch, curve[epoch - 1]) == expected
            if expected:
                stopped.add(number)


def test_groups_are_judged_apart() -> None:
    halving = SuccessiveHalving(EarlyStoppingConfig(grace_epochs=2, reduction_factor=2), epochs=10)
    for number in range(4):
        assert not halving.stops("static", number, 2, 0.9 + number / 100)
    # far below every static trial, but the first of its own kind
    assert not halving.stops("naive", 4, 2, 0.1)
    assert halving.stops("static", 5, 2, 0.1)


def test_judges_only_at_the_rungs_and_never_at_the_end() -> None:
    halving = SuccessiveHalving(EarlyStoppingConfig(grace_epochs=2, reduction_factor=2), epochs=8)
    best = {epoch: halving.stops("static", 0, epoch, 1.0) for epoch in range(1, 9)}
    worse = {epoch: halving.stops("static", 1, epoch, 0.5) for epoch in range(1, 9)}
    assert not any(best.values())
    assert [epoch for epoch, stop in worse.items() if stop] == [2, 4]


def test_an_undefined_score_is_the_worst() -> None:
    halving = SuccessiveHalving(EarlyStoppingConfig(grace_epochs=1, reduction_factor=2), epochs=4)
    assert not halving.stops("static", 0, 1, 0.0)
    assert halving.stops("static", 1, 1, float("nan"))


def test_none_stops_nobody() -> None:
    halving = SuccessiveHalving(EarlyStoppingConfig(kind="none", grace_epochs=1), epochs=9)
    assert not any(halving.stops("static", n, epoch, -float(n)) for epoch in range(1, 9) for n in range(9))
