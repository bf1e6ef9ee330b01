"""The models of a study as files that hold all that their use needs, in the folder `models` of the study.

The one to take and plain cross entropy are there when the study has ended: unlike checkpoints they are never removed to make
space, and the folder of the study can be moved.
"""

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pyarrow.parquet as pq

from tune_seg._whole_file import whole_file
from tune_seg.config import DataConfig, StudyConfig, TrialConfig
from tune_seg.data.packing.file_format import SUFFIX as PACK_SUFFIX
from tune_seg.data.packing.origin import origins_of
from tune_seg.errors import InputError
from tune_seg.inference.model_file import SUFFIX, read_description, write_model
from tune_seg.study.configuration import load_config
from tune_seg.study.configurations import REPEATED
from tune_seg.study.confirmation import Answer
from tune_seg.study.elsewhere import Call, here
from tune_seg.study.files import CONFIGURATION, CONFIGURATIONS, MODELS, PACKS, RESULTS, STORE
from tune_seg.study.output.command_lines import command
from tune_seg.study.record import Record, State, sortable
from tune_seg.training.checkpoints import WEIGHTS

if TYPE_CHECKING:
    import torch

    from tune_seg.inference.trained_model import SeedEnsemble, TrainedModel

WINNER: Final = "winner"
"""What the model of the configuration to take is called."""
PLAIN: Final = "ce"
"""What the model of plain cross entropy is called."""
ANSWERED: Final = "answer.json"
"""The file beside the models that says of how many ended trials the answer was drawn."""


_TRIAL: Final = ", trial "


def model_file(directory: Path, name: str) -> Path:
    """The file of a model in the directory of a study."""
    return directory / MODELS / f"{name}{SUFFIX}"


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


def best_of(config: StudyConfig, trials: Iterable[Record]) -> Record | None:
    """The trial with the best first objective; None where there is none."""
    return max(trials, key=lambda trial: sortable(trial.score(config.objectives[0])), default=None)


def export_models(answer: Answer, config: StudyConfig, pack: Path, directory: Path, call: Call) -> dict[str, Path]:
    """Write the models of the configuration to take and of plain cross entropy, by their names.

    Of each it is the best repeat whose weights are still stored, or that the file is of already. A model of another
    configuration that an earlier session has left does not stay.

    Args:
        answer: what the repeats say.
        config: the study.
        pack: the packed data.
        directory: of the study.
        call: calls what needs torch.

    Raises:
        InputError: naming what could not be written; what could be was.
    """
    written: dict[str, Path] = {}
    problems: list[str] = []
    for name, id in ((WINNER, answer.verdict.recommended), (PLAIN, answer.reference)):
        file, repeats = model_file(directory, name), answer.contenders[id]
        stored = [trial for trial in repeats.completed if weights_of(trial, directory) is not None]
        number = _trial_of(file)
        there = [trial for trial in repeats.completed if trial.number == number]
        best = best_of(config, [*there, *stored])
        try:
            if best is None:
                if number is not None:  # that of another configuration would be taken for this one's
                    file.unlink()
                raise InputError(f"no weights of {repeats.name} are stored any more")
            if best not in there:
                same = [path for path in written.values() if _trial_of(path) == best.number]
                if not same or not _named_too(same[0], file):
                    _export(best, config, pack, directory, file, call)
                _have_once(file, best, directory)
            written[name] = file
        except (InputError, OSError) as error:
            problems.append(f"{file.name}: {error}")
    if problems:
        raise InputError("; ".join(problems))
    with whole_file(directory / MODELS / ANSWERED) as partial:
        partial.write_text(json.dumps({"trials": ended_trials(directory)}), encoding="utf-8")
    return written


def ended_trials(directory: Path) -> int:
    """How many trials of a study are over for good, by its table of results."""
    path = directory / RESULTS
    states = pq.read_table(path, columns=["state"])["state"].to_pylist() if path.is_file() else []
    return sum(State(state).ended for state in states)


def open_model(
    directory: Path, trial: int | None, *, plain: bool, device: "str | torch.device | None", adjusted: bool
) -> "TrainedModel":
    """As :meth:`tune_seg.Study.load_model`, of the study in a directory."""
    from tune_seg.inference.trained_model import load_model

    if trial is None:
        return load_model(existing_model(directory, PLAIN if plain else WINNER), device, adjusted=adjusted)
    if plain:
        raise InputError(f"trial {trial} and plain cross entropy are two models; choose one")
    with TemporaryDirectory() as temporary:
        file = Path(temporary) / f"{trial}{SUFFIX}"
        export_trial(directory, trial, file)
        return load_model(file, device, adjusted=adjusted)


def open_ensemble(directory: Path, *, device: "str | torch.device | None", adjusted: bool) -> "SeedEnsemble":
    """As :meth:`tune_seg.Study.load_ensemble`, of the study in a directory."""
    from tune_seg.inference.trained_model import SeedEnsemble, load_model

    path = directory / CONFIGURATIONS
    rows = pq.read_table(path).to_pylist() if path.is_file() else []
    numbers = [number for row in rows if row["recommended"] for number in row["trials"]]
    if not numbers:
        raise InputError(f"{directory}: this study has no answer yet; run it to its end, or choose a trial of it")
    with TemporaryDirectory() as temporary:
        files = export_trials(directory, numbers, Path(temporary))
        return SeedEnsemble([load_model(file, device, adjusted=adjusted) for file in files])


def _have_once(model: Path, trial: Record, directory: Path) -> None:
    """Have the store's file of the weights of a trial be that of its model, under two names, where the disk can do that.

    Neither is ever changed: another model is another file, and to remove one name leaves the other.
    """
    weights = directory.parent / STORE / os.path.basename(str(trial.checkpoint))
    if WEIGHTS in weights.name and weights.is_file():
        _named_too(model, weights)


