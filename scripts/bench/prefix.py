"""How many training steps a grid over schedules asks for, how many are distinct, and how many are executed.

    PYTHONPATH=. python scripts/bench/prefix.py --out DIR [--epochs 20] [--slots 2]

The grid: naive and alternating schedules, each from dice, wdice and focal to ce, over starts s and ends e, and the five
static losses; on generated images and a small model, so that bookkeeping is what is tested. It runs through the search
command in a process of its own, with a store of its own. Steps that two configurations have in common are counted by
their trajectories' keys. The same count is printed for other grids, which are not run.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from tune_seg.config import TrialConfig, parse
from tune_seg.training.trajectory import TrainingData, trajectory_keys

STARTS, ENDS = (0.5, 0.6, 0.7, 0.8), (0.85, 0.9, 0.95, 1.0)
OTHERS: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {
    "around Taubert's settings": ((0.3, 0.5, 0.7), (0.8, 0.85, 0.9, 0.95, 1.0)),
    "every tenth": ([k / 10 for k in range(1, 10)], [k / 10 for k in range(2, 11)]),
}
LOSSES = ("dice", "wdice", "focal")
STATIC = (*LOSSES, "ce", "wce")
STEPS = 2  # an epoch: 8 images in batches of 4


def study(epochs: int) -> dict[str, Any]:
    """The configuration of the study that is run."""
    scheduled = {"loss.kind": ["naive", "alternating"]}
    return {
        "data": {"format": "synthetic", "size": [48, 48], "max_train": 4 * STEPS, "max_val": 4},
        "training": {"epochs": epochs, "batch_size": 4, "optimizer": "sgd"},
        "search": {"sampler": "grid", "trials": 1000, "early_stopping": {"kind": "none"}},
        "space": {
            "loss.kind": {"choice": ["static", "naive", "alternating"]},
            "loss.start": {"choice": list(LOSSES), "when": scheduled},
            "loss.end": {"choice": list(STATIC), "when": {"loss.kind": ["static"]}},
            "schedule.start": {"choice": list(STARTS), "when": scheduled},
            "schedule.end": {"choice": list(ENDS), "when": scheduled},
        },
    }


def count(epochs: int, starts: Sequence[float], ends: Sequence[float]) -> tuple[int, int]:
    """The epochs that a grid asks for, and the distinct ones among them."""
    trials = [{"loss": {"end": loss}} for loss in STATIC]
    trials += [
        {"loss": {"kind": kind, "start": start, "end": "ce"}, "schedule": {"start": s, "end": e}}
        for kind, start, s, e in product(("naive", "alternating"), LOSSES, starts, ends)
        if s < e
    ]
    data = TrainingData("", (48, 48), 4 * STEPS)
    training = {"epochs": epochs, "batch_size": 4}
    keys = [trajectory_keys(parse(TrialConfig, {"training": training, **trial}), data)[1:] for trial in trials]
    return sum(map(len, keys)), len({key for trajectory in keys for key in trajectory})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for the study; it must not exist yet")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    config = options.out / "grid.yaml"
    config.write_text(yaml.safe_dump(study(options.epochs)))
    command = [sys.executable, "-m", "tune_seg.search", str(config), "--studies", str(options.out / "studies")]
    started = time.perf_counter()
    subprocess.run([*command, "--max-concurrent", str(options.slots)], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    columns = ["epochs", "epochs_replayed", "seconds"]
    rows = pq.read_table(options.out / "studies" / "grid" / "results.parquet", columns=columns).to_pylist()
    asked, distinct = count(options.epochs, STARTS, ENDS)
    executed = sum(row["epochs"] - row["epochs_replayed"] for row in rows)
    own = sum(row["seconds"] for row in rows) / options.slots
    print(f"{len(rows)} trials of {options.epochs} epochs of {STEPS} steps; wall {wall:.1f} s, own time / slots {own:.1f} s")
    print(f"steps asked for {asked * STEPS}, distinct {distinct * STEPS}, executed {executed * STEPS}")
    print(f"executed / distinct {executed / distinct:.3f}, asked for / executed {asked / executed:.2f}")
    for name, (starts, ends) in OTHERS.items():
        asked, distinct = count(options.epochs, starts, ends)
        print(f"not run: {name}: asked for / distinct {asked / distinct:.2f}")


if __name__ == "__main__":
    main()
