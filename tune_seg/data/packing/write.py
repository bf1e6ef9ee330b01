"""Packing: a data set is decoded once, in parallel, and written as one Arrow file named by its content.

What an interrupted packing has written stays, under a hidden name, and the next call continues after it.
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import SPLITS, TEST, Dataset, Sample, histogram, problems_error
from tune_seg.data.packing.counts import Counts, restored
from tune_seg.data.packing.decoding import decoded
from tune_seg.data.packing.disk import PARTIAL, claimed, clear_abandoned, disk_errors, free_bytes
from tune_seg.data.packing.file_format import (
    CONTENT_VERSION,
    FORMAT_VERSION,
    SUFFIX,
    Form,
    PackWriter,
    RowNames,
    Rows,
    Summary,
    open_pack,
    unfinished,
)
from tune_seg.data.packing.origin import Origin, origin_path, read_origin, write_origin
from tune_seg.data.packing.resizing import resize_notes
from tune_seg.errors import InputError

Progress = Callable[[int, int], None]

_BYTES_BESIDE_PIXELS: Final = 64 * 2**10
_MAX_SHARE_OF_FREE_DISK = 0.5
"""The largest share of a disk's free bytes that a pack may take; a larger pack is compressed."""


def pack(dataset: Dataset, directory: Path | str, size: tuple[int, int], progress: Progress | None = None) -> Path:
    """Write `dataset` once, at one size, as an Arrow file in `directory`; the file's name is a hash of its content.

    Images are resized bilinearly with antialiasing, masks to the nearest pixel, in the way that `dataset.resize` says.
    Memory does not grow with the set. Where the pack would take more than half of the free disk, its images are compressed
    without loss; the content, and so its name, are the same.

    Where the same sources were packed before, nothing is decoded, and where packing them was interrupted (Ctrl-C, a killed
    process), only the samples that are missing. Sources are the same as long as their paths, sizes and modification times
    are. The file appears whole or not at all; of several processes that pack the same set at once, one does.

    Args:
        dataset: what :func:`tune_seg.data.read` gave, or :func:`tune_seg.data.read_test`.
        directory: where packs are kept; it is made if need be.
        size: (H, W) in pixels.
        progress: called as (done, in all) after each sample, in the calling thread; where the classes are not declared,
            every mask that is read to find them counts as well, before the samples.

    Returns:
        The path of the pack, for :class:`tune_seg.data.PackedData` or :class:`tune_seg.data.PackedTest`.

    Raises:
        InputError: naming every file that is wrong, a split or a fold without a labelled pixel, a directory that cannot be
            written to, too little space on the disk, or a process that decodes and was killed.
    """
    directory = Path(directory)
    key = _source_key(dataset, size)
    note = origin_path(directory, key)
    known = _recall(note)
    if known is not None:
        return known
    form = Form(size, dataset.channels, dataset.dtype)
    needed = len(dataset.samples) * form.row_bytes + _BYTES_BESIDE_PIXELS
    with disk_errors(directory, needed):
        directory.mkdir(parents=True, exist_ok=True)
        clear_abandoned(directory)
        with claimed(directory / f".{key}{PARTIAL}") as partial:
            known = _recall(note)  # another process may have packed it while this one waited
            if known is not None:
                partial.unlink()
                return known
            form = replace(form, compressed=needed > _MAX_SHARE_OF_FREE_DISK * free_bytes(directory))
            try:
                tally = _write(dataset, partial, form, progress)
            except OSError:
                partial.unlink(missing_ok=True)
                raise
            path = directory / f"{tally.content_id}{SUFFIX}"
            # before the pack is there, so that whoever waits for it finds both
            notes = (*dataset.notes, *dataset.split_notes, *dataset.notes_at(size), *resize_notes(dataset, size))
            write_origin(note, Origin(path.name, notes, tally.counts(), dataset.intensity_rule))
            if _is_whole(path):  # one that is there stays, because running trials share its pages
                partial.unlink()
            else:
                os.replace(partial, path)
    return path


def _write(dataset: Dataset, partial: Path, form: Form, progress: Progress | None) -> "_Tally":
    """Write the pack to `partial`, after what it already holds, and return what was counted."""
    samples = [_as_packed(sample, dataset, form.size) for sample in sorted(dataset.samples, key=lambda s: s.place)]
    scanned = dataset.masks_to_scan

    def tell(done: int) -> None:
        if progress is not None:
            progress(done, scanned + len(samples))

    class_names: tuple[str, ...] = ()
    unclear: dict[str, None] = {}  # the lines of a message, in order
    try:
        class_names = dataset.find_classes(tell)
    except InputError as error:  # what is wrong with single samples is said all the same
        unclear = dict.fromkeys(str(error).splitlines())
    kept, batches = unfinished(partial)
    if kept is not None and replace(kept, compressed=form.compressed) == form:
        form = kept  # the space on the disk may have been another
    else:
        batches = []
    tally = _Tally(form, class_names, samples)
    done, end = 0, 0
    for rows, stop in batches:
        if not _taken_over(rows, samples[done : done + len(rows)], tally):
            break
        done, end = done + len(rows), stop
        tell(scanned + done)
    problems: list[str] = []
    with closing(PackWriter(partial, form, end)) as writer:
        for answer in decoded(dataset, samples[done:], form):
            if isinstance(answer, InputError):
                problems.extend(line for line in str(answer).splitlines() if line not in unclear and line not in problems)
            elif not problems:  # packing will end with an error, so nothing more needs writing
                row, pixels = answer
                writer.add(row)
                tally.add(row.subset, row.digest, pixels, restored(row.counts))
            done += 1
            tell(scanned + done)
        try:
            _reject([*problems, *unclear], tally)
        except InputError:
            partial.unlink()
            raise
        writer.finish(tally.summary())
    return tally


