"""Data sets: read one as it was published, pack it once, and draw its batches in every trial.

Example:
    >>> from tune_seg.config import AugmentationConfig, DataConfig
    >>> from tune_seg.data import PackedData, batches, pack, read
    >>> path = pack(read(DataConfig(size=(64, 96))), "packs", (64, 96))
    >>> data = PackedData(path)
    >>> how = AugmentationConfig()
    >>> drawn = batches(data.val, epoch=0, seed=0, batch_size=8, augmentation=how, device="cpu", train=False)
    >>> images, target = next(drawn)
    >>> images.shape, target.shape
    (torch.Size([8, 3, 64, 96]), torch.Size([8, 64, 96]))

Reading and packing need no torch; what does is imported when it is first asked for, so that a command which only reads
starts in a fraction of the time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tune_seg.data.dataset import IGNORE_INDEX, Dataset, Sample
from tune_seg.data.packing.packed import PackedData, Split
from tune_seg.data.packing.write import pack
from tune_seg.data.reading import read
from tune_seg.data.synthetic import SyntheticDataset

if TYPE_CHECKING:
    from tune_seg.data.loading.augmentation import augment, draw
    from tune_seg.data.loading.batches import batches, feature_batches, steps_per_epoch

__all__ = [
    "IGNORE_INDEX",
    "Dataset",
    "PackedData",
    "Sample",
    "Split",
    "SyntheticDataset",
    "augment",
    "batches",
    "draw",
    "feature_batches",
    "pack",
    "read",
    "steps_per_epoch",
]

_NEEDS_TORCH = {
    "augment": "tune_seg.data.loading.augmentation",
    "batches": "tune_seg.data.loading.batches",
    "draw": "tune_seg.data.loading.augmentation",
    "feature_batches": "tune_seg.data.loading.batches",
    "steps_per_epoch": "tune_seg.data.loading.batches",
}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_TORCH[name]), name)
