"""Early stopping: who is compared with whom, what counts as evidence, and what a continued study knows."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from tests.support.epoch_results import result
from tune_seg.config import EarlyStoppingConfig, StudyConfig, TrialConfig, parse
from tune_seg.study.early_stopping import Course, EarlyStopping, final_shares, settles
from tune_seg.study.ray_tune.searcher import StudyScheduler
from tune_seg.study.ray_tune.trainable import REPORT, StepReport
from tune_seg.study.record import Record, State
from tune_seg.study.records import Records
from tune_seg.study.search_space.space import Space
from tune_seg.training.result import EpochResult
from tune_seg.training.trajectory import TrainingData

EPOCHS = 10
DATA = TrainingData("content", (48, 48), 40)


def course(name: object, settles: int = 1) -> Course:
    """A trial whose trajectory no other one shares."""
    return Course([f"{name} {epoch}" for epoch in range(EPOCHS + 1)], settles)


def rule(kind: str = "settled", grace: int = 2, factor: int = 2) -> EarlyStopping:
    return EarlyStopping(
        parse(EarlyStoppingConfig, {"kind": kind, "grace_epochs": grace, "reduction_factor": factor}), epochs=EPOCHS
    )


def trial_config(loss: dict[str, Any], epochs: int = EPOCHS, **values: Any) -> TrialConfig:
    return parse(TrialConfig, {"training": {"epochs": epochs}, "loss": loss, **values})


# the rules


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=9, max_size=9), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(2, 4),
)
def test_asha_decides_as_optunas_successive_halving(curves: list[list[float]], grace: int, factor: int) -> None:
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=grace, reduction_factor=factor)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    asha = rule("asha", grace, factor)
    trials = [study.ask() for _ in curves]
    stopped: set[int] = set()
    for epoch in range(1, 10):  # all trials advance together, the hardest order for an asynchronous rule
        for number, (trial, curve) in enumerate(zip(trials, curves, strict=True)):
            if number in stopped:
                continue
            trial.report(curve[epoch - 1], step=epoch)
            expected = trial.should_prune()
            assert asha.stops(course(number), epoch, curve[epoch - 1]) == expected
            if expected:
                stopped.add(number)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 6)), min_size=1, max_size=15), st.integers(2, 4))
def test_a_settled_trial_goes_on_if_it_is_among_the_best_of_the_settled(
    trials: list[tuple[float, int]], factor: int
) -> None:
    settled = rule(factor=factor)
    scores: list[float] = []
    for number, (score, since) in enumerate(trials):
        stops = settled.stops(course(number, since), 4, score)
        if since > 4:
            assert not stops
            continue
        scores.append(score)
        place = 1 + sum(other > score for other in scores)
        assert stops == (len(scores) >= 4 and place > math.ceil(len(scores) / factor))


def test_a_trial_whose_loss_still_moves_is_neither_stopped_nor_evidence() -> None:
    settled = rule()
    for number in range(6):
        assert not settled.stops(course(f"moving {number}", settles=5), 4, 0.9)
    for number in range(3):
        assert not settled.stops(course(number), 4, 0.1 + number / 10)
    assert not settled.stops(course("moving", settles=5), 4, 0.0)
    assert settled.stops(course("fourth"), 4, 0.0)


def test_trials_are_compared_from_the_grace_period_on_and_never_at_the_end() -> None:
    settled = rule(grace=4)
    for number in range(5):
        assert not any(settled.stops(course(number), epoch, 1.0) for epoch in range(1, EPOCHS + 1))
    assert [epoch for epoch in range(1, EPOCHS + 1) if settled.stops(course("worse"), epoch, 0.5)] == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(("epochs", "first"), [(2, 1), (9, 4), (12, 5), (30, 12)])
def test_the_grace_period_is_two_fifths_of_the_epochs_where_it_is_left_out(epochs: int, first: int) -> None:
    settled = EarlyStopping(EarlyStoppingConfig(), epochs)
    assert [epoch for epoch in range(1, epochs + 1) if settled.judges(epoch)] == list(range(first, epochs))


def test_asha_compares_at_its_rungs_and_never_at_the_end() -> None:
    asha = EarlyStopping(parse(EarlyStoppingConfig, {"kind": "asha", "grace_epochs": 2, "reduction_factor": 2}), epochs=8)
    assert not any(asha.stops(course("best"), epoch, 1.0) for epoch in range(1, 9))
    assert [epoch for epoch in range(1, 9) if asha.stops(course("worse"), epoch, 0.5)] == [2, 4]


@pytest.mark.parametrize("kind", ["settled", "asha"])
@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=20), st.integers(0, 5))
def test_a_trajectory_that_several_trials_share_counts_once(
    kind: str, copies: list[tuple[int, bool]], candidate: int
) -> None:
    once, often = rule(kind), rule(kind)
    for trajectory in dict.fromkeys(trajectory for trajectory, _ in copies):
        once.stops(course(trajectory), 2, trajectory / 10)
    for trajectory, _ in copies:
        often.stops(course(trajectory), 2, trajectory / 10)
    new = course("new")
    assert once.stops(new, 2, candidate / 10) == often.stops(new, 2, candidate / 10)


@pytest.mark.parametrize("kind", ["settled", "asha"])
@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=12), st.floats(0, 1), st.randoms())
def test_what_is_known_does_not_depend_on_the_order_of_the_results(
    kind: str, scores: list[float], candidate: float, random: Any
) -> None:
    results = [(number, epoch, score) for number, score in enumerate(scores) for epoch in (1, 2, 3, 4)]
    forward, shuffled = rule(kind), rule(kind)
    for number, epoch, score in results:
        forward.stops(course(number), epoch, score)
    random.shuffle(results)
    for number, epoch, score in results:
        shuffled.stops(course(number), epoch, score)
    for epoch in (2, 4):
        assert forward.stops(course("new"), epoch, candidate) == shuffled.stops(course("new"), epoch, candidate)


@pytest.mark.parametrize("kind", ["settled", "asha"])
def test_an_undefined_score_is_the_worst(kind: str) -> None:
    stopping = rule(kind)
    for number in range(4):
        stopping.stops(course(number), 2, 0.0)
    assert stopping.stops(course("undefined"), 2, float("nan"))


def test_none_stops_nobody() -> None:
    none = rule("none", grace=1)
    assert not any(none.stops(course(number), epoch, -float(number)) for epoch in range(1, 9) for number in range(9))


# when a loss is settled


@settings(deadline=None)
@given(st.floats(0, 0.9), st.floats(0.05, 1), st.integers(1, 40))
def test_the_share_of_the_final_loss_follows_a_naive_schedule(start: float, length: float, epochs: int) -> None:
    end = min(1.0, start + length)
    config = trial_config({"kind": "naive", "start": "dice", "end": "ce"}, epochs, schedule={"start": start, "end": end})
    middles = (np.arange(epochs) + 0.5) / epochs
    weight = np.clip((middles - start) / (end - start), 0, 1)  # Taubert eq. (5)
    expected = np.minimum(weight, weight[-1]) + np.minimum(1 - weight, 1 - weight[-1])
    np.testing.assert_allclose(final_shares(config), expected, atol=1e-9)


def test_an_alternating_loss_is_settled_only_after_its_return() -> None:
    config = trial_config({"kind": "alternating", "start": "dice", "end": "ce"}, schedule={"start": 0.5, "end": 0.8})
    shares = final_shares(config)
    assert shares[0] == pytest.approx(0.9)
    assert shares[4] == pytest.approx(0.1)
    assert shares[8:] == [1.0, 1.0]
    assert settles(config) == 9  # in the middle of epoch 8 the weight is 1 - cos(5/12 pi) = 0.741


@pytest.mark.parametrize(
    "loss",
    [
        {"end": "wce"},
        {"kind": "compound", "start": "dice", "end": "ce", "weights": {"start": 0.3, "end": 2.0}},
        {"kind": "naive", "start": "ce", "end": "ce"},
        {"kind": "naive", "start": "focal", "end": "focal", "gamma": 2.0, "params": {"focal": {"gamma": 1.0}}},
        {
            "kind": "program",
            "components": {"a": {"loss": "ce", "keyframes": [{"at": 0, "weight": 1}, {"at": 1, "weight": 5}]}},
        },
    ],
)
def test_a_loss_that_stays_the_same_is_settled_from_the_start(loss: dict[str, Any]) -> None:
    config = trial_config(loss)
    assert final_shares(config) == pytest.approx([1.0] * EPOCHS)
    assert settles(config) == 1


def test_parameters_tell_losses_apart() -> None:
    params = {"loss": "focal", "keyframes": [{"at": 0.5, "weight": 1, "move": "hold"}, {"at": 0.6, "weight": 0}]}
    after = {"loss": "focal", "keyframes": [{"at": 0.5, "weight": 0, "move": "hold"}, {"at": 0.6, "weight": 1}]}
    components = {"a": {**params, "params": {"gamma": 1.0}}, "b": {**after, "params": {"gamma": 3.0}}}
    config = trial_config({"kind": "program", "components": components})
    assert final_shares(config) == pytest.approx([0.0] * 6 + [1.0] * 4)
    assert settles(config) == 7


@given(st.floats(0.05, 0.5), st.floats(0.1, 0.45), st.sampled_from(["naive", "alternating"]))
def test_a_schedule_and_its_keyframes_settle_together(start: float, length: float, kind: str) -> None:
    end = start + length
    scheduled = trial_config({"kind": kind, "start": "dice", "end": "ce"}, schedule={"start": start, "end": end})
    moving: list[dict[str, Any]] = [{"at": start, "weight": 0.0}, {"at": end, "weight": 1.0}]
    leaving: list[dict[str, Any]] = [{"at": start, "weight": 1.0}, {"at": end, "weight": 0.0}]
    if kind == "alternating":
        moving = [{"at": 0.0, "weight": 1.0}, {**moving[0], "move": "cosine"}, moving[1]]
        leaving = [{"at": 0.0, "weight": 0.0}, {**leaving[0], "move": "cosine"}, leaving[1]]
    components = {"z": {"loss": "dice", "keyframes": leaving}, "a": {"loss": "ce", "keyframes": moving}}
    written_out = trial_config({"kind": "program", "components": components})
    np.testing.assert_allclose(final_shares(written_out), final_shares(scheduled), atol=1e-9)


def test_a_swing_back_counts_until_it_is_the_last() -> None:
    swings = {
        "loss": "dice",
        "keyframes": [{"at": 0.0, "weight": 0.0, "move": "oscillating", "cycles": 3}, {"at": 1.0, "weight": 1.0}],
    }
    config = trial_config({"kind": "program", "components": {"a": swings, "b": {"loss": "ce", "weight": 0.1}}}, epochs=50)
    shares = final_shares(config)
    assert shares[9] > 0.9  # dice, as at the end, and gone again before long
    assert settles(config) == 1 + max(epoch for epoch, share in enumerate(shares, start=1) if share < 0.75) > 40


# the scheduler of a study


def open_records(directory: Path, **values: Any) -> Records:
    stopping = {"kind": "settled", "grace_epochs": 2, "reduction_factor": 2}
    search = {"sampler": "random", "trials": 20, "early_stopping": stopping}
    space = {"training.lr": {"float": [0.1, 0.9]}}
    values = {"training": {"epochs": 5}, "search": search, "space": space, **values}
    config = parse(StudyConfig, values)
    return Records(directory, config, Space(config))


def decision(scheduler: StudyScheduler, record: Record, *results: EpochResult) -> str:
    """What the scheduler says to a step that reports these epochs."""
    trial = Trial("tune_seg", config={"number": record.number}, stub=True)
    return scheduler.on_trial_result(None, trial, {REPORT: StepReport(results)})


def asked(records: Records, count: int) -> list[Record]:
    given = [records.ask() for _ in range(count)]
    return [record for record in given if record is not None]


def test_the_scheduler_stops_what_is_worse_but_no_baseline(tmp_path: Path) -> None:
    records = open_records(tmp_path, baselines=[{"training.lr": 0.5}])
    scheduler = StudyScheduler(records, DATA)
    baseline, *others, last = asked(records, 6)
    for place, record in enumerate(others):
        assert decision(scheduler, record, result(2, 0.5 + place / 10)) == TrialScheduler.CONTINUE
    assert decision(scheduler, baseline, result(2, 0.1)) == TrialScheduler.CONTINUE
    assert decision(scheduler, last, result(2, 0.1)) == TrialScheduler.STOP


@pytest.mark.parametrize("kind", ["settled", "asha"])
def test_a_trial_is_compared_with_those_of_its_own_fold(tmp_path: Path, kind: str) -> None:
    records = open_records(
        tmp_path,
        data={"root": "nowhere", "split": {"folds": 2}},
        space={"fold": {"grid": [0, 1]}, "training.lr": {"float": [0.1, 0.9]}},
        search={"sampler": "random", "trials": 20, "early_stopping": {"kind": kind, "grace_epochs": 2}},
    )
    scheduler = StudyScheduler(records, DATA)
    *others, last, other_last = asked(records, 12)
    for record in others:  # the images of fold 1 are harder
        score = 0.1 if record.config.fold else 0.9
        assert decision(scheduler, record, result(2, score)) == TrialScheduler.CONTINUE
    for record in (last, other_last):
        score = 0.09 if record.config.fold else 0.5
        assert decision(scheduler, record, result(2, score)) == TrialScheduler.STOP
    assert {record.config.fold for record in (last, other_last)} == {0, 1}


def test_each_of_several_epochs_in_one_step_is_compared(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    scheduler = StudyScheduler(records, DATA)
    *others, late, last = asked(records, 5)
    for record in others:
        assert decision(scheduler, record, *(result(epoch, 0.5) for epoch in (1, 2, 3))) == TrialScheduler.CONTINUE
    # worse after epoch 2, better after epoch 3: worse once is enough, and the later epoch is evidence all the same
    assert decision(scheduler, late, result(1, 0.9), result(2, 0.1), result(3, 0.9)) == TrialScheduler.STOP
    assert decision(scheduler, last, result(1, 0.1), result(2, 0.9)) == TrialScheduler.CONTINUE
    assert decision(scheduler, last, result(3, 0.4)) == TrialScheduler.STOP


def test_epochs_that_come_with_the_end_of_a_trial_are_evidence(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    scheduler = StudyScheduler(records, DATA)
    *others, last = asked(records, 4)
    for record in others:
        trial = Trial("tune_seg", config={"number": record.number}, stub=True)
        whole = [result(epoch, 0.5) for epoch in range(1, 6)]
        scheduler.on_trial_complete(None, trial, {REPORT: StepReport(whole), "done": True})
    assert decision(scheduler, last, result(2, 0.1)) == TrialScheduler.STOP


def test_a_failed_step_is_left_to_end_by_itself(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    scheduler = StudyScheduler(records, DATA)
    (record,) = asked(records, 1)
    trial = Trial("tune_seg", config={"number": record.number}, stub=True)
    failed = {REPORT: StepReport(error="no memory"), "done": True}
    assert scheduler.on_trial_result(None, trial, failed) == TrialScheduler.CONTINUE
    scheduler.on_trial_complete(None, trial, failed)


def test_a_study_with_several_objectives_stops_nobody(tmp_path: Path) -> None:
    records = open_records(tmp_path, objective=["recall", "accuracy"])
    scheduler = StudyScheduler(records, DATA)
    for place, record in enumerate(asked(records, 10)):
        assert decision(scheduler, record, result(2, 1 - place / 10)) == TrialScheduler.CONTINUE


def test_a_continued_study_stops_whom_it_would_have_stopped(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    scheduler = StudyScheduler(records, DATA)
    generator = np.random.default_rng(0)
    for record in asked(records, 8):
        score = float(generator.random())
        for epoch in range(1, 6):
            records.add(record.number, result(epoch, score))
            if decision(scheduler, record, result(epoch, score)) == TrialScheduler.STOP:
                break
        records.close(record.number, State.COMPLETED if epoch == 5 else State.PRUNED)
    assert {record.state for record in records.trials.values()} == {State.COMPLETED, State.PRUNED}

    again = open_records(tmp_path)
    continued = StudyScheduler(again, DATA)
    for one, other in zip(asked(records, 8), asked(again, 8), strict=True):
        score = float(generator.random())
        for epoch in range(1, 5):
            expected = decision(scheduler, one, result(epoch, score))
            assert decision(continued, other, result(epoch, score)) == expected
