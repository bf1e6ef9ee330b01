"""The portfolio of losses: a few configurations of the recorded table of which one is good on any task, chosen greedily.

    PYTHONPATH=. .venv/bin/python scripts/bench/portfolio.py            # writes search_spaces/portfolios/losses.yaml

The first is plain cross entropy, which every study needs. Each of the next is the one that raises most what the best of the
portfolio scores, on average over tasks, seeds and several objectives. Of an objective and a task a score counts as its
share of the way from the median of all configurations to the best one.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from replays.table import Task

from tune_seg.study.presets import folder

TASKS: Final = ("scenes", "camvid")
OBJECTIVES: Final = ("temperature/s_rec", "temperature/s_acc", "temperature/miou", "recall", "miou")
SIZE: Final = 10
_ITSELF: Final = 0.01


def portfolio(tasks: Sequence[str], size: int = SIZE) -> list[dict[str, Any]]:
    """`size` assignments for the recorded tasks, in the order in which they were chosen."""
    worth: list[np.ndarray] = []
    assignments: list[Mapping[str, Any]] = []
    for name in tasks:
        for objective in OBJECTIVES:
            task = Task.read(name, objective)
            last = task.scores[:, :, -1]
            middle, best = np.median(task.true), task.true.max()
            worth.append((last - middle) / (best - middle))
            if assignments and assignments != task.assignments:
                raise SystemExit(
                    f"the configurations recorded of {name} are not those of {tasks[0]}; record the same of both"
                )
            assignments = list(task.assignments)
    units = np.concatenate(worth, axis=1)  # (configurations, tasks x objectives x seeds)
    plain = {"loss.kind": "static", "loss.end": "ce", "acw": False}
    chosen = [assignments.index(plain)]
    while len(chosen) < size:
        reached = units[chosen].max(axis=0)
        # where all are about reached, whatever is good by itself
        gains = np.maximum(units, reached).mean(axis=1) + _ITSELF * units.mean(axis=1)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
    return [dict(assignments[number]) for number in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--out", type=Path, default=folder() / "portfolios" / "losses.yaml")
    arguments = parser.parse_args()
    listed = [yaml.safe_dump(each, default_flow_style=True, width=1000).strip() for each in portfolio(arguments.tasks)]
    text = "\n".join(
        [
            f"# {SIZE} settings of losses of which one is good on any task: made by scripts/bench/portfolio.py.",
            f"# Recorded on {' and '.join(arguments.tasks)}; the first was chosen first.",
            *(f"- {each}" for each in listed),
            "",
        ]
    )
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
