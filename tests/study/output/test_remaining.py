"""The remaining time, on recorded sequences of reports: no clock is read."""

import heapq
import random
from dataclasses import dataclass, replace
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.epoch_results import result
from tune_seg.config import StudyConfig, parse
from tune_seg.study.output.remaining import RemainingTime
from tune_seg.study.record import Record, State
from tune_seg.training.result import Seconds


def trial(number: int, epochs: int, *, repeat: bool = False) -> Record:
    config = parse(StudyConfig, {"training": {"epochs": epochs}}).trial({})
    return Record(number, {}, config, repeat=repeat)


def epoch_added(record: Record, seconds: float, *, replayed: bool = False) -> Record:
    done = replace(result(len(record.history) + 1, replayed=replayed), seconds=Seconds(train=0.0 if replayed else seconds))
    record.history = [*record.history, done]
    return record


def reported(estimate: RemainingTime, record: Record, now: float, seconds: float, *, replayed: bool = False) -> None:
    estimate.update(epoch_added(record, seconds, replayed=replayed), now)


def ended(estimate: RemainingTime, record: Record, now: float, state: State = State.COMPLETED) -> None:
    record.state = state
    estimate.update(record, now)


@dataclass
class Simulated:
    """A study: how long its trials are, in epochs, and what an epoch takes.

    Attributes:
        lengths: of the trials of the search, in their order; one that is shorter than `epochs` is stopped early.
        repeats: how many whole trials follow, once the search has ended.
    """

    lengths: list[int]
    repeats: int
    epochs: int
    slots: int
    start_up: float
    pace: "list[float]"

    def run(self, estimate: RemainingTime) -> list[tuple[float, float | None]]:
        """When something was asked, and how long it was said to take yet; the last of them is the end."""
        asked: list[tuple[float, float | None]] = []
        left = {False: list(self.lengths), True: [self.epochs] * self.repeats}
        numbers, now = count(), 0.0
        free = [(0.0, slot, True) for slot in range(self.slots)]  # and whether its worker has yet to start
        running: list[tuple[float, int, int, Record, int, float]] = []
        while free or running:
            phase = next((repeat for repeat in (False, True) if left[repeat]), None)
            waits = phase is True and any(not record.repeat for _, _, _, record, _, _ in running)
            while free and phase is not None and left[phase] and not waits:
                _, slot, starts = free.pop(0)
                record = trial(next(numbers), self.epochs, repeat=phase)
                pace = self.pace[record.number % len(self.pace)]
                estimate.update(record, now)
                first = now + pace + (self.start_up if starts else 0.0)
                heapq.heappush(running, (first, record.number, slot, record, left[phase].pop(0), pace))
            if not running:
                break
            then, number, slot, record, length, pace = heapq.heappop(running)
            steps = 10
            for k in range(1, steps):
                at = now + (then - now) * k / steps
                asked.append((at, estimate.seconds(at, len(left[False]), len(left[True]))))
            now = then
            reported(estimate, record, now, pace)
            if len(record.history) == length:
                ended(estimate, record, now, State.COMPLETED if length == self.epochs else State.PRUNED)
                free.append((now, slot, False))
            else:
                heapq.heappush(running, (now + pace, number, slot, record, length, pace))
            asked.append((now, estimate.seconds(now, len(left[False]), len(left[True]))))
        return asked


@given(
    trials=st.integers(1, 12),
    repeats=st.integers(0, 6),
    epochs=st.integers(1, 6),
    slots=st.integers(1, 4),
    start_up=st.floats(0.0, 50.0),
    pace=st.floats(0.1, 100.0),
)
def test_with_a_constant_pace_it_falls_and_is_exact(
    trials: int, repeats: int, epochs: int, slots: int, start_up: float, pace: float
) -> None:
    study = Simulated([epochs] * trials, repeats, epochs, slots, start_up, [pace])
    asked = study.run(RemainingTime(epochs, slots))
    said = [seconds for _, seconds in asked if seconds is not None]
    assert said and said[-1] == 0.0
    for before, after in pairwise(said):
        assert after <= before + 1e-6 * pace
    end = asked[-1][0]
    # a slot whose worker still starts is no part of it
    for now, seconds in asked:
        if seconds is not None:
            assert seconds == pytest.approx(end - now, abs=start_up + 1.001 * pace)


def test_the_start_of_a_worker_does_not_count() -> None:
    estimate = RemainingTime(epochs=4, slots=1)
    record = trial(0, 4)
    estimate.update(record, 0.0)
    assert estimate.seconds(59.0, 2, 0) is None
    reported(estimate, record, 61.0, 1.0)
    assert estimate.seconds(61.0, 2, 0) == pytest.approx(3 + 2 * 4)
    assert estimate.seconds(61.5, 2, 0) == pytest.approx(3 + 2 * 4 - 0.5)


def test_an_epoch_that_takes_longer_than_usual_does_not_make_it_grow() -> None:
    estimate = RemainingTime(epochs=4, slots=1)
    record = trial(0, 4)
    estimate.update(record, 0.0)
    reported(estimate, record, 1.0, 1.0)
    assert [estimate.seconds(now, 0, 0) for now in (1.0, 1.5, 2.0, 9.0, 90.0)] == pytest.approx([3, 2.5, 2, 2, 2])


