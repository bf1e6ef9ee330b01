"""The formats in which data sets are published, by name; it needs neither torch nor the readers.

To add one, write a file in `data/formats` with `LAYOUT`, `looks_like(root)` and a reader that takes the root and the
configuration, and add its name here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Literal

from tune_seg._package import how_to_install
from tune_seg.errors import InputError

FormatName = Literal[
    "camvid", "cityscapes", "voc", "sbd", "coco", "panoptic", "mhd", "nifti", "dicom", "nnunet", "folder", "yolo", "rle"
]


@dataclass(frozen=True)
class FormatSpec:
    """A format: its reader, and the packages that it needs.

    Args:
        reader: the function that reads a root, as `module:function`.
        options: the keys of `data.options`, as `module:class`.
        packages: what it imports beside the packages that tune_seg always installs.
        extra: the extra of tune_seg that installs `packages`.
    """

    reader: str
    options: str
    packages: tuple[str, ...] = ()
    extra: str = ""


_VOLUMES = "tune_seg.data.volumes.options:VolumeOptions"

FORMATS: Mapping[FormatName, FormatSpec] = MappingProxyType(
    {
        "camvid": FormatSpec("tune_seg.data.formats.camvid:read_camvid", "tune_seg.data.formats.camvid:CamVidOptions"),
        "cityscapes": FormatSpec(
            "tune_seg.data.formats.cityscapes:read_cityscapes", "tune_seg.data.formats.cityscapes:CityscapesOptions"
        ),
        "voc": FormatSpec("tune_seg.data.formats.voc:read_voc", "tune_seg.data.formats.voc:VocOptions"),
        "sbd": FormatSpec("tune_seg.data.formats.sbd:read_sbd", "tune_seg.data.formats.sbd:SbdOptions"),
        "coco": FormatSpec(
            "tune_seg.data.formats.coco:read_coco", "tune_seg.data.formats.coco:CocoOptions", ("pycocotools.mask",), "coco"
        ),
        "panoptic": FormatSpec(
            "tune_seg.data.formats.panoptic:read_panoptic", "tune_seg.data.formats.panoptic:PanopticOptions"
        ),
        "mhd": FormatSpec("tune_seg.data.formats.mhd:read_mhd", _VOLUMES, ("SimpleITK", "nibabel"), "volumes"),
        "nifti": FormatSpec("tune_seg.data.formats.nifti:read_nifti", _VOLUMES, ("nibabel",), "volumes"),
        "dicom": FormatSpec("tune_seg.data.formats.dicom.reader:read_dicom", _VOLUMES, ("pydicom",), "volumes"),
        "nnunet": FormatSpec("tune_seg.data.formats.nnunet:read_nnunet", "tune_seg.data.formats.nnunet:NnunetOptions"),
        "folder": FormatSpec("tune_seg.data.formats.folder:read_folder", "tune_seg.data.formats.folder:FolderOptions"),
        # after the folder: where there are masks as pictures too, these are read
        "yolo": FormatSpec(
            "tune_seg.data.formats.yolo:read_yolo", "tune_seg.data.formats.yolo:YoloOptions", ("pycocotools.mask",), "coco"
        ),
        "rle": FormatSpec("tune_seg.data.formats.rle:read_rle", "tune_seg.data.formats.rle:RleOptions"),
    }
)
"""The formats of files. A root that looks like several is read as the first of them, so special ones come before general
ones."""


def need_packages(name: FormatName, *more: str) -> None:
    """Import the packages that a format needs.

    Args:
        name: the format.
        more: packages that only some of its files need.

    Raises:
        InputError: one of them cannot be imported; the message names the command that installs it.
    """
    extra = FORMATS[name].extra
    for package in (*FORMATS[name].packages, *more):
        try:
            import_module(package)
        except ImportError as error:
            raise InputError(
                f"data.format {name} needs the package {package.partition('.')[0]}, which cannot be imported ({error}); "
                f"{how_to_install(extra)}"
            ) from error
