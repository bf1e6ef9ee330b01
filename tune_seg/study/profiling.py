"""Where a study's time went: the total time of all slots, broken down by activity.

Only durations are taken from the workers, never times of day: the clocks of two machines differ.
"""

import json
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from tune_seg.training.result import Seconds

PARTS: Mapping[str, str] = {
    "training": "steps of the optimizer",
    "data": "what the training waited for batches to be read and augmented",
    "evaluation": "metrics over the validation images, temperatures after the last epoch",
    "checkpoints": "what the training waited for the store: looked up, loaded, copied, written",
    "start-up": "until a slot's first step: imports, packing, Ray, its worker; then each trial's model",
    "sampler": "slots that waited for a suggestion",
    "tracking": "all slots while the end of the study waited for MLflow and for nothing else",
    "shutdown": "all slots while the end of the study wrote its files, ended Ray and reported",
    "idle": "the rest: slots without a trial, Ray Tune between two steps, lost workers, trials that failed",
}
"""The activities. Their times add up to slots x seconds of the command: `idle` is what the others leave."""


@dataclass
class _Worker:
    """When a worker's first step began, in seconds since the command began, and how long building its trial had taken."""

    begin: float
    setup: float


class Profile:
    """Adds up a study's time from the steps that its workers report.

    A slot can run one trial at a time. Its time until its first step is start-up. After that the durations in the steps'
    results count. The rest of a step is the building of the trial's model and counts as start-up too. A worker that replaces
    a lost one is not another slot: its start is idle time.

    Args:
        slots: how many trials run at once.
        began: when the command began, by `clock`.
        clock: seconds, from any origin.

    Example:
        >>> profile = Profile(slots=2, began=time.perf_counter())
        >>> profile.step("worker 1", seconds=1.5, setup=0.1, epochs=[Seconds(train=1.0, eval=0.5)])
        >>> profile.trials_over()
        >>> sum(profile.parts().values()) > 0  # slots x seconds
        True
    """

    def __init__(self, slots: int, began: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.slots = slots
        self._began = began
        self._clock = clock
        self._sums = dict.fromkeys(PARTS, 0.0)
        self._workers: dict[Hashable, _Worker] = {}
        self._sampler_before = 0.0
        self._trials_over: float | None = None
        self._tracking = 0.0

    def step(
        self,
        worker: Hashable,
        *,
        seconds: float,
        setup: float,
        epochs: Sequence[Seconds],
        checkpoints: float = 0.0,
        sampler_seconds: float = 0.0,
    ) -> None:
        """Count a step that has just ended.

        Args:
            worker: which worker it ran on.
            seconds: how long it took there.
            setup: how long the worker had built the trial before this step; 0 if it is not the trial's first.
            epochs: how long each epoch took that the step reports; none if it has failed.
            checkpoints: how long the training waited for the checkpoint store.
            sampler_seconds: how long the study has waited for its sampler so far.
        """
        if len(self._workers) < self.slots:
            self._sampler_before = sampler_seconds  # what a slot's first trial waited for is start-up
        if worker not in self._workers:
            self._workers[worker] = _Worker(self._clock() - self._began - seconds, setup)
        elif epochs:
            self._sums["start-up"] += setup
        self._sums["sampler"] = sampler_seconds - self._sampler_before
        if not epochs:
            return
        for part, taken in (
            ("training", sum(epoch.train - epoch.data for epoch in epochs)),
            ("data", sum(epoch.data for epoch in epochs)),
            ("evaluation", sum(epoch.eval for epoch in epochs)),
            ("checkpoints", checkpoints),
        ):
            self._sums[part] += taken
            seconds -= taken
        self._sums["start-up"] += seconds

    def trials_over(self) -> None:
        """All trials have ended."""
        self._trials_over = self._clock() - self._began

    @contextmanager
    def tracking(self) -> Iterator[None]:
        """Count what happens inside this context as waiting for MLflow."""
        started = self._clock()
        yield
        self._tracking += self._clock() - started

    @property
    def seconds(self) -> float:
        """How long the command has run."""
        return self._clock() - self._began

    def parts(self) -> dict[str, float]:
        """Seconds of all slots together by activity; their sum is slots x :attr:`seconds`."""
        now = self.seconds
        over = now if self._trials_over is None else self._trials_over
        workers = sorted(self._workers.values(), key=lambda worker: worker.begin)
        first, later = workers[: self.slots], workers[self.slots :]
        unused = first[0].begin if first else over
        parts = dict(self._sums)
        parts["start-up"] += sum(worker.begin for worker in first) + unused * (self.slots - len(first))
        parts["start-up"] += sum(worker.setup for worker in later)
        parts["tracking"] = self.slots * self._tracking
        parts["shutdown"] = self.slots * (now - over - self._tracking)
        parts["idle"] = self.slots * now - sum(parts.values())
        return parts

    def table(self) -> Table:
        """The activities with their seconds and shares."""
        parts = self.parts()
        whole = sum(parts.values())
        table = Table(title=f"Where the time went: {self.slots} slots x {whole / self.slots:.1f} s", title_justify="left")
        for name in ("part", "slot seconds", "share", "what it is"):
            table.add_column(name, justify="right" if name in ("slot seconds", "share") else "left")
        for part, seconds in parts.items():
            table.add_row(part, f"{seconds:.1f}", f"{seconds / whole:.1%}", PARTS[part])
        table.add_row("total", f"{whole:.1f}", f"{1:.1%}", "", style="bold")
        return table

    def write(self, path: Path) -> None:
        """Write `slots`, `seconds` of the command, and `parts` (seconds of all slots together) as JSON."""
        parts = self.parts()
        path.write_text(json.dumps({"slots": self.slots, "seconds": sum(parts.values()) / self.slots, "parts": parts}))