def test_what_happens_between_trials_is_part_of_the_cost() -> None:
    estimate = RemainingTime(epochs=2, slots=1)
    now = 0.0
    for number in range(50):  # two epochs of a second, and a model that takes a second to build
        record = trial(number, 2)
        estimate.update(record, now)
        for wait in (2.0, 1.0):
            now += wait
            reported(estimate, record, now, 1.0)
        ended(estimate, record, now)
    assert estimate.seconds(now, 10, 0) == pytest.approx(30.0, rel=0.02)


def test_epochs_from_the_store_cost_nothing_and_say_nothing_of_the_others() -> None:
    estimate = RemainingTime(epochs=4, slots=1)
    record = trial(0, 4)
    estimate.update(record, 0.0)
    for _ in range(3):
        reported(estimate, record, 8.0, 0.0, replayed=True)
    assert estimate.seconds(8.0, 1, 0) is None
    reported(estimate, record, 10.0, 1.9)
    assert estimate.seconds(10.0, 1, 0) == pytest.approx(8.0)
    ended(estimate, record, 10.0)
    # the one that has ended computed one epoch of its four
    assert estimate.seconds(10.0, 1, 0) == pytest.approx((1 + 4) / 2 * 2.0)


def test_repeats_are_never_stopped_early_and_wait_for_the_search() -> None:
    estimate = RemainingTime(epochs=10, slots=2)
    first = trial(0, 10)
    estimate.update(first, 0.0)
    reported(estimate, first, 1.0, 1.0)
    ended(estimate, first, 1.0, State.PRUNED)
    assert estimate.seconds(1.0, 0, 4) == pytest.approx(20.0)
    other = trial(1, 10)
    estimate.update(other, 1.0)  # a trial of the search still runs: of those before it one had 1 epoch, one may have all
    assert estimate.seconds(1.0, 0, 4) == pytest.approx((1 + 10) / 2 + 20.0)
    assert estimate.epochs_left(0, 4) == pytest.approx(45.5)


def test_a_trial_that_has_got_far_is_expected_to_go_on() -> None:
    estimate = RemainingTime(epochs=10, slots=1)
    for number in range(9):
        record = trial(number, 10)
        estimate.update(record, number)
        reported(estimate, record, number + 1.0, 1.0)
        ended(estimate, record, number + 1.0, State.PRUNED)
    record = trial(9, 10)
    estimate.update(record, 9.0)
    for epoch in range(5):
        reported(estimate, record, 10.0 + epoch, 1.0)
    assert estimate.seconds(14.0, 0, 0) == pytest.approx(5.0)


def test_a_lost_worker_that_starts_again_does_not_count() -> None:
    estimate = RemainingTime(epochs=4, slots=1)
    record = trial(0, 4)
    estimate.update(record, 0.0)
    for now in (1.0, 2.0):
        reported(estimate, record, now, 1.0)
    record.history = []
    reported(estimate, record, 60.0, 0.0, replayed=True)
    assert estimate.seconds(60.0, 0, 0) == pytest.approx(3.0)


def test_the_pace_of_an_earlier_session_counts_until_there_is_one_of_this() -> None:
    estimate = RemainingTime(epochs=2, slots=1)
    before = trial(0, 2)
    for _ in range(2):
        epoch_added(before, 3.0)
    before.state = State.COMPLETED
    estimate.begin([before])
    assert estimate.seconds(0.0, 2, 0) == pytest.approx(12.0)
    record = trial(1, 2)
    estimate.update(record, 0.0)
    reported(estimate, record, 20.0, 1.0)
    assert estimate.seconds(20.0, 1, 0) == pytest.approx(3.0)


@pytest.mark.parametrize("seed", range(8))
def test_halfway_through_a_study_that_stops_trials_early_it_is_near_the_truth(seed: int) -> None:
    draw = random.Random(seed)
    lengths = [draw.choice([2, 2, 4, 8, 20]) for _ in range(60)]
    pace = [draw.uniform(0.7, 1.3) for _ in range(40)]
    asked = Simulated(lengths, 12, 20, 3, 9.0, pace).run(RemainingTime(20, 3))
    end = asked[-1][0]
    for now, seconds in asked:
        if now > 0.4 * end:
            assert seconds == pytest.approx(end - now, rel=0.3, abs=25.0)


def test_a_study_of_many_trials_costs_no_more_to_estimate() -> None:
    few, many = (estimate_after_one(trials) for trials in (30, 3_000_000))
    assert few == pytest.approx(2 * 30 / 4, abs=2.0)
    assert many == pytest.approx(2 * 3_000_000 / 4, abs=2.0)


def estimate_after_one(searches: int) -> float | None:
    estimate = RemainingTime(epochs=2, slots=4)
    record = trial(0, 2)
    estimate.update(record, 0.0)
    for now in (1.0, 2.0):
        reported(estimate, record, now, 1.0)
    ended(estimate, record, 2.0)
    return estimate.seconds(2.0, searches, 0)
