"""Plain losses, Hossain's and Taubert's on CamVid, by raw and by calibrated scores, with intervals, and on held-out frames.

Twelve losses at 96 x 96 with 128 training images and 12 epochs, each with the same seeds. Printed is, of each, the mean
of s_rec and of temperature/s_rec with its rank, the range of ranks that the choice of seeds and images leaves open, and the
difference to plain cross entropy; then the same on frames that no trial has seen. Those are CamVid's test frames where the
folder has them, and the drive 0001TP otherwise, which then does not train: the published training images of another
day. It can be stopped and goes on; more seeds extend it:

    PYTHONPATH=. python scripts/bench/camvid.py CAMVID STUDIES --seeds 6
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import yaml
from scipy.stats import spearmanr

from tune_seg.config import StudyConfig
from tune_seg.data import PackedTest, pack, read_test
from tune_seg.image_counts import ImageCounts
from tune_seg.study.configuration import load_config
from tune_seg.study.images import read_images
from tune_seg.study.verdict import Contender, Repeat, compare
from tune_seg.study.verdict.contender import Key, bootstrap_weights
from tune_seg.training.held_out import score_on_test

RAW, CALIBRATED, ADJUSTED = "s_rec", "temperature/s_rec", "adjusted/s_rec"
ROWS: dict[str, dict[str, Any]] = {
    "ce": {"loss.end": "ce"},
    "wce": {"loss.end": "wce"},
    "focal": {"loss.end": "focal"},
    "wdice": {"loss.end": "wdice"},
    "dual_focal (Hossain)": {"loss.end": "dual_focal"},
    "dual_focal acw = ADFL (Hossain)": {"loss.end": "dual_focal", "acw": True},
    "ce acw (Hossain)": {"loss.end": "ce", "acw": True},
    "wdice+ce (Taubert)": {"loss.kind": "compound", "loss.start": "wdice", "loss.end": "ce"},
    "wdice+wce (Taubert)": {"loss.kind": "compound", "loss.start": "wdice", "loss.end": "wce"},
    "dice>ce naive (Taubert)": {"loss.kind": "naive", "loss.start": "dice", "loss.end": "ce"},
    "dice>wce naive (Taubert)": {"loss.kind": "naive", "loss.start": "dice", "loss.end": "wce"},
    "dice>wce alternating (Taubert)": {"loss.kind": "alternating", "loss.start": "dice", "loss.end": "wce"},
}
DRIVE = "0001TP"
BLOCK = 10
"""Neighbouring frames that are drawn together: those of a second of video show nearly the same."""
Scores = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path, help="the folder with train/, trainannot/, val/, valannot/")
    parser.add_argument("studies", type=Path)
    parser.add_argument("--seeds", type=int, default=6)
    arguments = parser.parse_args()
    directory = train(arguments.camvid, arguments.studies, arguments.seeds)
    config = load_config(directory / "study.yaml")
    ended = pd.read_parquet(directory / "results.parquet")
    trials = ended.query("state == 'completed'")
    diverged = ended.query("state == 'diverged'")["row"].value_counts().to_dict()
    print(f"{len(trials)} trainings, {trials['training.seed'].nunique()} seeds; diverged and left out: {diverged or 'none'}")
    print("\nvalidation")
    print_table(on_validation(trials, directory))
    adjusted = trials.groupby("row")[[RAW, CALIBRATED, ADJUSTED, "recall", "accuracy", "miou"]].mean()
    print(adjusted.sort_values(CALIBRATED, ascending=False).round(3).to_string())
    print_repeatability(trials)
    print("\nheld out: " + ("CamVid's test frames" if config.data.split.test == "published" else f"the drive {DRIVE}"))
    print_table(on_test(trials, config, directory))


def train(camvid: Path, studies: Path, seeds: int) -> Path:
    """The study of all rows and seeds; what it has already is not trained again."""
    studies.mkdir(parents=True, exist_ok=True)
    split: dict[str, str] = {"test": "published"}
    if not (camvid / "test").is_dir():
        frames = {side: sorted(path.stem for path in (camvid / side).glob("*.png")) for side in ("train", "val")}
        frames["test"] = [frame for frame in frames["train"] if frame.startswith(DRIVE)]
        frames["train"] = [frame for frame in frames["train"] if not frame.startswith(DRIVE)]
        split = {side: str((studies / f"{side}.txt").absolute()) for side in frames}
        for side, names in frames.items():
            Path(split[side]).write_text("\n".join(names) + "\n")
    values: dict[str, Any] = {
        "data": {"root": str(camvid.absolute()), "size": [96, 96], "resize": "stretch", "max_train": 128, "split": split},
        "model": {"architecture": "Unet", "encoder": "resnet18", "weights": "none"},
        "training": {"epochs": 12, "batch_size": 8, "optimizer": "adam", "lr": 1e-3, "lr_schedule": "linear"},
        "loss": {"weights": {"start": 0.5, "end": 0.5}},  # of compound losses
        "augmentation": {"flip": 0.5, "resize": [0.5, 2.0]},
        "objective": CALIBRATED,
        "rows": ROWS,
        "space": {"training.seed": {"grid": list(range(1, seeds + 1))}},
        "search": {
            "sampler": "grid",
            "trials": len(ROWS) * seeds,
            "early_stopping": {"kind": "none"},
            "confirm": {"share": 0},
        },
    }
    config = studies / f"camvid_{seeds}.yaml"
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    subprocess.run([sys.executable, "-m", "tune_seg.search", str(config), "--studies", str(studies)], check=True)
    return studies / config.stem


def on_validation(trials: pd.DataFrame, directory: Path) -> list[Contender]:
    """Each row with its repeats, and what each counted in every validation image."""
    counts = {number: read_images(directory, number) for number in trials["trial"]}
    scores = {number: dict(row) for number, row in zip(trials["trial"], trials.to_dict("records"), strict=True)}
    return contenders(trials, scores, counts)


def on_test(trials: pd.DataFrame, config: StudyConfig, directory: Path) -> list[Contender]:
    """The same on the frames that were held out. What was scored is kept beside the study."""
    torch.set_num_threads(1)
    held_out = read_test(config.data)
    assert held_out is not None
    test = PackedTest(pack(held_out, directory.parent / "packs", config.data.size))
    kept = directory / "held_out"
    kept.mkdir(exist_ok=True)
    scores, counts = {}, {}
    for trial in trials.to_dict("records"):
        number = trial["trial"]
        path = kept / f"{number:05d}"
        if not path.with_suffix(".npz").exists():
            found = score_on_test(
                config.trial({"row": trial["row"], "training.seed": trial["training.seed"]}),
                trial["checkpoint"],
                test,
                torch.device("cpu"),
                temperature=trial["temperature/T"],
            )
            assert found.images is not None
            path.with_suffix(".json").write_text(json.dumps({**found.metrics, **found.scaled_metrics}))
            path.with_suffix(".npz").write_bytes(found.images.to_bytes())
        scores[number] = json.loads(path.with_suffix(".json").read_text())
        counts[number] = ImageCounts.from_bytes(path.with_suffix(".npz").read_bytes())
    return contenders(trials, scores, counts)


def contenders(trials: pd.DataFrame, scores: Any, counts: Any) -> list[Contender]:
    found: dict[str, dict[Key, Repeat]] = {row: {} for row in ROWS}
    for trial in trials.to_dict("records"):
        number, seed = trial["trial"], int(trial["training.seed"])
        known = {name: value for name, value in scores[number].items() if isinstance(value, float)}
        blocks = np.arange(len(counts[number])) // BLOCK
        found[trial["row"]][seed, None] = Repeat(seed, None, known, counts[number].of_groups(blocks))
    return [Contender(row, row, (), repeats) for row, repeats in found.items() if repeats]


def print_table(found: list[Contender]) -> None:
    table = pd.DataFrame(index=[each.name for each in found])
    ce = next(each for each in found if each.name == "ce")
    for metric in (RAW, CALIBRATED):
        means, drawn = resampled(found, metric)
        rank = pd.Series(means).rank(ascending=False).astype(int).to_numpy()
        ranks = np.argsort(np.argsort(-drawn, axis=1), axis=1) + 1
        low, high = np.percentile(ranks, [2.5, 97.5], axis=0).astype(int)
        table[metric] = [f"{mean:.3f}" for mean in means]
        table[f"rank of {metric}"] = [f"{a} [{b}, {c}]" for a, b, c in zip(rank, low, high, strict=True)]
        differences = [compare(each, ce, metric) for each in found]
        table[f"{metric} - ce"] = [
            "" if each is ce else f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
            for each, d in zip(found, differences, strict=True)
        ]
    order = np.argsort([-float(mean) for mean in table[CALIBRATED]])
    print(table.iloc[order].to_string())
    raw, calibrated = (resampled(found, metric)[0] for metric in (RAW, CALIBRATED))
    print(f"Spearman of raw and calibrated ranks: {spearmanr(raw, calibrated).statistic:+.2f}\n")


def resampled(found: list[Contender], metric: str) -> tuple[Scores, Scores]:
    """The mean of each row, float64 (rows,), and its means over drawn seeds and blocks, the same for all: (draws, rows)."""
    seeds = sorted(set.intersection(*(set(each.repeats) for each in found)), key=str)
    scores = np.array([[each.repeats[seed].scores[metric] for seed in seeds] for each in found])
    images = np.array([[each.repeats[seed].resampled(metric) for seed in seeds] for each in found])  # (rows, seeds, draws)
    mean, n = scores.mean(axis=1), len(seeds)
    weights = bootstrap_weights(n, 1000)[: images.shape[-1]] / n  # another stream than that of the images
    of_seeds = np.sqrt(n / (n - 1)) * weights @ (scores - mean[:, None]).T  # as wide as the variance of a mean
    of_images = images.mean(axis=1).T
    return mean, mean + of_seeds + of_images - of_images.mean(axis=0)


def print_repeatability(trials: pd.DataFrame) -> None:
    """How well the ranks of one seed agree with those of another, raw and calibrated."""
    for metric in (RAW, CALIBRATED):
        table = trials.pivot(index="row", columns="training.seed", values=metric).dropna(axis=1)
        agree = [
            spearmanr(table[a], table[b]).statistic for i, a in enumerate(table.columns) for b in table.columns[i + 1 :]
        ]
        noise = table.sub(table.mean(axis=1), axis=0).std(axis=1, ddof=1)
        print(f"{metric}: ranks of two seeds correlate by {np.mean(agree):.2f}; sd of one run {noise.mean():.3f}")


if __name__ == "__main__":
    main()
