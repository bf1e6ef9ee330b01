"""What of the files of a study can be removed, what is lost by it, and their removal.

Checkpoints and packs are shared by the studies in a folder, and checkpoints by those of other folders that have left a note
in the store. Nothing goes that another of them still uses, and nothing while one of them runs. The results, the models to
use, MLflow's database and the looks at test splits are never among it.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tune_seg.config import StudyConfig, TrialConfig
from tune_seg.data import PackedData
from tune_seg.data.packing.file_format import SUFFIX as PACK_SUFFIX
from tune_seg.data.packing.origin import origin_files
from tune_seg.study.budget import grid_trials, repeats_of
from tune_seg.study.configuration import load_config
from tune_seg.study.confirmation import Confirmation
from tune_seg.study.exporting import trials_of
from tune_seg.study.files import CONFIGURATION, IMAGES, MODELS, PACKS, RESULTS, STORE, bytes_of
from tune_seg.study.kept_weights import (
    missing_users,
    own_weights,
    studies_beside,
    studies_elsewhere,
    unneeded,
    used_beside,
)
from tune_seg.study.output.results import forget_weights
from tune_seg.study.output.words import counted
from tune_seg.study.prepare import locked
from tune_seg.study.record import Record
from tune_seg.study.search_space.space import Space
from tune_seg.training.trajectory import TrainingData, trajectory_keys

_SUFFIX: Final = ".pt"


@dataclass(frozen=True)
class Removable:
    """Files that can go together.

    Attributes:
        what: they are.
        lost: what is lost by it, a sentence.
        paths: files and folders.
        trials: the numbers of the trials that have no weights afterwards.
    """

    what: str
    lost: str
    paths: tuple[Path, ...]
    trials: frozenset[int] = frozenset()

    @property
    def size(self) -> int:
        """The bytes that their removal frees: of the weights of a model to use none, which are one file with it."""
        files = (file for path in self.paths for file in (path.rglob("*") if path.is_dir() else (path,)))
        return bytes_of(file for file in files if file.stat().st_nlink == 1)


@dataclass(frozen=True)
class _Study:
    """A study that this process holds.

    Attributes:
        directory: of it.
        config: its configuration.
        trials: all of them.
        packed: its data; None where they are not packed any more.
    """

    directory: Path
    config: StudyConfig
    trials: Mapping[int, Record]
    packed: PackedData | None

    @classmethod
    def open(cls, directory: Path) -> "_Study":
        """Read a study.

        Raises:
            InputError: a file of it cannot be read.
        """
        config = load_config(directory / CONFIGURATION)
        pack = directory.parent / PACKS / f"{config.data.content}{PACK_SUFFIX}"
        packed = PackedData(pack) if pack.is_file() else None
        return cls(directory, config, trials_of(directory, config), packed)

    @property
    def contents(self) -> set[str]:
        """The content ids of its data."""
        data = self.config.data
        return {content for content in (data.content, data.test_content) if content is not None}

    @property
    def is_over(self) -> bool:
        """Whether its search has ended and no trial waits to be continued."""
        config, space = self.config, Space(self.config)
        if not all(trial.state.ended for trial in self.trials.values()):
            return False
        if config.search.hours is not None:  # which have ended it, and not the number of its trials
            return True
        trials = config.search.trials
        grid = config.search.sampler == "grid"
        searched = min(trials, len(grid_trials(config, space))) if grid else trials - repeats_of(config, space)
        # a search whose space has no more ends before, and repeats come after it
        return len(self.trials) >= searched or any(trial.repeat for trial in self.trials.values())

    def boundaries(self) -> set[str]:
        """The keys of all epoch boundaries that its trials have, had or will have for certain; none without its data."""
        if self.packed is None:
            return set()
        space, data = Space(self.config), TrainingData.of(self.packed)
        points = space.enumerate() if self.config.search.sampler == "grid" else ()
        coming = [point for point in (*self.config.baselines, *points) if space.is_complete(point)]
        trials: list[TrialConfig] = [trial.config for trial in self.trials.values()]
        trials += [self.config.trial(point) for point in coming]
        return {key for trial in trials for key in trajectory_keys(trial, data)[1:]}


@contextmanager
def folder_locked(directory: Path) -> Iterator[None]:
    """Hold a study and all others that share its checkpoints or packs.

    Raises:
        InputError: one of them runs.
    """
    with ExitStack() as stack:
        for each in (directory, *studies_beside(directory), *studies_elsewhere(directory)):
            stack.enter_context(locked(each))
        yield


def removable(directory: Path, *, weights: bool, packs: bool) -> list[Removable]:
    """What of a study can go; its folder is held by this process.

    Args:
        directory: of the study.
        weights: whether the weights of its trials may go that its answer needs.
        packs: whether its packed images may go.

    Raises:
        InputError: a file of the study, or of another in its folder, cannot be read.
    """
    study = _Study.open(directory)
    beside = [_Study.open(other) for other in studies_beside(directory)]
    elsewhere = [_Study.open(other) for other in studies_elsewhere(directory)]
    found = [_left_behind(directory), _states(study, [*beside, *elsewhere]), _weights(study, all_of_them=weights)]
    if packs:
        found.append(_packs(study, beside))
    return [each for each in found if each.paths or each.trials]


def notes_on(found: Sequence[Removable], directory: Path) -> list[str]:
    """What to know before files of a study are removed: what stays, and whose use of them is not known.

    Raises:
        InputError: a note in the store cannot be read.
    """
    notes = []
    store = load_config(directory / CONFIGURATION).compute.store
    if store not in (None, str(directory.parent / STORE)):
        notes.append(f"Its checkpoints are in {store}, where studies of other folders may use them: they stay.")
    if any(path.parent.name == STORE for each in found for path in each.paths):
        notes.append(
            "Known are the studies in the folder, and those of other folders that have left a note in the store. Not known "
            "is a configuration that names a file of the store as model.weights and was not run yet: copy such a file first."
        )
        notes += [
            f"{user}, which has used the store, is not there any more. If it was moved, run it again first, which leaves a "
            "new note: what its trials ended with is not known."
            for user in missing_users(directory)
        ]
    return notes


def remove(found: Sequence[Removable], directory: Path) -> None:
    """Remove files and folders of a study.

    Raises:
        OSError: one of them cannot be removed.
    """
    trials = {number for each in found for number in each.trials}
    if trials and (directory / RESULTS).is_file():  # first: what the study has no more another may remove
        forget_weights(directory / RESULTS, trials)
    for path in (path for each in found for path in each.paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _left_behind(directory: Path) -> Removable:
    """What a process has left that was killed: Ray's folders, and files that it was writing."""
    paths = [*directory.glob(".ray-*")]
    for folder in (directory, directory / IMAGES, directory / MODELS):
        paths += folder.glob("*.partial*")
    return Removable("files that a killed process has left", "Nothing is lost.", tuple(sorted(paths)))


