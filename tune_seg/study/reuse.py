"""Which prefixes the trials of a study share: who waits for whom, and which states are worth keeping.

A study's trials are known in part: baselines, the points of a grid and the trials that are prepared will be run for certain,
and what the sampler may still choose is guessed from configurations drawn at random from the space.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from tune_seg.config import TrialConfig
from tune_seg.schedules import steps_per_epoch
from tune_seg.study.record import Record
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.trajectory import FINAL, TrainingData, final_key, shared_epochs, trajectory_keys

Keys = tuple[str, ...]
Point = TypeVar("Point")

_SAMPLING_SECONDS = 0.5
"""Time limit for looking at configurations that the sampler may choose."""

_LEAVING_SECONDS = 10.0
"""How long others wait for a state that a stopped trial was writing."""


@dataclass
class _Running:
    """A trial that runs.

    Attributes:
        keys: of its trajectory.
        promised: the boundaries whose states it stores for sure.
        replays: whether all of it is stored, so that it computes nothing.
        done: epochs.
        stored: epochs contained in the newest permanent checkpoint.
        writing: whether it was writing a state when it last reported.
        late: the boundaries promised so late that the trial may have passed them without knowing.
    """

    keys: Keys
    promised: set[int]
    replays: bool
    done: int = 0
    stored: int = 0
    writing: bool = False
    late: set[int] = field(default_factory=set)

    def coming(self, epochs: int) -> bool:
        """Whether the state of a boundary that was passed is on its way to the store, as far as is known."""
        if epochs not in self.promised or self.stored >= epochs:
            return False
        return self.writing or (epochs in self.late and self.done == epochs)

    def ask_for(self, epochs: int) -> None:
        """Have it promise to store the state of a boundary that it has not come to yet."""
        self.promised.add(epochs)
        if self.done == epochs - 1:
            self.late.add(epochs)


@dataclass
class _Counted:
    """How many trajectories lead through each key."""

    through: Counter[str] = field(default_factory=Counter)

    def add(self, keys: Keys, times: int = 1) -> None:
        for key in keys:
            self.through[key] += times
            if not self.through[key]:
                del self.through[key]

    def leaving(self, keys: Keys) -> list[int]:
        """How many lead along `keys` up to each boundary and no further, so far as they are known."""
        return [*(self.through[here] - self.through[there] for here, there in pairwise(keys)), self.through[keys[-1]]]


class Reuse:
    """The common beginnings of a study's trials.

    Args:
        data: what the trials are trained on.
        planned: the trials that will be run for certain.
        possible: configurations drawn at random from the space; as many are looked at as half a second allows.
        store: asked to keep states that turn out to be needed while the trial that computes them is running.
    """

    def __init__(
        self,
        data: TrainingData,
        planned: Iterable[TrialConfig],
        possible: Iterable[TrialConfig],
        store: CheckpointStore,
    ) -> None:
        self._data = data
        self._store = store
        self._certain, self._possible = _Counted(), _Counted()
        self._planned: Counter[str] = Counter()
        self._keys: dict[int, Keys] = {}
        self._running: dict[int, _Running] = {}
        self._leaving: list[tuple[float, _Running]] = []
        self._computed: set[str] = set()
        self._share = 0.0
        for config in planned:
            keys = trajectory_keys(config, data)
            self._certain.add(keys)
            self._planned[keys[-1]] += 1
        self._samples = 0
        until = time.monotonic() + _SAMPLING_SECONDS
        for config in possible:
            self._possible.add(trajectory_keys(config, data))
            self._samples += 1
            if time.monotonic() > until:
                break

    def may_start(self, trial: Record) -> bool:
        """Whether no running trial is still to compute an epoch that `trial` needs as well."""
        keys = self._keys_of(trial)
        if keys[-1] in self._computed:  # else the repetitions of a trial would follow each other, one at a time
            if self._store.present([final_key(keys, trial.config)]):
                return True
            self._computed.remove(keys[-1])  # evicted
        for running in self._running.values():
            shared = 0 if running.replays else shared_epochs(running.keys, keys)
            if running.done < shared:
                if shared not in running.promised and shared < len(keys) - 1:  # a whole training is stored in any case
                    running.ask_for(shared)
                    self._store.want(keys[shared])
                return False
            if running.coming(shared) and not self._store.present([keys[shared]]):
                return False
        self._leaving = [(until, running) for until, running in self._leaving if time.monotonic() < until]
        for _, running in self._leaving:
            shared = shared_epochs(running.keys, keys)
            if running.coming(shared) and not self._store.present([keys[shared]]):
                return False
        return True

    def start(self, trial: Record, *, remaining: int) -> dict[int, float]:
        """A trial begins.

        Args:
            trial: the trial.
            remaining: how many trials are still to be chosen by the sampler.

        Returns:
            by the number of epochs done, how many other trials are expected to leave its trajectory there; at its end, how
            many to repeat it.
        """
        keys = self._keys_of(trial)
        self._share = remaining / max(1, self._samples)
        certain, possible = self._certain.leaving(keys), self._possible.leaving(keys)
        certain[-1] -= 1  # itself
        expected = {k: certain[k] + possible[k] * self._share for k in range(1, len(keys))}
        uses = {k: value for k, value in expected.items() if value > 0.0}
        promised = {k for k, value in uses.items() if value >= 1.0 and k < len(keys) - 1}
        self._running[trial.number] = _Running(keys, promised, replays=keys[-1] in self._computed)
        return uses

    def progress(self, number: int, *, done: int, stored: int, writing: bool) -> None:
        """A running trial has `done` epochs, `stored` of them in its newest permanent checkpoint.

        `writing` says whether another checkpoint is being written.
        """
        if number in self._running:
            running = self._running[number]
            running.done, running.stored, running.writing = done, stored, writing

    def end(self, number: int) -> None:
        """A trial has ended, in whatever way."""
        running = self._running.pop(number, None)
        if running is not None and running.done == len(running.keys) - 1:
            self._computed.add(running.keys[-1])
        elif running is not None and running.writing:
            self._leaving.append((time.monotonic() + _LEAVING_SECONDS, running))
        if number in self._keys:
            self._certain.add(self._keys.pop(number), -1)

    def uses(self, key: str) -> float:
        """How many trials are expected to come by the entry of `key`."""
        key = key.partition(FINAL)[0]
        return self._certain.through[key] + self._possible.through[key] * self._share

    def _keys_of(self, trial: Record) -> Keys:
        if trial.number not in self._keys:
            keys = trajectory_keys(trial.config, self._data)
            self._keys[trial.number] = keys
            if self._planned[keys[-1]]:
                self._planned[keys[-1]] -= 1  # counted when it was planned
            else:
                self._certain.add(keys)
        return self._keys[trial.number]


def computed_once(trials: Iterable[TrialConfig], size: tuple[int, int], images: int) -> tuple[int, int]:
    """How many epochs and training steps `trials` take when what they have in common is computed once.

    Args:
        trials: the trials, each of which runs to its end.
        size: (H, W) of the images.
        images: how many are trained on.
    """
    steps: dict[str, int] = {}
    for trial in trials:
        keys = trajectory_keys(trial, TrainingData("", size, images))
        steps |= dict.fromkeys(keys[1:], steps_per_epoch(images, trial.training.batch_size))
    return len(steps), sum(steps.values())


def in_order_of_prefixes(
    points: Sequence[Point], config_of: Callable[[Point], TrialConfig], data: TrainingData
) -> list[Point]:
    """`points` with those together that begin alike, otherwise as they come.

    A state then need not be kept for long, and each beginning is met once.
    """
    keys = [trajectory_keys(config_of(point), data) for point in points]
    met: dict[str, int] = {}
    for trajectory in keys:
        for key in trajectory:
            met.setdefault(key, len(met))
    order = sorted(range(len(points)), key=lambda index: [met[key] for key in keys[index]])
    return [points[index] for index in order]
