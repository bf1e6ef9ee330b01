"""Searches replayed against the recorded table, in simulated time: which of them recommends something good, and how soon?

    PYTHONPATH=. OMP_NUM_THREADS=1 nice .venv/bin/python scripts/bench/replay.py --out DIR [--rows NAME ...] [--replays N]
    PYTHONPATH=. .venv/bin/python scripts/bench/replay.py --out DIR --show

A replay gives a search `slots` slots and the time that a hundred trainings take on them (320 on 64 slots, where a hundred
are no two rounds). Its trainings are those of the table (`replays/table.py`), and cost what they cost there. What counts is
the true score, the mean over all recorded seeds, of what it would recommend at each moment. `DIR` has a file for each task,
number of slots and row, so that it goes on where it was stopped.

`share` is the time at which the median over the replays reaches what the median of random search has at the end of its
time, as a share of that time; `epochs` is the same in epochs trained; `near` is how many replays end within 0.01 of the
best of the table.
"""

import argparse
import hashlib
import json
import math
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from portfolio import TASKS, portfolio
from replays.clock import Course, Search, replay
from replays.ours import Ingredients, Ours
from replays.plain import ConstantEpochs, RandomSearch
from replays.table import Task

from tune_seg._package import PACKAGE

HERE: Final = Path(__file__).parent
SLOTS: Final = (2, 8, 64)
TRAININGS: Final = {2: 100, 8: 100, 64: 320}
"""How many trainings the time is enough for."""
NEAR: Final = 0.01
GRID: Final = np.linspace(0.0, 1.0, 401)[1:]
_BATCH: Final = 25
"""Replays that a process does in one go."""


def rows() -> dict[str, Callable[[int, Task], Search]]:
    """What makes the search of each row, from the number of the replay and the task."""

    def ours(**changes: Any) -> Callable[[int, Task], Search]:
        def make(seed: int, task: Task) -> Search:
            made_of = Ingredients(portfolio=elsewhere(task.name))
            return Ours(seed, task.epochs, replace(made_of, **changes))

        return make

    def ray(asha: bool, **options: Any) -> Callable[[int, Task], Search]:
        def make(seed: int, task: Task) -> Search:
            from replays.rays import RayOptuna, tpe  # Ray takes a while to load

            sampler = tpe(seed, **options) if options else None
            return RayOptuna(seed, task.epochs, asha=asha, sampler=sampler)

        return make

    return {
        "random": lambda seed, task: RandomSearch(seed),
        "constant, 3 epochs": lambda seed, task: ConstantEpochs(seed, 3),
        "constant, 6 epochs": lambda seed, task: ConstantEpochs(seed, 6),
        "TPE, as Ray's docs": ray(asha=False),
        "TPE with ASHA, as Ray's docs": ray(asha=True),
        "TPE multivariate": ray(asha=False, multivariate=True, constant_liar=True),
        "TPE multivariate, group": ray(asha=False, multivariate=True, group=True, constant_liar=True),
        "ours": ours(),
        "ours without portfolio": ours(portfolio=()),
        "ours without model": ours(model=False),
        "ours without stopping": ours(stop=None),
        "ours without beliefs": ours(believed=False),
    }


@cache
def elsewhere(task: str) -> tuple[Mapping[str, Any], ...]:
    """The portfolio of all tasks but one."""
    return tuple(portfolio([other for other in TASKS if other != task]))


@cache
def recorded_task(name: str) -> Task:
    """A task, read once in each process."""
    return Task.read(name)


def budget(task: Task, slots: int) -> float:
    """The time of a replay, in seconds."""
    return TRAININGS[slots] * task.epochs * float(task.seconds.mean()) / slots


def replays(task: str, slots: int, row: str, draws: Sequence[int]) -> list[Course]:
    """Some replays of a row."""
    of_task = recorded_task(task)
    until = budget(of_task, slots)
    return [replay(rows()[row](draw, of_task), of_task, draw, slots, until) for draw in draws]


