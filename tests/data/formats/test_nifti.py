"""NIfTI volumes that nibabel writes, in every layout and orientation, against the arrays they were written from."""

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.volume_files import (
    LPS,
    Array,
    classes,
    config,
    intensities,
    levels,
    loaded,
    read_volume,
    turned,
    write_nifti,
)
from tune_seg.data import read
from tune_seg.data.volumes.geometry import Grid, fits, onto, sliced
from tune_seg.errors import InputError

nib: Any = nibabel  # whose types know less of an image than it has

ORIENTATIONS = ["LPS", "RAS", "LAS", "PIR", "ASL", "SPR"]


def pair(root: Path, name: str, seed: int, affine: Array | None = None, to: str = "LPS", label_to: str = "LPS") -> None:
    write_nifti(root / f"{name}.nii.gz", intensities(seed), affine, to)
    write_nifti(root / f"{name}_seg.nii.gz", classes(seed), affine, label_to)


def assert_read(root: Path, name: str, seed: int) -> None:
    images, masks = read_volume(root, name)
    assert np.array_equal(images[..., 0], levels(intensities(seed)))
    assert np.array_equal(masks, classes(seed))


@pytest.mark.parametrize("to", ORIENTATIONS)
def test_every_orientation_of_a_volume_and_of_its_labels_gives_the_same_slices(tmp_path: Path, to: str) -> None:
    pair(tmp_path, "a", 0, to=to)
    pair(tmp_path, "b", 1, to=to, label_to="PSL")
    assert nib.aff2axcodes(nib.load(tmp_path / "a.nii.gz").affine) == tuple(to)
    assert_read(tmp_path, "a", 0)
    assert_read(tmp_path, "b", 1)


def test_an_oblique_volume_is_turned_by_whole_axes_and_no_voxel_changes(tmp_path: Path) -> None:
    pair(tmp_path, "a", 0, turned(LPS, 20.0), to="RAS", label_to="SPL")
    pair(tmp_path, "b", 1, turned(LPS, -35.0), to="PIR")
    assert_read(tmp_path, "a", 0)
    assert_read(tmp_path, "b", 1)


orders = st.permutations(range(3)).flatmap(lambda axes: st.tuples(st.just(axes), st.tuples(*[st.sampled_from([1, -1])] * 3)))


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 5.0)] * 3),
    degrees=st.floats(-40.0, 40.0),
    turn=orders,
)
def test_turned_labels_come_back_to_their_voxels(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    degrees: float,
    turn: tuple[list[int], tuple[int, int, int]],
) -> None:
    affine = turned(np.diag([*spacing, 1.0]), degrees)
    affine[:3, 3] = 10.0, -20.0, 30.0
    voxels = np.arange(np.prod(shape)).reshape(shape)
    ornt = np.array(list(zip(*turn, strict=True)), float)
    other = nib.Nifti1Image(voxels, affine, dtype=np.int64).as_reoriented(ornt)
    grid, others = Grid(shape, affine), Grid(other.shape, other.affine)
    assert fits(others, grid)
    assert np.array_equal(onto(np.asarray(other.dataobj), others, grid), voxels)
    assert grid.shape_in("axial") == sliced(voxels, affine, "axial").shape


def test_the_decathlon_names_its_classes(tmp_path: Path) -> None:
    for seed in range(2):
        write_nifti(tmp_path / "imagesTr" / f"prostate_{seed:02d}.nii.gz", intensities(seed))
        write_nifti(tmp_path / "labelsTr" / f"prostate_{seed:02d}.nii.gz", classes(seed))
        (tmp_path / "imagesTr" / f"._prostate_{seed:02d}.nii.gz").write_bytes(b"what macOS leaves")
    write_nifti(tmp_path / "imagesTs" / "prostate_09.nii.gz", intensities(9))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "PZ", "2": "TZ"}}))
    assert read(config(tmp_path)).class_names == ("background", "PZ", "TZ")
    assert_read(tmp_path, "prostate_01", 1)
    assert read(config(tmp_path, classes={0: "rest", 1: "gland", 2: "gland"})).class_names == ("rest", "gland")
    (tmp_path / "train.txt").write_text("imagesTr/prostate_01.nii.gz\n")
    (tmp_path / "val.txt").write_text("prostate_00.nii.gz\n")
    assert {(sample.group, sample.split) for sample in read(config(tmp_path)).samples} == {
        ("prostate_01", "train"),
        ("prostate_00", "val"),
    }


def test_nnunets_files_of_channels_are_one_volume_and_its_ignored_label_counts_nowhere(tmp_path: Path) -> None:
    for name in ("case_0001", "case_0002"):  # not to be taken for channels themselves
        for channel in range(2):
            write_nifti(tmp_path / "imagesTr" / f"{name}_{channel:04d}.nii.gz", intensities(channel))
        write_nifti(tmp_path / "labelsTr" / f"{name}.nii.gz", classes(0))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "lesion": 1, "ignore": 2}}))
    dataset = read(config(tmp_path))
    assert (dataset.channels, dataset.class_names) == (2, ("background", "lesion"))
    images, masks = loaded(dataset, "case_0001")
    for channel in range(2):
        assert np.array_equal(images[..., channel], levels(intensities(channel)))
    assert np.array_equal(masks, np.where(classes(0) == 2, 255, classes(0)))


