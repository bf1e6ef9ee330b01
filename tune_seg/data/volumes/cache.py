"""The volumes in work: each is decoded once for all of its slices, and the next ones ahead of time."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import NamedTuple

from tune_seg.data.dataset import Image
from tune_seg.data.images.pictures import Raw

_MAX_VALUES_AHEAD = 2**27
"""The number of intensities that may be decoded ahead. Each takes about 10 bytes while it is decoded, and one afterwards."""


class Slices(NamedTuple):
    """A volume ready to be taken apart: images (S, H, W, C), raw masks (S, H, W)."""

    images: Image
    masks: Raw


@dataclass
class _Entry:
    answer: Future[Slices]
    taken: int = 0


class VolumeCache:
    """A few volumes, each decoded once: by the first thread that asks, for which the others wait, or ahead of time.

    A volume is dropped when all of its slices were taken, so that none is left after packing. A copy in another process
    starts empty.

    Args:
        ahead: the number of volumes decoded ahead. Two more are kept: packing takes the slices in order.
    """

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self._volumes: OrderedDict[Path, _Entry] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["VolumeCache"], tuple[int]]:
        return VolumeCache, (self.ahead,)

    def __len__(self) -> int:
        return len(self._volumes)

    def get(self, key: Path, times: int, decode: Callable[[], Slices]) -> Slices:
        """What `decode` gives for `key`, or gave before; it will be asked for `times` times in all.

        Raises:
            InputError: as `decode` does, the first time and every other.
        """
        entry, is_new = self._enter(key)
        if is_new:
            _settle(entry.answer, decode)
        slices = entry.answer.result()
        with self._lock:
            entry.taken += 1
            if entry.taken == times and self._volumes.get(key) is entry:
                del self._volumes[key]
        return slices

    def expect(self, key: Path, decode: Callable[[], Slices]) -> None:
        """Start to decode, in a new thread, a volume that will soon be asked for."""
        entry, is_new = self._enter(key)
        if is_new:
            Thread(target=_settle, args=(entry.answer, decode), daemon=True).start()

    def _enter(self, key: Path) -> tuple[_Entry, bool]:
        """The entry of `key`, and whether the caller must decode it."""
        with self._lock:
            known = self._volumes.get(key)
            entry = _Entry(Future()) if known is None else known
            self._volumes[key] = entry
            self._volumes.move_to_end(key)
            while len(self._volumes) > self.ahead + 2:
                self._volumes.popitem(last=False)
        return entry, known is None


def _settle(answer: Future[Slices], decode: Callable[[], Slices]) -> None:
    try:
        answer.set_result(decode())
    except BaseException as error:  # whoever waits must hear of it
        answer.set_exception(error)


def volumes_ahead(values: int, cores: int) -> int:
    """The number of volumes to decode ahead: enough to keep all cores busy, as far as memory allows.

    Args:
        values: the intensities of the largest volume.
        cores: of the machine.
    """
    return min(cores - 1, max(1, _MAX_VALUES_AHEAD // values))
