"""Searches without a model: random search, and all for a constant number of epochs (arXiv 2404.04111)."""

import random
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import optuna
import yaml

from replays.clock import Asked
from tune_seg.config import StudyConfig, parse
from tune_seg.study.search_space.space import Space

ROOT: Final = Path(__file__).resolve().parents[3]


@cache
def space() -> Space:
    """That of `loss_schedule.yaml`."""
    return Space(parse(StudyConfig, yaml.safe_load((ROOT / "search_spaces" / "loss_schedule.yaml").read_text())))


class Best:
    """What most searches recommend: the training with the best last score of those that ran to their end."""

    def __init__(self) -> None:
        self._scores: dict[int, float] = {}
        self._best: int | None = None

    def ended(self, number: int, score: float, *, whole: bool) -> None:
        self._scores[number] = score
        if whole and (self._best is None or score > self._scores[self._best]):
            self._best = number

    def recommended(self) -> int | None:
        return self._best


@cache
def drawn() -> list[dict[str, Any]]:
    """Random assignments of the space, which takes longer to draw than to choose from."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [space().sample(study.ask()) for _ in range(4000)]


def random_assignments(seed: int) -> Iterator[Mapping[str, Any]]:
    """Assignments drawn at random."""
    rng = random.Random(seed)
    while True:
        yield rng.choice(drawn())


class RandomSearch(Best):
    """Draws each configuration by itself and trains it to its end."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._assignments = random_assignments(seed)

    def ask(self, number: int) -> Asked | None:
        return Asked(next(self._assignments))

    def report(self, number: int, epoch: int, score: float) -> bool:
        return False


class ConstantEpochs(Best):
    """Trains all for the same few epochs and, at times, the best of them to the end.

    Args:
        seed: of the draws.
        epochs: that all are trained for.
        every: after so many such trainings the best one not trained further yet is.
    """

    def __init__(self, seed: int, epochs: int, every: int = 10) -> None:
        super().__init__()
        self._assignments = random_assignments(seed)
        self._epochs, self._every = epochs, every
        self._asked: dict[int, Asked] = {}
        self._short: dict[int, float] = {}
        self._since = 0

    def ask(self, number: int) -> Asked | None:
        if self._since >= self._every:
            self._since -= self._every
            best = max(self._short, key=self._short.__getitem__)
            del self._short[best]
            asked = Asked(self._asked[best].assignment, goes_on=best)
        else:
            asked = Asked(next(self._assignments), self._epochs)
        self._asked[number] = asked
        return asked

    def report(self, number: int, epoch: int, score: float) -> bool:
        return False

    def ended(self, number: int, score: float, *, whole: bool) -> None:
        if self._asked[number].goes_on is None:
            self._short[number] = score
            self._since += 1
        else:
            super().ended(number, score, whole=True)
