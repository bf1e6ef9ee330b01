"""Where a study lies, and its files that people and other programs read."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import Final

from tune_seg._package import STUDIES
from tune_seg.errors import InputError

CONFIGURATION: Final = "study.yaml"
"""The study's configuration, with all that is needed to run it again."""

RESULTS: Final = "results.parquet"
"""A row for each trial."""

CONFIGURATIONS: Final = "configurations.parquet"
"""A row for each configuration: what a trial is without its seed and fold."""

TEST: Final = "test.json"
"""What each trial has scored on the test split."""

ENSEMBLE: Final = "ensemble.json"
"""What the mean output of the repeats of plain cross entropy has scored."""

UNSCORED: Final = "unscored.json"
"""What could not be scored after the decision, and why."""

CLASSES: Final = "classes.png"
"""A picture of the class frequencies."""

JOURNAL: Final = "trials.journal"
"""Every trial with the results of its epochs; the other files are made from it."""

TEXT_REPORT: Final = "report.md"
"""The tables and the verdict of the last session, to read and to pass on."""

IMAGES: Final = "images"
"""The folder of the counts of each validation image, a file a trial: what intervals are computed from."""

MODELS: Final = "models"
"""The folder of the models to use: the one to take, and plain cross entropy, each as one file."""

PROFILE: Final = "profile.json"
"""Where the study's time went, if that was asked for."""

REPORT: Final = "report.html"
"""The report, one file that needs nothing else."""

DATABASE: Final = "mlflow.db"
"""MLflow's view of the study, unless that is kept by a server."""

PACKS: Final = "packs"
"""The folder of the packed data of all studies, beside their directories."""

STORE: Final = "store"
"""The folder of the checkpoints of all studies, beside their directories, unless they are kept elsewhere."""

LOOKS: Final = "looks"
"""The folder that says how often each test split was looked at, by all studies, beside their directories."""

BESIDE: Final = (PACKS, STORE, LOOKS)
"""What lies beside the directories of studies."""

NAME: Final = r"\w[\w. -]*"
"""What a study, which is a folder, may be called."""


ANOTHER_NAME: Final = "another name (--study NAME, or Study(..., name=NAME))"
"""What messages recommend to users of the command and of Python."""

ANOTHER_FOLDER: Final = "another folder (--studies DIR, or Study(..., studies=DIR))"
"""What messages recommend to users of the command and of Python."""


def directory_of(
    config: str | Path | None, *, name: str | None = None, studies: str | Path | None = None, dataset: str | None = None
) -> Path:
    """The directory of a study.

    Args:
        config: its preset or file, by whose name it is called; None where it has neither. The `study.yaml` of a study is
            called as its folder.
        name: of the study; None: that of `config`.
        studies: the folder in which studies are kept, each in a folder of its name; None: `studies`, or wherever the study
            lies whose `study.yaml` is given.
        dataset: the data set of a published table that the study is on; it becomes part of the name.

    Raises:
        InputError: a study cannot have that name, or has none.
    """
    if name is None:
        if config is None:
            raise InputError('name: a configuration that is no file has no name; give it one: Study(..., name="NAME")')
        path = Path(config).absolute()
        own = path.name == CONFIGURATION
        # the journal tells the file of a study from a user's own of this name, which no study may write over
        if own and studies is None and dataset is None and (path.parent / JOURNAL).is_file():
            return path.parent
        name = path.parent.name if own else path.stem
    if not re.fullmatch(NAME, name) or name in BESIDE:
        raise InputError(f"study {name!r}: a name is letters, digits, dots, spaces, - and _, and not {' or '.join(BESIDE)}")
    folder = STUDIES if studies is None else Path(studies)
    return folder.absolute() / (name if dataset is None else f"{name}_{dataset.casefold()}")


def existing_study(study: str, studies: Path) -> Path:
    """The directory of a study by its name in the folder `studies`, or by its path.

    Raises:
        InputError: there is no study.
    """
    directory = Path(study) if (Path(study) / CONFIGURATION).is_file() else studies / study
    if not (directory / CONFIGURATION).is_file():
        raise InputError(
            f"{directory} holds no study (no {CONFIGURATION}); give the name of one in --studies DIR, or its folder"
        )
    return directory.absolute()


def bytes_of(files: Iterable[Path]) -> int:
    """The size of those of some files that are there; one that has several names, or is named twice, counts once."""
    sizes: dict[tuple[int, int], int] = {}
    for path in files:
        with suppress(OSError):  # it is removed meanwhile
            status = path.stat()
            if S_ISREG(status.st_mode):
                sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())
