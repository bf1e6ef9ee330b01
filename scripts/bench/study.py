"""A study of 16 configurations: wall time of `tune-seg search` against that of `naive_ray_tune.py`.

    PYTHONPATH=. python scripts/bench/study.py --data CAMVID --out DIR [--configurations schedules]

Both systems train the same 16 configurations on the same images with the same model, optimizer, learning-rate schedule,
epochs and batch size, two trials at once with a core each; `naive_ray_tune.py` says what else is equal. Each is one
command in a process of its own, so that imports, Ray's start and its end count; ours begins without packed data and with
an empty checkpoint store, so that packing counts, too, and nothing was computed before.

There are two sets of configurations, both chosen before anything was measured. `losses` are those rows of Taubert's
Table 1 for which both sides have the losses (all but max pooling), first the losses alone, with plain cross entropy and
plain dice; then compounds, weighted and not; then the schedules with the paper's s and e, and for three of them another
s or e, as whoever tries schedules would. Some share a prefix (naive dice-to-anything with dice), most do not: with ten
epochs 133 of 160 are distinct. `schedules` ask when to move from an overlap loss to cross entropy, for two overlap
losses: a grid of four s and two e. Of its 160 epochs 100 are distinct.

Printed for both: wall time; the trials' own time, which is what they spent in training and evaluation, over the slots;
epochs trained; the study overhead, which is wall time / own time / slots, for ours with each distinct epoch counted once,
even if it was trained twice (aim 1.05). Then the ratio of the wall times (aim 2.5) and its factors. The best s_rec of
each shows that both learn alike. They differ by the draws of the augmentation, and SMP's dice and focal losses are not
quite Taubert's.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import contenders
import optuna
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tune_seg.config import StudyConfig, parse
from tune_seg.data import read
from tune_seg.training.result import EpochResult
from tune_seg.training.trajectory import TrainingData, trajectory_keys

OVERLAP, PIXEL = ("dice", "wdice"), ("ce", "wce", "focal")

# kind, start, end, and s and e as fractions of all iterations
LOSSES: tuple[tuple[Any, ...], ...] = (
    *(("static", None, end) for end in ("ce", "wce", "dice", "wdice", "focal")),
    ("compound", "dice", "ce"),
    ("compound", "wdice", "wce"),
    ("naive", "dice", "ce", 0.3, 0.9),
    ("naive", "dice", "wce", 0.3, 0.9),
    ("naive", "wdice", "ce", 0.3, 0.9),
    ("naive", "wdice", "wce", 0.3, 0.9),
    ("alternating", "dice", "ce", 0.5, 0.9),
    ("alternating", "dice", "wce", 0.5, 0.9),
    ("naive", "dice", "ce", 0.5, 0.9),
    ("naive", "dice", "wce", 0.5, 0.9),
    ("alternating", "dice", "ce", 0.5, 0.7),
)
SCHEDULES: tuple[tuple[Any, ...], ...] = tuple(
    ("naive", start, "ce", s, e) for start in OVERLAP for s in (0.3, 0.4, 0.5, 0.6) for e in (0.9, 1.0)
)
SETS = {"losses": LOSSES, "schedules": SCHEDULES}


@dataclass(frozen=True)
class Epoch:
    """The score of an epoch, how long it took, and whether it came from the checkpoint store."""

    s_rec: float
    seconds: float
    replayed: bool = False


@dataclass(frozen=True)
class Measured:
    """A finished study: its wall time, the epochs of each trial, and those epochs that were trained twice."""

    wall: float
    trials: Sequence[Sequence[Epoch]]
    slots: int
    again: Sequence[Epoch] = ()

    @property
    def trained(self) -> int:
        return sum(not epoch.replayed for trial in self.trials for epoch in trial)

    @property
    def own(self) -> float:
        return sum(epoch.seconds for trial in self.trials for epoch in trial) / self.slots

    @property
    def overhead(self) -> float:
        return self.wall / (self.own - sum(epoch.seconds for epoch in self.again) / self.slots)

    def best(self, last: bool) -> float:
        """The largest s_rec of any epoch, or of any trial's last one."""
        return max(epoch.s_rec for trial in self.trials for epoch in (trial[-1:] if last else trial))


def _epoch(values: dict[str, Any]) -> Epoch:
    result = EpochResult.from_json(values)
    return Epoch(result.score("s_rec"), result.seconds.total, result.replayed)


def run_ours(options: argparse.Namespace) -> Measured:
    file = options.out / "study.yaml"
    file.write_text(yaml.safe_dump(_our_study(options)))
    wall = contenders.run_ours(options, [file])
    directory = options.out / "ours"
    storage = JournalStorage(JournalFileBackend(str(directory / "trials.journal")))
    trials = optuna.load_study(study_name=None, storage=storage).trials
    histories = [[_epoch(values) for values in trial.user_attrs["outcome"]["history"]] for trial in trials]
    config = parse(StudyConfig, yaml.safe_load((directory / "study.yaml").read_text()))
    assert config.data.content is not None
    images = sum(sample.split == "train" for sample in read(config.data).samples)
    data = TrainingData(config.data.content, config.data.size, images)
    computed: set[str] = set()
    again: list[Epoch] = []
    for trial, history in zip(trials, histories, strict=True):
        keys = trajectory_keys(config.trial(trial.user_attrs["assignment"]), data)[1:]
        for key, epoch in zip(keys, history, strict=True):
            if not epoch.replayed:
                if key in computed:
                    again.append(epoch)
                computed.add(key)
    return Measured(wall, histories, options.slots, again)


