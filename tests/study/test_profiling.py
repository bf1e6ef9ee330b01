"""Where a study's time went: the parts are what really happened on the slots, and add up to the whole."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.studies import SMALL
from tune_seg.study.profiling import PARTS, Profile
from tune_seg.training.result import Seconds

seconds = st.floats(0.0, 100.0)


@dataclass
class Step:
    """A step of one slot: the wait before it, what it did, and how long the news of it travelled."""

    wait: float
    latency: float
    building: float
    epochs: list[Seconds]
    checkpoints: float
    failed: bool = False
    replaces: bool = False
    """Whether it runs on a new worker, because the slot's former one was lost."""

    @property
    def took(self) -> float:
        return self.building + sum(epoch.total for epoch in self.epochs) + self.checkpoints


@dataclass
class Slot:
    """Steps one after another, the first of them `start` seconds after the command began, and when each ended."""

    start: float
    steps: list[Step]
    ends: list[tuple[float, Step]] = field(default_factory=list)

    def __post_init__(self) -> None:
        now = self.start
        for index, step in enumerate(self.steps):
            now += step.wait * (index > 0) + step.took + step.latency
            self.ends.append((now, step))


epochs = st.builds(lambda train, share, eval: Seconds(train, train * share, eval), seconds, st.floats(0.0, 1.0), seconds)
worked = st.lists(epochs, min_size=1, max_size=3)
steps = st.builds(Step, seconds, seconds, seconds, worked, seconds, st.booleans(), st.booleans())
slots = st.lists(st.builds(Slot, seconds, st.lists(steps, max_size=4)), min_size=1, max_size=4)


@given(slots, seconds, seconds, seconds)
def test_the_parts_are_what_happened_and_add_up_to_the_whole(
    slots: list[Slot], waited: float, tracking: float, shutdown: float
) -> None:
    now = 1000.0
    profile = Profile(len(slots), began=1000.0, clock=lambda: now)
    events = [(end, index, number, step) for index, slot in enumerate(slots) for number, (end, step) in enumerate(slot.ends)]
    workers = dict.fromkeys(range(len(slots)), 0)
    for end, index, number, step in sorted(events, key=lambda event: event[:3]):
        now = 1000.0 + end
        workers[index] += step.replaces
        profile.step(
            (index, workers[index]),
            seconds=step.took,
            setup=step.wait if number else slots[index].start,
            epochs=[] if step.failed else step.epochs,
            checkpoints=step.checkpoints,
        )
    now += waited
    profile.trials_over()
    with profile.tracking():
        now += tracking
    now += shutdown

    parts = profile.parts()
    assert list(parts) == list(PARTS)
    whole = len(slots) * (now - 1000.0)
    assert sum(parts.values()) == pytest.approx(whole, abs=1e-6)
    finished = [step for _, _, _, step in events if not step.failed]
    done = [epoch for step in finished for epoch in step.epochs]
    assert parts["data"] == pytest.approx(sum(epoch.data for epoch in done), abs=1e-6)
    assert parts["training"] + parts["data"] == pytest.approx(sum(epoch.train for epoch in done), abs=1e-6)
    assert parts["evaluation"] == pytest.approx(sum(epoch.eval for epoch in done), abs=1e-6)
    assert parts["checkpoints"] == pytest.approx(sum(step.checkpoints for step in finished), abs=1e-6)
    assert parts["tracking"] == pytest.approx(len(slots) * tracking, abs=1e-6)
    assert parts["shutdown"] == pytest.approx(len(slots) * shutdown, abs=1e-6)
    assert all(part > -1e-6 for part in parts.values())


def test_start_up_lasts_until_a_slots_first_step_and_idle_is_what_is_left() -> None:
    now = 0.0
    profile = Profile(2, began=0.0, clock=lambda: now)
    epoch = Seconds(train=2.0, data=0.5, eval=1.0)
    now = 10.0  # the first slot begins to train after 7 s, the second after 8 s
    profile.step("a", seconds=3.0, setup=1.0, epochs=[epoch], sampler_seconds=4.0)
    now = 11.5
    profile.step("b", seconds=3.5, setup=1.0, epochs=[epoch], checkpoints=0.25, sampler_seconds=4.0)
    now = 15.0  # the next trial of the first slot: waited 0.75 s for its suggestion, was built in 0.5 s
    profile.step("a", seconds=3.0, setup=0.5, epochs=[epoch], sampler_seconds=4.75)
    profile.trials_over()
    now = 16.0
    assert profile.parts() == pytest.approx(
        {
            "training": 4.5,
            "data": 1.5,
            "evaluation": 3.0,
            "checkpoints": 0.25,
            "start-up": 7.0 + 8.0 + 0.25 + 0.5,
            "sampler": 0.75,
            "tracking": 0.0,
            "shutdown": 2.0,
            "idle": 0.75 + 3.5,  # between the trials of the first slot, and the second slot after its only one
        }
    )


@pytest.mark.long("profile")
def test_a_study_says_where_its_time_went(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    search = SMALL["search"] | {"early_stopping": {"kind": "none"}}
    config.write_text(yaml.safe_dump(SMALL | {"search": search, "compute": {}}))
    command = [sys.executable, "-m", "tune_seg.search", str(config), "--studies", str(tmp_path), "--profile"]
    started = time.perf_counter()
    done = subprocess.run([*command, "--trials", "4", "--epochs", "2"], capture_output=True, text=True)
    wall = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    profile = json.loads((tmp_path / "small" / "profile.json").read_text())
    parts = profile["parts"]
    assert list(parts) == list(PARTS)
    assert sum(parts.values()) == pytest.approx(profile["slots"] * profile["seconds"])
    assert profile["seconds"] <= wall
    assert all(part > -1e-6 for part in parts.values())
    rows = pq.read_table(tmp_path / "small" / "results.parquet").to_pylist()
    trained = sum(row["seconds"] for row in rows)
    assert parts["training"] + parts["data"] + parts["evaluation"] == pytest.approx(trained)
    assert min(parts["training"], parts["evaluation"], parts["start-up"], parts["shutdown"]) > 0.0
    assert f"Where the time went: {profile['slots']} slots x" in done.stdout
    for part, meaning in PARTS.items():
        assert part in done.stdout and meaning in done.stdout


def test_what_a_slots_first_trial_waited_for_is_counted_once() -> None:
    now = 0.0
    profile = Profile(2, 0.0, clock=lambda: now)
    now = 2.0
    profile.step("first", seconds=1.0, setup=0.0, epochs=[Seconds(1.0)])
    now = 7.0  # meanwhile the sampler has taken five seconds for the second slot's first trial
    profile.step("first", seconds=5.0, setup=0.0, epochs=[Seconds(5.0)], sampler_seconds=5.0)
    now = 8.0
    profile.step("second", seconds=1.0, setup=0.0, epochs=[Seconds(1.0)], sampler_seconds=5.0)
    now = 9.0
    profile.step("second", seconds=0.5, setup=0.0, epochs=[Seconds(0.5)], sampler_seconds=5.5)
    profile.trials_over()
    parts = profile.parts()
    assert parts["sampler"] == 0.5
    assert parts["start-up"] == 1.0 + 7.0
    assert parts["idle"] >= 0.0
    assert sum(parts.values()) == 2 * now
