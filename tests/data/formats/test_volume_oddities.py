"""Volumes with something wrong in them: refused in plain words, or read and said; no library speaks for itself."""

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.dicom_files import save, save_pngs, segmentation, slices
from tests.support.volume_files import Array, classes, config, intensities, levels, loaded, read_volume, write_nifti
from tune_seg.data import read
from tune_seg.errors import InputError


def niftis(root: Path, edit: Callable[[bytearray], None] = lambda _: None) -> None:
    """Two volumes whose files are changed byte by byte."""
    for seed, name in enumerate("ab"):
        for path, array in ((f"{name}.nii.gz", intensities(seed)), (f"{name}_seg.nii.gz", classes(seed))):
            write_nifti(root / path, array)
            content = bytearray(gzip.decompress((root / path).read_bytes()))
            edit(content)
            (root / path).write_bytes(gzip.compress(bytes(content)))


def dicoms(root: Path, **attributes: Any) -> None:
    for seed, name in enumerate("ab"):
        paths = save(root / "images" / name, slices(intensities(seed), patient=name, **attributes))
        save_pngs(root / "masks" / name, classes(seed), [path.stem for path in paths])


def assert_read(root: Path) -> None:
    images, masks = read_volume(root, "a")
    assert np.array_equal(images[..., 0], levels(intensities(0)))
    assert np.array_equal(masks, classes(0))


def test_a_header_without_the_size_of_voxels_is_said_once_for_all_files(tmp_path: Path, capfd: Any) -> None:
    def edit(content: bytearray) -> None:
        struct.pack_into("<3f", content, 80, 0, 0, 0)

    niftis(tmp_path, edit)
    dataset = read(config(tmp_path))
    assert_read(tmp_path)
    said = [note for note in dataset.notes if "pixdim" in note]
    assert said == [
        "Headers with something wrong in them (nibabel: pixdim[1,2,3] should be non-zero; setting 0 dims to 1): "
        "a.nii.gz, a_seg.nii.gz, b.nii.gz and 1 more"
    ]
    assert capfd.readouterr() == ("", "")


def test_voxels_that_would_begin_within_the_header_are_refused(tmp_path: Path) -> None:
    niftis(tmp_path, lambda content: struct.pack_into("<f", content, 108, 0.0))
    with pytest.raises(InputError, match=r"a\.nii\.gz: by its header \(vox_offset\) the voxels begin at byte 0"):
        read(config(tmp_path))


def test_an_affine_of_zeros_is_refused_without_a_warning_of_numpy(tmp_path: Path, recwarn: Any) -> None:
    niftis(tmp_path, lambda content: struct.pack_into("<12f", content, 280, *[0.0] * 12))
    with pytest.raises(InputError, match=r"a\.nii\.gz: its affine \[\[0, 0, 0, 0\].* does not span a volume"):
        read(config(tmp_path))
    assert not recwarn.list


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    niftis(tmp_path)
    write_nifti(tmp_path / "a.nii.gz", (intensities(0) * (1 + 1j)).astype(np.complex64))
    with pytest.raises(InputError, match=r"a\.nii\.gz: complex numbers; write their magnitude"):
        read(config(tmp_path))


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_a_pipe_in_place_of_a_volume_is_refused_and_not_waited_for(tmp_path: Path, ending: str) -> None:
    niftis(tmp_path)
    for path in tmp_path.iterdir():
        path.rename(path.with_name(path.name.replace(".nii.gz", ending)))
    (tmp_path / f"a{ending}").unlink()
    os.mkfifo(tmp_path / f"a{ending}")
    with pytest.raises(InputError, match=rf"a\{ending}: not a file but a pipe"):
        read(config(tmp_path, format="nifti" if "nii" in ending else "mhd"))


def test_labels_that_turned_negative_are_called_what_they_are(tmp_path: Path) -> None:
    niftis(tmp_path)
    write_nifti(tmp_path / "a_seg.nii.gz", (classes(0) * np.uint8(255)).astype(np.int8))
    with pytest.raises(InputError, match=r"values from -2 to 0 of signed 8 bits, in which 128 to 255 turn negative"):
        read_volume(tmp_path, "a")


@pytest.mark.parametrize(("dtype", "unknown"), [(np.int16, -1), (np.int32, -1024), (np.float32, -1), (np.float32, np.nan)])
def test_negative_numbers_and_nan_in_labels_are_ignored_and_their_share_is_said(
    tmp_path: Path, dtype: Any, unknown: float
) -> None:
    niftis(tmp_path)
    labels = classes(0).astype(dtype)
    labels[:, :3] = unknown
    write_nifti(tmp_path / "a_seg.nii.gz", labels)
    dataset = read(config(tmp_path))
    assert dataset.class_names == ("background", "class 1", "class 2")
    expected = classes(0)
    expected[:, :3] = 255
    assert np.array_equal(loaded(dataset, "a")[1], expected)
    # a quarter of one volume of two
    assert any(note == "negative numbers and nan in the masks are ignored: 12.5 % of the pixels" for note in dataset.notes)


