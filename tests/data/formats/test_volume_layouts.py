"""Volumes under the names and endings that published sets and people give them, against the arrays that were written."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.volume_files import (
    LPS,
    Array,
    classes,
    config,
    intensities,
    levels,
    loaded,
    read_volume,
    write_mhd,
    write_nifti,
)
from tune_seg.data import read
from tune_seg.errors import InputError

SEQUENCES = ("flair", "t1", "t1ce", "t2")


def assert_read(root: Path, name: str, seed: int, **values: Any) -> None:
    images, masks = read_volume(root, name, **values)
    assert np.array_equal(images[..., 0], levels(intensities(seed)))
    assert np.array_equal(masks, classes(seed))


def write_pair(root: Path, image: str, label: str, seed: int) -> None:
    for path, array in ((root / image, intensities(seed)), (root / label, classes(seed))):
        if ".nii" in path.name:
            write_nifti(path, array, np.diag([-1.0, -1.0, 3.0, 1.0]))  # where `write_mhd` places it
        else:
            write_mhd(path, array)


def test_brats_has_a_file_for_each_sequence_in_a_folder_for_each_case(tmp_path: Path) -> None:
    mask = np.array([0, 1, 4], np.uint8)[classes(0)]
    for name in ("HGG/BraTS20_Training_001", "LGG/BraTS20_Training_002"):
        for seed, sequence in enumerate(SEQUENCES):
            write_nifti(tmp_path / name / f"{Path(name).name}_{sequence}.nii.gz", intensities(seed))
        write_nifti(tmp_path / name / f"{Path(name).name}_seg.nii.gz", mask)
    write_nifti(tmp_path / "ValidationData/BraTS20_Validation_001/BraTS20_Validation_001_t1.nii.gz", intensities(0))
    dataset = read(config(tmp_path))
    assert (dataset.channels, dataset.class_names) == (4, ("background", "class 1", "class 4"))
    images, masks = loaded(dataset, "BraTS20_Training_001")
    for channel in range(4):
        assert np.array_equal(images[..., channel], levels(intensities(channel)))
    assert np.array_equal(masks, classes(0))
    assert any(
        "left out: ValidationData/BraTS20_Validation_001/BraTS20_Validation_001_t1.nii.gz" in note for note in dataset.notes
    )


def test_brats_of_2023_names_points_in_time_of_one_patient(tmp_path: Path) -> None:
    for name in ("BraTS-GLI-00000-000", "BraTS-GLI-00000-001", "BraTS-GLI-00002-000"):
        for seed, sequence in enumerate(("t1c", "t1n", "t2f", "t2w")):
            write_nifti(tmp_path / name / f"{name}-{sequence}.nii.gz", intensities(seed))
        write_nifti(tmp_path / name / f"{name}-seg.nii.gz", classes(0))
    dataset = read(config(tmp_path))
    assert {sample.group for sample in dataset.samples} == {"BraTS-GLI-00000", "BraTS-GLI-00002"}
    assert any("on one side of the split: BraTS-GLI-00000 (data.options.patient" in note for note in dataset.notes)


def test_cases_with_other_channels_are_refused(tmp_path: Path) -> None:
    for name, other in (("a", "t1"), ("b", "t2")):
        for channel in ("flair", other):
            write_nifti(tmp_path / name / f"{name}_{channel}.nii.gz", intensities(0))
        write_nifti(tmp_path / name / f"{name}_seg.nii.gz", classes(0))
    with pytest.raises(InputError, match=r"different channels \(a: flair, t1; b: flair, t2\)"):
        read(config(tmp_path))


def test_kits_names_files_by_what_they_are(tmp_path: Path) -> None:
    for seed, name in enumerate(("case_00000", "case_00001")):
        write_pair(tmp_path / name, "imaging.nii.gz", "segmentation.nii.gz", seed)
        write_nifti(tmp_path / name / "instances/kidney_instance-1_annotation-1.nii.gz", intensities(9))
    assert_read(tmp_path, "case_00001", 1)
    assert {sample.group for sample in read(config(tmp_path)).samples} == {"case_00000", "case_00001"}


def test_acdcs_frames_of_one_heart_are_one_patient_and_the_whole_cycle_is_left_out(tmp_path: Path) -> None:
    for seed, name in enumerate(("patient001_frame01", "patient001_frame12", "patient002_frame01")):
        folder = tmp_path / "training" / name.partition("_")[0]
        write_pair(folder, f"{name}.nii.gz", f"{name}_gt.nii.gz", seed)
        write_nifti(folder / f"{folder.name}_4d.nii.gz", np.stack([intensities(0)] * 3, axis=-1))
    dataset = read(config(tmp_path))
    assert {(sample.id.split("/")[0], sample.group) for sample in dataset.samples} == {
        ("patient001_frame01", "patient001"),
        ("patient001_frame12", "patient001"),
        ("patient002_frame01", "patient002"),
    }
    assert_read(tmp_path, "patient001_frame12", 1)


@pytest.mark.parametrize("labels", ["volume_pt1", "segmentations"])
def test_lits_numbers_volumes_and_segmentations(tmp_path: Path, labels: str) -> None:
    for number in (0, 1, 10):
        write_pair(tmp_path, f"volume_pt1/volume-{number}.nii", f"{labels}/segmentation-{number}.nii", number)
    assert_read(tmp_path, "volume-10", 10)
    assert len(read(config(tmp_path)).samples) == 15


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("{}.nii.gz", "{}-label.nii.gz"),
        ("{}_image.nii.gz", "{}_LABEL.nii.gz"),
        ("imagesTr/{}_0000.nrrd", "labelsTr/{}.nrrd"),
        ("images/{}.mha", "masks/{}.nii.gz"),
        ("Images/{}.nii.gz", "Labels/{}_seg.nii.gz"),
        ("img/img000{}.nii.gz", "label/label000{}.nii.gz"),
        ("{}.mha", "{}_seg.mha"),
        ("{}.nrrd", "{}-label.nrrd"),
        ("{}.nrrd", "{}.seg.nrrd"),
        ("{}.nhdr", "{}_mask.nhdr"),
        ("scans/{}_t2w.mha", "scans/{}_gt.nii.gz"),
        ("{}/ct.mha", "{}/mask.mha"),
        ("{}/anything.nii.gz", "{}/segmentation.nii.gz"),
    ],
)
def test_names_and_endings_are_found(tmp_path: Path, image: str, label: str) -> None:
    for number in (1, 2):
        write_pair(tmp_path, image.format(number), label.format(number), number)
    dataset = read(config(tmp_path))
    name = next(sample.id.rpartition("/")[0] for sample in dataset.samples if "2" in sample.group)
    assert_read(tmp_path, name, 2)
    assert len(dataset.samples) == 10


def test_capitals_and_files_whose_compression_their_name_denies_are_read(tmp_path: Path) -> None:
    write_pair(tmp_path, "a.nii.gz", "a_seg.nii.gz", 0)
    write_pair(tmp_path, "b.nii", "b_seg.nii", 1)
    write_pair(tmp_path, "c.nii.gz", "c_seg.nii.gz", 2)
    for name in ("a", "a_seg"):  # a browser unpacked it, and its name stayed
        path = tmp_path / f"{name}.nii.gz"
        path.write_bytes(gzip.decompress(path.read_bytes()))
        (tmp_path / f"c{name[1:]}.nii.gz").rename(tmp_path / f"c{name[1:]}.NII.GZ")
        path = tmp_path / f"b{name[1:]}.nii"
        path.write_bytes(gzip.compress(path.read_bytes()))
    for seed, name in enumerate("abc"):
        assert_read(tmp_path, name, seed)


def test_a_pointer_of_git_lfs_is_called_one(tmp_path: Path) -> None:
    write_pair(tmp_path, "a.nii.gz", "a_seg.nii.gz", 0)
    write_pair(tmp_path / "other", "a.nrrd", "a_seg.nrrd", 0)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (tmp_path / "a.nii.gz").write_bytes(pointer)
    with pytest.raises(InputError, match=r"a\.nii\.gz: a pointer of Git LFS, .*git lfs pull"):
        read(config(tmp_path, format="nifti"))
    (tmp_path / "other/a.nrrd").write_bytes(pointer)
    with pytest.raises(InputError, match=r"a\.nrrd: a pointer of Git LFS, .*git lfs pull"):
        read(config(tmp_path / "other"))


def test_a_slice_in_a_file_of_two_dimensions_is_a_volume_of_one_slice(tmp_path: Path) -> None:
    import nibabel as nib
    import SimpleITK as sitk

    image, mask = intensities(0)[0], classes(0)[0]
    (tmp_path / "nrrd").mkdir()
    for ending, array in (("", image), ("_seg", mask)):
        for name, thickness in (("a", 1.0), ("b", 0.0)):
            written: Any = nib.Nifti1Image(array.T, LPS)
            written.set_sform(LPS * np.array([1.0, 1.0, thickness, 1.0]), 1)
            nib.save(written, tmp_path / f"{name}{ending}.nii.gz")
            sitk.WriteImage(sitk.GetImageFromArray(array), tmp_path / "nrrd" / f"{name}{ending}.nrrd")
    for root, name in ((tmp_path, "b"), (tmp_path / "nrrd", "b")):
        images, masks = read_volume(root, name, format="nifti" if root == tmp_path else None)
        assert np.array_equal(images[0, ..., 0], levels(image))
        assert np.array_equal(masks[0], mask)


def sagittal(root: Path, name: str, spacing: float = 4.0) -> None:
    """A spine in 5 sagittal slices, `spacing` mm apart, of pixels of 1 mm; stored in whichever order its axes have."""
    affine = np.array([[-spacing, 0.0, 0.0, 9.0], [0.0, -1.0, 0.0, 8.0], [0.0, 0.0, -1.0, 7.0], [0.0, 0.0, 0.0, 1.0]])
    for path, array in ((f"{name}.nii.gz", intensities(0)), (f"{name}_seg.nii.gz", classes(0))):
        # (S, H, W), as left, down, back: left, back and up are what `write_nifti` stores
        write_nifti(root / path, array[:, ::-1].transpose(1, 2, 0), np.abs(affine) * np.diag([-1, -1, 1, 1]), "RSA")


def test_a_volume_is_sliced_in_the_plane_it_was_taken_in(tmp_path: Path) -> None:
    for name in "ab":
        sagittal(tmp_path, name)
    dataset = read(config(tmp_path))
    images, masks = loaded(dataset, "a")
    assert np.array_equal(images[..., 0], levels(intensities(0)))
    assert np.array_equal(masks, classes(0))
    assert dataset.notes == (
        "Labels found by name, such as a_seg.nii.gz for a.nii.gz",
        "Sliced in the sagittal plane, in which they were taken, as their voxels are longest across it "
        "(data.options.plane=axial cuts them otherwise): a, b",
    )


def test_the_plane_is_asked_for_by_an_option(tmp_path: Path) -> None:
    for name in "ab":
        sagittal(tmp_path, name)
    down = intensities(0)  # left, down, back
    for plane, expected in (
        ("axial", levels(down)[:, ::-1].transpose(1, 2, 0)),
        ("coronal", levels(down).transpose(2, 1, 0)),
        ("sagittal", levels(down)),
    ):
        options = {"plane": plane, "spacing": 1.0}  # so that slices are not stretched to square pixels
        images, _ = read_volume(tmp_path, "a", options, size=(40, 40))
        columns = 4 if plane != "sagittal" else 1
        height, width = expected.shape[1], expected.shape[2] * columns
        assert not images[:, : (40 - height) // 2].any()
        middle = images[:, (40 - height) // 2 : (40 + height) // 2, (40 - width) // 2 : (40 + width) // 2, 0]
        assert np.array_equal(middle[:, :, 0], expected[:, :, 0])
        assert np.array_equal(middle[:, :, -1], expected[:, :, -1])


@pytest.mark.parametrize(("spacing", "slices"), [(1.4, 12), (1.5, 5)])
def test_voxels_that_are_hardly_longer_one_way_leave_a_volume_axial(tmp_path: Path, spacing: float, slices: int) -> None:
    for name in "ab":
        sagittal(tmp_path, name, spacing)
    assert len(read(config(tmp_path)).samples) == 2 * slices


def test_coronal_slices_are_found_too(tmp_path: Path) -> None:
    coronal = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)  # columns to the left, rows down, slices to the back
    for name in "ab":
        for path, array in ((f"{name}.mha", intensities(0)), (f"{name}_seg.mha", classes(0))):
            write_mhd(tmp_path / path, array, (1.0, 1.0, 3.0), coronal)
    assert_read(tmp_path, "a", 0)


def test_a_qform_that_differs_from_the_sform_is_said_with_its_distance(tmp_path: Path) -> None:
    import nibabel as nib

    write_pair(tmp_path, "a.nii.gz", "a_seg.nii.gz", 0)
    write_pair(tmp_path, "b.nii.gz", "b_seg.nii.gz", 1)
    for name in ("a", "a_seg"):
        image: Any = nib.load(tmp_path / f"{name}.nii.gz")
        moved = image.affine.copy()
        moved[0, 3] += 7.5
        image.set_qform(moved, 1)
        nib.save(image, tmp_path / f"{name}.nii.gz")
    dataset = read(config(tmp_path))
    assert dataset.notes[-1] == (
        "The qform differs from the sform, by which the volume was placed (another program may take the qform): "
        "a.nii.gz (up to 7.5 mm), a_seg.nii.gz (up to 7.5 mm)"
    )
    assert_read(tmp_path, "a", 0)


def write_segmentation(path: Path, array: Array, *names: dict[int, str]) -> None:
    """As 3D Slicer writes it: an array (S, H, W), or (S, H, W, layers), with the names of the values of each layer."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    image.SetSpacing((1.0, 1.0, 3.0))
    segments = [(layer, *segment) for layer, of_layer in enumerate(names) for segment in of_layer.items()]
    for number, (layer, value, name) in enumerate(segments):
        image.SetMetaData(f"Segment{number}_Layer", str(layer))
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
    sitk.WriteImage(image, str(path))