def _our_study(options: argparse.Namespace) -> dict[str, Any]:
    keys = ("loss.kind", "loss.start", "loss.end", "schedule.start", "schedule.end")
    chosen = [dict(zip(keys, values, strict=False)) for values in SETS[options.configurations][: options.trials]]
    scheduled = {"loss.kind": ["naive", "alternating"]}
    return {
        "data": {
            "root": str(options.data.absolute()),
            "size": options.size,
            "max_train": options.max_train,
            "max_val": options.max_val,
        },
        "model": {"architecture": "Unet", "encoder": "resnet18", "weights": "none"},
        "training": {"epochs": options.epochs, "batch_size": 12, "optimizer": "adam", "lr": 1e-3, "weight_decay": 1e-4},
        "augmentation": {"flip": 0.5, "resize": [0.5, 2.0]},
        "search": {"sampler": "random", "trials": len(chosen), "early_stopping": {"kind": "none"}},
        "compute": {"cpus_per_trial": 1, "max_concurrent": options.slots},
        "space": {
            "loss.kind": {"choice": ["static", "compound", "naive", "alternating"]},
            "loss.start": {"choice": [*OVERLAP], "when": {"loss.kind": ["compound", "naive", "alternating"]}},
            "loss.end": {"choice": [*PIXEL, *OVERLAP]},
            "schedule.start": {"float": [0.1, 0.6], "when": scheduled},
            "schedule.end": {"float": ["schedule.start + 0.1", 1.0], "when": scheduled},
        },
        "baselines": [{key: value for key, value in values.items() if value is not None} for values in chosen],
    }


def run_naive(options: argparse.Namespace) -> Measured:
    keys = ("kind", "start", "end", "s", "e")
    chosen = [dict(zip(keys, values, strict=False)) for values in SETS[options.configurations][: options.trials]]
    points = [{key: value for key, value in values.items() if value is not None} | {"acw": False} for values in chosen]
    for point in points:
        if point["end"] == "focal":
            point["gamma"] = 2.0
    configurations = options.out / "configurations.json"
    configurations.write_text(json.dumps(points))
    wall = contenders.run_naive(options, ["--configurations", configurations.absolute()])
    trials = json.loads((options.out / "naive" / "results.json").read_text())
    epochs = [
        [Epoch(epoch["s_rec"], epoch["train_seconds"] + epoch["eval_seconds"]) for epoch in trial["epochs"]]
        for trial in trials
    ]
    return Measured(wall, epochs, options.slots)


def main() -> None:
    parser = contenders.parser("Wall time of a study of 16 configurations, ours against a docs-style one.")
    parser.add_argument("--configurations", choices=SETS, default="losses")
    parser.add_argument("--trials", type=int, default=16, metavar="N", help="the first N configurations")
    options = parser.parse_args()
    order = contenders.begin(options)
    runs = {"ours": run_ours, "naive": run_naive}
    measured = {name: runs[name](options) for name in order}
    ours, naive = measured["ours"], measured["naive"]
    asked = options.epochs * options.trials
    for name, run in measured.items():
        if sum(map(len, run.trials)) != asked:
            sys.exit(f"{name}: {sum(map(len, run.trials))} epochs instead of {asked}; see {options.out / name}.log")

    print(
        f"\n{options.trials} trials of {options.epochs} epochs, {options.slots} slots; run in this order: {', '.join(order)}"
    )
    print(f"{'':34}{'ours':>10}{'naive':>10}")
    for label, value in (
        ("wall time, s", lambda run: f"{run.wall:.1f}"),
        ("the trials' own time / slots, s", lambda run: f"{run.own:.1f}"),
        ("study overhead: wall / own", lambda run: f"{run.overhead:.3f}"),
        (f"epochs trained, of {asked}", lambda run: f"{run.trained}"),
        ("best s_rec of any epoch", lambda run: f"{run.best(last=False):.3f}"),
        ("best s_rec of a last epoch", lambda run: f"{run.best(last=True):.3f}"),
    ):
        print(f"{label:34}{value(ours):>10}{value(naive):>10}")
    fewer = naive.trained / ours.trained
    faster = naive.own / naive.trained / (ours.own / ours.trained)
    print(f"\nwall time naive / ours: {naive.wall / ours.wall:.2f} (aim 2.5)")
    beside = naive.wall / naive.own / (ours.wall / ours.own)
    print(f"  = epochs trained {fewer:.2f} x time an epoch {faster:.2f} x time beside the epochs {beside:.2f}")
    print(f"study overhead of ours: {ours.overhead:.3f} (aim 1.05), with {len(ours.again)} epochs trained twice (aim 0)")


if __name__ == "__main__":
    main()
