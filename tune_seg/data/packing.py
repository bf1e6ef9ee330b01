"""Packing: a data set is decoded once, in parallel, and written as one Arrow file named by its content."""

import errno
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image as pillow

from tune_seg.data.dataset import SPLITS, Dataset, Image, Mask, Sample, problems_error
from tune_seg.data.pack_format import FORMAT_VERSION, SUFFIX, Summary, open_pack, schema, write_summary
from tune_seg.errors import InputError

Progress = Callable[[int, int], None]

_ROWS_PER_BATCH = 64
_BYTES_PER_BATCH = 32 * 2**20  # keeps memory flat for large images
_BYTES_BESIDE_PIXELS = 64 * 2**10
_PARTIAL = ".partial"
_ABANDONED_SECONDS = 3600.0


def pack(dataset: Dataset, directory: Path | str, size: tuple[int, int], progress: Progress | None = None) -> Path:
    """Write `dataset` once, at one size, as an Arrow file in `directory`; the file's name is a hash of its content.

    Images are resized bilinearly with antialiasing, masks to the nearest pixel. Memory does not grow with the set.
    Where the same sources were packed before, nothing is decoded: sources are the same while their paths, sizes and
    modification times are. The file appears whole or not at all; several processes may pack the same set at once.

    Arguments:
        dataset: what :func:`tune_seg.data.read` gave.
        directory: where packs are kept; it is made if need be.
        size: (H, W) in pixels.
        progress: called as (done, in all) after each sample, in the calling thread; where the classes are not declared,
            every mask that is read to find them counts as well, before the samples.

    Returns:
        The path of the pack, for :class:`tune_seg.data.PackedData`.

    Raises:
        InputError: naming every file that is wrong, a split without a labelled pixel, a directory that cannot be
            written to, or too little space on the disk.
    """
    directory = Path(directory)
    note = directory / f"source-{_source_key(dataset, size)}.json"
    known = _recall(note)
    if known is not None:
        return known
    height, width = size
    needed = len(dataset.samples) * height * width * 4 + _BYTES_BESIDE_PIXELS
    partial = directory / f".{uuid4().hex}{_PARTIAL}"
    with _disk_errors(directory, needed):
        directory.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(directory)
        if _free(directory) < needed:
            raise _no_space(directory, needed)
        try:
            path = directory / f"{_write(dataset, partial, size, progress)}{SUFFIX}"
            if not _is_whole(path):  # one that is there stays, because running trials share its pages
                os.replace(partial, path)
            partial.write_text(json.dumps({"pack": path.name}), encoding="utf-8")
            os.replace(partial, note)
        finally:
            partial.unlink(missing_ok=True)
    return path


def _write(dataset: Dataset, partial: Path, size: tuple[int, int], progress: Progress | None) -> str:
    """Write the pack to `partial` and return its content id."""
    samples = sorted(dataset.samples, key=lambda sample: (SPLITS.index(sample.split), sample.id))
    scanned = dataset.masks_to_scan
    total = scanned + len(samples)
    class_names: tuple[str, ...] = ()
    unclear: dict[str, None] = {}  # the lines of a message, in order
    try:
        class_names = dataset.find_classes(lambda done: None if progress is None else progress(done, total))
    except InputError as error:  # what is wrong with single samples is said all the same
        unclear = dict.fromkeys(str(error).splitlines())
    digest = blake2b(digest_size=16)
    digest.update(json.dumps([FORMAT_VERSION, class_names, size]).encode())
    pixels = {split: np.zeros(len(class_names), np.int64) for split in SPLITS}
    problems: list[str] = []
    with pa.OSFile(str(partial), "wb") as sink:
        writer = pa.ipc.new_file(sink, schema(size))
        batch = _Batch(size)
        for done, (sample, answer) in enumerate(_decoded(dataset, samples, size), start=1):
            if isinstance(answer, InputError):
                problems.extend(line for line in str(answer).splitlines() if line not in unclear)
            elif not problems:  # what is bad is refused in the end, so nothing more needs writing
                image, mask = answer
                digest.update(json.dumps([sample.split, sample.id]).encode())
                digest.update(image.data)
                digest.update(mask.data)
                pixels[sample.split] += np.bincount(mask.ravel(), minlength=256)[: len(class_names)]
                batch.add(sample, image, mask)
                if batch.full or done == len(samples):
                    writer.write_batch(batch.take())
            if progress is not None:
                progress(scanned + done, total)
        problems += unclear
        if problems:
            raise problems_error(f"the data set cannot be used ({len(problems)} problems):", problems)
        for split in SPLITS:
            if not pixels[split].any():
                count = sum(sample.split == split for sample in samples)
                raise InputError(
                    f"the {split} split ({count} samples) holds no pixel with a class; check data.classes, "
                    "data.ignore_label and data.split"
                )
        content_id = digest.hexdigest()
        write_summary(
            writer,
            Summary(
                content_id,
                class_names,
                size,
                {split: sum(sample.split == split for sample in samples) for split in SPLITS},
                {split: tuple(counts.tolist()) for split, counts in pixels.items()},
            ),
        )
        writer.close()
    _flush(partial)
    return content_id


