"""Samples decoded, resized and counted on all cores, in order."""

import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Final

import numpy as np
import numpy.typing as npt

from tune_seg._child import Child
from tune_seg.data.cores import available_cores
from tune_seg.data.dataset import Dataset, Image, Mask, Sample, histogram
from tune_seg.data.packing.counts import counted
from tune_seg.data.packing.file_format import Form, Row
from tune_seg.data.packing.resizing import placed, resized
from tune_seg.errors import InputError

_MAX_CORES_FOR_THREADS: Final = 2
"""Up to this number of cores processes are no faster than threads, because they must start and hand over their images."""

Decoded = tuple[Row, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Decoder:
    """Decodes, resizes and counts a sample; errors are returned, so that all of them are reported at once."""

    dataset: Dataset
    form: Form

    def __call__(self, sample: Sample) -> Decoded | InputError:
        try:
            return self.row(sample, *self.dataset.load(sample))
        except InputError as error:
            return error

    def row(self, sample: Sample, image: Image, mask: Mask) -> Decoded:
        """The row of a sample that was loaded, and how many of its pixels have each value.

        Raises:
            InputError: it is of another kind than the others.
        """
        of_file, size, how = self.dataset.of_file(sample, mask), self.form.size, self.dataset.resize
        image, mask = resized(*_checked((image, mask), sample, self.form), size, how)
        used, filled = placed(of_file.shape, size, how)
        pixels = histogram(mask)
        return Row.of(sample, image, mask, pixels, counted(of_file, mask[filled], used), self.form), pixels


def decoded(dataset: Dataset, samples: Sequence[Sample], form: Form) -> Iterator[Decoded | InputError]:
    """Every sample, in order, decoded on all cores: by threads, unless decoding holds the interpreter lock."""
    workers = available_cores()
    decoder = Decoder(dataset, form)
    with ExitStack() as stack:
        decode: Callable[[Sample], Decoded | InputError] = decoder
        if dataset.holds_lock and workers > _MAX_CORES_FOR_THREADS:
            decode = stack.enter_context(closing(_Processes(decoder, workers)))
        pool = ThreadPoolExecutor(workers)
        stack.callback(pool.shutdown, cancel_futures=True)
        pending: deque[Future[Decoded | InputError]] = deque()
        for sample in samples:
            pending.append(pool.submit(decode, sample))
            if len(pending) > 2 * workers + form.rows_per_batch:  # what is decoded while a batch is written
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class _Processes:
    """Decodes in processes: as many samples at once as there are, for as many threads that call it.

    Each process gets the data set once, and a sample at a time.
    """

    def __init__(self, decoder: Decoder, count: int) -> None:
        decoder = replace(decoder, dataset=replace(decoder.dataset, samples=()))
        self._all = [Child(_serve, decoder) for _ in range(count)]
        self._free: SimpleQueue[Child] = SimpleQueue()
        for child in self._all:
            self._free.put(child)

    def __call__(self, sample: Sample) -> Decoded | InputError:
        child = self._free.get()
        try:
            child.connection.send(sample)
            answer: Decoded | Exception = child.connection.recv()
        except (EOFError, OSError) as error:
            raise InputError(
                "a process that decodes images ended before its time, most likely for lack of memory; free memory and run "
                "the same command again, which goes on from here"
            ) from error
        finally:
            self._free.put(child)
        if isinstance(answer, Exception) and not isinstance(answer, InputError):
            raise answer
        return answer

    def close(self) -> None:
        """End the processes."""
        for child in self._all:
            child.kill()


def _serve(connection: Connection, decoder: Decoder) -> None:
    """What each process does until the connection ends."""
    while True:
        try:
            sample = connection.recv()
        except (EOFError, OSError):
            return
        answer: Decoded | Exception
        try:
            answer = decoder(sample)
        except Exception:  # not every exception can be pickled
            answer = RuntimeError(traceback.format_exc())
        connection.send(answer)


def _checked(loaded: tuple[Image, Mask], sample: Sample, form: Form) -> tuple[Image, Mask]:
    image, _ = loaded
    if image.shape[2] != form.channels or image.dtype != form.dtype:
        raise InputError(
            f"{sample.image or sample.id}: an image of {image.shape[2]} channels of {image.dtype}, in a data set of "
            f"{form.channels} channels of {form.dtype}; all images must be of one kind"
        )
    return loaded
