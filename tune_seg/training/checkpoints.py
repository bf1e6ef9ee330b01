"""The checkpoint store: training states and metrics by the key of their trajectory, in a directory or an object store.

An entry is one file, as :func:`torch.save` writes it: the results of every epoch up to a boundary and, where a training can
go on from there, its state; or nothing but the weights that a training ended with, which may also be a file of safetensors:
then it is the same file as that of a model to use. It appears whole or not at all, carries a
checksum of each part (that of the zip format, which :func:`torch.load` does not look at), and is read without executing
code. An entry that is damaged counts as absent. Nothing here waits for, or locks out, another process: two that write the
same key write the same thing.
"""

import contextlib
import shutil
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from tune_seg.errors import InputError, first_line
from tune_seg.training.result import EpochResult

WEIGHTS = "-weights"
"""Suffix of a last key: the final weights of a training that no longer training can continue."""

_FOLDER = 0x10
"""The attribute by which the zip format tells a folder from a file."""
_SUFFIX = ".pt"
_PARTIAL = ".partial"
_WANTED = ".wanted"
_ABANDONED = {_PARTIAL: 3600.0, _WANTED: 7 * 24 * 3600.0}
"""Seconds after which files with these suffixes count as left behind."""
_EVERY_SECONDS = 10.0
_MIN_STATE_BYTES = 2**19
"""Entries below this size are results, larger ones are states."""
_MIN_FREE_FACTOR = 10
"""Last weights are stored only while the disk has at least this many times their size free."""

History = Sequence[EpochResult]


@dataclass(frozen=True)
class Checkpoint:
    """What is known at an epoch boundary.

    Attributes:
        history: the results of the epochs up to there.
        state: what the training goes on from; None where it does not go on.
    """

    history: History
    state: Mapping[str, Any] | None


@dataclass(frozen=True)
class Entry:
    """A file of the store: its key, its size in bytes, and when it was written (seconds since 1970)."""

    key: str
    size: int
    written: float


def load_weights(file: str | Path) -> Mapping[str, Any]:
    """The weights that a training ended with, by name, on the CPU: the state of its model.

    Args:
        file: what :attr:`~tune_seg.training.result.Progress.checkpoint` says: a path, or a URI in an object store.

    Raises:
        InputError: it cannot be read, it is damaged, or it holds no weights.
    """
    from safetensors.torch import load as safetensors_load

    from tune_seg.models.weights import is_safetensors

    try:
        files, path = fs.FileSystem.from_uri(str(file)) if "://" in str(file) else (fs.LocalFileSystem(), str(file))
        content = _read(files, path)
        if is_safetensors(content[:9].to_pybytes()):  # that of a model to use, see tune_seg.study.exporting
            return safetensors_load(content.to_pybytes())
        state = _checkpoint(content).state
    except FileNotFoundError:
        raise InputError(f"checkpoint {file} is not there any more; train the trial again") from None
    except Exception as error:  # whatever a damaged file makes its readers raise
        raise InputError(f"checkpoint {file} cannot be read ({first_line(error)}); train the trial again") from error
    if state is None:
        raise InputError(f"checkpoint {file} holds the results of a training and no weights; train the trial again")
    weights: Mapping[str, Any] = state["model"]
    return weights


