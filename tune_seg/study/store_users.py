"""Which studies of other folders use a store: each leaves a note in it, so that nothing goes that one of them still has.

Studies that lie beside a store need none. What nobody can know: a configuration that names weights of a store and was not
run yet, and what a study had of it that is not where its note says.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from tune_seg._whole_file import whole_file
from tune_seg.config import StudyConfig
from tune_seg.errors import InputError
from tune_seg.study.files import CONFIGURATION, JOURNAL, STORE
from tune_seg.training.checkpoints import WEIGHTS

USERS: Final = "users"
"""The folder in a store with a note of each study of another folder that uses it."""
_ENTRY: Final = re.compile(rf"[0-9a-f]{{32}}({WEIGHTS})?\.pt")
"""What files of a store are called."""


@dataclass(frozen=True)
class StoreUser:
    """A study of another folder that uses a store.

    Attributes:
        directory: of the study, when it left the note.
        files: the names of the files of the store that its trials begin with.
    """

    directory: Path
    files: frozenset[str]

    @property
    def is_there(self) -> bool:
        """Whether the study is still where it was."""
        return all(os.path.isfile(self.directory / name) for name in (CONFIGURATION, JOURNAL))  # False where it is hidden


def note_use(config: StudyConfig, directory: Path) -> list[str]:
    """Leave a note in each store of another folder that a study uses; a line for each in which that cannot be.

    Args:
        config: the study, with the files of weights that its trials begin with.
        directory: of the study.
    """
    problems = []
    begun_with = [Path(file).resolve() for file in config.files if _ENTRY.fullmatch(Path(file).name)]
    store = config.compute.store or str(directory.parent / STORE)
    used = [Path(store).resolve()] if config.compute.store_gb and "://" not in store else []
    for place in dict.fromkeys([*used, *(file.parent for file in begun_with)]):
        if place == directory.parent.resolve() / STORE:  # those who clear it look at the studies beside it
            continue
        files = sorted(file.name for file in begun_with if file.parent == place)
        named = str(directory.resolve())
        digest = blake2b(named.encode(), digest_size=16).hexdigest()
        try:
            with whole_file(place / USERS / f"{digest}.json") as note:
                note.write_text(json.dumps({"study": named, "files": files}), encoding="utf-8")
        except OSError as error:
            problems.append(
                f"{place} cannot be written ({error.strerror}), so studies beside it do not know that this one uses it: "
                "copy the weights that are to stay"
            )
    return problems


def users_of(store: Path, but: Iterable[Path] = ()) -> list[StoreUser]:
    """The studies that have left a note in a store.

    Args:
        store: its folder.
        but: the directories of studies that are known already.

    Raises:
        InputError: a note cannot be read.
    """
    known = {directory.resolve() for directory in but}
    found = []
    for note in sorted((store / USERS).glob("[!.]*.json")):
        try:
            values = json.loads(note.read_text(encoding="utf-8"))
            user = StoreUser(Path(values["study"]), frozenset(values["files"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{note} cannot be read ({error}); remove it, and run the study again that left it") from None
        if user.directory not in known:
            found.append(user)
    return found
