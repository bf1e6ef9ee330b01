"""The files of volumes: their names, the class numbers in masks, and errors in reading them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tune_seg.data.dataset import printable, problems_error
from tune_seg.errors import InputError

Found = TypeVar("Found")

_EXTENSION = re.compile(r"(\.nii\.gz|(?<=.)\.[^.]*)$", re.IGNORECASE)
_POINTER = b"version https://git-lfs"


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turns whatever a library raises over a damaged file into an InputError that names the file."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        reject_pointer(path)
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        raise InputError(printable(f"{path}: cannot be read as {what} ({reason}); is it damaged or truncated?")) from error


def reject_pointer(path: Path) -> None:
    """Raises an InputError if Git LFS left a pointer in the place of the file."""
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise InputError(printable(f"{path}: a pointer of Git LFS, not the file; fetch it with: git lfs pull"))


def stem(path: Path) -> str:
    """The name of a file without its extension; `.nii.gz` is one."""
    return _EXTENSION.sub("", path.name)


def by_name(files: Iterable[Path]) -> dict[str, Path]:
    """The files of a folder by name without extension.

    Raises:
        InputError: two of them have one.
    """
    named: dict[str, Path] = {}
    for path in files:
        other = named.setdefault(stem(path), path)
        if other is not path:
            raise InputError(f"{path} and {other.name} have one name, so it is not clear which to read; take one elsewhere")
    return named


def visible(folder: Path) -> list[Path]:
    """The content of a folder, sorted, without hidden files such as those that macOS adds to archives."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def collected(answers: Sequence[Found | str], where: Path) -> list[Found]:
    """The answers, unless some are problems.

    Raises:
        InputError: one line for each problem; what several volumes have in common is said once.
    """
    problems = list(dict.fromkeys(answer for answer in answers if isinstance(answer, str)))
    if problems:
        raise problems_error(f"{where}: the volumes cannot be used ({len(problems)} problems):", problems)
    return [answer for answer in answers if not isinstance(answer, str)]
