"""The file that a packed data set is: an Arrow IPC file whose last record batch is empty and carries the summary.

Every batch before it has the columns id, split, image (H * W * 3 bytes, RGB rows from the top) and mask (H * W bytes of
class indices); the training samples come first. The summary stands at the end because it is known only once every
sample was written, and its presence says that the file is whole.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tune_seg.data.dataset import SplitName
from tune_seg.errors import InputError

FORMAT_VERSION = 1
SUFFIX = ".arrow"
_KEY = b"tune_seg"


@dataclass(frozen=True)
class Summary:
    """What is known about the content as a whole.

    Arguments:
        content_id: the hash that the content is known by.
        class_names: by class index.
        size: (H, W) in pixels.
        samples: the number of samples of each split.
        pixels: the number of pixels of each class in each split; ignored pixels are in none.
    """

    content_id: str
    class_names: tuple[str, ...]
    size: tuple[int, int]
    samples: dict[SplitName, int]
    pixels: dict[SplitName, tuple[int, ...]]


def schema(size: tuple[int, int]) -> pa.Schema:
    """The columns for images of `size` (H, W)."""
    height, width = size
    return pa.schema(
        [
            ("id", pa.string()),
            ("split", pa.string()),
            ("image", pa.binary(height * width * 3)),
            ("mask", pa.binary(height * width)),
        ],
        metadata={_KEY: json.dumps({"version": FORMAT_VERSION})},
    )


def write_summary(writer: Any, summary: Summary) -> None:
    """Write the closing record batch to the `pyarrow.ipc.RecordBatchFileWriter`."""
    columns = schema(summary.size)
    writer.write_batch(pa.RecordBatch.from_pylist([], schema=columns), custom_metadata={_KEY: json.dumps(asdict(summary))})


def open_pack(path: Path) -> tuple[Any, Summary]:
    """The `pyarrow.ipc.RecordBatchFileReader` over the memory-mapped file, and the summary.

    Raises:
        InputError: there is no such file, or it is not a whole pack of this version.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except FileNotFoundError:
        raise InputError(f"{path}: no such pack; pack the data set again") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a whole pack ({error}); delete it and pack the data set again") from error
    header = (reader.schema.metadata or {}).get(_KEY)
    if header is None:
        raise InputError(f"{path}: an Arrow file, but none that tune_seg packed; name a pack, or pack the data set")
    version = json.loads(header)["version"]
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: a pack of version {version}, this program reads version {FORMAT_VERSION}; "
            "delete it and pack the data set again"
        )
    try:
        closing = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1).custom_metadata
        values = json.loads(closing[_KEY])
        return reader, Summary(
            content_id=values["content_id"],
            class_names=tuple(values["class_names"]),
            size=tuple(values["size"]),
            samples=values["samples"],
            pixels={split: tuple(counts) for split, counts in values["pixels"].items()},
        )
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: a pack without its summary; delete it and pack the data set again") from error
