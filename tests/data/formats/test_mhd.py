"""MetaImage volumes that SimpleITK writes, against the arrays they were written from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.volume_files import Array, classes, config, intensities, levels, loaded, read_volume, write_mhd
from tune_seg.data import pack, read
from tune_seg.errors import InputError


def case(root: Path, name: str, seed: int, suffix: str = ".mhd", **grid: Any) -> tuple[Array, Array]:
    image, mask = intensities(seed), classes(seed)
    write_mhd(root / f"{name}{suffix}", image, **grid)
    write_mhd(root / f"{name}_segmentation{suffix}", mask, **grid)
    return image, mask


@pytest.fixture
def promise(tmp_path: Path) -> tuple[Path, dict[str, tuple[Array, Array]]]:
    """Three volumes in two folders of parts, one of them compressed, as PROMISE12 is published."""
    written = {
        "Case00": case(tmp_path / "part1", "Case00", 0),
        "Case01": case(tmp_path / "part1", "Case01", 1, compressed=True),
        "Case26": case(tmp_path / "part2", "Case26", 2),
    }
    assert (tmp_path / "part1" / "Case01.zraw").is_file()
    return tmp_path, written


def test_promise12_is_detected_and_read_slice_by_slice(promise: tuple[Path, dict[str, tuple[Array, Array]]]) -> None:
    root, written = promise
    dataset = read(config(root))
    assert (dataset.channels, dataset.dtype, len(dataset.samples)) == (1, "uint8", 15)
    assert dataset.class_names == ("background", "class 1", "class 2")
    for name, (image, mask) in written.items():
        images, masks = loaded(dataset, name)
        assert np.array_equal(images[..., 0], levels(image))
        assert np.array_equal(masks, mask)
        assert images.dtype == masks.dtype == np.uint8


def test_promise12s_test_data_which_have_no_segmentations_are_passed_over(
    promise: tuple[Path, dict[str, tuple[Array, Array]]],
) -> None:
    root, written = promise
    write_mhd(root / "TestData" / "Case00.mhd", intensities(9))
    assert {sample.group for sample in read(config(root)).samples} == set(written)
    write_mhd(root / "part3" / "Case30.mhd", intensities(9))
    with pytest.raises(InputError, match=r"\(1 problems\):\n +.*part3/Case30\.mhd: a volume without a segmentation"):
        read(config(root))


def test_the_extension_may_be_in_capitals(tmp_path: Path) -> None:
    _, mask = case(tmp_path, "a", 0)
    case(tmp_path, "b", 1)
    for path in list(tmp_path.glob("*.mhd")):
        path.rename(path.with_suffix(".MHD"))
    assert np.array_equal(read_volume(tmp_path, "a")[1], mask)


def test_the_slices_of_a_volume_stand_on_one_side_of_the_split(
    promise: tuple[Path, dict[str, tuple[Array, Array]]],
) -> None:
    sides: dict[str, set[str]] = {}
    for sample in read(config(promise[0])).samples:
        sides.setdefault(sample.group, set()).add(sample.split)
        assert sample.id == f"{sample.group}/{sample.part}"
    assert sorted(len(split) for split in sides.values()) == [1, 1, 1]
    assert set.union(*sides.values()) == {"train", "val"}


def test_a_list_names_volumes(promise: tuple[Path, dict[str, tuple[Array, Array]]]) -> None:
    (promise[0] / "train.txt").write_text("Case00\n")
    (promise[0] / "val.txt").write_text("Case26\n")
    samples = read(config(promise[0])).samples
    assert {(sample.group, sample.split) for sample in samples} == {("Case00", "train"), ("Case26", "val")}


def test_mha_files_are_read_too(tmp_path: Path) -> None:
    written = {name: case(tmp_path, name, seed, ".mha", compressed=True) for seed, name in enumerate(("a", "b"))}
    for name, (image, mask) in written.items():
        images, masks = read_volume(tmp_path, name)
        assert np.array_equal(images[..., 0], levels(image))
        assert np.array_equal(masks, mask)


def test_an_axial_volume_that_is_stored_from_the_head_down_is_turned(tmp_path: Path) -> None:
    upside_down = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    image, mask = case(tmp_path, "a", 0, direction=upside_down)
    case(tmp_path, "b", 1)
    images, masks = read_volume(tmp_path, "a")
    assert np.array_equal(images[..., 0], levels(image)[::-1])
    assert np.array_equal(masks, mask[::-1])


def test_a_sagittal_volume_gives_its_axial_slices(tmp_path: Path) -> None:
    # columns run to the back, rows down, slices to the left
    sagittal = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    image, mask = case(tmp_path, "a", 0, spacing=(1.0, 1.0, 1.0), direction=sagittal)
    case(tmp_path, "b", 1)
    images, masks = read_volume(tmp_path, "a")
    assert images.shape[:3] == (12, 10, 5)
    assert np.array_equal(images[..., 0], levels(image).transpose(1, 2, 0)[::-1])
    assert np.array_equal(masks, mask.transpose(1, 2, 0)[::-1])


def test_components_are_channels_each_with_its_own_range(tmp_path: Path) -> None:
    image = np.stack([intensities(0), intensities(1) * 4], axis=-1)
    for name in ("a", "b"):
        write_mhd(tmp_path / f"{name}.mhd", image)
        write_mhd(tmp_path / f"{name}_segmentation.mhd", classes(0))
    dataset = read(config(tmp_path))
    assert dataset.channels == 2
    images, _ = loaded(dataset, "a")
    assert np.array_equal(images[..., 0], levels(image[..., 0]))
    assert np.array_equal(images[..., 1], levels(image[..., 1]))


def test_a_volume_without_segmentation_and_the_other_way_round_are_refused_together(tmp_path: Path) -> None:
    case(tmp_path, "a", 0)
    case(tmp_path, "b", 0)
    case(tmp_path, "c", 0)
    (tmp_path / "a_segmentation.mhd").unlink()
    (tmp_path / "b.mhd").unlink()
    with pytest.raises(InputError) as error:
        read(config(tmp_path))
    assert "a.mhd: a volume without a segmentation (no a_segmentation.mhd beside it)" in str(error.value)
    assert "b_segmentation.mhd: a segmentation without a volume" in str(error.value)


def test_a_missing_file_of_voxels_is_named_before_anything_is_decoded(tmp_path: Path) -> None:
    case(tmp_path, "a", 0)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(InputError, match=r"a\.raw: not there, but a\.mhd says that it holds its voxels"):
        read(config(tmp_path))


def test_the_file_of_voxels_may_lie_in_another_folder(tmp_path: Path) -> None:
    _, mask = case(tmp_path, "a", 0)
    case(tmp_path, "b", 1)
    (tmp_path / "raw").mkdir()
    (tmp_path / "a_segmentation.raw").rename(tmp_path / "raw" / "a.raw")
    header = tmp_path / "a_segmentation.mhd"
    header.write_text(header.read_text().replace("a_segmentation.raw", "raw/a.raw"))
    assert np.array_equal(read_volume(tmp_path, "a")[1], mask)


def test_a_truncated_file_of_voxels_is_refused(tmp_path: Path) -> None:
    case(tmp_path, "a", 0, compressed=True)
    case(tmp_path, "b", 1)
    path = tmp_path / "a.zraw"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"a\.mhd: cannot be read as a MetaImage"):
        read_volume(tmp_path, "a")
    path = tmp_path / "b.raw"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"b\.mhd: cannot be read as a MetaImage"):
        read_volume(tmp_path, "b")


def test_what_is_no_metaimage_is_refused(tmp_path: Path) -> None:
    case(tmp_path, "a", 0)
    (tmp_path / "a.mhd").write_text("nothing of the kind")
    with pytest.raises(InputError, match=r"a\.mhd: cannot be read as a MetaImage"):
        read(config(tmp_path))


def test_grids_that_differ_are_refused_with_both_affines(tmp_path: Path) -> None:
    case(tmp_path, "a", 0)
    write_mhd(tmp_path / "a_segmentation.mhd", classes(0), spacing=(1.0, 1.0, 2.5))
    with pytest.raises(InputError) as error:
        read(config(tmp_path))
    for part in ("a_segmentation.mhd: its grid is 10 x 12 x 5 voxels", "[0, 0, 2.5, 0]", "its image a.mhd", "[0, 0, 3, 0]"):
        assert part in str(error.value)
    assert "data.options.resample_labels" in str(error.value)


def test_one_volume_of_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    case(tmp_path, "a", 0)
    case(tmp_path, "b", 1)
    write_mhd(tmp_path / "b.mhd", np.stack([intensities(0)] * 3, axis=-1))
    with pytest.raises(InputError, match=r"b\.mhd: 3 channels, but a\.mhd has 1"):
        read(config(tmp_path))


def test_two_volumes_of_one_name_are_refused(tmp_path: Path) -> None:
    case(tmp_path / "part1", "a", 0)
    case(tmp_path / "part2", "a", 1)
    with pytest.raises(InputError, match=r"part2/a\.mhd and .*part1/a\.mhd have one name"):
        read(config(tmp_path))


def test_a_volume_in_two_files_is_refused(tmp_path: Path) -> None:
    case(tmp_path, "a", 0)
    case(tmp_path, "a", 1, ".mha")
    with pytest.raises(InputError, match=r"a\.mhd and a\.mha have one name, so it is not clear which to read"):
        read(config(tmp_path))


def test_what_is_wrong_with_a_volume_is_said_once_not_for_each_slice(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b", "c")):
        case(tmp_path / "data", name, seed)
    (tmp_path / "data" / "b.raw").write_bytes(b"\0" * 50)
    with pytest.raises(InputError, match=r"\(1 problems\):\n +.*b\.mhd: cannot be read as a MetaImage") as error:
        pack(read(config(tmp_path / "data")), tmp_path / "packs", (12, 10))
    assert str(error.value).count("b.mhd") == 1