def _as_packed(sample: Sample, dataset: Dataset, size: tuple[int, int]) -> Sample:
    """A sample without its place in an image where it is scaled: the pack would have it in other pixels."""
    return replace(sample, tile=None) if sample.tile is not None and dataset.shape(sample) != size else sample


def _taken_over(rows: Rows, samples: Sequence[Sample], tally: "_Tally") -> bool:
    """Count rows that were written before, if they are those of `samples` and undamaged; whether they are."""
    digests = rows.undamaged()
    counts = [restored(cell) for cell in rows.counts()]
    if (
        digests is None
        or any(each is None for each in counts)
        or rows.names() != [RowNames.of(sample) for sample in samples]
    ):
        return False
    for sample, digest, mask, of_file in zip(samples, digests, rows.masks, counts, strict=True):
        tally.add(sample.subset, digest, histogram(mask), of_file)
    return True


def _reject(problems: Sequence[str], tally: "_Tally") -> None:
    if problems:
        raise problems_error(f"the data set cannot be used ({len(problems)} problems):", problems)
    for subset, pixels in tally.pixels.items():
        # where there are folds, the samples that are in none need not be any
        if not pixels.any() and (subset != "train" or "val" in tally.pixels):
            what = f"fold {subset}" if subset.isdecimal() else f"the {subset} split"
            raise InputError(
                f"{what} ({tally.samples[subset]} samples) holds no pixel with a class; check data.classes, "
                "data.ignore_label and data.split"
            )


class _Tally:
    """Counts and hashes the rows of a pack.

    Args:
        form: of the pack.
        class_names: by class index.
        samples: all of them.
    """

    def __init__(self, form: Form, class_names: tuple[str, ...], samples: Sequence[Sample]) -> None:
        folds = {sample.fold for sample in samples if sample.fold is not None}
        subsets: tuple[str, ...] = ("train", *map(str, sorted(folds))) if folds else SPLITS
        if any(sample.split == TEST for sample in samples):
            subsets = (TEST,)
        self.samples = dict.fromkeys(subsets, 0)
        self.pixels = {subset: np.zeros(len(class_names), np.int64) for subset in subsets}
        self._image_pixels = {subset: np.zeros(len(class_names), np.int64) for subset in subsets}
        self._of_files = {subset: np.zeros((2**8, 2), np.int64) for subset in subsets}
        self._class_names = class_names
        self._digest = blake2b(digest_size=16)
        self._digest.update(json.dumps([CONTENT_VERSION, class_names, form.size, form.channels, form.dtype]).encode())

    def add(self, subset: str, digest: bytes, pixels: npt.NDArray[np.int64], of_file: npt.NDArray[np.int64] | None) -> None:
        """Take a row into account, with the number of its pixels of each value, and of those of its file. Order matters."""
        self._digest.update(digest)
        self.samples[subset] += 1
        of_classes = pixels[: len(self._class_names)]
        self.pixels[subset] += of_classes
        self._image_pixels[subset] += (of_classes > 0) * of_classes.sum()
        if of_file is not None:
            self._of_files[subset] += of_file

    def counts(self) -> dict[str, Counts]:
        """Of the masks in their files, by subset."""
        return {subset: Counts.of(counts, len(self._class_names)) for subset, counts in self._of_files.items()}

    @property
    def content_id(self) -> str:
        return self._digest.hexdigest()

    def summary(self) -> Summary:
        pixels, image_pixels = (
            {subset: tuple(counts.tolist()) for subset, counts in counted.items()}
            for counted in (self.pixels, self._image_pixels)
        )
        return Summary(self.content_id, self._class_names, self.samples, pixels, image_pixels)


def _source_key(dataset: Dataset, size: tuple[int, int]) -> str:
    divided = [(sample.fold, sample.group) for sample in dataset.samples]
    text = json.dumps([FORMAT_VERSION, size, dataset.resize, dataset.channels, dataset.dtype, divided, dataset.source()])
    return blake2b(text.encode(), digest_size=16).hexdigest()


def packed_origin(dataset: Dataset, directory: Path | str, size: tuple[int, int]) -> Origin | None:
    """What was found out about the files when :func:`pack` packed them with the same arguments; None where it did not."""
    return read_origin(origin_path(Path(directory), _source_key(dataset, size)))


def _recall(note: Path) -> Path | None:
    """The pack that these sources gave before, if it is still there."""
    origin = read_origin(note)
    path = None if origin is None else note.parent / origin.pack
    return path if path is not None and _is_whole(path) else None


def _is_whole(path: Path) -> bool:
    try:
        _, summary, _ = open_pack(path)
    except InputError:
        return False
    return summary.content_id == path.stem
