"""The models of a study as files that hold all that their use needs, in the folder `models` of the study.

The one to take and plain cross entropy are there when the study has ended: unlike checkpoints they are never removed to make
space, and the folder of the study can be moved.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tune_seg.config import DataConfig, StudyConfig, TrialConfig
from tune_seg.data.packing.file_format import SUFFIX as PACK_SUFFIX
from tune_seg.data.packing.origin import origins_of
from tune_seg.errors import InputError
from tune_seg.inference.model_file import read_description, write_model
from tune_seg.study.configuration import load_config
from tune_seg.study.configurations import Configuration
from tune_seg.study.confirmation import Answer
from tune_seg.study.elsewhere import Elsewhere
from tune_seg.study.files import CONFIGURATION, MODELS, PACKS, STORE
from tune_seg.study.record import Record, State, sortable

WINNER: Final = "winner"
"""What the model of the configuration to take is called."""
PLAIN: Final = "ce"
"""What the model of plain cross entropy is called."""

_SUFFIX: Final = ".safetensors"


def model_file(directory: Path, name: str) -> Path:
    """The file of a model in the directory of a study."""
    return directory / MODELS / f"{name}{_SUFFIX}"


def existing_model(directory: Path, name: str) -> Path:
    """As :func:`model_file`.

    Raises:
        InputError: the study has no such model.
    """
    path = model_file(directory, name)
    if not path.is_file():
        raise InputError(
            f"{path}: not there: it is written when a study has an answer; run the study to its end, or choose a trial "
            "with --trial N (column `trial` of results.parquet)"
        )
    return path


def best_stored(config: StudyConfig, configuration: Configuration) -> Record | None:
    """Of the trials of a configuration whose weights are stored, the one with the best objective."""
    stored = [trial for trial in configuration.completed if trial.checkpoint is not None]
    return max(stored, key=lambda trial: sortable(trial.score(config.objectives[0])), default=None)


def export_models(answer: Answer, config: StudyConfig, pack: Path, directory: Path, elsewhere: Elsewhere) -> dict[str, Path]:
    """Write the models of the configuration to take and of plain cross entropy, by their names.

    Args:
        answer: what the repeats say.
        config: the study.
        pack: the packed data.
        directory: of the study.
        elsewhere: where torch is.

    Raises:
        InputError: a file cannot be written.
    """
    written: dict[str, Path] = {}
    for name, id in ((WINNER, answer.verdict.recommended), (PLAIN, answer.reference)):
        trial = best_stored(config, answer.contenders[id])
        if trial is not None:
            written[name] = model_file(directory, name)
            if not _is_of(written[name], trial, directory):
                _export(trial, config, pack, directory, written[name], elsewhere)
    return written


def _is_of(file: Path, trial: Record, directory: Path) -> bool:
    """Whether a model is that of a trial, so that it need not be written again."""
    try:
        return read_description(file).study == _origin(trial, directory)
    except InputError:
        return False


def _origin(trial: Record, directory: Path) -> str:
    return f"{directory.name}, trial {trial.number}"


def export_trial(directory: Path, number: int, out: Path) -> Record:
    """Write the model of a trial of a study that is not running.

    Args:
        directory: of the study.
        number: of the trial.
        out: the file.

    Raises:
        InputError: there is no such trial, it did not run to its end, or its weights or data are not there any more.
    """
    config = load_config(directory / CONFIGURATION)
    trials = read_trials(directory, config)
    trial = trials.get(number)
    if trial is None:
        raise InputError(f"{directory}: there is no trial {number}; there are {min(trials)} to {max(trials)}")
    if trial.state is not State.COMPLETED or trial.checkpoint is None:
        why = "its weights were not stored" if trial.state is State.COMPLETED else f"it is {trial.state}"
        raise InputError(f"{directory}: trial {number} cannot be exported: {why}; choose one that ran to its end")
    with _ended(Elsewhere()) as elsewhere:
        _export(trial, config, _pack_of(config, directory), directory, out, elsewhere)
    return trial


def export_trials(directory: Path, numbers: Iterable[int], folder: Path) -> list[Path]:
    """Write the models of those of some trials whose weights are still stored.

    Args:
        directory: of the study, which is not running.
        numbers: of the trials.
        folder: where to write them.

    Raises:
        InputError: none of them is stored, or the data are not there any more.
    """
    config = load_config(directory / CONFIGURATION)
    trials = read_trials(directory, config)
    ended = [trials[number] for number in numbers if trials[number].state is State.COMPLETED]
    stored = [each for each in ended if each.checkpoint is not None and is_stored(_found(each.checkpoint, directory))]
    if not stored:
        raise InputError(
            f"{directory}: no weights of these trials are stored any more; {model_file(directory, WINNER)} has one of them"
        )
    files = [folder / f"{trial.number}{_SUFFIX}" for trial in stored]
    with _ended(Elsewhere()) as elsewhere:
        for trial, file in zip(stored, files, strict=True):
            _export(trial, config, _pack_of(config, directory), directory, file, elsewhere)
    return files


def _pack_of(config: StudyConfig, directory: Path) -> Path:
    return directory.parent / PACKS / f"{config.data.content}{PACK_SUFFIX}"


def is_stored(checkpoint: str) -> bool:
    """Whether a checkpoint is where it says; of one in an object store that is taken for granted."""
    return "://" in checkpoint or Path(checkpoint).is_file()


def read_trials(directory: Path, config: StudyConfig) -> Mapping[int, Record]:
    """The trials of a study that no other process is running, by number.

    Raises:
        InputError: another process holds the study, or its journal cannot be read.
    """
    from tune_seg.study.prepare import locked
    from tune_seg.study.records import Records
    from tune_seg.study.search_space.space import Space

    with locked(directory):
        return dict(Records(directory, config, Space(config), search=False).trials)


def _export(trial: Record, config: StudyConfig, pack: Path, directory: Path, out: Path, elsewhere: Elsewhere) -> None:
    last = trial.last
    assert last is not None and trial.checkpoint is not None  # it ran to its end
    rules = [origin.intensity_rule for origin in origins_of(pack) if origin.intensity_rule is not None]
    said: dict[str, Any] = {
        "metrics": {**last.evaluation.metrics, **last.evaluation.scaled_metrics},
        "fitted": last.evaluation.fitted,
        "intensity_rule": rules[0] if rules else None,
        "version": version("tune-seg"),
        "study": _origin(trial, directory),
    }
    elsewhere(_written, trial.config, config.data, str(pack), _found(trial.checkpoint, directory), out, said)


def _found(checkpoint: str, directory: Path) -> str:
    """The path of a checkpoint, which is beside the study where the folder of all studies was moved."""
    moved = directory.parent / STORE / os.path.basename(checkpoint)
    return str(moved) if "://" not in checkpoint and not Path(checkpoint).exists() and moved.exists() else checkpoint


def _written(trial: TrialConfig, data: DataConfig, pack: str, checkpoint: str, out: Path, said: Mapping[str, Any]) -> None:
    """What the process with torch does: `said` is what :func:`~tune_seg.inference.describe.describe` takes by name."""
    from tune_seg.data import PackedData
    from tune_seg.inference.describe import describe
    from tune_seg.training.checkpoints import load_weights

    write_model(out, describe(trial, data, PackedData(pack, trial.fold), **said), load_weights(checkpoint))


@contextmanager
def _ended(elsewhere: Elsewhere) -> Iterator[Elsewhere]:
    try:
        yield elsewhere
    finally:
        elsewhere.end()