class CheckpointStore:
    """Checkpoints by key.

    Args:
        location: a directory, which is made if need be, or the URI of an object store as Arrow reads it (`s3://bucket/path`,
            `gs://bucket/path`).

    Attributes:
        problems: what went wrong since the store was opened, a line each; nothing of it ends a training.

    Raises:
        InputError: the location cannot be used.

    Example:
        >>> store = CheckpointStore("studies/store")
        >>> store.save("3f", history=[], state=None)
        True
        >>> store.load("3f").history
        []
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.problems: list[str] = []
        try:
            if "://" in location:
                self._files, self._root = fs.FileSystem.from_uri(location)
            else:
                self._files, self._root = fs.LocalFileSystem(), location
            self._local = isinstance(self._files, fs.LocalFileSystem)
            self._files.create_dir(self._root, recursive=True)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InputError(
                f"compute.store {location}: cannot be used ({error}); name a directory that can be written, or a URI "
                f"such as s3://bucket/path with credentials that allow it"
            ) from error
        self._kept: frozenset[str] = frozenset()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._writing: Future[None] | None = None

    def file(self, key: str) -> str:
        """The path or the URI of the entry of `key`, whether it is there or not."""
        if self._local:
            return self._path(key)
        address, *query = self.location.split("?", 1)  # s3://bucket/path?region=...
        return "?".join([f"{address.rstrip('/')}/{key}{_SUFFIX}", *query])

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` that have an entry."""
        return self._existing({self._path(key): key for key in keys})

    def load(self, key: str) -> Checkpoint | None:
        """The checkpoint of `key`; None where there is none, or one that cannot be read, which is noted.

        A damaged one is removed.
        """
        try:
            content = _read(self._files, self._path(key))
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problems.append(f"checkpoint {self._path(key)} could not be read ({error}); its epochs are trained again")
            return None
        try:
            return _checkpoint(content)
        except Exception as error:  # whatever a damaged file makes its readers raise
            first, *_ = f"{type(error).__name__}: {error}".splitlines()
            self.problems.append(f"checkpoint {self._path(key)} is damaged ({first}); its epochs are trained again")
            self.remove(key)
            return None

    def save(self, key: str, history: History, state: Mapping[str, Any] | None) -> bool:
        """Write a checkpoint; whether that worked: where it did not, the reason is noted and the store is as it was."""
        written = self._write(key, history, state)
        if written:
            self._delete(self._marker(key))
        return written

    def _write(self, key: str, history: History, state: Mapping[str, Any] | None) -> bool:
        import torch

        path = self._path(key)
        partial = f"{path}.{uuid.uuid4().hex}{_PARTIAL}" if self._local else path
        try:
            # an object appears when it is complete, a file must be moved to its place
            with self._files.open_output_stream(partial) as file:
                torch.save({"history": [result.to_json() for result in history], "state": state}, file)
            if self._local:
                self._files.move(partial, path)
            return True
        except (OSError, RuntimeError) as error:  # which torch raises on top of the failed write
            reason = error.__context__ or error
            self.problems.append(f"checkpoint {path} could not be written ({reason}); the study goes on without it")
            self._delete(partial)
            return False

    def save_later(self, key: str, history: History, state: Mapping[str, Any], then: Callable[[float, bool], None]) -> None:
        """Write a checkpoint in another thread, after those before it.

        Args:
            key: as for :meth:`save`.
            history: as for :meth:`save`; not changed afterwards.
            state: the same.
            then: called there once it is written, with the seconds that it took and whether it had been asked for by then.
        """
        self.flush()  # one at a time, because each waiting state is a whole model in memory

        def write() -> None:
            started = time.perf_counter()
            if self._write(key, history, state):
                seconds, asked_for = time.perf_counter() - started, bool(self.wanted([key]))
                self._delete(self._marker(key))
                then(seconds, asked_for)

        self._writing = self._writer.submit(write)

    def want(self, key: str) -> None:
        """Ask whoever computes the state of `key` to store it."""
        with contextlib.suppress(OSError), self._files.open_output_stream(self._marker(key)):
            pass  # without the marker the state may be missing, and is computed again

    def wanted(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` whose state somebody asked for and that is not there yet."""
        return self._existing({self._marker(key): key for key in keys})

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._writing is not None and not self._writing.done()

    def flush(self) -> None:
        """Wait until everything is written."""
        if self._writing is not None:
            self._writing.result()

    def remove(self, key: str) -> None:
        """Remove an entry, if it is there."""
        self._delete(self._path(key))

    def keep(self, files: Iterable[Path]) -> None:
        """Never evict those of `files` that are entries of this store: a study may begin with the weights of another."""
        root = Path(self._root).resolve()
        paths = (file.resolve() for file in files) if self._local else ()
        self._kept = frozenset(path.name.removesuffix(_SUFFIX) for path in paths if path.parent == root)

    def affordable(self, size: int) -> bool:
        """Whether `size` bytes that only another study may need leave the store's disk far from full.

        A full disk ends a study. How much there is behind an object store is not known: there it is always affordable.
        """
        if self._local:
            with contextlib.suppress(OSError):  # that it cannot be written either is said when that is tried
                return shutil.disk_usage(self._root).free >= _MIN_FREE_FACTOR * size
        return True

    def entries(self) -> list[Entry]:
        """Everything that is stored; what a killed process left half-written is removed in time.

        Nothing where the store cannot be reached, which is noted.
        """
        try:
            infos = self._files.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
        except OSError as error:
            self.problems.append(f"the checkpoints in {self._root} could not be listed ({error})")
            return []
        found = []
        for info in infos:
            written = 0.0 if info.mtime is None else info.mtime.timestamp()
            if info.base_name.endswith(_SUFFIX):
                found.append(Entry(info.base_name.removesuffix(_SUFFIX), info.size, written))
            for suffix, age in _ABANDONED.items():
                if info.base_name.endswith(suffix) and time.time() - written > age:
                    self._delete(info.path)
        return found

    def evict(self, budget: float, uses: Callable[[str], float]) -> int:
        """Remove what is least likely to be reused until the entries take at most `budget` bytes.

        Last weights, which no trial of this study uses, go first, then states, then the results of whole trainings, which
        are thousands of times smaller. What :meth:`keep` was given stays.

        Args:
            budget: in bytes.
            uses: how often an entry is expected to be needed, by its key; among equals the oldest goes first.

        Returns:
            the number of entries removed.
        """
        entries = self.entries()
        excess = sum(entry.size for entry in entries) - budget
        removed = 0
        if excess <= 0:
            return removed

        def worth(entry: Entry) -> tuple[bool, bool, float, float]:
            return not entry.key.endswith(WEIGHTS), entry.size < _MIN_STATE_BYTES, uses(entry.key), entry.written

        for entry in sorted((entry for entry in entries if entry.key not in self._kept), key=worth):
            if excess <= 0:
                break
            self.remove(entry.key)
            excess -= entry.size
            removed += 1
        return removed

    @contextlib.contextmanager
    def within(self, budget: float, uses: Callable[[str], float], clear: Callable[[], object]) -> Iterator[None]:
        """Evict now and then in another thread, and once more at the end.

        Args:
            budget: as for :meth:`evict`.
            uses: the same.
            clear: called each time before: it removes what nobody needs, whatever the budget.
        """
        ended = threading.Event()

        def evict() -> None:
            while not ended.wait(_EVERY_SECONDS):
                clear()
                self.evict(budget, uses)

        thread = threading.Thread(target=evict, name="eviction", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            clear()
            self.evict(budget, uses)

    def _existing(self, paths: Mapping[str, str]) -> set[str]:
        """The keys of those `paths` (path to key) that are files; none where the store cannot be reached, which is noted."""
        try:
            infos = self._files.get_file_info(list(paths))
        except OSError as error:
            self.problems.append(f"the checkpoints in {self._root} could not be looked up ({error})")
            return set()
        return {key for key, info in zip(paths.values(), infos, strict=True) if info.type == fs.FileType.File}

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}{_SUFFIX}"

    def _marker(self, key: str) -> str:
        return f"{self._root}/{key}{_WANTED}"

    def _delete(self, path: str) -> None:
        with contextlib.suppress(OSError):  # it is gone already, or the next eviction tries again
            self._files.delete_file(path)


def _read(files: fs.FileSystem, path: str) -> pa.Buffer:
    with files.open_input_file(path) as file:
        return file.read_buffer()


def _checkpoint(content: pa.Buffer) -> Checkpoint:
    """What the content of a file says; a damaged one makes its readers raise all kinds of exceptions."""
    import torch  # here, because the process that steers a study only lists and removes

    with zipfile.ZipFile(pa.BufferReader(content)) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"wrong checksum of {damaged}")
        # the table of contents has no checksum, and of what it calls a folder torch reads nothing: the tensor is any numbers
        if folders := [each.filename for each in archive.infolist() if each.external_attr & _FOLDER]:
            raise ValueError(f"{folders[0]} is marked as a folder")
    values = torch.load(pa.BufferReader(content), map_location="cpu", weights_only=True)
    return Checkpoint([EpochResult.from_json(result) for result in values["history"]], values["state"])
