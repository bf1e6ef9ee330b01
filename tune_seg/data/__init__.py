"""Data sets: read one as it was published, pack it once, and draw its batches in every trial.

Example:
    >>> from tempfile import TemporaryDirectory
    >>> from tune_seg.config import AugmentationConfig
    >>> from tune_seg.data import PackedData, batches, pack, read
    >>> with TemporaryDirectory() as packs:
    ...     data = PackedData(pack(read(size=(64, 96), max_train=8, max_val=4), packs, (64, 96)))
    ...     for images, target in batches(
    ...         data.train, epoch=0, seed=0, batch_size=8, augmentation=AugmentationConfig(), device="cpu", train=True
    ...     ):
    ...         print(tuple(images.shape), tuple(target.shape))
    (8, 3, 64, 96) (8, 64, 96)

Each name is imported when it is first asked for: reading and packing need no torch, and the configuration, which needs only
the names of the formats, needs neither.
"""

from typing import TYPE_CHECKING, Final

from tune_seg._lazy import lazy

if TYPE_CHECKING:
    from tune_seg.data.dataset import IGNORE_INDEX, Dataset, Sample
    from tune_seg.data.loading.augmentation import augment, draw
    from tune_seg.data.loading.batches import batches, feature_batches
    from tune_seg.data.packing.packed import PackedData, PackedTest, Split
    from tune_seg.data.packing.write import pack
    from tune_seg.data.reading import read, read_test
    from tune_seg.data.synthetic import SyntheticDataset
    from tune_seg.schedules import steps_per_epoch

__all__ = [
    "IGNORE_INDEX",
    "Dataset",
    "PackedData",
    "PackedTest",
    "Sample",
    "Split",
    "SyntheticDataset",
    "augment",
    "batches",
    "draw",
    "feature_batches",
    "pack",
    "read",
    "read_test",
    "steps_per_epoch",
]

_HOMES: Final = {
    "IGNORE_INDEX": "tune_seg.data.dataset",
    "Dataset": "tune_seg.data.dataset",
    "PackedData": "tune_seg.data.packing.packed",
    "PackedTest": "tune_seg.data.packing.packed",
    "Sample": "tune_seg.data.dataset",
    "Split": "tune_seg.data.packing.packed",
    "SyntheticDataset": "tune_seg.data.synthetic",
    "augment": "tune_seg.data.loading.augmentation",
    "batches": "tune_seg.data.loading.batches",
    "draw": "tune_seg.data.loading.augmentation",
    "feature_batches": "tune_seg.data.loading.batches",
    "pack": "tune_seg.data.packing.write",
    "read": "tune_seg.data.reading",
    "read_test": "tune_seg.data.reading",
    "steps_per_epoch": "tune_seg.schedules",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
