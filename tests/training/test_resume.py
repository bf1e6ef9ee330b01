"""Trainings that begin where the store leaves off end as those from scratch, to the last bit, and compute nothing twice."""

import functools
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.epoch_results import text
from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData
from tune_seg.training import Trainer
from tune_seg.training.checkpoints import WEIGHTS, CheckpointStore, History
from tune_seg.training.result import EpochResult, Seconds
from tune_seg.training.resume import StoredTraining
from tune_seg.training.trajectory import TrainingData, final_key, shared_epochs, trajectory_keys

CPU = torch.device("cpu")
STEADY = {"lr_schedule": "constant"}


def trial(*, training: Mapping[str, Any] | None = None, **sections: Any) -> TrialConfig:
    """A small model with dropout, four iterations in two epochs."""
    values = {
        "model": {"architecture": "DeepLabV3Plus", "encoder": "tu-test_resnet"},
        "training": {"epochs": 3, "batch_size": 4, "threads": 1, "device": "cpu", **(training or {})},
        "augmentation": {"crop": [32, 32]},
        **sections,
    }
    return parse(TrialConfig, values)


def from_scratch(config: TrialConfig, data: PackedData) -> list[str]:
    return _from_scratch(config.model_dump_json(), data)


@functools.cache
def _from_scratch(config: str, data: PackedData) -> list[str]:
    trainer = Trainer(TrialConfig.model_validate_json(config), data, CPU)
    results = []
    while not trainer.done:
        results.append(trainer.epoch())
    return text(results)


def finish(training: StoredTraining) -> list[EpochResult]:
    results: list[EpochResult] = []
    while not training.done:
        results += training.advance()[0]
    return results


def train(
    config: TrialConfig, data: PackedData, store: CheckpointStore | None, uses: Mapping[int, float] | None = None
) -> list[EpochResult]:
    return finish(StoredTraining(config, data, CPU, store, uses))


def replayed(results: list[EpochResult]) -> list[bool]:
    return [result.replayed for result in results]


def keys(config: TrialConfig, data: PackedData) -> tuple[str, ...]:
    return trajectory_keys(config, TrainingData(data.content_id, data.size, len(data.train)))


def final(config: TrialConfig, data: PackedData) -> str:
    return final_key(keys(config, data), config)


def stored(store: CheckpointStore) -> set[str]:
    return {entry.key for entry in store.entries()}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(str(tmp_path / "store"))


