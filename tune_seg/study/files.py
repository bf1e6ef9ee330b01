"""Where a study lies, and its files that people and other programs read."""

import re
from pathlib import Path
from typing import Final

from tune_seg.errors import InputError

CONFIGURATION: Final = "study.yaml"
"""The study's configuration, with all that is needed to run it again."""

RESULTS: Final = "results.parquet"
"""A row for each trial."""

CONFIGURATIONS: Final = "configurations.parquet"
"""A row for each configuration: what a trial is without its seed and fold."""

TEST: Final = "test.json"
"""What was scored on the test split, each time that somebody looked."""

CLASSES: Final = "classes.png"
"""A picture of the class frequencies."""

JOURNAL: Final = "trials.journal"
"""Every trial with the results of its epochs; the other files are made from it."""

IMAGES: Final = "images"
"""The folder of the counts of each validation image, a file a trial: what intervals are computed from."""

PROFILE: Final = "profile.json"
"""Where the study's time went, if that was asked for."""

DATABASE: Final = "mlflow.db"
"""MLflow's view of the study, unless that is kept by a server."""

PACKS: Final = "packs"
"""The folder of the packed data of all studies, beside their directories."""

STORE: Final = "store"
"""The folder of the checkpoints of all studies, beside their directories, unless they are kept elsewhere."""

BESIDE: Final = (PACKS, STORE)
"""What lies beside the directories of studies."""

NAME: Final = r"\w[\w. -]*"
"""What a study, which is a folder, may be called."""


def study_directory(studies: Path, name: str) -> Path:
    """The directory of the study `name` in the folder `studies`.

    Raises:
        InputError: a study cannot have that name.
    """
    if not re.fullmatch(NAME, name) or name in BESIDE:
        raise InputError(f"study {name!r}: a name is letters, digits, dots, spaces, - and _, and not {' or '.join(BESIDE)}")
    return studies.absolute() / name


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


def study_name(config: str | Path) -> str:
    """What a study is called that is given no name: as its preset or file, or as its folder for a study's own file."""
    path = Path(config)
    return path.absolute().parent.name if path.name == CONFIGURATION else path.stem
