"""Where a study lies, and its files that people and other programs read."""

import re
from pathlib import Path
from typing import Final

from tune_seg.errors import InputError

CONFIGURATION: Final = "study.yaml"
"""The study's configuration, with all that is needed to run it again."""

RESULTS: Final = "results.parquet"
"""A row for each trial."""

CLASSES: Final = "classes.png"
"""A picture of the class frequencies."""

BESIDE: Final = ("packs", "store")
"""What lies beside the directories of studies: the packed data and the checkpoints."""

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
