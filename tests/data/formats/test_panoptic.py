"""COCO panoptic segments, against a count of the colours of their PNG files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.image_files import Array, held_out_root, ids, load, read_root, write_image, write_jpeg
from tune_seg.config import DataConfig
from tune_seg.data import PackedData, pack
from tune_seg.data.reading import detect_format
from tune_seg.errors import InputError

SIZE = (10, 12)
CATEGORIES = [{"id": 7, "name": "road", "isthing": 0}, {"id": 3, "name": "car", "isthing": 1}, {"id": 9, "name": "sky"}]
IDS = np.array([[0, 300, 300, 70_151], [0, 5, 5, 70_151]]).repeat(5, 0).repeat(3, 1)
"""Void, and three segments whose ids need one, two and three bytes."""
SEGMENTS = [
    {"id": 300, "category_id": 7, "area": 30, "iscrowd": 0},
    {"id": 70_151, "category_id": 3, "area": 30, "iscrowd": 1},
    {"id": 5, "category_id": 3, "area": 30, "iscrowd": 0},
]
MASK = np.select([IDS == 300, (IDS == 70_151) | (IDS == 5)], [1, 0], 255).astype(np.uint8)
"""Classes in the order of the ids of their categories: car 0, road 1, sky 2."""


def colours(numbers: Array) -> Array:
    return np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1).astype(np.uint8)


def content(names: list[str], segments: list[dict[str, Any]] = SEGMENTS, **more: Any) -> dict[str, Any]:
    return {
        "images": [{"id": n, "file_name": f"{name}.jpg", "height": 10, "width": 12} for n, name in enumerate(names)],
        "annotations": [
            {"image_id": n, "file_name": f"{name}.png", "segments_info": segments} for n, name in enumerate(names)
        ],
        "categories": CATEGORIES,
        **more,
    }


def write(root: Path, side: str, names: list[str], place: str = "{}", **more: Any) -> Path:
    for name in names:
        write_jpeg(root / place.format(side) / f"{name}.jpg")
        write_image(root / f"annotations/panoptic_{side}/{name}.png", colours(IDS))
    path = root / f"annotations/panoptic_{side}.json"
    path.write_text(json.dumps(content(names, **more)))
    return path


@pytest.mark.parametrize("images", ["{}", "images/{}", "images"])
def test_segments_are_of_their_categories_and_void_is_ignored(tmp_path: Path, images: str) -> None:
    for side, names in (("train2017", ["a", "b"]), ("val2017", ["c"])):
        write(tmp_path, side, names, images)
    dataset = read_root(tmp_path)
    assert detect_format(DataConfig(root=tmp_path)) == "panoptic"
    assert dataset.class_names == ("car", "road", "sky")
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["a", "b"], ["c"])
    for sample in dataset.samples:
        assert sample.image is not None and sample.image.suffix == ".jpg"
        mask = dataset.load(sample)[1]
        assert np.array_equal(mask, MASK)
        assert np.bincount(mask.ravel(), minlength=256)[[0, 1, 2, 255]].tolist() == [60, 30, 0, 30]
    assert dataset.classes_in(dataset.samples[:1]) == [frozenset({0, 1})]
    assert dataset.notes == (
        "The classes are the 3 categories of the file (2 things, 1 stuff): car, road, sky.",
        "Pixels without a segment (void, id 0) are unlabelled and ignored, as the format has it; if they are "
        "background, say so with --set data.options.void=background.",
        "panoptic_train2017.json: 2 segments are marked as crowds (iscrowd: 1) and are like the others.",
        "panoptic_val2017.json: 1 segments are marked as crowds (iscrowd: 1) and are like the others.",
    )
    PackedData(pack(dataset, tmp_path / "packs", SIZE))


def test_void_is_background_where_that_is_said(tmp_path: Path) -> None:
    write(tmp_path, "train", ["a", "b"])
    dataset = read_root(tmp_path, options={"void": "background"})
    assert dataset.class_names == ("background", "car", "road", "sky")
    assert {sample.split for sample in dataset.samples} == {"train", "val"}
    assert np.array_equal(load(dataset, "a")[1], np.where(MASK == 255, 0, MASK + 1))
    assert "Pixels without a segment (void, id 0) are background." in dataset.notes
    assert dataset.source() != read_root(tmp_path).source()


def test_one_category_needs_the_background(tmp_path: Path) -> None:
    one = [{"id": 3, "name": "car"}]
    write(tmp_path, "train", ["a", "b"], segments=[{**each, "category_id": 3} for each in SEGMENTS], categories=one)
    with pytest.raises(InputError, match=r"1 classes; there must be 2 to 254; --set data\.options\.void=background makes"):
        read_root(tmp_path)
    dataset = read_root(tmp_path, options={"void": "background"})
    assert np.array_equal(load(dataset, "b")[1], (IDS > 0).astype(np.uint8))


def test_a_test_split_is_held_out(tmp_path: Path) -> None:
    for side, names in (("train", ["a"]), ("val", ["b"]), ("test", ["c", "d"])):
        write(tmp_path, side, names)
    assert len(read_root(tmp_path).samples) == 2
    assert ids(held_out_root(tmp_path, split={"test": "published"}), "test") == ["c", "d"]


def test_instances_in_the_same_folder_are_read_as_before_and_segments_where_they_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "train2017", ["a"])
    write(tmp_path, "val2017", ["b"])
    for side in ("train2017", "val2017"):
        (tmp_path / f"annotations/instances_{side}.json").write_text("{}")
    assert detect_format(DataConfig(root=tmp_path)) == "coco"
    assert read_root(tmp_path, format="panoptic").class_names == ("car", "road", "sky")


def test_images_and_segments_may_have_equal_names_and_any_file_a_name_of_its_own(tmp_path: Path) -> None:
    for name in "ab":
        photo = write_image(tmp_path / f"images/{name}.png", np.full((10, 12, 3), 5, np.uint8))
        write_image(tmp_path / f"annotations/{name}.png", colours(IDS))
    listed = content(["a", "b"], images=[{"id": n, "file_name": f"{name}.png"} for n, name in enumerate("ab")])
    (tmp_path / "annotations/labels.json").write_text(json.dumps(listed))
    dataset = read_root(tmp_path)
    image, mask = load(dataset, "b")
    assert np.array_equal(image, photo) and np.array_equal(mask, MASK)


def test_a_file_may_name_the_image_for_the_segments_and_images_without_segments_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "train", ["a", "b", "c"])
    listed = content(["a", "b", "c"])
    listed["annotations"] = [{**each, "file_name": f"{'ab'[n]}.jpg"} for n, each in enumerate(listed["annotations"][:2])]
    path.write_text(json.dumps(listed))
    dataset = read_root(tmp_path)
    assert sorted(sample.id for sample in dataset.samples) == ["a", "b"]
    assert np.array_equal(load(dataset, "a")[1], MASK)
    assert "panoptic_train.json: 1 of its images have no segments listed and are left out." in dataset.notes


def segments(**changed: int) -> list[dict[str, Any]]:
    return [{**SEGMENTS[0], **changed}, *SEGMENTS[1:]]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"segments": segments(id=0)}, "image 0 has a segment 0; ids begin with 1, since 0 is void"),
        ({"segments": segments(id=5)}, "image 0 has two segments with one id"),
        ({"segments": segments(category_id=8)}, "segments refer to category 8, which it does not list"),
        ({"segments": [{"id": 1}]}, "it has no 'category_id'"),
        ({"images": [{"id": 0, "file_name": "a.jpg"}]}, "it has segments of image 1, which it does not list"),
        ({"images": [{"id": n, "file_name": "a.jpg"} for n in (0, 1)]}, "it lists an image twice"),
        ({"categories": [*CATEGORIES, {"id": 12, "name": "car"}]}, "two categories have one name"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    path = write(tmp_path, "train", ["a", "b"], **more)
    with pytest.raises(InputError) as failure:
        read_root(tmp_path)
    assert str(failure.value).startswith(f"{path}: ") and said in str(failure.value)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (colours(IDS + (IDS == 5)), "a segment id that its list does not have, such as 6 (the colour 6, 0, 0)"),
        (colours(IDS)[..., ::-1], "all would fit with red and blue exchanged, as OpenCV writes them"),
        (np.repeat(np.minimum(IDS, 5)[..., None], 3, 2).astype(np.uint8), "it is grey, but an id is R + 256 G + 65536 B"),
        (np.minimum(IDS, 5).astype(np.uint8), "it is grey, but an id is R + 256 G + 65536 B"),
        (np.zeros((10, 12, 3), np.uint8), "none of its 3 segments is in it, every pixel is 0 (void)"),
        (colours(IDS)[:5], "12 x 5 pixels, but its image a.jpg is 12 x 10 pixels"),
    ],
)
def test_what_is_wrong_with_a_picture_of_segments_is_said(tmp_path: Path, pixels: Array, said: str) -> None:
    write(tmp_path, "train", ["a", "b"])
    png = tmp_path / "annotations/panoptic_train/a.png"
    write_image(png, np.ascontiguousarray(pixels))
    with pytest.raises(InputError) as failure:
        load(read_root(tmp_path), "a")
    assert str(failure.value).startswith(f"{png}: ") and said in str(failure.value)


def test_a_palette_and_opaque_alpha_change_nothing(tmp_path: Path) -> None:
    write(tmp_path, "train", ["a", "b"])
    folder = tmp_path / "annotations/panoptic_train"
    Image.fromarray(colours(IDS)).quantize(8).save(folder / "a.png")
    Image.fromarray(colours(IDS)).convert("RGBA").save(folder / "b.png")
    dataset = read_root(tmp_path)
    assert all(np.array_equal(load(dataset, id)[1], MASK) for id in "ab")


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "train", ["a", "b"])
    folder = tmp_path / "annotations/panoptic_train"
    (folder / "b.png").unlink()
    with pytest.raises(
        InputError, match=rf"{path} lists segments of PNG files that are not there:\n  {folder}/b\.png: no such"
    ):
        read_root(tmp_path)
    (folder / "a.png").unlink()
    with pytest.raises(InputError, match=rf"such as a\.png, are not found; put them into {folder}$"):
        read_root(tmp_path)
    (tmp_path / "annotations/panoptic_train.zip").touch()  # as COCO's own archive of annotations has it
    with pytest.raises(InputError, match=rf"such as a\.png, are not found; unpack {folder}\.zip$"):
        read_root(tmp_path)


def test_classes_are_those_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, "train", ["a", "b"])
    for key, value in (("classes", ["a", "b"]), ("ignore_label", 3)):
        with pytest.raises(InputError, match=rf"data\.{key}: panoptic segments are read with the categories of their file"):
            read_root(tmp_path, **{key: value})
