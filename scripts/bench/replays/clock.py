"""Simulated time: a search with asynchronous slots, whose trainings cost what they cost."""

import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from replays.table import Task, Training


@dataclass
class Asked:
    """A training that a search asks for.

    Attributes:
        assignment: what is trained.
        epochs: after how many it ends; None: after all.
        goes_on: the number of an earlier training of the same search, whose epochs are not trained again.
        repeat: 0 for the seed of the search, else the number of another one.
        keys: of its epoch boundaries, where what others have trained need not be trained again.
    """

    assignment: Mapping[str, Any]
    epochs: int | None = None
    goes_on: int | None = None
    repeat: int = 0
    keys: Sequence[str] = ()


class Search(Protocol):
    """What a replay asks of a search. Trainings are numbered in the order in which they are asked for."""

    def ask(self, number: int) -> Asked | None:
        """The training with this number; None where there is none before another one ends."""

    def report(self, number: int, epoch: int, score: float) -> bool:
        """A training's score after an epoch (from 1); whether it stops here."""

    def ended(self, number: int, score: float, *, whole: bool) -> None:
        """A training has ended with this score: after all that was asked for, or (not `whole`) as it was stopped."""

    def recommended(self) -> int | None:
        """The number of the training whose configuration would be taken now."""


@dataclass
class Course:
    """How a replay went.

    Attributes:
        seconds: the times at which what is recommended may have changed.
        epochs: how many had been trained at each.
        chosen: the place of the recommended configuration from then on.
        trainings: how many were begun.
    """

    seconds: list[float] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    trainings: int = 0


@dataclass
class _Running:
    number: int
    training: Training
    asked: Asked
    done: int


def replay(search: Search, task: Task, draw: int, slots: int, until: float) -> Course:
    """Run a search in simulated time.

    Args:
        search: it.
        task: the recorded trainings.
        draw: the number of the replay, from which the seeds of the trainings follow.
        slots: how many trainings run at once.
        until: seconds after which nothing counts any more.
    """
    course, trainings, done = Course(), dict[int, Training](), dict[int, int]()
    stored, numbers, events = set[str](), itertools.count(), list[tuple[float, int, _Running]]()
    free, now, trained = slots, 0.0, 0

    def note() -> None:
        taken = search.recommended()
        place = -1 if taken is None else trainings[taken].number
        if not course.chosen or course.chosen[-1] != place:
            course.seconds.append(now)
            course.epochs.append(trained)
            course.chosen.append(place)

    def begin() -> bool:
        asked = search.ask(number := next(numbers))
        if asked is None:
            return False
        training = trainings[number] = task.training(asked.assignment, draw)
        if asked.repeat:
            training = trainings[number] = training.again(asked.repeat)
        first = 0 if asked.goes_on is None else done[asked.goes_on]
        course.trainings += 1
        running = _Running(number, training, asked, first)
        waits = 0.0
        while asked.keys and running.done < task.epochs and asked.keys[running.done + 1] in stored:
            if _step(search, running, task, stored):
                search.ended(number, training.scores[running.done - 1], whole=running.done >= (asked.epochs or task.epochs))
                done[number] = running.done
                note()
                return begin()
        waits += training.seconds
        heapq.heappush(events, (now + waits, number, running))
        return True

    while True:
        while free and begin():
            free -= 1
        if not events:
            break
        now, number, running = heapq.heappop(events)
        if now > until:
            break
        trained += 1
        if _step(search, running, task, stored):
            done[number] = running.done
            free += 1
            search.ended(
                number,
                running.training.scores[running.done - 1],
                whole=running.done >= (running.asked.epochs or task.epochs),
            )
            note()
        else:
            heapq.heappush(events, (now + running.training.seconds, number, running))
    return course


def _step(search: Search, running: _Running, task: Task, stored: set[str]) -> bool:
    """An epoch of a training is over; whether the training is."""
    running.done += 1
    if running.asked.keys:
        stored.add(running.asked.keys[running.done])
    stops = search.report(running.number, running.done, running.training.scores[running.done - 1])
    return stops or running.done >= (running.asked.epochs or task.epochs)
