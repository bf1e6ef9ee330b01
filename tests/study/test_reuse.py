"""Which trials wait for each other, which states are asked for, and the order of a grid."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.epoch_results import result
from tune_seg.config import TrialConfig, parse
from tune_seg.study.record import Record
from tune_seg.study.reuse import Reuse, in_order_of_prefixes
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.trajectory import TrainingData, final_key, trajectory_keys

DATA = TrainingData("3f", (48, 48), 8)


def numbered(number: int, config: TrialConfig) -> Record:
    return Record(number, {}, config)


def static(loss: str) -> TrialConfig:
    return trial({"end": loss})


def naive(start: str, end: str, s: float, e: float = 1.0) -> TrialConfig:
    return trial({"kind": "naive", "start": start, "end": end}, schedule={"start": s, "end": e})


def trial(loss: dict[str, Any], **sections: Any) -> TrialConfig:
    return parse(TrialConfig, {"training": {"epochs": 10, "batch_size": 4}, "loss": loss, **sections})


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(str(tmp_path))


def test_a_running_trial_is_told_where_others_will_leave_it(store: CheckpointStore) -> None:
    dice, half, third = static("dice"), naive("dice", "ce", 0.5), naive("dice", "ce", 0.3)
    common = Reuse(DATA, [dice, half, third, static("ce")], [], store)
    assert common.start(numbered(0, dice), remaining=0) == {3: 1.0, 5: 1.0}
    assert common.start(numbered(1, static("ce")), remaining=0) == {}
    # nobody needs the state any more once those who would have are over
    common.start(numbered(2, third), remaining=0)
    common.end(2)
    common.end(0)
    assert common.start(numbered(3, half), remaining=0) == {}


def test_trials_that_the_sampler_may_choose_count_by_their_share(store: CheckpointStore) -> None:
    possible = (static("dice"), naive("dice", "ce", 0.5), naive("dice", "ce", 0.5, 0.9), static("wce"))
    common = Reuse(DATA, [], possible, store)
    assert common.start(numbered(0, static("dice")), remaining=20) == {5: 2 * 20 / 4, 10: 20 / 4}


def test_a_trial_waits_until_a_running_one_has_come_to_where_they_part(store: CheckpointStore) -> None:
    first, second = numbered(0, naive("dice", "ce", 0.5)), numbered(1, naive("dice", "wce", 0.5))
    common = Reuse(DATA, [first.config, second.config], [], store)
    assert common.may_start(first)
    assert common.start(first, remaining=0) == {5: 1.0}
    assert common.may_start(numbered(2, static("ce")))
    for done in range(5):
        common.progress(0, done=done, stored=0, writing=False)
        assert not common.may_start(second)
    for done in (5, 6):  # as long as it takes to write the state
        common.progress(0, done=done, stored=0, writing=True)
        assert not common.may_start(second)
    key = trajectory_keys(second.config, DATA)[5]
    assert store.save(key, [result(1)], None)
    assert common.may_start(second)
    store.remove(key)
    common.progress(0, done=6, stored=0, writing=False)  # it could not be written
    assert common.may_start(second)
    assert not store.wanted(trajectory_keys(second.config, DATA))  # the first was told when it started


def test_a_state_that_turns_out_to_be_needed_is_asked_for(store: CheckpointStore) -> None:
    first, second = numbered(0, static("dice")), numbered(1, naive("dice", "ce", 0.4))
    common = Reuse(DATA, [], [], store)
    assert common.start(first, remaining=0) == {}
    common.progress(0, done=1, stored=0, writing=False)
    assert not common.may_start(second) and not common.may_start(second)
    keys = trajectory_keys(second.config, DATA)
    assert store.wanted(keys) == {keys[4]}
    # once it is past that boundary, waiting is of no use
    common.progress(0, done=5, stored=0, writing=False)
    assert common.may_start(second)


def test_a_repeated_configuration_waits_for_the_end_and_nobody_waits_for_one_that_ended(store: CheckpointStore) -> None:
    first, again = numbered(0, static("ce")), numbered(1, static("ce"))
    common = Reuse(DATA, [first.config], [], store)
    common.start(first, remaining=5)
    assert not store.wanted(trajectory_keys(again.config, DATA))  # a whole training is stored in any case
    common.progress(0, done=9, stored=0, writing=False)
    assert not common.may_start(again)
    common.end(0)
    assert common.may_start(again)


def test_what_is_stored_to_its_end_holds_nobody_back(store: CheckpointStore) -> None:
    config = naive("dice", "ce", 0.5)
    last = final_key(trajectory_keys(config, DATA), config)
    common = Reuse(DATA, [], [], store)
    common.start(numbered(0, config), remaining=0)
    common.progress(0, done=10, stored=0, writing=False)
    store.save(last, [result(10)], None)
    common.end(0)
    for number in (1, 2):  # both replay it; neither has reported yet
        assert common.may_start(numbered(number, config))
        common.start(numbered(number, config), remaining=0)
    # they compute nothing that another could wait for
    other = numbered(3, naive("dice", "wce", 0.5))
    assert common.may_start(other) and not store.wanted(trajectory_keys(other.config, DATA))
    store.remove(last)
    common.end(1)
    common.end(2)
    common.start(other, remaining=0)
    assert not common.may_start(numbered(4, config))


def test_a_state_is_waited_for_that_a_stopped_trial_is_still_writing(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    first, second = numbered(0, naive("dice", "ce", 0.5)), numbered(1, naive("dice", "wce", 0.5))
    for written in (True, False):
        common = Reuse(DATA, [first.config, second.config], [], store)
        common.start(first, remaining=0)
        common.progress(0, done=5, stored=0, writing=True)
        common.end(0)
        assert not common.may_start(second)
        if written:
            store.save(trajectory_keys(second.config, DATA)[5], [result(1)], None)
        else:
            now[0] += 11.0
        assert common.may_start(second)
        store.remove(trajectory_keys(second.config, DATA)[5])


def test_a_state_asked_for_in_the_epoch_before_it_may_have_been_missed(store: CheckpointStore) -> None:
    first, second = numbered(0, static("dice")), numbered(1, naive("dice", "ce", 0.4))
    common = Reuse(DATA, [first.config], [], store)
    common.start(first, remaining=0)
    common.progress(0, done=3, stored=0, writing=False)
    assert not common.may_start(second)  # asks for it
    common.progress(0, done=4, stored=0, writing=False)  # which the trial may have sent before that
    assert not common.may_start(second)
    common.progress(0, done=5, stored=4, writing=False)
    assert common.may_start(second)


def test_a_trial_is_told_how_often_it_will_be_repeated(store: CheckpointStore) -> None:
    common = Reuse(DATA, [static("dice")] * 3, [static("dice"), static("ce")], store)
    assert common.start(numbered(0, static("dice")), remaining=1) == {10: 2 + 1 / 2}


def test_what_more_trials_need_is_worth_more(store: CheckpointStore) -> None:
    common = Reuse(DATA, [naive("dice", "ce", 0.5), naive("dice", "wce", 0.5), static("focal")], [], store)
    keys, other = trajectory_keys(static("dice"), DATA), trajectory_keys(static("focal"), DATA)
    assert (
        common.uses(keys[5]) == 2 > common.uses(other[5]) == 1 > common.uses(keys[6]) == common.uses("another study's") == 0
    )
    assert common.uses(final_key(keys[:6], static("dice"))) == 2


def test_a_grid_keeps_together_what_begins_alike() -> None:
    points = {
        "dice ce 5": naive("dice", "ce", 0.5),
        "ce": static("ce"),
        "dice ce 3": naive("dice", "ce", 0.3),
        "focal": static("focal"),
        "dice wce 5": naive("dice", "wce", 0.5),
        "dice": static("dice"),
    }
    ordered = in_order_of_prefixes(list(points), points.__getitem__, DATA)
    assert ordered == ["dice ce 5", "dice wce 5", "dice", "dice ce 3", "ce", "focal"]