@pytest.mark.parametrize("ignore_label", [None, 2, 255])
def test_the_ignored_label_of_dataset_json_is_no_class_whatever_else_is_ignored(tmp_path: Path, ignore_label: Any) -> None:
    pair(tmp_path, "a", 0)
    pair(tmp_path, "b", 1)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "lesion": 1, "ignore": 2}}))
    dataset = read(config(tmp_path, ignore_label=ignore_label))
    assert dataset.class_names == ("background", "lesion")
    assert np.array_equal(loaded(dataset, "a")[1], np.where(classes(0) == 2, 255, classes(0)))


def test_a_fourth_dimension_holds_channels(tmp_path: Path) -> None:
    both = np.stack([intensities(0), 3 * intensities(1)], axis=-1)
    for name in ("a", "b"):
        write_nifti(tmp_path / "images" / f"{name}.nii", both, to="PIR")
        write_nifti(tmp_path / "labels" / f"{name}.nii.gz", classes(0))
    images, masks = read_volume(tmp_path, "a")
    assert np.array_equal(images[..., 0], levels(both[..., 0]))
    assert np.array_equal(images[..., 1], levels(both[..., 1]))
    assert np.array_equal(masks, classes(0))


def test_pairs_may_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    for seed, ending in enumerate(("seg", "label", "segmentation")):
        name = f"case{seed}"
        write_nifti(tmp_path / name / f"{name}.nii.gz", intensities(seed))
        write_nifti(tmp_path / name / f"{name}_{ending}.nii.gz", classes(seed))
    for seed in range(3):
        assert_read(tmp_path, f"case{seed}", seed)


def test_the_scale_of_the_header_is_applied(tmp_path: Path) -> None:
    stored = intensities(0)
    pair(tmp_path, "b", 1)
    image = nib.Nifti1Image(stored.transpose(2, 1, 0), LPS)
    image.header.set_slope_inter(0.5, -100.0)
    nib.save(image, tmp_path / "a.nii")
    (tmp_path / "a_seg.nii.gz").write_bytes((tmp_path / "b_seg.nii.gz").read_bytes())
    written = nib.load(tmp_path / "a.nii")
    values = np.asarray(written.dataobj).transpose(2, 1, 0)
    images, _ = read_volume(tmp_path, "a", {"window": [-200.0, 300.0]})
    assert np.array_equal(images[..., 0], np.rint(np.clip((values + 200.0) / 500.0, 0.0, 1.0) * 255))


def test_labels_that_a_scale_makes_class_numbers_are_read(tmp_path: Path) -> None:
    pair(tmp_path, "a", 0)
    pair(tmp_path, "b", 1)
    mask = nib.Nifti1Image(127 * classes(0).transpose(2, 1, 0), LPS)
    mask.header.set_slope_inter(1 / 127, 0.0)
    nib.save(mask, tmp_path / "a_seg.nii.gz")
    assert np.asarray(nib.load(tmp_path / "a_seg.nii.gz").dataobj).max() != 2.0
    assert np.array_equal(read_volume(tmp_path, "a")[1], classes(0))


def test_pixels_that_are_not_square_are_made_square_with_the_finer_spacing(tmp_path: Path) -> None:
    affine = LPS.copy()
    affine[1, 1] = -2.0  # rows are 2 mm apart, columns 1 mm
    for name, to in (("a", "LPS"), ("b", "SRA")):
        write_nifti(tmp_path / f"{name}.nii.gz", intensities(0), affine, to)
        write_nifti(tmp_path / f"{name}_seg.nii.gz", classes(0), affine, to)
    images, masks = read_volume(tmp_path, "a")
    assert images.shape == (5, 24, 10, 1)
    assert np.array_equal(masks, classes(0).repeat(2, axis=1))
    assert np.array_equal(images[:, 0, :, 0], levels(intensities(0))[:, 0])  # beyond the outermost centres nothing changes
    between = levels(intensities(0))[:, 0] * 0.75 + levels(intensities(0))[:, 1] * 0.25
    assert np.abs(images[:, 1, :, 0] - between).max() <= 0.5001
    others, other_masks = read_volume(tmp_path, "b")
    assert np.array_equal(others, images)
    assert np.array_equal(other_masks, masks)