def _named_too(file: Path, name: Path) -> bool:
    """Give a file another name as well, in place of what has it; whether the disk can do that."""
    partial = name.with_name(f"{name.name}.{uuid4().hex}.partial")
    try:
        name.parent.mkdir(exist_ok=True)
        os.link(file, partial)
        os.replace(partial, name)
    except OSError:
        return False
    finally:
        partial.unlink(missing_ok=True)  # which also stays where both names are those of one file
    return True


def _trial_of(file: Path) -> int | None:
    """The number of the trial that a model of a study is of, whatever the study was called then; None: unknown."""
    try:
        number = read_description(file).study.rpartition(_TRIAL)[2]
    except InputError:  # it is not there, or a former version has written it
        return None
    return int(number) if number.isdecimal() else None


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
    if not trials:
        raise InputError(f"{directory}: no trial has begun; run the study first")
    if trial is None:
        raise InputError(f"{directory}: there is no trial {number}; there are {min(trials)} to {max(trials)}")
    if trial.state is not State.COMPLETED:
        raise InputError(
            f"{directory}: trial {number} cannot be exported: it is {trial.state}; choose one that ran to its end"
        )
    if weights_of(trial, directory) is None:
        raise InputError(
            f"{directory}: the weights of trial {number} are not stored: a study keeps those that its answer needs. The "
            f"models in {directory / MODELS} are there without --trial; to have this one, train it again: "
            f"{_again(trial, directory)}"
        )
    _export(trial, config, _pack_of(config, directory), directory, out, here)
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
    stored = [trials[number] for number in numbers if weights_of(trials[number], directory) is not None]
    if not stored:
        raise InputError(
            f"{directory}: no weights of these trials are stored any more; {model_file(directory, WINNER)} has one of them"
        )
    files = [folder / f"{trial.number}{SUFFIX}" for trial in stored]
    for trial, file in zip(stored, files, strict=True):
        _export(trial, config, _pack_of(config, directory), directory, file, here)
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

    with locked(directory):
        return trials_of(directory, config)


def trials_of(directory: Path, config: StudyConfig) -> Mapping[int, Record]:
    """As :func:`read_trials`, of a study that this process holds."""
    from tune_seg.study.records import Records
    from tune_seg.study.search_space.space import Space

    return dict(Records(directory, config, Space(config), search=False).trials)


def _export(trial: Record, config: StudyConfig, pack: Path, directory: Path, out: Path, call: Call) -> None:
    last = trial.last
    assert last is not None and trial.checkpoint is not None  # it ran to its end
    said: dict[str, Any] = {
        "metrics": {**last.evaluation.metrics, **last.evaluation.scaled_metrics},
        "fitted": last.evaluation.fitted,
        "intensity_rule": _intensity_rule(pack),
        "version": version("tune-seg"),
        "study": f"{directory.name}{_TRIAL}{trial.number}",
    }
    call(_written, trial.config, config.data, str(pack), located(trial.checkpoint, directory), out, said)


def _intensity_rule(pack: Path) -> Mapping[str, Any] | None:
    """How the numbers in the files became levels, as far as all files say the same that the pack was made of."""
    if not pack.is_file():
        raise InputError(
            f"{pack}: not there: the packed images of the study, which lie beside its folder; run the study again, which "
            "packs them, or bring them back"
        )
    rules = [origin.intensity_rule for origin in origins_of(pack)]
    if not rules or any(rule != rules[0] for rule in rules):
        known = "several things are said" if rules else "nothing is known"
        raise InputError(
            f"{pack}: {known} of the intensities of its images; pack the data set again into an empty folder of packs"
        )
    return rules[0]


def _again(trial: Record, directory: Path) -> str:
    """The command that trains a trial again. In a store of its own: in that of the study it would take over the results."""
    name = f"{directory.name}-trial-{trial.number}"
    point = {key: value for key, value in trial.assignment.items() if key not in REPEATED}
    repeated = (["--set", f"{key}={trial.assignment[key]}"] for key in sorted(REPEATED & trial.assignment.keys()))
    study = [str(directory / CONFIGURATION), "--study", name, "--studies", str(directory.parent)]
    store = ["--store", str(directory.parent / name / STORE)]
    settings = ["--trials", "1", "--set", f"baselines={json.dumps([point])}", *chain.from_iterable(repeated)]
    return f"{command()} search {shlex.join([*study, *store, *settings])}"


def weights_of(trial: Record, directory: Path) -> str | None:
    """Where the weights are that a trial ended with; None where it did not, or they are not stored."""
    if trial.state is not State.COMPLETED or trial.checkpoint is None:
        return None
    found = located(trial.checkpoint, directory)
    return found if is_stored(found) else None


def located(checkpoint: str, directory: Path) -> str:
    """The path of a checkpoint of a study; it is beside the study where the folder of all studies was moved."""
    moved = directory.parent / STORE / os.path.basename(checkpoint)
    return str(moved) if "://" not in checkpoint and not Path(checkpoint).exists() and moved.exists() else checkpoint


def _written(trial: TrialConfig, data: DataConfig, pack: str, checkpoint: str, out: Path, said: Mapping[str, Any]) -> None:
    """What needs torch: `said` is what :func:`~tune_seg.inference.describe.describe` takes by name."""
    from tune_seg.data import PackedData
    from tune_seg.inference.describe import describe
    from tune_seg.training.checkpoints import load_weights

    write_model(out, describe(trial, data, PackedData(pack, trial.fold), **said), load_weights(checkpoint))