def file_of(out: Path, task: str, slots: int, row: str) -> Path:
    """Where the replays of a row are kept."""
    return out / f"{task}-{slots}-{row.replace(' ', '_').replace(',', '')}-{_identity(task)}.json"


@cache
def _identity(task: str) -> str:
    """What is replayed: the table, and the code of the searches. Replays of another table or of other code do not count."""
    digest = hashlib.blake2b(recorded_task(task).scores.tobytes(), digest_size=4)
    for path in sorted([*HERE.glob("replays/*.py"), *(PACKAGE / "study" / "bayes").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def run(out: Path, cells: Sequence[tuple[str, int, str]], count: int, processes: int) -> None:
    """Do the replays that are missing."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for cell in cells:
            path = file_of(out, *cell)
            found = json.loads(path.read_text()) if path.exists() else []
            draws = range(len(found), count)
            if not draws:
                continue
            batches = [draws[first : first + _BATCH] for first in range(0, len(draws), _BATCH)]
            waiting = {pool.submit(replays, *cell, batch): batch for batch in batches}
            done = {waiting[each]: each.result() for each in as_completed(waiting)}
            found += [asdict(course) for batch in batches for course in done[batch]]
            path.write_text(json.dumps(found))
            print(f"{' '.join(map(str, cell))}: {len(found)} replays", flush=True)


def curves(task: Task, courses: Sequence[Mapping[str, Any]], slots: int, axis: str) -> np.ndarray:
    """The true score of what each replay recommends over its time or over its epochs, shape (replays, grid)."""
    whole = budget(task, slots) if axis == "seconds" else TRAININGS[slots] * task.epochs
    table = np.full((len(courses), len(GRID)), -math.inf)
    for row, course in zip(table, courses, strict=True):
        for moment, chosen in zip(course[axis], course["chosen"], strict=True):
            if chosen >= 0:
                row[whole * GRID >= moment] = task.true[chosen]
    return table


def show(out: Path, tasks: Sequence[str], of_slots: Sequence[int], shown: Sequence[str]) -> None:
    """Print the table of what there is."""
    print("| task | slots | search | share | epochs | end, 5 % to 95 % | near | trainings | replays |")
    print("| --- | ---: | --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for name, slots in product(tasks, of_slots):
        task = recorded_task(name)
        kept = {row: json.loads(path.read_text()) for row in shown if (path := file_of(out, name, slots, row)).exists()}
        if "random" not in kept:
            continue
        goal = float(np.median(curves(task, kept["random"], slots, "seconds")[:, -1]))
        for row, courses in kept.items():
            by_time, by_epochs = (curves(task, courses, slots, axis) for axis in ("seconds", "epochs"))
            end = by_time[:, -1]
            low, middle, high = np.quantile(end, [0.05, 0.5, 0.95])
            near = float((end >= task.true.max() - NEAR).mean())
            trainings = np.mean([course["trainings"] for course in courses])
            print(
                f"| {name} | {slots} | {row} | {_reached(by_time, goal)} | {_reached(by_epochs, goal)} "
                f"| {middle:.3f}, {low:.3f} to {high:.3f} | {near:.0%} | {trainings:.0f} | {len(courses)} |"
            )


def _reached(table: np.ndarray, goal: float) -> str:
    there = np.median(table, axis=0) >= goal - 1e-9
    return f"{GRID[there.argmax()]:.3f}" if there.any() else "never"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", default=list(rows()), choices=list(rows()))
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--slots", nargs="+", type=int, default=SLOTS, choices=SLOTS)
    parser.add_argument("--replays", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print the table of what there is, and replay nothing")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not arguments.show:
        cells = [(task, slots, row) for row in arguments.rows for task in arguments.tasks for slots in arguments.slots]
        run(arguments.out, cells, arguments.replays, arguments.processes)
    show(arguments.out, arguments.tasks, arguments.slots, arguments.rows)


if __name__ == "__main__":
    main()
