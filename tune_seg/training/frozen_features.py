"""What a frozen encoder makes of each image of a split: computed once, kept in a file beside the pack.

The file is mapped into memory, as the pack is: the trials on one machine share its pages, and later studies find it. An
image's features are those of the image alone, in a batch of one, so that they are the same to the last bit wherever they
come from.
"""

import json
import logging
import os
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tune_seg._posix import fcntl
from tune_seg.config import AugmentationConfig
from tune_seg.data import PackedData, Split, batches
from tune_seg.data.loading.transfer import send
from tune_seg.models import FrozenEncoder
from tune_seg.training.code_identity import code_identity
from tune_seg.training.memory import available_memory
from tune_seg.training.trajectory import cpu_kind

_MAGIC: Final = b"tuneseg1"
_ALIGNMENT: Final = 64
_UNUSED: Final = 7 * 24 * 3600.0
"""Seconds after which a file that nobody has used is removed."""
_DISK_SHARE: Final = 0.5
"""The share of a disk's free bytes that a file may take; larger features are kept in memory."""
_MEMORY_SHARE: Final = 0.25
"""The share of available memory, or of free GPU memory, that features may take; larger ones are computed each time."""

_logger = logging.getLogger(__name__)
_verified: set[tuple[Path, int, int]] = set()


@dataclass(frozen=True)
class _Kind:
    """One of an encoder's features: its shape (H, W, C) for an image, its type, and whether the logits depend on it."""

    shape: tuple[int, int, int]
    dtype: str
    used: bool

    @property
    def bytes(self) -> int:
        """Of one image; only what is used is kept."""
        return int(np.prod(self.shape)) * getattr(torch, self.dtype).itemsize if self.used else 0


def model_id(description: str, encoder: FrozenEncoder) -> str:
    """The identity of a model by what it is, beside its encoder's weights, and by these."""
    digest = blake2b(description.encode(), digest_size=16)
    for value in encoder.encoder.state_dict().values():
        digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


class Features:
    """The features of the images of a split, by their numbers.

    They are computed, or the file is opened, when they are first asked for. Those that the logits do not depend on are
    zeros of the right shape.

    Args:
        encoder: the frozen encoder, on `device`.
        data: the packed data.
        split: `data.train` or `data.val`.
        augmentation: how images are normalised.
        device: where the features are computed and wanted.
        autocast: the context that they are computed in.
        model_id: the identity of the model and of its encoder's weights: others have other files.

    Example:
        >>> features = Features(encoder, data, data.val, AugmentationConfig(), device=device,
        ...                     autocast=nullcontext(), model_id=model_id("Unet resnet18", encoder))  # doctest: +SKIP
        >>> features(np.array([3, 1]))  # doctest: +SKIP
        [tensor of shape (2, 64, 32, 32), ...]
    """

    def __init__(
        self,
        encoder: FrozenEncoder,
        data: PackedData,
        split: Split,
        augmentation: AugmentationConfig,
        *,
        device: torch.device,
        autocast: AbstractContextManager[None],
        model_id: str,
    ) -> None:
        self._encoder, self._data, self._split, self._augmentation = encoder, data, split, augmentation
        self._device, self._autocast, self._model_id = device, autocast, model_id
        self._kinds: list[_Kind] = []
        self._arrays: list[Tensor] | None = None

    def __call__(self, indices: npt.NDArray[np.integer]) -> list[Tensor]:
        """The features (B, C_i, H_i, W_i) of the images `indices`, in channels_last memory format, on the device."""
        with torch.inference_mode(False), torch.no_grad():
            if not self._kinds:
                self._open()
            if self._arrays is None:
                rows = [self._row(int(index)) for index in indices]
                used = [torch.stack(each) for each in zip(*rows, strict=True)]
            else:
                chosen = torch.from_numpy(np.asarray(indices, np.int64))
                used = [
                    array.index_select(0, chosen if array.device.type == "cpu" else send(chosen, array.device))
                    for array in self._arrays
                ]
            remaining = iter(used)
            return [self._placed(kind, len(indices), next(remaining) if kind.used else None) for kind in self._kinds]

    def _placed(self, kind: _Kind, batch: int, rows: Tensor | None) -> Tensor:
        if rows is None:  # one number for all
            rows = torch.zeros((), dtype=getattr(torch, kind.dtype), device=self._device).expand(batch, *kind.shape)
        elif rows.device.type != self._device.type:
            rows = send(rows, self._device)
        return rows.permute(0, 3, 1, 2)

    def _open(self) -> None:
        path = self._data.path.with_name(f"{self._data.path.stem}-{self._key()}.features")
        with _lock(path) as held:
            if not self._read(path):
                if held:
                    for left in path.parent.glob(f".{path.name}.*.partial"):  # by a process that was killed
                        left.unlink(missing_ok=True)
                self._compute(path)
        if self._arrays and self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            if sum(array.nbytes for array in self._arrays) <= _MEMORY_SHARE * free:
                self._arrays = [array.to(self._device) for array in self._arrays]

    def _key(self) -> str:
        """Says all that the features depend on."""
        with self._autocast:
            enabled = torch.is_autocast_enabled(self._device.type)
        what = [
            self._data.content_id,
            self._data.fold,
            self._split.name,
            self._model_id,
            self._augmentation.normalisation(self._data.channels),
            self._device.type,
            enabled,
            code_identity(),
            # another number of threads, or other instructions, add in another order
            *((torch.get_num_threads(), cpu_kind()) if self._device.type == "cpu" else ()),
        ]
        return blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()

    def _remove_unused(self) -> None:
        """Remove what other models, or this package before it was changed, have left of the pack and not used for days."""
        for path in self._data.path.parent.glob(f"{self._data.path.stem}-*.features"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _UNUSED:
                    path.unlink()  # whoever has mapped it keeps it

    def _read(self, path: Path) -> bool:
        try:
            kinds, arrays = _load(path, len(self._split))
            with suppress(OSError):  # where somebody else's files are read
                os.utime(path)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError) as error:
            _logger.warning("%s is damaged (%s): its features are computed again", path, error)
            return False
        self._kinds, self._arrays = kinds, arrays
        return True

    def _compute(self, path: Path) -> None:
        first = self._features(0)
        with self._autocast:
            used = self._encoder.features_in_use(first)
        self._kinds = [
            _Kind((feature.shape[2], feature.shape[3], feature.shape[1]), str(feature.dtype).removeprefix("torch."), each)
            for feature, each in zip(first, used, strict=True)
        ]
        rows = len(self._split)
        size = _size(self._kinds, rows)
        partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
        try:
            if size <= _DISK_SHARE * shutil.disk_usage(path.parent).free:
                memory = _create(partial, size)
                arrays = _views(memory, self._kinds, rows)
                self._fill(arrays, first)
                _finish(partial, memory, self._kinds, rows)
                os.replace(partial, path)
                self._remove_unused()
                self._arrays = arrays
                return
        except OSError as error:
            _logger.warning("%s cannot be written (%s): the features are not shared", path, error)
        finally:
            partial.unlink(missing_ok=True)
        if size <= _MEMORY_SHARE * available_memory():
            arrays = _views(torch.empty(size, dtype=torch.uint8), self._kinds, rows)
            self._fill(arrays, first)
            self._arrays = arrays

    def _fill(self, arrays: list[Tensor], first: list[Tensor]) -> None:
        for index in range(len(self._split)):
            row = self._used(first) if index == 0 else self._row(index)
            for array, feature in zip(arrays, row, strict=True):
                array[index] = feature

    def _row(self, index: int) -> list[Tensor]:
        """The used features (H_i, W_i, C_i) of one image."""
        return self._used(self._features(index))

    def _used(self, features: list[Tensor]) -> list[Tensor]:
        return [feature[0].permute(1, 2, 0) for feature, kind in zip(features, self._kinds, strict=True) if kind.used]

    def _features(self, index: int) -> list[Tensor]:
        (batch,) = batches(
            self._split,
            epoch=0,
            seed=0,
            batch_size=1,
            augmentation=self._augmentation,
            device=self._device,
            train=False,
            indices=np.array([index]),
        )
        with self._autocast:
            return self._encoder.features(batch[0])


