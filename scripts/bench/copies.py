"""Cross entropy and four copies of it under names of their own: no study of them may call one better.

A copy leaves out a random quarter of the pixels of every batch, each copy another, which makes its trainings differ and
no better or worse on average. Each study is the default one with the five as its space, another
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
_LEFT_OUT = 0.25


class Copy(nn.Module):
    """Cross entropy over three quarters of the pixels; which, follows from the batch and the number of the copy alone."""

    number = 0

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        super().__init__()
        self._ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        positions = torch.arange(1, target.numel() + 1, dtype=torch.float64)
        batch = int((target.flatten() * positions).sum()) % 2**31  # a checksum
        generator = torch.Generator().manual_seed(5 * batch + self.number)
        left_out = torch.rand(target.shape, generator=generator) < _LEFT_OUT
        kept = target.masked_fill(left_out.to(target.device), self._ignore_index)
        return torch.nn.functional.cross_entropy(logits, kept, ignore_index=self._ignore_index)


class First(Copy):
    """The first copy."""

    number = 1


class Second(Copy):
    """The second copy."""

    number = 2


class Third(Copy):
    """The third copy."""

    number = 3


class Fourth(Copy):
    """The fourth copy."""

    number = 4


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
