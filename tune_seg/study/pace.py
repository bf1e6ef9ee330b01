"""How many trials to ask the sampler for ahead of time."""

import math
import time

_MAX_WAIT = 0.01
"""The share of a trial's time that a slot may wait for its next trial; more, and the sampler is asked ahead."""


class Pace:
    """How many trials to ask for ahead: what a suggestion costs, against how long a trial takes."""

    def __init__(self) -> None:
        self._suggestion = 0.0
        self._trial: float | None = None
        self._begun: dict[int, float] = {}

    def asked(self, seconds: float) -> None:
        """A suggestion has taken `seconds`."""
        self._suggestion = _smoothed(self._suggestion or seconds, seconds)

    def begin(self, trial: int) -> None:
        """A trial is handed out."""
        self._begun[trial] = time.monotonic()

    def end(self, trial: int) -> None:
        """A trial has ended."""
        if trial in self._begun:
            seconds = time.monotonic() - self._begun.pop(trial)
            self._trial = _smoothed(seconds if self._trial is None else self._trial, seconds)

    def ahead(self, slots: int, remaining: int) -> int:
        """How many trials of the `remaining` ones should be ready; fewer towards the end, so that more is known."""
        if self._trial is None or not self._suggestion:
            return 0
        in_time = _MAX_WAIT * self._trial / self._suggestion
        return max(0, min(slots - 1, math.ceil(slots - in_time), remaining // 2))


def _smoothed(mean: float, value: float) -> float:
    return 0.9 * mean + 0.1 * value
