"""The recorded table: every epoch of some 250 configurations of the space of `loss_schedule.yaml`, with several seeds.

    PYTHONPATH=. nice -n 19 .venv/bin/python scripts/bench/record_table.py scenes
    PYTHONPATH=. nice -n 19 .venv/bin/python scripts/bench/record_table.py camvid --root CAMVID

`tables/configurations.json` lists the configurations: every plain loss, the focal loss with several gammas; every pair,
mixed and scheduled; the plain losses again at other learning rates and weight decays; then random ones.
`tables/TASK-SEED.parquet` has a row an epoch, with all metrics as trained, with a temperature and with adjusted logits.
Started again it goes on, in `TASK-SEED.partial.parquet`, with what is missing; a seed at a time.
"""

import argparse
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any, Final

import optuna
import pandas as pd
import yaml

from tune_seg.config import DataConfig, StudyConfig, TrialConfig, parse
from tune_seg.data import PackedData, pack, read
from tune_seg.study.search_space.space import Space

ROOT: Final = Path(__file__).resolve().parents[2]
TABLES: Final = Path(__file__).parent / "tables"
CONFIGURATIONS: Final = TABLES / "configurations.json"
COUNT: Final = 250
_SEED: Final = 0
_KEPT: Final = 20  # trainings between two writes of what there is
_STARTS, _ENDS = ("dice", "wdice", "focal"), ("ce", "wce", "focal", "dual_focal")
_GAMMAS: Final = (0.5, 1.0, 3.0, 5.0)
_MOVES: Final = ((0.1, 0.5), (0.3, 0.9), (0.5, 1.0))
"""Starts and ends of schedules; the middle one is the losses' default (Taubert)."""
_RATES: Final = (3e-4, 1e-2)
_DECAYS: Final = (0.0, 1e-2)

BASE: Final[dict[str, Any]] = {
    "model": {"architecture": "Unet", "encoder": "tu-regnetx_002", "weights": "none"},
    "training": {
        "epochs": 12,
        "batch_size": 4,
        "optimizer": "adam",
        "lr": 3e-3,
        "weight_decay": 1e-4,
        "lr_schedule": "linear",
        "threads": 1,
        "device": "cpu",
    },
    "augmentation": {"flip": 0.5, "resize": [0.8, 1.25]},
}
DATA: Final[dict[str, dict[str, Any]]] = {
    "scenes": {"format": "synthetic", "size": [48, 48], "max_train": 48, "max_val": 48},
    "camvid": {"format": "camvid", "size": [48, 64], "max_train": 64, "max_val": 64},
}


def space() -> Space:
    """That of `loss_schedule.yaml`."""
    values = yaml.safe_load((ROOT / "search_spaces" / "loss_schedule.yaml").read_text())
    return Space(parse(StudyConfig, values))


def configurations() -> list[dict[str, Any]]:
    """The assignments of the table, in their order; the first ones are the plain losses as they are."""
    found: list[dict[str, Any]] = []
    focal = [("focal", gamma) for gamma in _GAMMAS]
    for acw in (False, True):
        static = [(end, 2.0 if end == "focal" else None) for end in _ENDS]
        for end, gamma in [*static, *focal]:
            found.append({"loss.kind": "static", "loss.end": end, "loss.gamma": gamma, "acw": acw})
    for start, end, acw in product(_STARTS, _ENDS, (False, True)):
        pair = {"loss.start": start, "loss.end": end, "loss.gamma": 2.0 if "focal" in (start, end) else None, "acw": acw}
        if start != end:
            found.append({"loss.kind": "compound", **pair})
        kinds = ("naive", "alternating") if not acw else ("naive",)
        moves = _MOVES if not acw else _MOVES[1:2]
        found += [
            {"loss.kind": kind, **pair, "schedule.start": begin, "schedule.end": end_point}
            for kind, (begin, end_point) in product(kinds, moves)
            if start != end
        ]
    rates = [{"training.lr": rate} for rate in _RATES] + [{"training.weight_decay": decay} for decay in _DECAYS]
    plain = [{"loss.kind": "static", "loss.end": end, "loss.gamma": 2.0 if end == "focal" else None} for end in _ENDS]
    mixed = [{"loss.kind": "compound", "loss.start": start, "loss.end": "wce"} for start in ("dice", "wdice")]
    found += [{**loss, "acw": False, **rate} for loss, rate in product([*plain, *mixed], rates)]
    found = [{key: value for key, value in assignment.items() if value is not None} for assignment in found]
    study, of_losses = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=_SEED)), space()
    while len(found) < COUNT:
        drawn = of_losses.sample(study.ask())
        if drawn not in found:
            found.append(drawn)
    return found


