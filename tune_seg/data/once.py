"""What several samples share, such as a volume or a large image: decoded once for all of them, and ahead of time."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Generic, TypeVar

from tune_seg.data.dataset import Sample

Key = TypeVar("Key", bound=Hashable)
Decoded = TypeVar("Decoded")

_MAX_VALUES_AHEAD = 2**27
"""The number of intensities that may be decoded ahead. Each takes about 10 bytes while it is decoded, and one afterwards."""


@dataclass
class _Entry(Generic[Decoded]):
    answer: Future[Decoded]
    taken: int = 0


class DecodedOnce(Generic[Key, Decoded]):
    """A few things, each decoded once: by the first thread that asks, for which the others wait, or ahead of time.

    One is dropped when all of its samples were taken, so that none is left after packing. A copy in another process starts
    empty.

    Args:
        ahead: the number of things decoded ahead. Two more are kept: packing takes the samples in order.
    """

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self._kept: OrderedDict[Key, _Entry[Decoded]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> "tuple[type[DecodedOnce[Key, Decoded]], tuple[int]]":
        return type(self), (self.ahead,)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key, times: int, decode: Callable[[], Decoded]) -> Decoded:
        """What `decode` gives for `key`, or gave before; it will be asked for `times` times in all.

        Raises:
            InputError: as `decode` does, the first time and every other.
        """
        entry, is_new = self._enter(key)
        if is_new:
            _settle(entry.answer, decode)
        decoded = entry.answer.result()
        with self._lock:
            entry.taken += 1
            if entry.taken == times and self._kept.get(key) is entry:
                del self._kept[key]
        return decoded

    def expect(self, key: Key, decode: Callable[[], Decoded]) -> None:
        """Start to decode, in a new thread, what will soon be asked for."""
        entry, is_new = self._enter(key)
        if is_new:
            Thread(target=_settle, args=(entry.answer, decode), daemon=True).start()

    def _enter(self, key: Key) -> tuple[_Entry[Decoded], bool]:
        """The entry of `key`, and whether the caller must decode it."""
        with self._lock:
            known = self._kept.get(key)
            entry: _Entry[Decoded] = _Entry(Future()) if known is None else known
            self._kept[key] = entry
            self._kept.move_to_end(key)
            while len(self._kept) > self.ahead + 2:
                self._kept.popitem(last=False)
        return entry, known is None


def _settle(answer: Future[Decoded], decode: Callable[[], Decoded]) -> None:
    try:
        answer.set_result(decode())
    except BaseException as error:  # whoever waits must hear of it
        answer.set_exception(error)


def decoded_ahead(values: int, cores: int) -> int:
    """How many things to decode ahead: enough to keep all cores busy, as far as memory allows.

    Args:
        values: the intensities of the largest.
        cores: of the machine.
    """
    return min(cores - 1, max(1, _MAX_VALUES_AHEAD // values))


def following(samples: Iterable[Sample], key: Callable[[Sample], Key], ahead: int) -> dict[Sample, tuple[Key, ...]]:
    """By the first sample of each key, the keys that follow it in the order of packing, at most `ahead`.

    Whoever asks for that sample is likely to go on to them.
    """
    first: dict[Key, Sample] = {}
    for sample in sorted(samples, key=lambda sample: sample.place):
        first.setdefault(key(sample), sample)
    keys = tuple(first)
    return {sample: keys[number : number + ahead] for number, sample in enumerate(first.values(), start=1)}
