"""Searches are replayed in simulated time: what a training costs, what is shared, and what is recommended when."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.support import CHECKOUT

BENCH = CHECKOUT / "scripts" / "bench"
CE: dict[str, Any] = {"loss.kind": "static", "loss.end": "ce", "acw": False}
WCE = CE | {"loss.end": "wce"}
FOCAL = CE | {"loss.end": "focal", "loss.gamma": 2.0}
SCORES = np.array(
    [[[0.1, 0.2, 0.3], [0.1, 0.2, 0.5]], [[0.2, 0.5, 0.7], [0.2, 0.5, 0.7]], [[0.3, 0.1, 0.2], [0.3, 0.1, 0.2]]]
)


@pytest.fixture(scope="module", autouse=True)
def bench() -> Iterator[None]:
    """The scripts are imported from their folder, as they are when they run."""
    sys.path.insert(0, str(BENCH))
    yield
    sys.path.remove(str(BENCH))


def task() -> Any:
    from replays.table import Task

    return Task("small", [CE, WCE, FOCAL], SCORES, np.array([1.0, 2.0, 1.0]))


@dataclass
class Listed:
    """A search that asks for a list, and stops where it is told to."""

    asked: list[Any]
    stops: dict[int, int] = field(default_factory=dict)
    ends: list[tuple[int, float, bool]] = field(default_factory=list)
    reports: list[tuple[int, int]] = field(default_factory=list)

    def ask(self, number: int) -> Any:
        return self.asked.pop(0) if self.asked else None

    def report(self, number: int, epoch: int, score: float) -> bool:
        self.reports.append((number, epoch))
        return self.stops.get(number) == epoch

    def ended(self, number: int, score: float, *, whole: bool) -> None:
        self.ends.append((number, score, whole))

    def recommended(self) -> int | None:
        whole = {number: score for number, score, complete in self.ends if complete}
        return max(whole, key=whole.__getitem__) if whole else None


def run(search: Listed, slots: int = 1, until: float = 100.0) -> Any:
    from replays.clock import replay

    return replay(search, task(), 0, slots, until)


def asked(*assignments: dict[str, Any], **values: Any) -> list[Any]:
    from replays.clock import Asked

    return [Asked(each, **values) for each in assignments]


def test_trainings_follow_each_other_on_a_slot_and_what_is_recommended_changes_when_one_ends() -> None:
    course = run(Listed(asked(CE, WCE, FOCAL)))
    assert course.chosen == [0, 1]
    assert course.seconds == [3.0, 9.0]  # ce takes a second an epoch, wce two
    assert course.epochs == [3, 6]
    assert course.trainings == 3


def test_slots_work_at_once() -> None:
    course = run(Listed(asked(CE, WCE, FOCAL)), slots=3)
    assert course.seconds == [3.0, 6.0]
    assert course.epochs == [6, 9]  # when ce ends, the third epoch of focal is about to end too


def test_nothing_counts_after_the_time_is_over() -> None:
    assert run(Listed(asked(CE, WCE)), until=8.9).chosen == [0]


def test_a_training_that_is_stopped_makes_room_and_is_not_whole() -> None:
    search = Listed(asked(FOCAL, WCE), stops={0: 1})
    course = run(search)
    assert search.ends == [(0, 0.3, False), (1, 0.7, True)]
    assert course.seconds[-1] == 1.0 + 6.0


def test_one_that_goes_on_trains_what_was_missing() -> None:
    from replays.clock import Asked

    search = Listed([Asked(WCE, epochs=1), Asked(WCE, goes_on=0)])
    run(search)
    assert search.reports == [(0, 1), (1, 2), (1, 3)]
    assert search.ends == [(0, 0.2, True), (1, 0.7, True)]


def test_what_was_trained_before_is_not_trained_again() -> None:
    search = Listed([*asked(CE, keys="abcd"), *asked(WCE, keys="abcx"), *asked(FOCAL, keys="abcd")])
    course = run(search)
    assert len(search.ends) == 3
    assert course.seconds[:2] == [3.0, 3.0 + 2.0]  # one epoch of wce is left, and nothing of the third
    assert course.epochs == [3, 4]


def test_a_repeat_has_another_seed() -> None:
    search = Listed([*asked(CE), *asked(CE, repeat=1)])
    run(search)
    assert sorted(score for _, score, _ in search.ends) == [0.3, 0.5]


def test_a_proposal_is_run_as_the_nearest_recorded_configuration() -> None:
    nearest = task().nearest
    assert [nearest(each) for each in (CE, WCE, FOCAL)] == [0, 1, 2]
    assert nearest(FOCAL | {"loss.gamma": 4.0}) == 2
    assert nearest(WCE | {"acw": True}) == 1  # the layer tells configurations apart less than the loss does
    assert nearest({"loss.kind": "compound", "loss.start": "dice", "loss.end": "wce", "acw": False}) == 1
    assert nearest.has_categories(FOCAL | {"loss.gamma": 4.0})
    assert not nearest.has_categories(WCE | {"acw": True})


def test_all_trainings_of_a_replay_have_its_seed() -> None:
    of_task = task()
    assert [of_task.training(CE, draw).scores[-1] for draw in range(4)] == [0.3, 0.5, 0.3, 0.5]
    assert {of_task.training(FOCAL | {"loss.gamma": gamma}, 1).number for gamma in (1.0, 1.7, 4.0)} == {2}


def test_the_portfolio_begins_with_plain_cross_entropy_and_has_no_configuration_twice() -> None:
    from portfolio import portfolio

    found = portfolio(["scenes"], 6)
    assert found[0] == CE
    assert len({str(sorted(each.items())) for each in found}) == 6


@pytest.mark.parametrize(
    "row", ["random", "constant, 3 epochs", "TPE, as Ray's docs", "TPE with ASHA, as Ray's docs", "ours"]
)
def test_a_row_runs_on_the_recorded_table(row: str) -> None:
    from replay import rows
    from replays.clock import replay
    from replays.table import Task

    recorded = Task.read("scenes")
    course = replay(rows()[row](0, recorded), recorded, 0, 4, 12 * recorded.epochs * float(recorded.seconds.mean()) / 4)
    assert course.trainings >= 12
    assert recorded.true[course.chosen[-1]] > np.median(recorded.true)
    assert course.seconds == sorted(course.seconds)
