"""MetaImage and NRRD volumes: CaseNN.mhd with CaseNN_segmentation.mhd as PROMISE12 has them, or in the layouts of NIfTI."""

from pathlib import Path

from tune_seg.config import DataConfig
from tune_seg.data.formats._volume_pairs import Words, has_volumes
from tune_seg.data.formats._volume_sets import read_files
from tune_seg.data.volumes import nifti_file, volume_file
from tune_seg.data.volumes.dataset import VolumeDataset
from tune_seg.data.volumes.itk_file import SUFFIXES

LAYOUT = (
    "NAME.mhd (.mha, .nrrd) with NAME_segmentation.mhd (_seg, _label, .seg.nrrd), in the folder or in folders of it; or in "
    "the folders of nifti"
)

_WORDS = Words(
    "a segmentation",
    "(no {name}_segmentation{ending} beside it); add it, or move the volume elsewhere",
    "a segmentation without a volume; it belongs beside NAME as NAME_segmentation",
)


def looks_like(root: Path) -> bool:
    """Whether volumes with segmentations lie there, of which one or the other is MetaImage or NRRD."""
    if has_volumes(root, SUFFIXES):
        return True
    return has_volumes(root, volume_file.SUFFIXES) and not has_volumes(root, nifti_file.SUFFIXES)


def read_mhd(root: Path, config: DataConfig) -> VolumeDataset:
    """The data set under `root`: the slices of every volume, one patient a volume unless names tell.

    Where all are MetaImage or NRRD, NIfTI files are passed over; else images or segmentations may be NIfTI.

    Raises:
        InputError: as :func:`~tune_seg.data.formats._volume_sets.read_files`.
    """
    suffixes = SUFFIXES if has_volumes(root, SUFFIXES) else volume_file.SUFFIXES
    return read_files(root, config, suffixes, _WORDS, LAYOUT)
