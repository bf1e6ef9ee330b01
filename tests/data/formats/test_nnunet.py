"""Pictures in the folders of nnU-Net, against the arrays that were written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as pillow

from tests.support.volume_files import classes, config
from tune_seg.data import read
from tune_seg.errors import InputError

LABELS = {"background": 0, "whole": [1, 2], "core": 2}


def picture(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (12, 10, *shape), dtype=np.uint8)


def write(root: Path, folder: str, name: str, array: Any) -> None:
    (root / folder).mkdir(exist_ok=True)
    path = root / folder / name
    if path.suffix == ".tif":
        tifffile.imwrite(path, array, photometric="minisblack")
    else:
        pillow.fromarray(array).save(path)


def test_colours_are_the_channels_of_one_file_and_regions_name_the_classes(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b_0001")):
        write(tmp_path, "imagesTr", f"{name}_0000.png", picture(seed, 3))
        write(tmp_path, "labelsTr", f"{name}.png", classes(seed)[0])
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": LABELS, "regions_class_order": [1, 2]}))
    dataset = read(config(tmp_path))
    assert (dataset.channels, dataset.class_names) == (3, ("background", "whole", "core"))
    assert any("(0 = background, 1 = whole, 2 = core)" in note for note in dataset.notes)
    sample = next(sample for sample in dataset.samples if sample.id == "b_0001")
    image, mask = dataset.load(sample)
    assert np.array_equal(image, picture(1, 3))
    assert np.array_equal(mask, classes(1)[0])


@pytest.mark.parametrize("named", [True, False])
def test_of_black_and_white_masks_in_its_folders_white_is_the_object(tmp_path: Path, named: bool) -> None:
    for seed, name in enumerate("ab"):
        write(tmp_path, "imagesTr", f"{name}_0000.png", picture(seed, 3))
        write(tmp_path, "labelsTr", f"{name}.png", np.where(classes(seed)[0] > 0, 255, 0).astype(np.uint8))
    if named:
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "crack": 1}}))
    dataset = read(config(tmp_path))
    assert dataset.class_names == (("background", "crack") if named else ("class 0", "class 255"))
    for sample in dataset.samples:
        seed = "ab".index(sample.id)
        assert np.array_equal(dataset.load(sample)[1], classes(seed)[0] > 0)
    assert any("the masks hold 0 and 255 alone" in note for note in dataset.notes)


def test_masks_that_mix_1_and_255_are_refused(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write(tmp_path, "imagesTr", f"{name}_0000.png", picture(seed, 3))
        mask = np.where(classes(seed)[0] > 0, 255 if seed else 1, 0)
        write(tmp_path, "labelsTr", f"{name}.png", mask.astype(np.uint8))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "crack": 1}}))
    dataset = read(config(tmp_path))
    with pytest.raises(InputError, match=r"two kinds of masks: 1 mask \(a\.png\) with 1, 1 mask \(b\.png\) with 255"):
        dataset.load(dataset.samples[0])


@pytest.mark.parametrize("named", [True, False])
def test_smoothed_masks_are_refused_without_an_option_that_the_format_lacks(tmp_path: Path, named: bool) -> None:
    disc = np.hypot(*np.mgrid[-32:32, -32:32])
    for seed, name in enumerate("abcd"):
        write(tmp_path, "imagesTr", f"{name}_0000.png", np.resize(picture(seed, 3), (64, 64, 3)))
        write(tmp_path, "labelsTr", f"{name}.png", np.clip(255 * (20 + seed - disc) / 6, 0, 255).astype(np.uint8))
    if named:
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "crack": 1}}))
    with pytest.raises(InputError, match=r"values in the masks, such as .*\. Store them without loss, as PNG, and") as error:
        (dataset := read(config(tmp_path))).load(dataset.samples[0])
    assert "threshold" not in str(error.value) and "data.format" not in str(error.value)


def test_each_channel_is_a_file_and_its_change_is_noticed(tmp_path: Path) -> None:
    for name in "ab":
        for channel in range(2):
            write(tmp_path, "imagesTr", f"{name}_{channel:04d}.png", picture(channel))
        write(tmp_path, "labelsTr", f"{name}.png", classes(0)[0])
    dataset = read(config(tmp_path))
    assert (dataset.channels, dataset.class_names) == (2, ("class 0", "class 1", "class 2"))
    image, _ = dataset.load(dataset.samples[0])
    assert np.array_equal(image, np.stack([picture(0), picture(1)], axis=-1))
    before = dataset.source()
    (tmp_path / "imagesTr/a_0001.png").write_bytes(b"")
    assert read(config(tmp_path)).source() != before
    (tmp_path / "imagesTr/a_0001.png").unlink()
    with pytest.raises(InputError, match="images have 1 or 2 channels"):
        read(config(tmp_path))


def test_the_pages_of_a_tiff_are_slices_of_one_volume(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        stack = np.stack([picture(seed + page) for page in range(3)])
        write(tmp_path, "imagesTr", f"{name}_0000.tif", stack)
        write(tmp_path, "labelsTr", f"{name}.tif", classes(seed)[:3])
    dataset = read(config(tmp_path))
    assert (dataset.channels, len(dataset.samples)) == (1, 6)
    assert {sample.group for sample in dataset.samples} == {"a", "b"}
    sample = next(sample for sample in dataset.samples if sample.id == "b#2")
    image, mask = dataset.load(sample)
    assert np.array_equal(image[..., 0], picture(3))
    assert np.array_equal(mask, classes(1)[2])


def test_what_lacks_its_partner_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "imagesTr", "a_0000.png", picture(0))
    write(tmp_path, "imagesTr", "c.png", picture(0))
    write(tmp_path, "labelsTr", "a.png", classes(0)[0])
    write(tmp_path, "labelsTr", "b.png", classes(0)[0])
    with pytest.raises(InputError) as error:
        read(config(tmp_path))
    assert "c.png: an image without a mask" in str(error.value)
    assert "b.png: a mask without an image" in str(error.value)


def test_black_and_white_masks_are_read_as_in_other_folders(tmp_path: Path) -> None:
    labels = [classes(seed, most=1)[0] for seed in range(4)]
    for seed, label in enumerate(labels):
        write(tmp_path, "imagesTr", f"{seed}_0000.png", picture(seed))
        write(tmp_path, "labelsTr", f"{seed}.png", label * np.uint8(255))
    dataset = read(config(tmp_path, classes=["background", "crack"]))
    assert dataset.find_classes(lambda _: None) == ("background", "crack")
    assert sum(int((dataset.load(sample)[1] == 1).sum()) for sample in dataset.samples) == np.sum(labels)
    assert any("255 for crack" in note for note in dataset.notes)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "crack": 1}}))
    named = read(config(tmp_path))
    assert sum(int((named.load(sample)[1] == 1).sum()) for sample in named.samples) == np.sum(labels)
    assert any("255 for crack" in note for note in named.notes)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint16])
def test_deep_numbers_become_levels_by_the_range_of_the_training_images(tmp_path: Path, dtype: Any) -> None:
    images = [np.random.default_rng(seed).integers(100, 4096, (12, 10)).astype(dtype) for seed in range(8)]
    for seed, image in enumerate(images):
        for channel in range(2):
            write(tmp_path, "imagesTr", f"{seed}_{channel:04d}.tif", image * dtype(channel + 1))
        write(tmp_path, "labelsTr", f"{seed}.tif", classes(seed)[0])
    dataset = read(config(tmp_path))
    training = np.stack([images[int(sample.id)] for sample in dataset.samples if sample.split == "train"])
    low, high = np.percentile(training.astype(np.float64), [0.1, 99.9])
    for sample in dataset.samples:
        image, _ = dataset.load(sample)
        expected = np.rint(np.clip((images[int(sample.id)] - low) / (high - low), 0.0, 1.0) * 65535)
        assert image.dtype == np.uint16
        assert image.shape == (12, 10, 2)
        assert np.abs(image - expected[..., None]).max() <= 1  # a channel at a time
    assert any("become black to white" in note for note in dataset.notes)
    image, _ = read(config(tmp_path, {"range": [0, 8190]})).load(dataset.samples[0])
    whole = images[int(dataset.samples[0].id)].astype(np.float64)
    assert np.array_equal(image[..., 1], np.rint(whole * 2 / 8190 * 65535))


def test_pixels_without_a_value_are_ignored(tmp_path: Path) -> None:
    for seed in range(4):
        image = picture(seed).astype(np.float32)
        image[2, 3], image[4, 5] = np.nan, -9999.0
        write(tmp_path, "imagesTr", f"{seed}_0000.tif", image)
        write(tmp_path, "labelsTr", f"{seed}.tif", classes(seed)[0])
    dataset = read(config(tmp_path))
    for sample in dataset.samples:
        image, mask = dataset.load(sample)
        assert np.argwhere(mask == 255).tolist() == [[2, 3], [4, 5]]
        assert not image[mask == 255].any()