def test_labels_on_another_grid_are_refused_with_both_affines_or_resampled_to_the_nearest(tmp_path: Path) -> None:
    coarse = classes(0, 5, 6, 5)
    affine = LPS @ np.diag([2.0, 2.0, 1.0, 1.0])
    affine[:3, 3] = (LPS @ [0.5, 0.5, 0.0, 1.0])[:3]  # each coarse voxel covers two by two fine ones
    for name in ("a", "b"):
        write_nifti(tmp_path / f"{name}.nii.gz", intensities(0))
        write_nifti(tmp_path / f"{name}_seg.nii.gz", coarse, affine, "RAS")
    with pytest.raises(InputError) as error:
        read(config(tmp_path))
    for part in (
        "a_seg.nii.gz: its grid is 5 x 6 x 5 voxels with affine [[2, 0, 0, 11.5]",
        "that of its image a.nii.gz is 10 x 12 x 5 voxels with affine [[-1, 0, 0, 20]",
        "data.options.resample_labels: true",
    ):
        assert part in str(error.value)
    _, masks = read_volume(tmp_path, "a", {"resample_labels": True})
    assert np.array_equal(masks, coarse.repeat(2, axis=1).repeat(2, axis=2))


def test_a_label_volume_that_is_shifted_is_refused(tmp_path: Path) -> None:
    shifted = LPS.copy()
    shifted[2, 3] += 3.0
    write_nifti(tmp_path / "a.nii.gz", intensities(0))
    write_nifti(tmp_path / "a_seg.nii.gz", classes(0), shifted)
    with pytest.raises(InputError, match="its grid is"):
        read(config(tmp_path))


@pytest.mark.parametrize(
    ("value", "said"), [(0.5, "0.5 is not a class"), (7e4, "values up to 70000"), (np.inf, "values up to inf")]
)
def test_labels_that_are_no_class_numbers_are_refused(tmp_path: Path, value: float, said: str) -> None:
    labels = classes(0).astype(np.float32)
    write_nifti(tmp_path / "a.nii.gz", intensities(0))
    write_nifti(tmp_path / "a_seg.nii.gz", labels)
    pair(tmp_path, "b", 1)
    assert np.array_equal(read_volume(tmp_path, "a")[1], classes(0))
    labels[2, 3, 4] = value
    write_nifti(tmp_path / "a_seg.nii.gz", labels)
    with pytest.raises(InputError, match=rf"a_seg\.nii\.gz: .*{said}"):
        read_volume(tmp_path, "a")


def test_volumes_without_labels_and_missing_channels_are_refused_together(tmp_path: Path) -> None:
    for name in ("a", "b_0000", "c_0000", "c_0002"):
        write_nifti(tmp_path / "imagesTr" / f"{name}.nii.gz", intensities(0))
    for name in ("b", "c", "d"):
        write_nifti(tmp_path / "labelsTr" / f"{name}.nii.gz", classes(0))
    with pytest.raises(InputError) as error:
        read(config(tmp_path))
    for part in (
        "a.nii.gz: a volume without labels",
        "c_0002.nii.gz: channel 2, but channel 1 of c is not there",
        "d.nii.gz: labels without a volume",
    ):
        assert part in str(error.value)
    assert "b_0000" not in str(error.value)


def test_a_volume_without_voxels_is_refused(tmp_path: Path) -> None:
    pair(tmp_path, "a", 0)
    nib.save(nib.Nifti1Image(np.zeros((10, 12, 0), np.int16), LPS), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"a\.nii\.gz: 10 x 12 x 0 voxels; there must be at least one each way"):
        read(config(tmp_path))


def test_a_volume_that_was_unpacked_beside_its_archive_is_refused(tmp_path: Path) -> None:
    pair(tmp_path, "a", 0)
    (tmp_path / "a.nii").write_bytes(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    with pytest.raises(InputError, match=r"a\.nii\.gz and a\.nii have one name"):
        read(config(tmp_path))


def test_channels_on_different_grids_are_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "imagesTr" / "a_0000.nii.gz", intensities(0))
    write_nifti(tmp_path / "imagesTr" / "a_0001.nii.gz", intensities(0), to="RAS")
    write_nifti(tmp_path / "labelsTr" / "a.nii.gz", classes(0))
    with pytest.raises(InputError, match=r"a_0001\.nii\.gz: its grid is .* the channels of a volume share one"):
        read(config(tmp_path))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    pair(tmp_path, "a", 0)
    pair(tmp_path, "b", 1)
    whole = gzip.decompress((tmp_path / "a.nii.gz").read_bytes())
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(whole[:600]))
    with pytest.raises(InputError, match=r"a\.nii\.gz: cannot be read as NIfTI \(.*\); is it damaged"):
        read_volume(tmp_path, "a")
    (tmp_path / "a.nii.gz").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"a\.nii\.gz: cannot be read as NIfTI"):
        read(config(tmp_path))


def test_a_dataset_json_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    pair(tmp_path, "a", 0)
    pair(tmp_path, "b", 1)
    for content in ("{", "[]", '{"labels": {"lesion": [1, 2]}}', '{"labels": {"a": 0, "b": 70000}}'):
        (tmp_path / "dataset.json").write_text(content)
        with pytest.raises(InputError, match=r"dataset\.json: its labels cannot be read"):
            read(config(tmp_path))
