"""NIfTI volumes with label volumes: the Decathlon, nnU-Net, BraTS, KiTS, LiTS, ACDC, two folders, or pairs of files."""

from pathlib import Path

from tune_seg.config import DataConfig
from tune_seg.data.formats._volume_pairs import Words, has_volumes
from tune_seg.data.formats._volume_sets import read_files
from tune_seg.data.volumes.dataset import VolumeDataset
from tune_seg.data.volumes.nifti_file import SUFFIXES

LAYOUT = (
    "imagesTr/, labelsTr/; or images/, labels/ (or masks/); or NAME.nii.gz with NAME_seg.nii.gz (_label, _segmentation, "
    "_mask, _gt), volume-N.nii with segmentation-N.nii, or CASE/imaging.nii.gz with CASE/segmentation.nii.gz"
)

_WORDS = Words("labels", "(no label volume has its name); add them or move it elsewhere", "labels without a volume")


def looks_like(root: Path) -> bool:
    """Whether two folders hold NIfTI files, or volumes lie beside their labels in the folder or in one of it."""
    return has_volumes(root, SUFFIXES)


def read_nifti(root: Path, config: DataConfig) -> VolumeDataset:
    """The data set under `root`: the slices of every volume, one patient a volume unless names tell.

    Files NAME_0000, NAME_0001, ... or NAME_flair, NAME_t1, ... are the channels of one volume, and so is the fourth
    dimension of a file. A dataset.json in the root names the classes.

    Raises:
        InputError: as :func:`~tune_seg.data.formats._volume_sets.read_files`.
    """
    return read_files(root, config, SUFFIXES, _WORDS, LAYOUT)