@pytest.fixture
def epochs_trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs that any trainer trains."""
    trained = []
    train_epoch = Trainer.epoch

    def counted(trainer: Trainer) -> EpochResult:
        trained.append(trainer.epochs_done + 1)
        return train_epoch(trainer)

    monkeypatch.setattr(Trainer, "epoch", counted)
    return trained


@dataclass(frozen=True)
class Pair:
    """Two configurations with one base, and where the states of the first are kept."""

    first: TrialConfig
    second: TrialConfig
    uses: dict[int, float]


@st.composite
def losses(draw: st.DrawFn, end: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(["static", "compound", "naive", "naive", "alternating", "program"]))
    start = draw(st.sampled_from([1 / 3, 2 / 3]))
    if kind == "static":
        return {"loss": {"end": "dice"}}
    if kind == "program":
        frames = [
            {"at": start, "weight": 0.0, "move": draw(st.sampled_from(["hold", "cosine"]))},
            {"at": 1.0, "weight": 2.0},
        ]
        return {
            "loss": {
                "kind": "program",
                "components": {"a": {"loss": end, "keyframes": frames}, "b": {"loss": "dice", "weight": 1.0}},
            }
        }
    return {"loss": {"kind": kind, "start": "dice", "end": end}, "schedule": {"start": start, "end": 1.0}}


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    optimizer: dict[str, Any] = draw(
        st.sampled_from([{"optimizer": "sgd"}, {"momentum": 0.0}, {"optimizer": "adam"}, {"optimizer": "adamw"}])
    )
    schedule: dict[str, Any] = draw(
        st.sampled_from([STEADY, {"lr_schedule": "step", "lr_every": 1}, {"lr_schedule": "linear"}])
    )
    acw: dict[str, Any] = draw(
        st.sampled_from([{}, {"acw": True}, {"acw": True, "acw_options": {"positive": True, "lr": 0.05}}])
    )
    configs = [
        trial(
            training={**optimizer, **schedule, "epochs": draw(st.sampled_from([3, 3, 3, 2, 4]))},
            **draw(losses(draw(st.sampled_from(["ce", "focal"])))),
            **acw,
        )
        for _ in range(2)
    ]
    return Pair(configs[0], configs[1], dict.fromkeys(draw(st.sets(st.integers(1, 3))), 1.0))


# a pair that fails is told as it was drawn: each takes seconds, and a smaller one says little more
@pytest.mark.long("replayed prefix")
@settings(deadline=None, max_examples=12, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(pairs())
def test_a_training_that_replays_a_prefix_ends_as_one_from_scratch(packed: PackedData, pair: Pair) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = CheckpointStore(directory)
        first = train(pair.first, packed, store, pair.uses)
        assert not any(replayed(first))
        second = train(pair.second, packed, store)
        assert store.problems == []
    assert text(first) == from_scratch(pair.first, packed)
    assert text(second) == from_scratch(pair.second, packed)
    epochs, shared = pair.first.training.epochs, shared_epochs(keys(pair.first, packed), keys(pair.second, packed))
    kept = [done for done in (*pair.uses, epochs) if done <= shared and (done < epochs or shared == epochs)]
    begun = max(kept, default=0)
    assert replayed(second) == [number < begun for number in range(pair.second.training.epochs)]


NAIVE: dict[str, Any] = {"loss": {"kind": "naive", "start": "dice", "end": "ce"}, "schedule": {"start": 2 / 3, "end": 1.0}}


def test_a_repeated_configuration_computes_nothing_however_it_is_written(
    packed: PackedData, store: CheckpointStore, epochs_trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    falling, rising = ([{"at": 2 / 3, "weight": weight}, {"at": 1.0, "weight": 1.0 - weight}] for weight in (1.0, 0.0))
    components = {"down": {"loss": "dice", "keyframes": falling}, "up": {"loss": "ce", "keyframes": rising}}
    written_out = trial(loss={"kind": "program", "components": components})
    expected = from_scratch(written_out, packed)
    first = train(trial(**NAIVE), packed, store)
    epochs_trained.clear()
    monkeypatch.setattr("tune_seg.training.resume.Trainer", None)  # none can be made
    again = StoredTraining(trial(**NAIVE), packed, CPU, store)
    assert not again.done
    results, _ = again.advance()
    assert again.done and epochs_trained == []
    assert text(results) == text(first) and replayed(results) == [True] * 3
    assert {result.seconds for result in results} == {Seconds()}
    images = results[-1].evaluation.images
    assert images is not None and len(images) == len(packed.val)
    again.close()
    # its components are called otherwise, and so are their weights in its results
    assert text(train(written_out, packed, store)) == expected
    assert store.problems == []


def test_another_objective_shares_the_states_and_not_what_was_chosen_for_it(
    packed: PackedData, store: CheckpointStore, epochs_trained: list[int]
) -> None:
    first, other = (trial(training={**STEADY, "epochs": 2}, objective=objective) for objective in ("s_rec", "accuracy"))
    assert keys(first, packed) == keys(other, packed)
    train(first, packed, store)
    expected = from_scratch(other, packed)
    epochs_trained.clear()
    results = train(other, packed, store)
    assert epochs_trained == [] and replayed(results) == [True, True]
    assert text(results) == expected
    assert stored(store) == {keys(first, packed)[2], final(first, packed), final(other, packed)}
    # the strength of an adjustment is chosen for the metric of the first objective
    for same in ("temperature/s_rec", ["s_rec", "recall"]):
        assert final(trial(training=STEADY, objective=same), packed) == final(trial(training=STEADY), packed)


@pytest.mark.parametrize("schedule", [STEADY, {"lr_schedule": "step", "lr_every": 1, "lr_factor": 0.5}])
def test_a_longer_training_goes_on_from_the_end_of_a_shorter_one(
    packed: PackedData, store: CheckpointStore, epochs_trained: list[int], schedule: dict[str, Any]
) -> None:
    short, long = (trial(training={**schedule, "epochs": epochs}) for epochs in (2, 4))
    expected = from_scratch(long, packed)
    train(short, packed, store)
    epochs_trained.clear()
    training = StoredTraining(long, packed, CPU, store)
    results, progress = training.advance()
    assert [result.epoch for result in results] == [1, 2] and not training.done
    in_store = [progress.stored]
    while not training.done:
        newest, progress = training.advance()
        results += newest
        in_store.append(progress.stored)
    assert epochs_trained == [3, 4]
    assert text(results) == expected
    assert replayed(results) == [True, True, False, False]
    assert in_store == [2, 2, 4]


def test_a_shorter_training_only_evaluates_what_a_longer_one_has_trained(
    packed: PackedData, store: CheckpointStore, epochs_trained: list[int]
) -> None:
    short, long = (trial(training={**STEADY, "epochs": epochs}) for epochs in (2, 3))
    expected = from_scratch(short, packed)
    train(long, packed, store, {2: 1.0})
    epochs_trained.clear()
    results = train(short, packed, store)
    assert text(results) == expected
    assert "adjusted/tau" in results[-1].evaluation.fitted and replayed(results) == [True, True]
    assert [result.seconds.train for result in results] == [0.0, 0.0] and results[-1].seconds.eval > 0
    assert epochs_trained == []
    assert text(train(short, packed, store)) == expected
    assert text(train(long, packed, store)) == from_scratch(long, packed)


def test_one_epoch_of_a_longer_training_is_only_evaluated(packed: PackedData, store: CheckpointStore) -> None:
    train(trial(training={**STEADY, "epochs": 2}), packed, store, {1: 1.0})
    single = trial(training={**STEADY, "epochs": 1})
    results = train(single, packed, store)
    assert replayed(results) == [True]
    assert text(results) == from_scratch(single, packed)


@pytest.mark.parametrize("lengths", [(3, 3), (3, 6), (6, 3), (1, 6), (6, 1), (2, 6), (6, 2)])
def test_a_diverged_training_is_replayed_as_diverged(
    packed: PackedData, store: CheckpointStore, lengths: tuple[int, int]
) -> None:
    # it diverges in its first or second epoch, which is the last that some of these planned
    one, other = (trial(training={**STEADY, "lr": 1e30, "epochs": epochs}) for epochs in lengths)
    first, second = train(one, packed, store), train(other, packed, store)
    assert text(first) == from_scratch(one, packed)
    assert text(second) == from_scratch(other, packed)
    if len(first) == len(second) and first[-1].diverged:
        assert all(replayed(second))
    assert store.problems == []


def test_damaged_entries_are_trained_again_and_said_so(packed: PackedData, store: CheckpointStore) -> None:
    config = trial(**NAIVE)
    first = train(config, packed, store, {1: 1.0, 2: 1.0})
    last, second_epoch, first_epoch = (final(config, packed), *keys(config, packed)[2:0:-1])
    entries = {last, second_epoch, first_epoch, keys(config, packed)[3] + WEIGHTS}
    assert stored(store) == entries
    for number, damaged in enumerate(([last], [last, second_epoch], [last, second_epoch, first_epoch])):
        for key in damaged:
            path = Path(store.location) / f"{key}.pt"
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        store.problems.clear()
        results = train(config, packed, store, {1: 1.0, 2: 1.0})
        assert text(results) == text(first)
        assert replayed(results) == [epoch < 2 - number for epoch in range(3)]
        assert [key in line for key, line in zip(damaged, store.problems, strict=True)] == [True] * len(damaged)
        assert stored(store) == entries


def test_an_interrupted_training_goes_on_where_it_was_closed(
    packed: PackedData, store: CheckpointStore, epochs_trained: list[int]
) -> None:
    config = trial(**NAIVE, training={"optimizer": "adam"}, acw=True)
    expected = from_scratch(config, packed)
    epochs_trained.clear()
    StoredTraining(config, packed, CPU, store).close()
    assert stored(store) == set()
    for done in (1, 2):
        training = StoredTraining(config, packed, CPU, store)
        results, _ = training.advance()
        if done == 2:
            assert [result.epoch for result in results] == [1]
            results += training.advance()[0]
        training.close()
        assert text(results) == expected[:done]
        assert keys(config, packed)[done] in stored(store)
    assert text(train(config, packed, store)) == expected
    assert epochs_trained == [1, 2, 3]


def test_an_epoch_that_was_broken_off_is_not_stored(
    packed: PackedData, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = StoredTraining(trial(**NAIVE), packed, CPU, store)
    training.advance()

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tune_seg.training.trainer.evaluate", interrupt)  # the weights are those of the second epoch by then
        with pytest.raises(KeyboardInterrupt):
            training.advance()
    training.close()
    assert stored(store) == set()
    with pytest.raises(AssertionError, match="an epoch was broken off"):
        training.advance()
    assert text(train(trial(**NAIVE), packed, store)) == from_scratch(trial(**NAIVE), packed)


@pytest.mark.parametrize("schedule", [STEADY, {"lr_schedule": "linear"}])
def test_the_newest_state_is_kept_until_there_is_a_newer_one(
    packed: PackedData, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, schedule: dict[str, Any]
) -> None:
    monkeypatch.setattr("tune_seg.training.resume._MAX_TIME_SHARE", 1e9)  # however long it takes
    config = trial(training={"epochs": 5, **schedule})
    boundaries = keys(config, packed)
    training = StoredTraining(config, packed, CPU, store, {2: 1.0})
    kept = []
    for _ in range(4):
        training.advance()
        store.flush()
        kept.append(stored(store))
    assert kept == [{boundaries[1]}, {boundaries[2]}, {boundaries[2], boundaries[3]}, {boundaries[2], boundaries[4]}]
    training.advance()
    assert training.done
    # a learning rate that depends on the length of the training leaves no longer one to go on from its end
    end = {boundaries[5] if schedule is STEADY else boundaries[5] + WEIGHTS}
    assert stored(store) == {boundaries[2], final(config, packed)} | end


@pytest.mark.parametrize("schedule", [STEADY, {"lr_schedule": "linear"}])
def test_a_training_that_is_killed_at_its_end_leaves_weights_without_results_and_never_the_reverse(
    packed: PackedData, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, schedule: dict[str, Any]
) -> None:
    config = trial(training={"epochs": 1, **schedule})
    (_, end) = keys(config, packed)
    save = CheckpointStore.save

    def killed(to: CheckpointStore, key: str, history: History, state: Mapping[str, Any] | None) -> bool:
        if state is None:
            raise KeyboardInterrupt
        return save(to, key, history, state)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CheckpointStore, "save", killed)
        StoredTraining(config, packed, CPU, store).advance()
    weights = end if schedule is STEADY else end + WEIGHTS
    assert stored(store) == {weights}
    _, progress = StoredTraining(config, packed, CPU, store).advance()
    assert progress.checkpoint == store.file(weights)


def test_weights_that_only_another_study_may_need_are_not_stored_on_a_disk_that_is_nearly_full(
    packed: PackedData, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_seg.training.checkpoints._MIN_FREE_FACTOR", 1e12)  # more than any disk has
    config = trial(training={"epochs": 1})
    _, progress = StoredTraining(config, packed, CPU, store).advance()
    assert progress.checkpoint is None
    assert stored(store) == {final(config, packed)}
    (problem,) = store.problems
    assert problem.startswith(f"the disk of {store.location} is nearly full: the weights that trials end with are not")


def test_a_store_that_fails_midway_ends_nothing(packed: PackedData, store: CheckpointStore) -> None:
    config = trial(**NAIVE)
    training = StoredTraining(config, packed, CPU, store, {1: 1.0, 2: 1.0})
    results, _ = training.advance()
    store.flush()
    for path in Path(store.location).iterdir():
        path.unlink()
    Path(store.location).rmdir()
    Path(store.location).touch()
    results += finish(training)
    assert text(results) == from_scratch(config, packed)
    assert any("could not be written" in line for line in store.problems)


def test_a_training_without_a_store_is_a_training(packed: PackedData) -> None:
    config = trial(**NAIVE)
    for _ in range(2):
        training = StoredTraining(config, packed, CPU, None, {1: 1.0})
        results = finish(training)
        training.close()
        assert text(results) == from_scratch(config, packed)
        assert not any(replayed(results))


def test_a_training_that_is_given_up_leaves_what_another_needs_and_nothing_else(
    packed: PackedData, store: CheckpointStore, epochs_trained: list[int]
) -> None:
    needed, needless = (trial(training={"epochs": 4}, loss={"end": end}) for end in ("dice", "wdice"))
    for config, uses in ((needed, {3: 1.0}), (needless, {3: 0.5})):
        training = StoredTraining(config, packed, CPU, store, uses)
        training.advance()
        training.leave()
    assert stored(store) == {keys(needed, packed)[1]}
    epochs_trained.clear()
    assert text(train(needed, packed, store)) == from_scratch(needed, packed)
    assert epochs_trained[:3] == [2, 3, 4]


@pytest.mark.parametrize(("repeats", "cost", "left"), [(0.0, 0.0, 0), (0.5, 1e3, 0), (0.5, 1e-6, 1)])
def test_a_training_that_is_given_up_is_kept_where_its_repetitions_are_worth_it(
    packed: PackedData, store: CheckpointStore, repeats: float, cost: float, left: int
) -> None:
    training = StoredTraining(trial(**NAIVE), packed, CPU, store, {3: repeats})
    training.advance()
    training._cost = cost
    training.leave()
    assert len(stored(store)) == left


def test_a_state_that_is_being_written_is_there_when_its_training_was_given_up(
    packed: PackedData, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = CheckpointStore._write

    def slowly(*arguments: Any) -> bool:
        time.sleep(0.3)
        return write(*arguments)

    monkeypatch.setattr(CheckpointStore, "_write", slowly)
    config = trial(**NAIVE)
    training = StoredTraining(config, packed, CPU, store, {1: 1.0})
    assert training.advance()[1].writing
    training.leave()
    assert stored(store) == {keys(config, packed)[1]}


def test_a_state_asked_for_after_its_epoch_is_stored_before_the_next(packed: PackedData, store: CheckpointStore) -> None:
    config = trial(**NAIVE)
    training = StoredTraining(config, packed, CPU, store)
    training.advance()
    store.want(keys(config, packed)[1])
    assert training.advance()[1].stored == 1
    store.flush()
    assert stored(store) == {keys(config, packed)[1]}