def _states(study: _Study, others: Iterable[_Study]) -> Removable:
    """The training states that no trial is known to begin from any more."""
    states: set[Path] = set()
    going_on = [other for other in others if not other.is_over]
    if study.is_over and all(other.packed is not None for other in going_on):  # else nobody knows what these need
        store = study.directory.parent / STORE
        wanted = {key for other in going_on for key in other.boundaries()}
        used = used_beside(study.directory)
        used |= {own_weights(trial, study.directory).name for trial in study.trials.values() if trial.checkpoint is not None}
        states = {store / f"{key}{_SUFFIX}" for key in study.boundaries() - wanted}
        states = {path for path in states if path.name not in used and path.is_file()}
    return Removable(
        counted(len(states), "training state"),
        "Trials that a raised --trials adds, and other studies, train the epochs again that they begin with; the results "
        "are the same.",
        tuple(sorted(states)),
    )


def _weights(study: _Study, *, all_of_them: bool) -> Removable:
    """The weights that trials have ended with: those that the answer does not need, or all."""
    trials, directory = list(study.trials.values()), study.directory
    needed: set[int] = set()
    if not all_of_them:
        needed = {trial.number for trial in trials}
        if study.packed is not None:
            needed = Confirmation(study.config, directory, study.packed, budget=0, slots=1).needed(trials)
    given_up = [
        trial
        for trial in trials
        if trial.checkpoint is not None and trial.number not in needed and own_weights(trial, directory).is_file()
    ]
    gone = unneeded(trials, needed, directory)
    shared = len(given_up) - len(gone)
    of_others = f"; {shared} of them stay because another study has them or begins with them" * bool(shared)
    named = f"trial{'s' * (len(given_up) > 1)} {', '.join(str(trial.number) for trial in given_up)}"
    models = sorted(path.stem for path in (directory / MODELS).glob("*.safetensors"))
    stay = f" The model{'s' * (len(models) > 1)} {' and '.join(models)} stay{'s' * (len(models) == 1)}." * bool(models)
    afterwards = " What tune-seg confirm adds is scored on the test split without them." * all_of_them
    return Removable(
        f"weights of {counted(len(given_up), 'trial')}{of_others}",
        f"The model of {named} cannot be loaded or exported without training it again.{stay}{afterwards}",
        tuple(sorted({own_weights(trial, directory) for trial in gone})),
        frozenset(trial.number for trial in given_up),
    )


def _packs(study: _Study, others: Iterable[_Study]) -> Removable:
    """The packed images, with what was computed from them and noted of them."""
    folder = study.directory.parent / PACKS
    contents = study.contents - {content for other in others for content in other.contents}
    paths = {path for content in contents for path in folder.glob(f"{content}*")}
    paths |= {note for content in contents for note in origin_files(folder / f"{content}{PACK_SUFFIX}")}
    root = study.config.data.root
    where = "They are generated again" if root is None else f"They are packed again from {root}, which must be there,"
    return Removable(
        "packed images",
        f"{where} when the study's command is run again. Until then no trial of it can be exported, and no report written.",
        tuple(sorted(paths)),
    )
