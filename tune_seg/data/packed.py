"""A packed data set as every trial sees it: a file mapped into memory, shared by all processes that map it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import SPLITS, SplitName
from tune_seg.data.pack_format import open_pack
from tune_seg.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


class PackedData:
    """A data set that :func:`tune_seg.data.pack` wrote.

    Nothing is read before it is needed, and the pages that are belong to the file: any number of processes on one
    machine hold them once. Pickling passes the path on.

    Arguments:
        path: what `pack` returned.

    Attributes:
        class_names: by class index.
        size: (H, W) in pixels.
        content_id: the same for equal content, wherever it came from.
        train_pixels, val_pixels: int64 (C,), the number of pixels of each class in each split that are not ignored.
        frequencies: float64 (C,), the share of each class in the training pixels that are not ignored.
        train, val: the two splits.

    Raises:
        InputError: there is no such file, or it is not a whole pack.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._reader, summary = open_pack(self.path)
        self.class_names = summary.class_names
        self.size = summary.size
        self.content_id = summary.content_id
        self.train_pixels: npt.NDArray[np.int64] = np.array(summary.pixels["train"], np.int64)
        self.val_pixels: npt.NDArray[np.int64] = np.array(summary.pixels["val"], np.int64)
        self.frequencies: npt.NDArray[np.float64] = self.train_pixels / self.train_pixels.sum()
        height, width = self.size
        self._images: list[npt.NDArray[np.uint8]] = []
        self._masks: list[npt.NDArray[np.uint8]] = []
        for number in range(self._reader.num_record_batches - 1):
            batch = self._reader.get_batch(number)
            self._images.append(_rows(batch.column("image"), (height, width, 3)))
            self._masks.append(_rows(batch.column("mask"), (height, width)))
        # every batch but the last holds the same number of rows
        self._rows_per_batch = len(self._images[0])
        if sum(map(len, self._images)) != sum(summary.samples.values()):
            raise InputError(f"{self.path}: a pack that lacks samples; delete it and pack the data set again")
        self.train = Split(self, "train", 0, summary.samples["train"])
        self.val = Split(self, "val", summary.samples["train"], summary.samples["val"])

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def __reduce__(self) -> tuple[Callable[[Path], "PackedData"], tuple[Path]]:
        return (PackedData, (self.path,))

    def row(self, number: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Read-only views of an image (H, W, 3) and a mask (H, W) in the mapped file."""
        batch, row = divmod(number, self._rows_per_batch)
        return self._images[batch][row], self._masks[batch][row]


class Split:
    """The training or the validation samples of a :class:`PackedData`, numbered from 0."""

    def __init__(self, data: PackedData, name: SplitName, first: int, length: int) -> None:
        self.data, self.name, self._first, self._length = data, name, first, length

    def __len__(self) -> int:
        return self._length

    def __reduce__(self) -> tuple[Callable[[PackedData, SplitName], "Split"], tuple[PackedData, SplitName]]:
        return (_split_of, (self.data, self.name))

    def gather(self, indices: Sequence[int] | npt.NDArray[np.integer]) -> "tuple[Tensor, Tensor]":
        """Copies of the samples `indices`: images uint8 (B, H, W, 3) and masks uint8 (B, H, W).

        Raises:
            IndexError: an index below 0, or not below `len(self)`.
        """
        return self._copies(indices, 0), self.masks(indices)

    def masks(self, indices: Sequence[int] | npt.NDArray[np.integer]) -> "Tensor":
        """Copies of the masks alone, uint8 (B, H, W)."""
        return self._copies(indices, 1)

    def _copies(self, indices: Sequence[int] | npt.NDArray[np.integer], part: Literal[0, 1]) -> "Tensor":
        import torch  # here, because a process that only asks what a pack holds need not wait for it

        copies = torch.empty((len(indices), *self.data.size, *((3,) if part == 0 else ())), dtype=torch.uint8)
        rows = copies.numpy()
        for row, index in enumerate(indices):
            if not 0 <= index < self._length:
                raise IndexError(f"sample {index} of a {self.name} split of {self._length}")
            rows[row] = self.data.row(self._first + int(index))[part]
        return copies


def _split_of(data: PackedData, name: SplitName) -> Split:
    return dict(zip(SPLITS, (data.train, data.val), strict=True))[name]


def _rows(column: object, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The fixed-size binary column as an array (rows, *shape) over the mapped bytes."""
    bytes_of_column = column.buffers()[1]  # type: ignore[attr-defined]  # pyarrow has no type hints
    return np.frombuffer(bytes_of_column, np.uint8, count=len(column) * int(np.prod(shape))).reshape(-1, *shape)  # type: ignore[arg-type]