class _Batch:
    """The rows of one record batch, in buffers that are used again for the next."""

    def __init__(self, size: tuple[int, int]) -> None:
        height, width = size
        rows = min(_ROWS_PER_BATCH, max(1, _BYTES_PER_BATCH // (height * width * 4)))
        self._schema = schema(size)
        self._samples: list[Sample] = []
        self._images = np.empty((rows, height, width, 3), np.uint8)
        self._masks = np.empty((rows, height, width), np.uint8)

    @property
    def full(self) -> bool:
        return len(self._samples) == len(self._images)

    def add(self, sample: Sample, image: Image, mask: Mask) -> None:
        self._images[len(self._samples)] = image
        self._masks[len(self._samples)] = mask
        self._samples.append(sample)

    def take(self) -> Any:
        """The rows so far as a record batch that is valid until the next :meth:`add`."""
        samples, self._samples = self._samples, []
        return pa.record_batch(
            [
                pa.array([sample.id for sample in samples], pa.string()),
                pa.array([sample.split for sample in samples], pa.string()),
                self._column("image", self._images[: len(samples)]),
                self._column("mask", self._masks[: len(samples)]),
            ],
            schema=self._schema,
        )

    def _column(self, name: str, rows: npt.NDArray[np.uint8]) -> Any:
        binary = self._schema.field(name).type
        return pa.FixedSizeBinaryArray.from_buffers(binary, len(rows), [None, pa.py_buffer(rows)])


def _decoded(
    dataset: Dataset, samples: list[Sample], size: tuple[int, int]
) -> Iterator[tuple[Sample, tuple[Image, Mask] | InputError]]:
    """Every sample, in order, decoded and resized by threads (Pillow and NumPy let go of the interpreter lock)."""

    def decode(sample: Sample) -> tuple[Image, Mask] | InputError:
        try:
            return _resized(*dataset.load(sample), size)
        except InputError as error:
            return error

    workers = min(32, os.cpu_count() or 1)
    pending: deque[tuple[Sample, Future[tuple[Image, Mask] | InputError]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for sample in samples:
            pending.append((sample, pool.submit(decode, sample)))
            if len(pending) > 2 * workers:
                first, answer = pending.popleft()
                yield first, answer.result()
        for first, answer in pending:
            yield first, answer.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _resized(image: Image, mask: Mask, size: tuple[int, int]) -> tuple[Image, Mask]:
    height, width = size
    if mask.shape != size:
        image = np.asarray(pillow.fromarray(image).resize((width, height), pillow.Resampling.BILINEAR))
        mask = np.asarray(pillow.fromarray(mask).resize((width, height), pillow.Resampling.NEAREST))
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def _source_key(dataset: Dataset, size: tuple[int, int]) -> str:
    text = json.dumps([FORMAT_VERSION, size, dataset.source()])
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _recall(note: Path) -> Path | None:
    """The pack that these sources gave before, if it is still there."""
    try:
        path = note.parent / json.loads(note.read_text(encoding="utf-8"))["pack"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return path if _is_whole(path) else None


def _is_whole(path: Path) -> bool:
    try:
        _, summary = open_pack(path)
    except InputError:
        return False
    return summary.content_id == path.stem


def _clear_abandoned(directory: Path) -> None:
    """Remove what a killed process left; one that still packs writes to its file all the time."""
    for path in directory.glob(f".*{_PARTIAL}"):
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()
        except FileNotFoundError:  # another process was faster
            pass


def _flush(path: Path) -> None:
    """Force the file to the disk: a network file system may say only now that there is no space."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _disk_errors(directory: Path, needed: int) -> Iterator[None]:
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
        f"{directory}: {reason}. The packed data needs {needed} bytes ({needed / 2**20:.1f} MiB), "
        f"{_free(directory)} bytes are free there. Make space, raise the quota or the limit on file "
        "sizes, name another directory, or pack less with a smaller data.size, data.max_train and data.max_val"
    )


def _free(directory: Path) -> int:
    """Free bytes where `directory` is, or would be made."""
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if os.path.exists(path))
    return shutil.disk_usage(there).free