def trial(assignment: dict[str, Any], seed: int) -> TrialConfig:
    """The training of an assignment."""
    config = parse(StudyConfig, {**BASE, "data": DATA["scenes"], "space": {"loss.end": {"choice": list(_ENDS)}}})
    return config.trial({**assignment, "training.seed": seed})


def packed(task: str, root: Path | None, folder: Path) -> PackedData:
    """The images of a task."""
    values = {**DATA[task], **({} if root is None else {"root": str(root)})}
    config = parse(DataConfig, values)
    return PackedData(pack(read(config), folder, config.size))


def record(task: str, seed: int, data: Path, processes: int) -> None:
    """Train what the table lacks of a seed."""
    file, partial = TABLES / f"{task}-{seed}.parquet", TABLES / f"{task}-{seed}.partial.parquet"
    if file.exists():
        return
    rows: list[dict[str, Any]] = pd.read_parquet(partial).to_dict("records") if partial.exists() else []
    there = {int(row["configuration"]) for row in rows}
    listed = configurations()
    missing = [number for number in range(len(listed)) if number not in there]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting = [pool.submit(_trained, number, listed[number], seed, data) for number in missing]
        for count, ended in enumerate(as_completed(waiting), 1):
            rows += ended.result()
            if count % _KEPT == 0:
                _write(rows, partial)
                print(f"{task}, seed {seed}: {len(there) + count} of {len(listed)}", flush=True)
    _write(rows, partial)
    partial.rename(file)


def _write(rows: Sequence[dict[str, Any]], file: Path) -> None:
    table = pd.DataFrame(rows).sort_values(["configuration", "epoch"])
    floats = table.select_dtypes("float64").columns
    new = file.with_name(f".{file.name}")
    table.astype(dict.fromkeys(floats, "float32")).to_parquet(new, compression="zstd", index=False)
    new.rename(file)


def _trained(number: int, assignment: dict[str, Any], seed: int, data: Path) -> list[dict[str, Any]]:
    return list(_epochs(number, assignment, seed, data))


def _epochs(number: int, assignment: dict[str, Any], seed: int, data: Path) -> Iterator[dict[str, Any]]:
    import torch

    from tune_seg.training import Trainer

    torch.set_num_threads(1)  # as many as the trial says
    trainer = Trainer(trial(assignment, seed), PackedData(data), torch.device("cpu"))
    while not trainer.done:
        epoch = trainer.epoch()
        evaluation, seconds = epoch.evaluation, epoch.seconds
        yield {
            "configuration": number,
            "seed": seed,
            "epoch": epoch.epoch,
            **evaluation.metrics,
            **evaluation.scaled_metrics,
            "diverged": epoch.diverged,
            "train_seconds": seconds.train,
            "eval_seconds": seconds.eval,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(DATA))
    parser.add_argument("--root", type=Path, help="the folder of CamVid")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--packs", type=Path, default=Path("/tmp/tune_seg-packs"), help="where the images are packed")
    arguments = parser.parse_args()
    TABLES.mkdir(exist_ok=True)
    CONFIGURATIONS.write_text(json.dumps(configurations(), indent=0) + "\n")
    data = packed(arguments.task, arguments.root, arguments.packs).path
    for seed in range(arguments.seeds):
        record(arguments.task, seed, data, arguments.processes)


if __name__ == "__main__":
    main()
