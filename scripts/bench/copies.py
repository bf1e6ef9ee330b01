"""Five copies of cross entropy under five names: no study of them may call one better.

A copy multiplies the loss by 1 + k/1000, which changes what is learned by rounding alone; after some dozens of steps the
trainings have nothing in common but their quality. Each study is the default one with the five as its space, another
first seed, and a third of its trainings for the search. From this folder, so that its workers find the losses:

    cd scripts/bench && ../../.venv/bin/python copies.py STUDIES --studies 5
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from torch import Tensor, nn

NAMES = ("First", "Second", "Third", "Fourth")


class Copy(nn.Module):
    """Cross entropy times a number that is nearly 1."""

    factor = 1.0

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        super().__init__()
        self._ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.factor * torch.nn.functional.cross_entropy(logits, target, ignore_index=self._ignore_index)


class First(Copy):
    """Cross entropy times 1.001."""

    factor = 1.001


class Second(Copy):
    """Cross entropy times 1.002."""

    factor = 1.002


class Third(Copy):
    """Cross entropy times 1.003."""

    factor = 1.003


class Fourth(Copy):
    """Cross entropy times 1.004."""

    factor = 1.004


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="STUDIES")
    parser.add_argument("--studies", type=int, default=5)
    parser.add_argument("--trials", type=int, default=25)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "search_spaces" / "default.yaml").read_text())
    values["space"] = {"loss.end": {"choice": ["ce", *(f"copies:{name}" for name in NAMES)]}}
    values["baselines"] = []
    values["search"] = {"sampler": "grid", "trials": arguments.trials, "early_stopping": {"kind": "none"}}
    for number in range(arguments.studies):
        values["training"]["seed"] = 100 * number
        config = arguments.folder / f"copies_{number}.yaml"
        config.write_text(yaml.safe_dump(values, sort_keys=False))
        command = [sys.executable, "-m", "tune_seg.search", str(config), "--studies", str(arguments.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        table = pd.read_parquet(arguments.folder / config.stem / "configurations.parquet")
        scores = table["temperature/s_rec"]
        (verdict,) = (line for line in done.stdout.splitlines() if line.startswith("Verdict:"))
        print(f"{number}: means of {scores.min():.3f} to {scores.max():.3f}. {verdict}", flush=True)


if __name__ == "__main__":
    main()