def _aligned(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT


def _size(kinds: list[_Kind], rows: int) -> int:
    return sum(_aligned(rows * kind.bytes) for kind in kinds)


def _views(memory: Tensor, kinds: list[_Kind], rows: int) -> list[Tensor]:
    """The arrays (rows, H, W, C) of the features in use, one after the other in uint8 `memory`."""
    arrays, start = [], 0
    for kind in kinds:
        if kind.used:
            part = memory[start : start + rows * kind.bytes]
            arrays.append(part.view(getattr(torch, kind.dtype)).view(rows, *kind.shape))
        start += _aligned(rows * kind.bytes)
    return arrays


def _create(path: Path, size: int) -> Tensor:
    """A file of `size` bytes, mapped.

    Raises:
        OSError: there is no space for it.
    """
    with path.open("wb") as file:
        if sys.platform == "linux":
            os.posix_fallocate(file.fileno(), 0, size)  # a mapped page for which there is no space would end the process
        else:
            file.truncate(size)
    return torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8)


def _finish(path: Path, memory: Tensor, kinds: list[_Kind], rows: int) -> None:
    """Append the footer: what the arrays are, the footer's length, and a mark."""
    footer = json.dumps(
        {"kinds": [asdict(kind) for kind in kinds], "rows": rows, "checksum": zlib.crc32(memory.numpy().data)}
    ).encode()
    with path.open("ab") as file:
        file.write(footer + len(footer).to_bytes(8, "little") + _MAGIC)
        file.flush()
        os.fsync(file.fileno())


def _load(path: Path, rows: int) -> tuple[list[_Kind], list[Tensor]]:
    """The arrays of a whole file, mapped.

    Raises:
        OSError: it cannot be read, or is not there.
        ValueError, KeyError, TypeError: it is not whole.
    """
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - 16))
        footer_length, magic = int.from_bytes(file.read(8), "little"), file.read(8)
        size = length - 16 - footer_length
        if magic != _MAGIC or size < 0:
            raise ValueError("it does not end as it should")
        file.seek(size)
        footer = json.loads(file.read(footer_length))
    kinds = [_Kind(tuple(kind["shape"]), kind["dtype"], kind["used"]) for kind in footer["kinds"]]
    if footer["rows"] != rows or size != _size(kinds, rows):
        raise ValueError("its length is wrong")
    memory = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
    identity = (path, path.stat().st_mtime_ns, size)
    if identity not in _verified:  # once in a process, not in each of its trials
        if zlib.crc32(memory.numpy().data) != footer["checksum"]:
            raise ValueError("its checksum is wrong")
        _verified.add(identity)
    return kinds, _views(memory, kinds, rows)


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Hold `path` for this process, so that no two compute the same; whether it is held: not every file system has locks."""
    with ExitStack() as stack:
        held = False
        with suppress(OSError):
            lock = stack.enter_context(path.with_name(f".{path.name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = True
        yield held
