"""A recorded task as a world in which a search can be run: what a configuration scores after each epoch, and how long that
takes.

What a search proposes is run as the recorded configuration nearest to it (:class:`Nearest`). As in a study all trainings of
a search have one seed, and repeats have others.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

TABLES: Final = Path(__file__).resolve().parents[1] / "tables"
OBJECTIVE: Final = "temperature/s_rec"
CATEGORIES: Final = ("loss.kind", "loss.start", "loss.end", "acw")
_COSTS: Final = ("loss.start", "loss.end", "acw")
"""What decides how long an epoch takes."""
_FLOATS: Final = {"loss.gamma": (0.5, 5.0, True), "schedule.start": (0.0, 1.0, False), "schedule.end": (0.0, 1.0, False)}
"""The keys that are numbers: both ends of the range, and whether its logarithm is meant."""
_APART: Final = {"acw": 10.0, "loss.kind": 20.0, "loss.start": 30.0, "loss.end": 50.0}
"""How far apart two values of a category are, where no configuration has recorded the same categories."""

Assignment = Mapping[str, Any]


class Nearest:
    """The recorded configuration that is nearest to a proposal: the same categories, then the nearest numbers.

    Args:
        assignments: the recorded ones that may be found.
    """

    def __init__(self, assignments: Sequence[Assignment]) -> None:
        self._categories = [tuple(each.get(key) for key in CATEGORIES) for each in assignments]
        self._numbers = np.array([_numbers(each) for each in assignments])
        self._same: dict[tuple[Any, ...], np.ndarray] = {}

    def __call__(self, assignment: Assignment) -> int:
        """Its place among the recorded ones."""
        apart = self._apart(tuple(assignment.get(key) for key in CATEGORIES))
        distances = apart + np.abs(self._numbers - np.array(_numbers(assignment))).sum(axis=1)
        return int(distances.argmin())

    def has_categories(self, assignment: Assignment) -> bool:
        """Whether a recorded configuration has all its categories."""
        return tuple(assignment.get(key) for key in CATEGORIES) in self._categories

    def _apart(self, wanted: tuple[Any, ...]) -> np.ndarray:
        if wanted not in self._same:
            self._same[wanted] = np.array(
                [
                    sum(_APART[key] for key, a, b in zip(CATEGORIES, wanted, each, strict=True) if a != b)
                    for each in self._categories
                ]
            )
        return self._same[wanted]


class Task:
    """The recorded trainings of a task.

    Args:
        name: of the task.
        assignments: the configurations, C of them.
        scores: after each epoch, shape (C, seeds, epochs).
        seconds: that an epoch of each takes, shape (C,).

    Attributes:
        true: the mean over the seeds of what each scores in the end, shape (C,).
    """

    def __init__(self, name: str, assignments: Sequence[Assignment], scores: np.ndarray, seconds: np.ndarray) -> None:
        self.name = name
        self.assignments = assignments
        self.scores = scores
        self.seconds = seconds
        _, self.seeds, self.epochs = scores.shape
        self.true = scores[:, :, -1].mean(axis=1)
        self.nearest = Nearest(assignments)

    @classmethod
    def read(cls, name: str, objective: str = OBJECTIVE) -> "Task":
        """The recorded configurations that the searched space has; a training that diverged scores 0 from then on."""
        listed: list[dict[str, Any]] = json.loads((TABLES / "configurations.json").read_text())
        rows = recorded(name)
        searched = [n for n in _whole(rows) if not any(key.startswith("training.") for key in listed[n])]
        rows = rows[rows.configuration.isin(searched)]
        table = rows.pivot_table(index="configuration", columns=["seed", "epoch"], values=objective, dropna=False)
        scores = np.nan_to_num(table.to_numpy().reshape(len(searched), rows.seed.nunique(), int(rows.epoch.max())))
        assignments = [listed[number] for number in searched]
        # the machine was not quiet, so all trainings with the same losses count
        losses = {n: str([each.get(key) for key in _COSTS]) for n, each in zip(searched, assignments, strict=True)}
        costs = rows.assign(seconds=rows.train_seconds + rows.eval_seconds, losses=rows.configuration.map(losses))
        medians = costs.groupby("losses").seconds.median()
        return cls(name, assignments, scores, np.array([medians[losses[number]] for number in searched]))

    def training(self, assignment: Assignment, draw: int) -> "Training":
        """The training of a proposal in a replay with this number, all of whose trainings have the same seed."""
        return Training(self, self.nearest(assignment), draw % self.seeds)


class Training:
    """A training of a proposal.

    Attributes:
        number: the place of the configuration that it is run as.
        scores: after each epoch.
        seconds: that an epoch takes.
    """

    def __init__(self, task: Task, number: int, seed: int) -> None:
        self.number = number
        self.scores: list[float] = task.scores[number, seed].tolist()
        self.seconds = float(task.seconds[number])
        self._task, self._seed = task, seed

    def again(self, repeat: int) -> "Training":
        """The same configuration with another seed, of which there are as many as were recorded besides."""
        return Training(self._task, self.number, (self._seed + repeat) % self._task.seeds)


@cache
def recorded(name: str) -> pd.DataFrame:
    """Every recorded epoch of a task; of a seed that is still being recorded only where no seed is whole."""
    files = sorted(TABLES.glob(f"{name}-?.parquet")) or sorted(TABLES.glob(f"{name}-?.partial.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


def _whole(rows: pd.DataFrame) -> Sequence[int]:
    """The configurations that every seed has."""
    seeds = rows.groupby("configuration").seed.nunique()
    return sorted(int(number) for number in seeds[seeds == rows.seed.nunique()].index)


def _numbers(assignment: Assignment) -> list[float]:
    found = []
    for key, (low, high, log) in _FLOATS.items():
        value = assignment.get(key)
        if value is None:
            found.append(0.0)
        else:
            found.append(math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low))
    return found