def test_a_channel_for_each_class_is_refused_with_what_to_write(tmp_path: Path) -> None:
    niftis(tmp_path)
    write_nifti(tmp_path / "a_seg.nii.gz", np.stack([classes(0) == 1, classes(0) == 2], axis=-1).astype(np.uint8))
    with pytest.raises(InputError, match=r"a_seg\.nii\.gz: 2 values in a voxel; .* so write one volume"):
        read(config(tmp_path))


def test_what_all_or_any_annotators_of_kits_mark_is_left_out_beside_what_most_do(tmp_path: Path) -> None:
    for seed, name in enumerate(("case_00000", "case_00001")):
        write_nifti(tmp_path / name / "imaging.nii.gz", intensities(seed))
        for verdict in ("AND", "OR", "MAJ"):
            mask = classes(seed) if verdict == "MAJ" else classes(9)
            write_nifti(tmp_path / name / f"aggregated_{verdict}_seg.nii.gz", mask)
    dataset = read(config(tmp_path))
    assert np.array_equal(loaded(dataset, "case_00001")[1], classes(1))
    assert any("left out: case_00000/aggregated_AND_seg.nii.gz" in note for note in dataset.notes)


@pytest.mark.parametrize("attribute", ["RescaleSlope", "RescaleIntercept", "PixelSpacing"])
def test_attributes_of_dicom_that_are_there_but_empty_are_as_if_they_were_not(tmp_path: Path, attribute: str) -> None:
    dicoms(tmp_path, **{attribute: None})
    assert_read(tmp_path)


def test_a_spacing_of_0_is_none(tmp_path: Path) -> None:
    dicoms(tmp_path, PixelSpacing=[0, 0])
    assert_read(tmp_path)
    with pytest.raises(InputError, match=r"images/a: no pixel spacing is stated"):
        read(config(tmp_path, {"spacing": 1.0}))


def test_a_spacing_that_is_not_two_numbers_is_refused(tmp_path: Path) -> None:
    dicoms(tmp_path, PixelSpacing=[1])
    with pytest.raises(InputError, match=r"\.dcm: PixelSpacing 1\.0; it is two numbers"):
        read(config(tmp_path))


def test_pydicom_does_not_warn_of_each_value_that_is_not_to_the_letter(tmp_path: Path, recwarn: Any) -> None:
    dicoms(tmp_path)
    recwarn.clear()  # of what pydicom says of the files that it writes
    for path in tmp_path.rglob("*.dcm"):
        path.write_bytes(path.read_bytes().replace(b"1.2.826.0.1.3680043", b"1.2.826.00.1.368043"))
    assert_read(tmp_path)
    assert not recwarn.list


def segmented(root: Path, edit: Callable[[Any], None], **how: Any) -> Array:
    for seed, name in enumerate("ab"):
        sources = slices(intensities(seed), patient=name)
        save(root / "images" / name, sources)
        written = segmentation(sources, classes(seed), **how)
        edit(written)
        (root / "masks").mkdir(exist_ok=True)
        written.save_as(root / "masks" / f"{name}.dcm")
    return classes(0)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_a_segment_that_the_file_does_not_describe_is_refused(tmp_path: Path, kind: str) -> None:
    segmented(tmp_path, lambda written: written.SegmentSequence.pop(), segmentation_type=kind)
    with pytest.raises(InputError, match=r"a\.dcm: frame \d+ has the segment 2, but the segments .* are .*1; write"):
        read_volume(tmp_path, "a")


def test_segments_of_one_label_are_one_class_and_that_is_said(tmp_path: Path) -> None:
    mask = segmented(tmp_path, lambda written: setattr(written.SegmentSequence[1], "SegmentLabel", "gland"))
    dataset = read(config(tmp_path))
    assert np.array_equal(loaded(dataset, "a")[1], mask > 0)
    assert any("with one label in one file, which are one class: 'gland' in a.dcm" in note for note in dataset.notes)


def test_a_segment_without_a_label_is_called_by_its_number(tmp_path: Path) -> None:
    mask = segmented(tmp_path, lambda written: setattr(written.SegmentSequence[1], "SegmentLabel", ""))
    dataset = read(config(tmp_path))
    assert dataset.class_names == ("background", "gland", "segment 2")
    assert np.array_equal(loaded(dataset, "a")[1], mask)


@pytest.mark.parametrize("ending", [".NII.GZ", ".Nii"])
def test_the_ending_of_a_mask_may_be_in_capitals_and_that_it_is_not_placed_is_said(tmp_path: Path, ending: str) -> None:
    for seed, name in enumerate("ab"):
        save(tmp_path / "images" / name, slices(intensities(seed), patient=name, ImagePositionPatient=None))
        write_nifti(tmp_path / "masks" / f"{name}{ending.lower()}", classes(seed)[::-1])  # in the order of InstanceNumber
        (tmp_path / "masks" / f"{name}{ending.lower()}").rename(tmp_path / "masks" / f"{name}{ending}")
    dataset = read(config(tmp_path))
    images, masks = loaded(dataset, "a")
    assert np.array_equal(images[..., 0], levels(intensities(0))[::-1])
    assert np.array_equal(masks, classes(0)[::-1])
    assert any("do not say where they lie" in note and note.endswith(": a, b") for note in dataset.notes)
