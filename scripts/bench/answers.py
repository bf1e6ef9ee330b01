"""Do the answers hold up? The default study with several seeds, against what fresh seeds say of each answer.

Each search has a search seed and training seeds of its own: searches that share their trainings would share their luck.

Each search recommends a configuration and reports its score. A study of rows then trains every configuration that was
recommended, and the plain losses, with seeds that no search has used. Printed is, for each search, the true mean score of
its recommendation, how far that is below the best known, and how far the reported score was above it; and what the best
single run of each search would have promised. It can be stopped and goes on:

    .venv/bin/python scripts/bench/answers.py STUDIES --searches 10 --seeds 10
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

METRIC = "temperature/s_rec"
FIRST_SEED = 1001
PLAIN = ("ce", "wce", "focal", "dual_focal")
CLOSE = 0.02
_APART = 50
"""Between the first training seeds of two searches, so that no training is of both."""


def search(studies: Path, seed: int) -> Path:
    """The default study with another search seed and other training seeds; a finished one is not run again."""
    name = f"search_{seed}"
    if not (studies / name / "configurations.parquet").exists() or not finished(studies / name):
        run(
            "default",
            "--studies",
            studies,
            "--study",
            name,
            "--set",
            f"search.seed={seed}",
            "--set",
            f"training.seed={_APART * seed}",
        )
    return studies / name


def finished(directory: Path) -> bool:
    return set(pd.read_parquet(directory / "results.parquet")["state"]) <= {"completed", "pruned", "diverged"}


def run(*arguments: Any) -> None:
    subprocess.run([sys.executable, "-m", "tune_seg.search", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def recommended(directory: Path) -> tuple[str, dict[str, Any], float]:
    """Name, settings and reported score of the configuration that a study recommends."""
    table = pd.read_parquet(directory / "configurations.parquet")
    (row,) = table[table["recommended"]].to_dict("records")
    space = yaml.safe_load((directory / "study.yaml").read_text())["space"]
    trials = pd.read_parquet(directory / "results.parquet")
    first = trials[trials["configuration"] == row["configuration"]].iloc[0]
    keys = {key: first[key] for key in space if key in first and not pd.isna(first[key])}
    return str(row["name"]), {key: json.loads(json.dumps(value, default=float)) for key, value in keys.items()}, row[METRIC]


def best_single_run(directory: Path) -> float:
    trials = pd.read_parquet(directory / "results.parquet")
    return float(trials[(trials["state"] == "completed") & ~trials["repeat"]][METRIC].max())


def truth(studies: Path, rows: dict[str, dict[str, Any]], seeds: int) -> "pd.Series[float]":
    """The mean score of each row over fresh seeds."""
    config = studies / "truth.yaml"
    values = yaml.safe_load((Path(__file__).parents[2] / "search_spaces" / "default.yaml").read_text())
    values |= {
        "rows": rows,
        "baselines": [],
        "space": {"training.seed": {"grid": list(range(FIRST_SEED, FIRST_SEED + seeds))}},
    }
    values["search"] = {
        "sampler": "grid",
        "trials": len(rows) * seeds,
        "early_stopping": {"kind": "none"},
        "confirm": {"share": 0},
    }
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    name = f"truth_{len(rows)}_{seeds}"
    run(config, "--studies", studies, "--study", name)
    trials = pd.read_parquet(studies / name / "results.parquet")
    means: pd.Series[float] = trials.groupby("row")[METRIC].mean()
    print(trials.groupby("row")[[METRIC, "s_rec", "recall", "accuracy"]].agg(["mean", "std"]).round(3).to_string(), "\n")
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path)
    parser.add_argument("--searches", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    arguments.studies.mkdir(parents=True, exist_ok=True)
    answers = {}
    for seed in range(arguments.searches):
        directory = search(arguments.studies, seed)
        answers[seed] = (*recommended(directory), best_single_run(directory))
        print(f"search seed {seed}: {answers[seed][0]}, reported {answers[seed][2]:.3f}", flush=True)
    rows: dict[str, dict[str, Any]] = {loss: {"loss.kind": "static", "loss.end": loss, "acw": False} for loss in PLAIN}
    named: dict[int, str] = {}
    for seed, (name, keys, _, _) in answers.items():
        same = [row for row, known in rows.items() if known == keys]
        named[seed] = same[0] if same else f"{seed} {name.replace('.', '_')}"
        rows[named[seed]] = keys
    means = truth(arguments.studies, rows, arguments.seeds)
    best = means.max()
    lines = []
    for seed, (name, _, reported, single) in answers.items():
        true = means[named[seed]]
        lines.append((seed, name, reported, true, best - true, reported - true, single - true))
    columns = [
        "search seed",
        "recommended",
        "reported",
        "true",
        "below the best",
        "reported - true",
        "best single run - true",
    ]
    print(pd.DataFrame(lines, columns=columns).round(3).to_string(index=False))
    close = sum(line[4] <= CLOSE for line in lines)
    print(f"within {CLOSE} of the best known ({means.idxmax()}, {best:.3f}): {close} of {len(lines)}")
    print(f"reported minus true, mean: {statistics.mean(line[5] for line in lines):+.4f}")
    print(f"best single run minus true, mean: {statistics.mean(line[6] for line in lines):+.4f}")


if __name__ == "__main__":
    main()
