"""The folder of packs on a disk: who writes there, what killed processes left, and what the disk does not take."""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from tune_seg._posix import fcntl
from tune_seg.errors import InputError

PARTIAL: Final = ".partial"
"""The suffix of files that are being written."""
_ABANDONED_SECONDS: Final = 7 * 24 * 3600.0


@contextmanager
def claimed(partial: Path) -> Iterator[Path]:
    """The file to write, locked for this process; where there are no locks, a new file that no other process knows."""
    while True:
        file = partial.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # not every file system has locks
            file.close()
            partial.unlink(missing_ok=True)
            own = partial.with_name(f".{uuid4().hex}{PARTIAL}")
            own.touch()
            yield own
            return
        with file:
            try:
                same = os.path.samestat(os.fstat(file.fileno()), partial.stat())
            except FileNotFoundError:
                same = False
            if same:  # whoever held it before did not finish it, or remove it
                yield partial
                return


def clear_abandoned(directory: Path) -> None:
    """Remove the files of killed processes; a file that is still being packed is recent."""
    for path in directory.glob(f".*{PARTIAL}*"):
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()
        except FileNotFoundError:  # another process was faster
            pass


@contextmanager
def disk_errors(directory: Path, needed: int) -> Iterator[None]:
    """Errors of the disk as ones that say what to do, where `needed` bytes are written into `directory`.

    Raises:
        InputError: there is no space, or it may not be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_space(directory, needed, os.strerror(error.errno)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise InputError(
                f"{directory}: cannot write the packed data there ({os.strerror(error.errno)}); "
                "name a directory that you may write to"
            ) from error
        raise


def _no_space(directory: Path, needed: int, reason: str = "not enough space") -> InputError:
    return InputError(
        f"{directory}: {reason}. The packed data needs {needed} bytes ({needed / 2**20:.1f} MiB) uncompressed, "
        f"{free_bytes(directory)} bytes are free there. Make space, raise the quota or the limit on file "
        "sizes, name another directory, or pack less with a smaller data.size, data.max_train and data.max_val"
    )


def free_bytes(directory: Path) -> int:
    """Free bytes where `directory` is, or would be made."""
    return shutil.disk_usage(existing(directory)).free


def existing(directory: Path) -> Path:
    """`directory`, or the nearest folder above it that is there."""
    return next(path for path in (directory.absolute(), *directory.absolute().parents) if os.path.exists(path))
