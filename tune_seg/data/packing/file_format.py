"""The file that a packed data set is: an Arrow IPC stream whose last record batch is empty and carries the summary.

A stream has no index at its end, so what an interrupted packing has written is whole up to its last batch, and the next
packing continues after it. The summary comes last because it is known only once every sample was written; a file that has it
is whole.

Every batch before it has the columns id, subset, group, row and column (of the first pixel of a tile in its image; null of a
whole image, and of a tile that was scaled), digest (of these, the image and the mask), picture (a digest of the
image alone; empty where it is of one colour), pixels (of each class in the mask, int64, up to the last class that it has),
counts (of the mask in its file, see :mod:`tune_seg.data.packing.counts`), image (H * W * C values, rows from the top) and
mask (H * W class indices). A subset is `train`, `val`, or the number of the fold in which the sample validates; `test` in a
pack of images that are held out, which has no other. A group is empty where the sample is one by itself.
Images and masks are bytes as they are, or each compressed: the differences between neighbours in a row, by zstd. That takes
0.55 of the bytes of a CamVid image at 224 x 224, and zstd alone 0.76; undoing it takes 0.3 ms.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tune_seg.data.dataset import IGNORE_INDEX, Image, ImageType, Mask, Sample, histogram, printable
from tune_seg.data.tiles import TilePlace, image_of
from tune_seg.errors import InputError

FORMAT_VERSION = 9
CONTENT_VERSION = 2
"""Of what is hashed. It goes up only where equal content needs another id, because a study notes the id of its data."""

SUFFIX = ".arrow"

_KEY: Final = b"tune_seg"
_CODEC: Final = "zstd"
_PIXELS: Final = "<i8"
_DIGEST_BYTES: Final = 16
_ROWS_PER_BATCH: Final = 32
_BYTES_PER_BATCH: Final = 32 * 2**20  # keeps memory flat for large images
_BYTES_BETWEEN_SAVES: Final = 64 * 2**20
"""Bytes that are written before the disk is asked to store them."""


@dataclass(frozen=True)
class Form:
    """The form that all rows have in common.

    Attributes:
        size: (H, W) in pixels.
        channels: C.
        dtype: of the images.
        compressed: whether images and masks are.
    """

    size: tuple[int, int]
    channels: int
    dtype: ImageType
    compressed: bool = False

    @property
    def row_bytes(self) -> int:
        """Of an image and its mask, uncompressed."""
        return self.size[0] * self.size[1] * (self.channels * np.dtype(self.dtype).itemsize + 1)

    @property
    def rows_per_batch(self) -> int:
        """At most."""
        return min(_ROWS_PER_BATCH, max(1, _BYTES_PER_BATCH // self.row_bytes))

    def schema(self) -> pa.Schema:
        """The columns."""
        mask_bytes = self.size[0] * self.size[1]
        return pa.schema(
            [
                ("id", pa.string()),
                ("subset", pa.string()),
                ("group", pa.string()),
                ("row", pa.int32()),
                ("column", pa.int32()),
                ("digest", pa.binary(_DIGEST_BYTES)),
                ("picture", pa.binary()),
                ("pixels", pa.binary()),
                ("counts", pa.binary()),
                ("image", pa.large_binary() if self.compressed else pa.binary(self.row_bytes - mask_bytes)),
                ("mask", pa.large_binary() if self.compressed else pa.binary(mask_bytes)),
            ],
            metadata={_KEY: json.dumps({"version": FORMAT_VERSION, "form": asdict(self)})},
        )


@dataclass(frozen=True)
class Summary:
    """A summary of the content as a whole.

    Attributes:
        content_id: the hash of the content.
        class_names: by class index.
        samples: the number of samples of each subset.
        pixels: the number of pixels of each class in each subset; ignored pixels are in none.
        image_pixels: the number of pixels, of any class, of the images of each subset in which each class occurs.
    """

    content_id: str
    class_names: tuple[str, ...]
    samples: Mapping[str, int]
    pixels: Mapping[str, tuple[int, ...]]
    image_pixels: Mapping[str, tuple[int, ...]]


class RowNames(NamedTuple):
    """What a row says of its sample in words."""

    id: str
    subset: str
    group: str
    row: int | None
    column: int | None

    @classmethod
    def of(cls, sample: Sample) -> "RowNames":
        return cls(sample.id, sample.subset, printable(sample.group), *(sample.tile or (None, None)))

    @property
    def tile(self) -> TilePlace | None:
        """Where it lies in its image, if it is a tile."""
        return None if self.row is None or self.column is None else TilePlace(image_of(self.id), self.row, self.column)


@dataclass(frozen=True)
class Row:
    """A sample as the columns hold it."""

    id: str
    subset: str
    group: str
    row: int | None
    column: int | None
    digest: bytes
    picture: bytes
    pixels: bytes
    counts: bytes
    image: bytes
    mask: bytes

    @classmethod
    def of(cls, sample: Sample, image: Image, mask: Mask, pixels: npt.NDArray[np.int64], counts: bytes, form: Form) -> "Row":
        """The row of a sample, whose arrays (H, W, C) and (H, W) are contiguous.

        With the pixels of each value of its mask (256,), and what :func:`counted` gave.
        """
        names = RowNames.of(sample)
        stored = (_stored(array, form) for array in (image, mask))
        return cls(*names, _digest(names, image, mask), _picture(image), _of_classes(pixels), counts, *stored)


class Rows:
    """The rows of a record batch: views of the mapped file, or arrays that are decompressed on access.

    Args:
        batch: the record batch.
        form: of the pack.

    Attributes:
        images: each (H, W, C).
        masks: each uint8 (H, W).
    """

    def __init__(self, batch: Any, form: Form) -> None:
        self._batch = batch
        self.images = _column(batch.column("image"), (*form.size, form.channels), form, form.dtype)
        self.masks = _column(batch.column("mask"), form.size, form, "uint8")

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def names(self) -> list[RowNames]:
        """The id, the subset, the group and the place of each row."""
        columns = (self._batch.column(name).to_pylist() for name in RowNames._fields)
        return [RowNames(*names) for names in zip(*columns, strict=True)]

    def pictures(self) -> list[bytes]:
        """The digest of the image of each row; empty where it is of one colour."""
        return self._cells("picture")

    def pixels(self, classes: int) -> npt.NDArray[np.int64]:
        """The number of pixels of each class in each mask, (rows, classes)."""
        table = np.zeros((len(self), classes), np.int64)
        for row, cell in zip(table, self._cells("pixels"), strict=True):
            counts = np.frombuffer(cell, _PIXELS)
            row[: len(counts)] = counts
        return table

    def counts(self) -> list[bytes]:
        """The counts of the mask of each row, as :func:`tune_seg.data.packing.counts.counted` gave them."""
        return self._cells("counts")

    def undamaged(self) -> list[bytes] | None:
        """The digest of each row; None if a row has changed since it was written."""
        digests = self._cells("digest")
        columns = (self.names(), self.images, self.masks, digests, self.pictures(), self._cells("pixels"))
        try:
            for names, image, mask, digest, picture, pixels in zip(*columns, strict=True):
                if _digest(names, image, mask) != digest or _picture(image) != picture:
                    return None
                if _of_classes(histogram(mask)) != pixels:
                    return None
        except (pa.ArrowException, OSError):  # what cannot be decompressed
            return None
        return digests

    def _cells(self, column: str) -> list[bytes]:
        found: list[bytes] = self._batch.column(column).to_pylist()
        return found


class PackWriter:
    """Writes rows to a file, after the batches that it already has.

    The disk stores what was written while the next rows are decoded; otherwise closing would wait for all of it.

    Args:
        path: the file.
        form: of the rows.
        end: where the batches that are kept end, in bytes; 0: there are none.
    """

    def __init__(self, path: Path, form: Form, end: int = 0) -> None:
        self._schema, self._limit = form.schema(), form.rows_per_batch
        self._rows: list[Row] = []
        os.truncate(path, end)
        self._sink = path.open("ab")
        self._saver = ThreadPoolExecutor(1)
        self._saving: Future[None] | None = None
        self._unsaved = 0
        if not end:
            self._sink.write(self._schema.serialize())

    def add(self, row: Row) -> None:
        """Write a row, as soon as there are enough for a batch."""
        self._rows.append(row)
        if len(self._rows) == self._limit:
            self._flush()

    def finish(self, summary: Summary) -> None:
        """Write the rows that are left, and the summary that makes the file whole."""
        self._flush()
        closing = pa.BufferOutputStream()
        with pa.ipc.new_stream(closing, self._schema) as writer:
            writer.write_batch(
                pa.RecordBatch.from_pylist([], schema=self._schema),
                custom_metadata={_KEY: json.dumps(asdict(summary))},
            )
        self._sink.write(closing.getvalue()[len(self._schema.serialize()) :])

    def close(self) -> None:
        """Write the rows that are left, and close the file, whole or not, once the disk has all of it.

        Raises:
            OSError: the disk did not take it; a network file system may say only now that there is no space.
        """
        try:
            self._flush()
            self._sink.flush()
            if self._saving is not None:
                self._saving.result()  # what a disk did not take it says once
            os.fsync(self._sink.fileno())
        finally:
            self._saver.shutdown()
            self._sink.close()

    def _flush(self) -> None:
        if self._rows:
            columns = [pa.array([getattr(row, field.name) for row in self._rows], field.type) for field in self._schema]
            batch = pa.record_batch(columns, schema=self._schema).serialize()
            self._sink.write(batch)
            self._rows = []
            self._unsaved += len(batch)
            if self._unsaved >= _BYTES_BETWEEN_SAVES and (self._saving is None or self._saving.done()):
                if self._saving is not None:
                    self._saving.result()
                self._sink.flush()
                self._saving, self._unsaved = self._saver.submit(os.fsync, self._sink.fileno()), 0


def open_pack(path: Path) -> tuple[Form, Summary, list[Rows]]:
    """The content of a pack; its pages are mapped, not read.

    Raises:
        InputError: there is no such file, or it is an incomplete pack or one of another version.
    """
    try:
        source, reader = _open(path)
        form = _form(path, reader)
        batches = list(_batches(reader))
        whole = source.tell() == source.size()
    except FileNotFoundError:
        raise InputError(f"{path}: no such pack; pack the data set again") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: incomplete pack ({error}); delete it and pack the data set again") from error
    if not whole:
        raise InputError(f"{path}: incomplete pack (a part of it is lost); delete it and pack the data set again")
    try:
        *rows, closing = batches
        values = json.loads(closing.custom_metadata[_KEY])
        summary = Summary(
            content_id=values["content_id"],
            class_names=tuple(values["class_names"]),
            samples=values["samples"],
            pixels={subset: tuple(counts) for subset, counts in values["pixels"].items()},
            image_pixels={subset: tuple(counts) for subset, counts in values["image_pixels"].items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: a pack without its summary; delete it and pack the data set again") from error
    return form, summary, [Rows(answer.batch, form) for answer in rows]


def unfinished(path: Path) -> tuple[Form | None, list[tuple[Rows, int]]]:
    """The form and the batches that an interrupted packing wrote, each with the byte of the file at which it ends.

    They may be damaged, which :meth:`Rows.undamaged` tells. The form is None where there is nothing.
    """
    form: Form | None = None
    found: list[tuple[Rows, int]] = []
    try:
        source, reader = _open(path)
        form = _form(path, reader)
        for answer in _batches(reader):
            answer.batch.validate(full=True)
            if answer.batch.num_rows:  # not what closes a pack
                found.append((Rows(answer.batch, form), source.tell()))
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError):
        pass  # from here on it was not written to its end, or was damaged
    return form, found


def _open(path: Path) -> tuple[Any, Any]:
    source = pa.memory_map(str(path))
    return source, pa.ipc.open_stream(source)


def _form(path: Path, reader: Any) -> Form:
    header = (reader.schema.metadata or {}).get(_KEY)
    if header is None:
        raise InputError(f"{path}: an Arrow file, but none that tune_seg packed; name a pack, or pack the data set")
    values = json.loads(header)
    if values["version"] != FORMAT_VERSION:
        raise InputError(
            f"{path}: a pack of version {values['version']}, this program reads version {FORMAT_VERSION}; "
            "delete it and pack the data set again"
        )
    form = Form(**{**values["form"], "size": tuple(values["form"]["size"])})
    if not reader.schema.equals(form.schema()):
        raise InputError(f"{path}: its columns are not those of a pack; delete it and pack the data set again")
    return form


def _batches(reader: Any) -> Iterator[Any]:
    """The record batches, each with its custom metadata."""
    while True:
        try:
            answer = reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            return
        yield answer


def _digest(names: RowNames, image: Image, mask: Mask) -> bytes:
    # without an empty group, and without a place, so that data are hashed as they were before packs had these
    digest = blake2b(json.dumps(names[:3] if names.group else names[:2]).encode(), digest_size=_DIGEST_BYTES)
    digest.update(image.data)
    digest.update(mask.data)
    return digest.digest()


def _picture(image: Image) -> bytes:
    if (image[0] == image[0, 0]).all() and (image == image[0, 0]).all():  # few go on beyond the first row
        return b""  # such as the empty slices at the end of every volume
    return sha256(image.data).digest()[:_DIGEST_BYTES]  # which processors compute twice as fast


def _of_classes(pixels: npt.NDArray[np.int64]) -> bytes:
    """The numbers of pixels of the classes, without those of the ignored pixels, of all values (256,)."""
    found = np.flatnonzero(pixels[:IGNORE_INDEX])
    return pixels[: found[-1] + 1 if len(found) else 0].astype(_PIXELS).tobytes()


def _stored(array: npt.NDArray[Any], form: Form) -> bytes:
    if not form.compressed:
        return array.tobytes()
    differences = np.diff(array, axis=1, prepend=array.dtype.type(0))  # they wrap around, and so does their sum
    return bytes(pa.compress(np.ascontiguousarray(differences), codec=_CODEC, asbytes=True))


def _column(column: Any, shape: tuple[int, ...], form: Form, dtype: ImageType) -> Sequence[npt.NDArray[Any]]:
    if form.compressed:
        return _Compressed(column, shape, dtype)
    rows = np.frombuffer(column.buffers()[1], dtype, count=len(column) * math.prod(shape))
    return rows.reshape(-1, *shape)  # type: ignore[return-value]  # an array is a sequence of its rows


class _Compressed(Sequence[npt.NDArray[Any]]):
    def __init__(self, column: Any, shape: tuple[int, ...], dtype: ImageType) -> None:
        self._column, self._shape, self._dtype = column, shape, np.dtype(dtype)

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, row: Any) -> Any:
        length = math.prod(self._shape) * self._dtype.itemsize
        raw = pa.decompress(self._column[row].as_buffer(), decompressed_size=length, codec=_CODEC)
        return np.cumsum(np.frombuffer(raw, self._dtype).reshape(self._shape), axis=1, dtype=self._dtype)
