"""The weights that a study keeps: those that its answer may need. What other trials have ended with is removed.

Only the store beside the studies is cleared. Studies of other folders that use it have left a note in it
(:mod:`~tune_seg.study.store_users`).
"""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import yaml

from tune_seg.errors import InputError
from tune_seg.study.exporting import is_stored, located
from tune_seg.study.files import CONFIGURATION, JOURNAL, RESULTS, STORE
from tune_seg.study.record import Record, State
from tune_seg.study.store_users import StoreUser, users_of
from tune_seg.training.checkpoints import WEIGHTS, CheckpointStore

_COMPLETED: Final = re.compile(r'"outcome":\{"state":"completed"')
_CHECKPOINT: Final = re.compile(r'"checkpoint":"([^"]+)"')


def clear_weights(trials: Sequence[Record], needed: Collection[int], directory: Path, store: CheckpointStore) -> None:
    """Remove the weights that trials of the search have ended with and that nobody needs, and note whose are gone.

    Args:
        trials: all trials of the study.
        needed: the numbers of those whose weights stay.
        directory: of the study.
        store: of the study; what goes wrong is added to its problems.
    """
    try:
        for trial in unneeded(trials, needed, directory):
            own_weights(trial, directory).unlink(missing_ok=True)
    except (InputError, OSError) as error:
        store.problems.append(f"weights that the study does not need stay where they are: {error}")
    for trial in trials:
        if trial.checkpoint is not None and not is_stored(located(trial.checkpoint, directory)):
            trial.checkpoint = None


def unneeded(trials: Sequence[Record], needed: Collection[int], directory: Path) -> list[Record]:
    """The trials whose weights lie in the store beside the studies and are needed by neither this study nor another.

    Args:
        trials: all trials of the study.
        needed: the numbers of those whose weights it needs.
        directory: of the study.

    Raises:
        InputError: the files of another study cannot be read.
    """
    ended = [trial for trial in trials if trial.state is State.COMPLETED and trial.checkpoint is not None]
    own = [trial for trial in ended if trial.number not in needed and WEIGHTS in own_weights(trial, directory).name]
    spare = [trial for trial in own if own_weights(trial, directory).is_file()]
    if not spare:
        return []
    # trials that begin alike and never part have one file
    used = {own_weights(trial, directory).name for trial in ended if trial.number in needed} | used_beside(directory)
    return [trial for trial in spare if own_weights(trial, directory).name not in used]


def own_weights(trial: Record, directory: Path) -> Path:
    """Where the weights of a trial that has some lie in the store beside the studies, if they lie there."""
    assert trial.checkpoint is not None
    return directory.parent / STORE / os.path.basename(trial.checkpoint)


def used_beside(directory: Path) -> set[str]:
    """The names of the files of weights that other studies have in the store beside a study, or begin with.

    Raises:
        InputError: a file of theirs cannot be read.
    """
    names = begun_with(directory)
    for other in (*studies_beside(directory), *studies_elsewhere(directory)):
        results, journal = other / RESULTS, other / JOURNAL
        ended = _of_journal(journal, journal.stat().st_mtime_ns)
        table = _of_results(results, results.stat().st_mtime_ns) if results.is_file() else _NOTHING
        # the table of a study that runs, or was killed, lacks the newest trials
        names |= table.names if table.completed >= ended.completed else ended.names | table.names
    return names


def studies_beside(directory: Path) -> Iterator[Path]:
    """The directories of the other studies in the folder of a study."""
    for path in sorted(directory.parent.iterdir()):
        if (path / JOURNAL).is_file() and not path.samefile(directory):
            yield path


def studies_elsewhere(directory: Path) -> list[Path]:
    """The directories of the studies of other folders that use the store beside a study, as far as they are there.

    Raises:
        InputError: a note in the store cannot be read.
    """
    return [user.directory for user in _users(directory) if user.is_there]


def missing_users(directory: Path) -> list[Path]:
    """Where studies of other folders were that have used the store beside a study, and are not there any more.

    Raises:
        InputError: a note in the store cannot be read.
    """
    return [user.directory for user in _users(directory) if not user.is_there]


def begun_with(directory: Path) -> set[str]:
    """The names of the files in the store beside a study that its trials, or those of any other study, begin with.

    Raises:
        InputError: a study or a note cannot be read.
    """
    studies = (directory, *studies_beside(directory), *studies_elsewhere(directory))
    names = {name for study in studies for name in _begun_with(study / CONFIGURATION)}
    return names.union(*(user.files for user in _users(directory)))


def _users(directory: Path) -> list[StoreUser]:
    return users_of(directory.parent / STORE, but=(directory, *studies_beside(directory)))


def _begun_with(configuration: Path) -> frozenset[str]:
    """The names of the files of weights that the trials of a study begin with."""
    return _files(configuration, configuration.stat().st_mtime_ns) if configuration.is_file() else frozenset()


@lru_cache
def _files(configuration: Path, written: int) -> frozenset[str]:  # another time where the file is another by now
    try:
        values = yaml.safe_load(configuration.read_text(encoding="utf-8"))
        return frozenset(Path(path).name for path in values.get("files") or {})
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise InputError(f"{configuration} cannot be read ({error}); correct it, or move the study elsewhere") from None


@dataclass(frozen=True)
class _Ended:
    """The trials of a study that ran to their end: how many there are, and the names of the files of their weights."""

    completed: int
    names: frozenset[str]


_NOTHING: Final = _Ended(0, frozenset())


@lru_cache
def _of_results(results: Path, written: int) -> _Ended:
    """What the table says, where a removal of weights is noted."""
    try:
        table = pq.read_table(results, columns=["state", "checkpoint"]).to_pydict()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{results} cannot be read ({error}); run its study again, or move it elsewhere") from None
    found = (checkpoint for checkpoint in table["checkpoint"] if checkpoint is not None)
    return _Ended(table["state"].count(State.COMPLETED), frozenset(map(os.path.basename, found)))


@lru_cache
def _of_journal(journal: Path, written: int) -> _Ended:
    """What the journal says, which has every trial as it ended."""
    text = journal.read_text(encoding="utf-8")
    return _Ended(len(_COMPLETED.findall(text)), frozenset(map(os.path.basename, _CHECKPOINT.findall(text))))