def test_3d_slicer_names_its_segments(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write_mhd(tmp_path / f"{name}.nrrd", intensities(seed))
        write_segmentation(tmp_path / f"{name}.seg.nrrd", classes(seed), {1: "liver", 2: "tumour"})
    assert read(config(tmp_path)).class_names == ("background", "liver", "tumour")
    write_segmentation(tmp_path / "b.seg.nrrd", classes(1), {1: "tumour", 2: "liver"})
    with pytest.raises(InputError, match=r"b\.seg\.nrrd: the value 1 is 'tumour', but 'liver' in a\.seg\.nrrd"):
        read(config(tmp_path))


def test_layers_of_3d_slicer_are_read_in_the_order_that_is_stated(tmp_path: Path) -> None:
    names = ("organ", "tumour", "cyst")
    drawn = {name: np.random.default_rng(seed).random((5, 12, 10)) < 0.4 for seed, name in enumerate(names)}
    tumour = drawn["tumour"] & ~drawn["cyst"]  # these two share a layer
    for seed, name in enumerate("ab"):
        write_mhd(tmp_path / f"{name}.nrrd", intensities(seed))
        layers = np.stack([drawn["organ"], np.where(drawn["cyst"], 2, tumour)], axis=-1).astype(np.uint8)
        write_segmentation(tmp_path / f"{name}.seg.nrrd", layers, {1: "organ"}, {1: "tumour", 2: "cyst"})
    with pytest.raises(InputError, match=r"a\.seg\.nrrd: 2 layers, .*'data\.options\.segments=\[organ, tumour, cyst\]'"):
        read(config(tmp_path))
    dataset = read(config(tmp_path, {"segments": ["organ", "tumour"]}))
    assert dataset.class_names == ("background", "organ", "tumour")
    assert any("Segments left out" in note and note.endswith("cyst") for note in dataset.notes)
    assert np.array_equal(loaded(dataset, "a")[1], np.where(tumour, 2, drawn["organ"]))
    _, masks = read_volume(tmp_path, "b", {"segments": ["cyst", "organ"]})
    assert np.array_equal(masks, np.where(drawn["organ"], 2, drawn["cyst"]))
    with pytest.raises(InputError, match=r"no segment is called 'liver'; there are 'organ', 'tumour', 'cyst'"):
        read(config(tmp_path, {"segments": ["liver"]}))


def test_regions_of_nnunet_become_classes_that_do_not_overlap(tmp_path: Path) -> None:
    for name in "ab":
        write_nifti(tmp_path / f"imagesTr/{name}_0000.nii.gz", intensities(0))
        write_nifti(tmp_path / f"labelsTr/{name}.nii.gz", classes(0, most=4))
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels, "regions_class_order": [1, 2, 3]}))
    dataset = read(config(tmp_path))
    assert dataset.class_names == ("background", "whole", "core", "enhancing")
    _, masks = loaded(dataset, "a")
    assert np.array_equal(masks, np.where(classes(0, most=4) == 4, 255, classes(0, most=4)))
    assert any("(0 = background, 1 = whole, 2 = core, 3 = enhancing)" in note for note in dataset.notes)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "all": [1, 2, 3, 4], "rest": [2, 3, 4]}}))
    _, masks = read_volume(tmp_path, "a")
    assert np.array_equal(masks, np.minimum(classes(0, most=4), 2))
