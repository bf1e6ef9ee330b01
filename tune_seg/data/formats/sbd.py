"""The Semantic Boundaries Dataset: img/, cls/*.mat, train.txt and val.txt (Hariharan et al. 2011)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tune_seg.config import DataConfig
from tune_seg.data.formats._pascal import CLASS_NAMES, VOID, home_of, listed, listed_split, samples_of
from tune_seg.data.groups import GroupOptions, grouped
from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.images.files import FileDataset
from tune_seg.data.labels import declared
from tune_seg.data.options import read_options
from tune_seg.data.splitting import divide
from tune_seg.errors import InputError

LAYOUT = "img/, cls/, train.txt, val.txt, or the folder above, dataset/"

_HOMES = ("", "dataset", "benchmark_RELEASE/dataset")
_FOLDERS = ("img", "cls")


class SbdOptions(GroupOptions):
    """`data.options` of SBD."""

    leave_out: Path | None = None
    """A file that lists images which do not train, one a line; relative to the root. Name VOC's `val.txt` to compare models
    on VOC's validation images, some of which are among SBD's training images. null: all train."""


@dataclass(frozen=True)
class MatFiles:
    """Masks in MATLAB files: the field Segmentation of the variable GTcls."""

    def read(self, path: Path, part: int | None = None) -> Raw:
        """The class numbers of a file, uint8 or uint16 (H, W).

        Raises:
            InputError: it cannot be read, or it holds no such mask.
        """
        from scipy.io import loadmat

        try:
            values = loadmat(path, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
        except MemoryError:
            raise
        except Exception as error:  # the reader raises whatever it met in the damaged bytes
            reason = f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
            raise InputError(f"{path}: no GTcls.Segmentation can be read from it ({reason}); is it damaged?") from error
        if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind != "u" or values.itemsize > 2:
            raise InputError(f"{path}: GTcls.Segmentation is not rows and columns of class numbers; is it of cls/?")
        return values


def looks_like(root: Path) -> bool:
    """Whether the folders are there, or in dataset/ or benchmark_RELEASE/dataset/."""
    return home_of(root, _HOMES, _FOLDERS) is not None


def read_sbd(root: Path, config: DataConfig) -> FileDataset:
    """The data set under `root`: background and twenty classes; 8,498 images train and 2,857 validate.

    Raises:
        InputError: a file is missing, a list is empty, an image is in both lists, or as
            :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, SbdOptions)
    home = home_of(root, _HOMES, _FOLDERS)
    assert home is not None
    left_out: set[str] = set()
    if options.leave_out is not None:
        left_out.update(listed(root / options.leave_out.expanduser()))
    train, val = listed_split(home)
    kept = [name for name in train if name not in left_out]
    published = [
        *samples_of(kept, home / "train.txt", home / "img", home / "cls", ".mat", "train"),
        *samples_of(val, home / "val.txt", home / "img", home / "cls", ".mat", "val"),
    ]
    return FileDataset(
        divide(grouped(published, options.group), config.split, root),
        declared(config.classes or CLASS_NAMES, config.ignore_label, VOID),
        masks=MatFiles(),
    )
