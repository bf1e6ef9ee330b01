"""The file that holds a study's trials: Optuna's journal, kept by the one process that has the study directory."""

import errno
import io
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, overload

from optuna.storages.journal import BaseJournalBackend

from tune_seg.errors import InputError
from tune_seg.study.files import ANOTHER_NAME
from tune_seg.study.record import SummedHistory, replayed_of, seconds_of
from tune_seg.training.result import EpochResult

_BLOCK = 2**16


class StoredHistory(SummedHistory):
    """The epochs of a trial as a line of the journal holds them; all but the last are read when they are asked for.

    Args:
        journal: the file.
        offset: where the line begins.
        history: the epochs.
    """

    def __init__(self, journal: Path, offset: int, history: Sequence[EpochResult]) -> None:
        self._journal = journal
        self._offset = offset
        self._length = len(history)
        self._last = history[-1] if history else None
        self.seconds = seconds_of(history)
        self.replayed = replayed_of(history)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> EpochResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[EpochResult]: ...
    def __getitem__(self, index: int | slice) -> EpochResult | list[EpochResult]:
        if index in (-1, self._length - 1) and self._last is not None:
            return self._last
        return self._read()[index]

    def __iter__(self) -> Iterator[EpochResult]:
        return iter(self._read())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._read() == list(other)

    def _read(self) -> list[EpochResult]:
        with open(self._journal, "rb") as file:
            file.seek(self._offset)
            return read_history(json.loads(file.readline())["user_attr"]["outcome"]["history"])


def read_history(values: Iterable[Mapping[str, Any]]) -> list[EpochResult]:
    """The epochs of a line."""
    return [EpochResult.from_json(value) for value in values]


class StudyJournal(BaseJournalBackend):
    """Keeps the lines that `optuna.storages.journal.JournalFileBackend` would, for one process instead of many.

    That class takes a lock file, waits for the disk and reads the file's end for every change. Here a change is written at
    once, so that the end of the process loses none; the disk is waited for (:meth:`sync`) in a thread, so a power loss may
    take the last moments.

    The results of a trial's epochs, all that grows large, stay in the file: in what Optuna holds in memory, the list
    `history` of the attribute `outcome` is a :class:`StoredHistory`.

    Args:
        path: the file, made where it is missing. Part of a line at its end, which a full disk or a power loss has left, is
            cut off: Optuna would reject the whole file for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _drop_torn_line(path)
        self._file = path.open("ab", buffering=0)
        self._unread: deque[tuple[int, bytes]] | None = None
        self._size = self._file.seek(0, os.SEEK_END)
        self._torn = False
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._synced: Future[None] | None = None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Each change that was not read yet: those of the file first, then those appended.

        Raises:
            InputError: a trial was written by a version that this one cannot read.
        """
        if self._unread is None:
            self._unread = deque()
            with open(self._path, "rb") as file:
                offset = 0
                for line in file:
                    yield _log(self._path, offset, line)
                    offset += len(line)
        while self._unread:
            yield _log(self._path, *self._unread.popleft())

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write changes to the file, each in full or not at all.

        Raises:
            OSError: the disk is full, or cannot be written for another reason.
        """
        for log in logs:
            line = json.dumps(log, separators=(",", ":")).encode() + b"\n"
            self._write(line)
            if self._unread is not None:
                self._unread.append((self._size, line))
            self._size += len(line)

    def sync(self) -> None:
        """Have what was written so far brought to the disk in a while.

        Raises:
            OSError: what came before could not be written to the disk.
        """
        if self._synced is not None:
            if not self._synced.done():
                return  # the next change of a trial asks again
            self._synced.result()
        self._synced = self._syncer.submit(os.fsync, self._file.fileno())

    def close(self) -> None:
        """Bring everything to the disk; nothing can be appended afterwards."""
        if not self._file.closed:
            self._syncer.shutdown()
            os.fsync(self._file.fileno())
            self._file.close()

    def _write(self, line: bytes) -> None:
        if self._torn:
            raise OSError(
                errno.EIO, "it ends with part of a line; the next start of the study cuts that off", str(self._path)
            )
        try:
            written = self._file.write(line)
            while written is not None and written < len(line):  # a disk that is nearly full takes a part, then fails
                line = line[written:]
                written = self._file.write(line)
        except OSError:
            self._drop_part()
            raise

    def _drop_part(self) -> None:
        """Take back what was written of a line; whatever followed it would be lost with it."""
        try:
            self._file.truncate(self._size)
        except OSError:
            self._torn = True


class JournalReader(BaseJournalBackend):
    """Reads the file of a study that another process may be running: it changes nothing.

    Args:
        path: the file. Part of a line at its end, which may be about to be written, is not read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The changes from a number on.

        Raises:
            InputError: a trial was written by a version that this one cannot read.
        """
        with open(self._path, "rb") as file:
            offset = 0
            for number, line in enumerate(file):
                if number >= log_number_from and line.endswith(b"\n"):
                    yield _log(self._path, offset, line)
                offset += len(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refuse.

        Raises:
            io.UnsupportedOperation: always, as a reader changes nothing.
        """
        raise io.UnsupportedOperation(f"{self._path} is only read here")


def _log(path: Path, offset: int, line: bytes) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(line)
    outcome = log.get("user_attr", {}).get("outcome")
    if outcome is not None:
        history = outcome["history"]
        try:
            outcome["history"] = StoredHistory(path, offset, read_history(history))
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{path}: it was written by another version of tune_seg, whose scores mean something else or "
                f"are called differently ({error!r}); begin a new study under {ANOTHER_NAME}"
            ) from None
    return log


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with open(path, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        file.truncate(end)
