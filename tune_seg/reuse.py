"""What the trials of a study have in common: who waits for whom, and which states are worth keeping.

A study's trials are known in part: the points of a grid and the trials that are prepared will be run for certain, and what
the sampler may still choose is guessed from configurations drawn at random from the space.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol, TypeVar

from tune_seg.config import TrialConfig
from tune_seg.trajectory import TrainingData, shared_epochs, trajectory_keys

Keys = tuple[str, ...]
Point = TypeVar("Point")

_SAMPLES = 128
"""So many configurations of the space are looked at for what trials have in common; each takes a millisecond or three."""


class Numbered(Protocol):
    """A trial of the study, such as :class:`tune_seg.records.Record`."""

    @property
    def number(self) -> int: ...

    @property
    def config(self) -> TrialConfig: ...


@dataclass
class _Running:
    """A trial that runs: its keys, the uses of the states that it stores for sure, the epochs done and those stored."""

    keys: Keys
    uses: dict[int, float]
    done: int = 0
    stored: int = 0


@dataclass
class _Counted:
    """How many trajectories lead through each key."""

    through: Counter[str] = field(default_factory=Counter)

    def add(self, keys: Keys, times: int = 1) -> None:
        for key in keys:
            self.through[key] += times

    def leaving(self, keys: Keys) -> list[int]:
        """How many lead along `keys` up to each boundary and no further; of the last one nothing is known."""
        return [self.through[here] - self.through[there] for here, there in pairwise(keys)]


class Reuse:
    """The common beginnings of a study's trials.

    Args:
        data: what the trials are trained on.
        planned: the trials that will be run for certain.
        possible: configurations drawn at random from the space.
        want: called with the key of a state that turns out to be needed while the trial that computes it is running.
    """

    def __init__(
        self,
        data: TrainingData,
        planned: Iterable[TrialConfig],
        possible: Sequence[TrialConfig],
        want: Callable[[str], None],
    ) -> None:
        self._data = data
        self._want = want
        self._certain, self._possible = _Counted(), _Counted()
        self._planned: Counter[str] = Counter()
        self._keys: dict[int, Keys] = {}
        self._running: dict[int, _Running] = {}
        self._share = 0.0
        for config in planned:
            keys = trajectory_keys(config, data)
            self._certain.add(keys)
            self._planned[keys[-1]] += 1
        # the last of them are random combinations, the first try every value once by itself
        samples = possible[-_SAMPLES:]
        for config in samples:
            self._possible.add(trajectory_keys(config, data))
        self._samples = max(1, len(samples))

    def may_start(self, trial: Numbered) -> bool:
        """Whether no running trial is still to compute an epoch that `trial` needs as well."""
        keys = self._keys_of(trial)
        for running in self._running.values():
            shared = shared_epochs(running.keys, keys)
            if running.done < shared and running.uses.get(shared, 0.0) < 1.0:
                running.uses[shared] = 1.0
                self._want(keys[shared])
            # at the boundary itself the state may just be being written
            writing = running.done == shared and running.stored < shared and shared in running.uses
            if running.done < shared or (shared and writing):
                return False
        return True

    def start(self, trial: Numbered, *, remaining: int) -> dict[int, float]:
        """A trial begins.

        Args:
            trial: the trial.
            remaining: how many trials are still to be chosen by the sampler.

        Returns:
            by the number of epochs done, how many other trials are expected to leave its trajectory there.
        """
        keys = self._keys_of(trial)
        self._share = remaining / self._samples
        certain, possible = self._certain.leaving(keys), self._possible.leaving(keys)
        expected = {k: certain[k] + possible[k] * self._share for k in range(1, len(keys) - 1)}
        uses = {k: value for k, value in expected.items() if value > 0.0}
        self._running[trial.number] = _Running(keys, {k: value for k, value in uses.items() if value >= 1.0})
        return uses

    def report(self, number: int, *, done: int, stored: int) -> None:
        """A running trial has done so many epochs, and its newest state that is to stay has `stored` of them."""
        if number in self._running:
            running = self._running[number]
            running.done, running.stored = done, stored

    def end(self, number: int) -> None:
        """A trial has ended, in whatever way."""
        self._running.pop(number, None)
        if number in self._keys:
            self._certain.add(self._keys.pop(number), -1)

    def uses(self, key: str) -> float:
        """How many trials are expected to come by the state of `key`."""
        return self._certain.through[key] + self._possible.through[key] * self._share

    def _keys_of(self, trial: Numbered) -> Keys:
        if trial.number not in self._keys:
            keys = trajectory_keys(trial.config, self._data)
            self._keys[trial.number] = keys
            if self._planned[keys[-1]]:
                self._planned[keys[-1]] -= 1  # counted when it was planned
            else:
                self._certain.add(keys)
        return self._keys[trial.number]


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
