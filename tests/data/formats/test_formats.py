"""The list of formats: what is in it, and what is said where a package that a format needs is missing."""

import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.support import CHECKOUT
from tests.support.missing_package import said_without
from tests.support.volume_files import classes, intensities, write_mhd
from tune_seg.config import DataConfig
from tune_seg.format_names import FORMATS, FormatName


def test_the_names_are_those_that_a_configuration_takes() -> None:
    assert tuple(FORMATS) == get_args(FormatName)
    for name in FORMATS:
        assert DataConfig(format=name, root=Path("/")).format == name


def mhd(root: Path) -> None:
    for name in "ab":
        write_mhd(root / f"{name}.mhd", intensities(0))
        write_mhd(root / f"{name}_segmentation.mhd", classes(0))


def nifti(root: Path) -> None:
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
        (root / folder / "a.nii.gz").touch()


def coco(root: Path) -> None:
    (root / "annotations").mkdir()
    for split in ("train", "val"):
        (root / f"annotations/instances_{split}2017.json").touch()


def yolo(root: Path) -> None:
    (root / "data.yaml").write_text("{train: images, names: [a]}")


def dicom(root: Path) -> None:
    (root / "images").mkdir()
    (root / "images/a.dcm").write_bytes(bytes(128) + b"DICM")


@pytest.mark.parametrize(
    ("write", "name", "package", "extra"),
    [
        (mhd, "mhd", "SimpleITK", "volumes"),
        (mhd, "mhd", "nibabel", "volumes"),
        (nifti, "nifti", "nibabel", "volumes"),
        (dicom, "dicom", "pydicom", "volumes"),
        (coco, "coco", "pycocotools", "coco"),
        (yolo, "yolo", "pycocotools", "coco"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tmp_path: Path, write: Any, name: str, package: str, extra: str
) -> None:
    write(tmp_path)
    said = said_without(package, tmp_path)
    assert said.startswith(f"data.format {name} needs the package {package}, which cannot be imported (No module named")
    assert f'install it with: "{sys.executable}" -m pip install "{CHECKOUT}[{extra}]"' in said
    assert said.count("\n") == 1
