"""Finds the classes of a data set by reading its masks."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

from tune_seg.data.dataset import printable
from tune_seg.data.labels import Labels
from tune_seg.errors import InputError

Decoded = TypeVar("Decoded")

_AHEAD = 64  # masks whose answers wait to be counted


class Scan(ABC):
    """Finds the classes by reading every mask of a data set.

    All masks are read, even where few samples are used, so that a class has the same index whatever `data.max_train` and
    `data.max_val` are. They are read once, when the labels are first needed.

    Args:
        masks: the masks.
        ignore_label: the raw value that is no class.
        folder: where the masks lie, for messages.
    """

    def __init__(self, masks: tuple[Path, ...], ignore_label: int, folder: Path) -> None:
        self._masks, self._ignore_label, self._folder = masks, ignore_label, folder
        self._labels: Labels | None = None
        self._failure: InputError | None = None
        self._threads: int | None = None  # to read with; None: as many as the cores ask for

    @property
    def masks_to_read(self) -> int:
        """The number of masks that must be read before the labels are known."""
        return len(self._masks) if self._labels is None and self._failure is None else 0

    @property
    def names(self) -> tuple[str, ...] | None:
        """The class names, where they are known without reading a mask."""
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken for granted to find the labels, once they are known."""
        return ()

    def values_in(self, mask: Path) -> frozenset[int] | None:
        """The raw values in a mask, once the labels are known; None where this scan does not know them."""
        return None

    def labels(self, progress: Callable[[int], None] | None = None) -> Labels:
        """The meaning of the raw values.

        Raises:
            InputError: the masks hold too many or too few distinct values; the same kind of it whenever it is asked.
        """
        if self._labels is None and self._failure is None:
            try:
                self._labels = self._read(progress)
            except InputError as error:
                self._failure = type(error)(printable(str(error)))
        if self._failure is not None:
            raise type(self._failure)(str(self._failure))
        assert self._labels is not None
        return self._labels

    def of_some(self, masks: set[Path]) -> Self:
        """The same for some of its masks."""
        scan = copy(self)
        scan._masks = tuple(mask for mask in self._masks if mask in masks)
        scan._labels = scan._failure = None
        return scan

    def describe(self) -> dict[str, Any]:
        """Everything that determines the labels, as a JSON value."""
        return {"masks": [stamp(mask) for mask in self._masks], "ignored": self._ignore_label}

    @abstractmethod
    def _read(self, progress: Callable[[int], None] | None) -> Labels:
        """The labels, from all masks."""

    def _each(
        self, masks: Iterable[Path], read: Callable[[Path], Decoded], progress: Callable[[int], None] | None = None
    ) -> Iterator[tuple[Path, Decoded]]:
        """What `read` gives for each mask, in order, read on all cores; few answers wait at a time."""
        waiting: deque[tuple[Path, Future[Decoded]]] = deque()
        left, done = iter(masks), 0
        with ThreadPoolExecutor(self._threads) as pool:
            try:
                while True:
                    for path in islice(left, _AHEAD - len(waiting)):
                        waiting.append((path, pool.submit(read, path)))
                    if not waiting:
                        return
                    path, answer = waiting.popleft()
                    yield path, answer.result()
                    done += 1
                    if progress is not None:
                        progress(done)
            finally:
                pool.shutdown(cancel_futures=True)

    def _unclear(self, unreadable: list[str]) -> InputError:
        # a line each: packing, which meets the same files again, names each once
        return InputError("\n".join([*unreadable, f"{self._folder}: the masks do not tell which classes there are"]))


def stamp(path: Path | None) -> tuple[str, int, int] | None:
    """The path, size and modification time of a file, which change when its content does; None where it is missing."""
    if path is None:
        return None
    try:
        stat = path.stat()
    except OSError:  # `load` says what is wrong with it
        return None
    return (str(path), stat.st_size, stat.st_mtime_ns)
