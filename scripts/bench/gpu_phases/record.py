"""Trainings of a list of configurations with several seeds, every epoch of them, for whoever wants to study their course.

`record.parquet` has a row an epoch: every metric, the scores with a temperature (`temperature/NAME`), the weights of the
losses, and which training it is of. Started again into the same folder, the phase goes on with what is missing.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from gpu_phases.common import Result, Task, data
from gpu_phases.trainings import Training, train
from tune_seg.config import TrialConfig, parse
from tune_seg.errors import InputError

_LIST: Final = Path(__file__).parent.parent / "record.yaml"
_SMOKE: Final = 2  # configurations of the list, where none is named


def run(task: Task, result: Result) -> None:
    """All configurations with the first seed, then with the second, and so on."""
    pack = data(task)
    configurations = _configurations(Path(task.configurations or _LIST))
    if task.smoke and task.configurations is None:
        configurations = dict(list(configurations.items())[:_SMOKE])
    trainings = [
        Training(name, _trial(task, sections, seed), pack.content_id)
        for seed in range(task.seeds)
        for name, sections in configurations.items()
    ]
    wanted = {training.key for training in trainings}
    for rows in train(task, result, trainings, pack, Path(task.out) / "record.parquet"):
        there = {row["training"] for row in rows} & wanted
        now = result.get("trained")
        result.put(
            rows=len(rows),
            summary=f"{len(there)} of {len(wanted)} trainings recorded, {now} of them now; {len(rows)} epochs",
        )


def _configurations(path: Path) -> dict[str, dict[str, Any]]:
    """The sections of a trial by name; those of `base` hold for all, where they do not set the same key.

    Raises:
        InputError: it is not such a file.
    """
    try:
        values = yaml.safe_load(path.read_text())
        base, trials = values.get("base", {}), values["trials"]
        return {name: _merged(base, sections) for name, sections in trials.items()}
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected base: SECTIONS and trials: {{NAME: SECTIONS}} ({error!r})") from error


def _merged(base: dict[str, Any], sections: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **sections}
    for key in base.keys() & sections.keys():
        if isinstance(base[key], dict) and isinstance(sections[key], dict):
            merged[key] = {**base[key], **sections[key]}
    return merged


def _trial(task: Task, sections: dict[str, Any], seed: int) -> TrialConfig:
    training = {"threads": 1, **sections.get("training", {}), "seed": seed, "device": task.device}
    sections = {**sections, "training": training}
    if task.smoke:
        training |= {"epochs": 2, "batch_size": 4}
        sections["augmentation"] = {**sections.get("augmentation", {}), "crop": None}
    return parse(TrialConfig, sections)
