"""What trainings that are under way, or were stopped, would score in the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

_LEAST: Final = 3
"""Whole trainings from which something can be foreseen."""


@dataclass(frozen=True)
class Tried:
    """A training that a search has begun.

    Attributes:
        assignment: its values of the varied keys.
        scores: after each epoch so far.
        whole: whether the last of them is after the last epoch.
        failed: whether it has ended without a score that counts, as it diverged.
    """

    assignment: Mapping[str, Any]
    scores: Sequence[float]
    whole: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Foreseen:
    """What is known of the last score of a training.

    Attributes:
        score: the score, or the one to expect.
        variance: how far off that may be, beyond the noise of a single score; 0 for a whole training.
    """

    score: float
    variance: float = 0.0


class Foresight:
    """What trainings gained from each epoch to the end.

    Args:
        tried: trainings, of which the whole ones are learnt from.
    """

    def __init__(self, tried: Sequence[Tried]) -> None:
        whole = [each.scores for each in tried if each.whole and each.scores]
        epochs = max(map(len, whole), default=0)
        histories = np.array([scores for scores in whole if len(scores) == epochs])
        self._gains: list[float] = []
        self._variances: list[float] = []
        if len(histories) >= _LEAST:
            gains = histories[:, -1:] - histories
            self._gains = gains.mean(axis=0).tolist()
            self._variances = gains.var(axis=0, ddof=1).tolist()

    def of(self, each: Tried) -> Foreseen | None:
        """The last score of a training; None where nothing is known of it."""
        if each.whole and each.scores:
            return Foreseen(each.scores[-1])
        epoch = len(each.scores)
        if not 0 < epoch <= len(self._gains):
            return None
        return Foreseen(each.scores[-1] + self._gains[epoch - 1], self._variances[epoch - 1])
