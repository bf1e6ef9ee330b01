"""What is known of a test split: how often somebody looked at it, and what each trial has scored on it.

A test is one only once, whichever study it was that looked. So the looks lie beside the studies, in a file for each content
of a test split, with a line for each look; the scores lie in the directory of the study whose trials they are of. A look is
noted before anything is scored: one that is broken off has been one.
"""

import json
import os
from base64 import b85decode, b85encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tune_seg._whole_file import whole_file
from tune_seg.errors import InputError
from tune_seg.image_counts import ImageCounts
from tune_seg.study.files import LOOKS, TEST

_ANY_LOOK: Final = '{"study": "", "trials": []}'
"""A line that counts as a look, and says nothing else."""


@dataclass(frozen=True)
class Look:
    """Trials that were scored on a test split for one answer.

    Attributes:
        study: the id of their study.
        trials: their numbers.
    """

    study: str
    trials: frozenset[int]


@dataclass(frozen=True)
class HeldOutScore:
    """What a trial has scored on a test split.

    Attributes:
        metrics: by name, as trained and with a temperature.
        images: the counts of each image.
    """

    metrics: Mapping[str, float]
    images: ImageCounts


def note_look(directory: Path, content: str, study: str, trials: Iterable[int]) -> int:
    """Note that trials are scored on a test split, and count all looks at it, this one included.

    Trials that their study has looked at before are no further look: they score the same again.

    Args:
        directory: of the study.
        content: the content id of the test split.
        study: the id of the study.
        trials: the numbers of the trials.

    Raises:
        InputError: the file of the looks is damaged.
        OSError: it cannot be written.
    """
    path = looks_file(directory, content)
    looks = read_looks(path)
    seen = frozenset[int]().union(*(look.trials for look in looks if look.study == study))
    now = frozenset(trials)
    if now <= seen:
        return len(looks)
    path.parent.mkdir(exist_ok=True)
    line = json.dumps({"study": study, "name": directory.name, "trials": sorted(now)})
    with path.open("a", encoding="utf-8") as file:  # one line, so that studies that look at once do not lose one another's
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())
    return len(looks) + 1


def looks_file(directory: Path, content: str) -> Path:
    """Where the looks at a test split are noted, by the directory of a study and the content id of the split."""
    return directory.parent / LOOKS / f"{content}.jsonl"


def read_looks(path: Path) -> list[Look]:
    """The looks that a file notes, the oldest first; none where there is no such file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read ({error}), so nobody knows how often the test split was looked at"
        ) from None
    looks = []
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            looks.append(Look(str(values["study"]), frozenset(map(int, values["trials"]))))
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{path}: line {number} is damaged, so nobody knows how often the test split was looked at; put the file "
                f"back as it was, or write {_ANY_LOOK} in place of the line, which counts as a look"
            ) from None
    return looks


def read_scores(directory: Path, content: str) -> dict[int, HeldOutScore]:
    """What trials have scored on a test split, by their numbers.

    Args:
        directory: of their study.
        content: the content id of the test split.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return {
            int(number): HeldOutScore(values["metrics"], ImageCounts.from_bytes(b85decode(values["images"])))
            for number, values in _read(directory / TEST).get(content, {}).items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{directory / TEST} is damaged; put it back as it was, or move it away: then the same trials are scored again, "
            "which is no further look"
        ) from None


def write_scores(directory: Path, content: str, scores: Mapping[int, HeldOutScore]) -> None:
    """Write what :func:`read_scores` reads; what was scored on other test splits stays.

    Raises:
        OSError: it cannot be written.
    """
    of_split = {
        str(number): {"metrics": dict(score.metrics), "images": b85encode(score.images.to_bytes()).decode()}
        for number, score in scores.items()
    }
    with whole_file(directory / TEST) as partial:
        partial.write_text(json.dumps({**_read(directory / TEST), content: of_split}), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return values
