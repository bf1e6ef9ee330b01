"""Which model of a study is taken where nobody names a trial, and what there is to say of it."""

import json
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow.parquet as pq

from tune_seg.config import StudyConfig
from tune_seg.errors import InputError
from tune_seg.study.configuration import load_config
from tune_seg.study.configurations import is_plain_cross_entropy
from tune_seg.study.exporting import ANSWERED, PLAIN, WINNER, best_of, ended_trials, model_file, read_trials, weights_of
from tune_seg.study.files import CONFIGURATION, CONFIGURATIONS, MODELS

_RUN_IT: Final = "run the study again to continue it"


class Chosen(NamedTuple):
    """The model that is taken.

    Args:
        trial: the number of its trial; None: it is the one that the study wrote with its answer.
        note: what somebody who uses it should know; empty: it is that of the study's answer.
    """

    trial: int | None
    note: str = ""


def choose(directory: Path, *, plain: bool = False) -> Chosen:
    """The model of a study: the one of its answer; without an answer the best trial whose weights are stored.

    Args:
        directory: of the study.
        plain: plain cross entropy in place of the one to take.

    Raises:
        InputError: there is neither an answer nor such a trial.
    """
    config = load_config(directory / CONFIGURATION)
    if len(config.objectives) == 1 and model_file(directory, PLAIN if plain else WINNER).is_file():
        return Chosen(None, _older(directory))
    why = _why_none(directory, config)
    stored = [
        trial
        for trial in read_trials(directory, config).values()
        if weights_of(trial, directory) is not None and (not plain or is_plain_cross_entropy(trial.config))
    ]
    best = best_of(config, stored)
    if best is None:
        which = "trial of plain cross entropy" if plain else "trial"
        raise InputError(
            f"{directory}: {why}, and no {which} has run to its end whose weights are stored; {_RUN_IT}, or begin a new one "
            "with a larger compute.store_gb"
        )
    objective = config.objectives[0]
    score = best.score(objective)
    return Chosen(
        best.number,
        f"{directory.name} has no verdict ({why}): took trial {best.number}, {best.name}, the best by {objective}"
        f"{'' if score is None else f' ({score:.4f})'} of {len(stored)} trials whose weights are stored. The best of single "
        "trainings is in part the luckiest; choose another by its number, --trial N or load_model(N)",
    )


def note_of_answer(directory: Path) -> str:
    """What to know of the repeats of the one to take; empty: they are those of the study's answer."""
    config = load_config(directory / CONFIGURATION)
    if len(config.objectives) > 1 or not model_file(directory, WINNER).is_file():
        return (
            f"{directory.name} has no verdict ({_why_none(directory, config)}): took the repeats of what is the "
            f"best so far by {config.objectives[0]}"
        )
    return _older(directory)


def _why_none(directory: Path, config: StudyConfig) -> str:
    if len(config.objectives) > 1:
        return f"its objectives are {', '.join(config.objectives)}, and none of them decides alone"
    if not _is_answered(directory):
        return "its best configurations have not been compared over several seeds; tune-seg confirm does that"
    return "it was interrupted before its answer was complete, or its folder of models was taken away"


def _is_answered(directory: Path) -> bool:
    path = directory / CONFIGURATIONS
    return path.is_file() and any(pq.read_table(path, columns=["recommended"])["recommended"].to_pylist())


def _older(directory: Path) -> str:
    """What to say where trials have ended since the answer was given; empty where none has."""
    try:
        known: int = json.loads((directory / MODELS / ANSWERED).read_text(encoding="utf-8"))["trials"]
    except (OSError, ValueError, LookupError, TypeError):  # of a study of before that was noted
        return ""
    newer = ended_trials(directory) - known
    if newer <= 0:
        return ""
    return (
        f"{directory.name}: the model is that of an answer from before {newer} trial{'s' * (newer > 1)} ended; {_RUN_IT}, "
        "which gives a new answer"
    )
