"""COCO files with categories of one's own, as annotation tools export them, against masks drawn by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as runs

from tests.support.image_files import Array, held_out_root, ids, load, read_root, write_jpeg
from tune_seg.data import Dataset, PackedData, pack
from tune_seg.errors import InputError

SIZE = (10, 12)
CATEGORIES = [(1, "crack", "damage"), (2, "spall", "damage")]


def box(top: int, left: int, bottom: int, right: int) -> list[float]:
    return [float(n) for n in (left, top, right, top, right, bottom, left, bottom)]


def entry(image: int, category: int, outline: Any, crowd: int = 0) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "segmentation": outline, "iscrowd": crowd, "bbox": [1, 1, 2, 2]}


def write(
    path: Path,
    names: list[str],
    annotations: list[dict[str, Any]],
    categories: list[tuple[int, str, str]] = CATEGORIES,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "info": {"description": "made by a test"},
        "licenses": [],
        "categories": [{"id": id, "name": name, "supercategory": group} for id, name, group in categories],
        "images": [{"id": n, "file_name": name, "height": SIZE[0], "width": SIZE[1]} for n, name in enumerate(names)],
        "annotations": [{"id": n, **annotation} for n, annotation in enumerate(annotations)],
    }
    path.write_text(json.dumps(content), encoding="utf-8")


def drawn(*parts: tuple[int, int, int, int, int]) -> Array:
    mask = np.zeros(SIZE, np.uint8)
    for label, top, left, bottom, right in parts:
        mask[top:bottom, left:right] = label
    return mask


OBJECTS = [entry(0, 1, [box(1, 1, 5, 5)]), entry(1, 2, [box(2, 2, 8, 8)]), entry(1, 1, [box(4, 4, 6, 6)])]
MASKS = {"a": drawn((1, 1, 1, 5, 5)), "b": drawn((2, 2, 2, 8, 8), (1, 4, 4, 6, 6)), "c": drawn()}


def assert_masks(dataset: Dataset) -> None:
    assert dataset.class_names == ("background", "crack", "spall")
    for sample in dataset.samples:
        assert np.array_equal(dataset.load(sample)[1], MASKS[Path(sample.id).name[0]]), sample.id


@pytest.mark.parametrize(
    ("file", "name", "place"),
    [
        ("annotations/instances_default.json", "{}.jpg", "images/default"),  # CVAT
        ("annotations/instances_default.json", "{}.jpg", "images"),
        ("result.json", "images\\{}.jpg", "images"),  # Label Studio, on Windows
        ("result_coco.json", "../../label-studio/data/media/upload/1/{}.jpg", "images"),
        ("annotations.json", "JPEGImages/{}.jpg", "JPEGImages"),  # labelme2coco
        ("dataset.json", "/home/somebody/photos/{}.jpg", "photos"),
        ("annotations/instances_train2017.json", "{}.jpg", "train2017"),  # by name COCO's, by its categories not
    ],
)
def test_the_exports_of_annotation_tools_have_their_own_classes(tmp_path: Path, file: str, name: str, place: str) -> None:
    for stem in "abc":
        write_jpeg(tmp_path / place / f"{stem}.jpg")
    write(tmp_path / file, [name.format(stem) for stem in "abc"], OBJECTS)
    dataset = read_root(tmp_path)
    assert len(dataset.samples) == 3 and {sample.split for sample in dataset.samples} == {"train", "val"}
    assert_masks(dataset)
    said = " ".join(dataset.notes)
    assert "The classes are background and the categories of the file: crack, spall." in said
    assert "1 of 3 images have no objects and are background throughout" in said
    assert "the later one in the file counts; --set data.options.overlap=ignore" in said
    assert len(read_root(tmp_path, options={"only_labelled": True}).samples) == 2
    PackedData(pack(dataset, tmp_path / "packs", SIZE))


def test_roboflows_export_has_a_file_on_each_side_and_a_category_that_is_none(tmp_path: Path) -> None:
    categories = [(0, "damages-xYz", "none"), (1, "crack", "damages-xYz"), (2, "spall", "damages-xYz")]
    for side in ("train", "valid", "test"):
        names = [f"{stem}_jpg.rf.0{side}.jpg" for stem in "abc"]
        for name in names:
            write_jpeg(tmp_path / side / name)
        write(tmp_path / side / "_annotations.coco.json", names, OBJECTS, categories)
    dataset = read_root(tmp_path)
    assert (len(ids(dataset, "train")), len(ids(dataset, "val")), len(dataset.samples)) == (3, 3, 6)
    assert_masks(dataset)
    assert any("damages-xYz has no objects and stands for the others" in note for note in dataset.notes)
    test = held_out_root(tmp_path, split={"test": "published"})
    assert len(ids(test, "test")) == 3
    assert_masks(test)


def test_masks_of_a_brush_are_objects_although_they_are_marked_as_crowds(tmp_path: Path) -> None:
    for stem in "abc":
        write_jpeg(tmp_path / "images" / f"{stem}.jpg")
    coded = runs.encode(np.asfortranarray((MASKS["b"] == 2).astype(np.uint8)))
    flat = MASKS["a"].ravel(order="F") > 0
    counts = np.diff([0, *(np.flatnonzero(np.diff(flat.astype(np.int8))) + 1), flat.size]).tolist()
    outlines = [
        entry(0, 1, {"counts": counts, "size": list(SIZE)}, 1),
        entry(1, 2, {"counts": coded["counts"].decode(), "size": coded["size"]}, 1),
        entry(1, 1, box(4, 4, 6, 6)),  # one polygon without the list around it
    ]
    write(tmp_path / "annotations" / "instances_default.json", [f"{stem}.jpg" for stem in "abc"], outlines)
    dataset = read_root(tmp_path)
    assert_masks(dataset)
    assert any("2 objects are marked as crowds (iscrowd: 1) and are drawn like the others" in note for note in dataset.notes)


def test_overlaps_are_of_the_later_object_or_ignored(tmp_path: Path) -> None:
    for stem in "ab":
        write_jpeg(tmp_path / "images" / f"{stem}.jpg")
    write(tmp_path / "result.json", ["a.jpg", "b.jpg"], OBJECTS)
    ignored = load(read_root(tmp_path, options={"overlap": "ignore"}), "b")[1]
    assert np.array_equal(ignored, np.where(MASKS["b"] == 1, 255, MASKS["b"]))
    write(tmp_path / "result.json", ["a.jpg", "b.jpg"], OBJECTS[::-1])
    assert np.array_equal(load(read_root(tmp_path), "b")[1], drawn((2, 2, 2, 8, 8)))


def test_objects_without_an_outline_are_counted_and_boxes_alone_are_refused(tmp_path: Path) -> None:
    for stem in "ab":
        write_jpeg(tmp_path / "images" / f"{stem}.jpg")
    path = tmp_path / "result.json"
    write(path, ["a.jpg", "b.jpg"], [*OBJECTS, entry(0, 2, []), entry(1, 2, [])])
    dataset = read_root(tmp_path)
    assert_masks(dataset)
    assert "result.json: 2 of 5 objects have no outline and are left out, on 2 images." in dataset.notes
    write(path, ["a.jpg", "b.jpg"], [entry(0, 2, []), entry(1, 2, [])])
    with pytest.raises(InputError, match=r"result\.json: none of its objects has an outline; boxes alone make no masks"):
        read_root(tmp_path)


def test_vocs_classes_are_taken_where_they_are_asked_for(tmp_path: Path) -> None:
    for stem in "ab":
        write_jpeg(tmp_path / "images" / f"{stem}.jpg")
    write(tmp_path / "result.json", ["a.jpg", "b.jpg"], OBJECTS, [(1, "person", ""), (2, "dog", "")])
    assert read_root(tmp_path).class_names == ("background", "person", "dog")
    asked = read_root(tmp_path, options={"classes": "voc"})
    assert len(asked.class_names) == 21
    assert np.array_equal(load(asked, "a")[1], MASKS["a"] * 15)
    assert np.array_equal(load(asked, "b")[1], np.array([0, 255, 12])[MASKS["b"]])


def test_a_category_called_background_is_the_background(tmp_path: Path) -> None:
    for stem in "ab":
        write_jpeg(tmp_path / "images" / f"{stem}.jpg")
    objects = [entry(0, 3, [box(1, 1, 5, 5)]), entry(1, 3, [box(2, 2, 8, 8)]), entry(1, 0, [box(4, 4, 6, 6)])]
    write(tmp_path / "result.json", ["a.jpg", "b.jpg"], objects, [(0, "_background_", ""), (3, "crack", "")])
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("background", "crack")
    assert np.array_equal(load(dataset, "b")[1], drawn((1, 2, 2, 8, 8), (0, 4, 4, 6, 6)))


def test_ids_may_differ_between_the_files_of_two_sides(tmp_path: Path) -> None:
    for side in ("train", "val"):
        for stem in "ab":
            write_jpeg(tmp_path / "images" / f"{stem}{side}.jpg")
    write(tmp_path / "annotations/instances_train.json", ["atrain.jpg", "btrain.jpg"], OBJECTS)
    swapped = [{**each, "category_id": 3 - each["category_id"]} for each in OBJECTS]
    write(
        tmp_path / "annotations/instances_val.json", ["aval.jpg", "bval.jpg"], swapped, [(1, "spall", ""), (2, "crack", "")]
    )
    dataset = read_root(tmp_path)
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["atrain", "btrain"], ["aval", "bval"])
    assert_masks(dataset)


def test_an_image_that_is_in_the_files_of_both_sides_has_the_objects_of_each(tmp_path: Path) -> None:
    for stem in "abc":
        write_jpeg(tmp_path / "images" / f"{stem}.jpg")
    write(tmp_path / "annotations/instances_train.json", ["a.jpg", "b.jpg"], OBJECTS)
    write(tmp_path / "annotations/instances_val.json", ["c.jpg", "a.jpg"], [entry(1, 2, [box(6, 6, 9, 9)])])
    dataset = read_root(tmp_path)
    masks = {(sample.split, sample.id): dataset.load(sample)[1] for sample in dataset.samples}
    assert np.array_equal(masks["train", "a"], MASKS["a"])
    assert np.array_equal(masks["val", "a"], drawn((2, 6, 6, 9, 9)))


def test_a_category_that_stands_for_others_is_a_class_where_one_file_has_objects_of_it(tmp_path: Path) -> None:
    for stem in "abc":
        write_jpeg(tmp_path / "images" / f"{stem}.jpg")
    categories = [(1, "damage", ""), (2, "crack", "damage")]
    write(tmp_path / "annotations/instances_train.json", ["a.jpg"], [entry(0, 2, [box(1, 1, 5, 5)])], categories)
    write(tmp_path / "annotations/instances_val.json", ["b.jpg"], [entry(0, 1, [box(1, 1, 5, 5)])], categories)
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("background", "damage", "crack")
    assert "stands for the others" not in " ".join(dataset.notes)


def test_numbers_that_are_written_as_text_are_numbers(tmp_path: Path) -> None:
    for stem in "ab":
        write_jpeg(tmp_path / "images" / f"{stem}.jpg")
    path = tmp_path / "result.json"
    write(path, ["a.jpg", "b.jpg"], OBJECTS)
    content = json.loads(path.read_text())
    for image in content["images"]:
        image |= {"id": str(image["id"]), "width": float(SIZE[1])}
    for annotation in content["annotations"]:
        annotation |= {"image_id": str(annotation["image_id"]), "category_id": str(annotation["category_id"])}
    path.write_text(json.dumps(content))
    assert_masks(read_root(tmp_path))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": {"id": 0}}, r"two members of images have the id 0, a\.jpg and b\.jpg"),
        ({"categories": {"id": 1}}, "two members of categories have the id 1, crack and spall"),
        ({"images": {"height": None}}, "height of a member of images is None, not a whole number"),
        ({"annotations": {"category_id": "crack"}}, "category_id of a member of annotations is 'crack'"),
        ({"annotations": "image_id"}, "a member of annotations has no 'image_id'"),
    ],
)
def test_numbers_that_do_not_say_which_image_or_category_is_meant_are_refused(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    path = tmp_path / "result.json"
    for stem in "ab":
        write_jpeg(tmp_path / "images" / f"{stem}.jpg")
    write(path, ["a.jpg", "b.jpg"], OBJECTS)
    content = json.loads(path.read_text())
    for key, change in changed.items():
        if isinstance(change, str):
            del content[key][1][change]
        else:
            content[key][1] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=said):
        read_root(tmp_path)


def test_two_images_are_not_one_file(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "images/one/1.jpg")
    write(tmp_path / "result.json", ["one/1.jpg", "two/1.jpg"], OBJECTS)
    with pytest.raises(InputError, match=r"two/1\.jpg: only \S*one/1\.jpg is there, which is one/1\.jpg too"):
        read_root(tmp_path)


def test_what_is_wrong_with_an_export_is_said(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    for stem in "ab":
        write_jpeg(tmp_path / "images" / f"{stem}.jpg")
    write(path, [*(f"gone{n}.jpg" for n in range(5)), "b.jpg"], OBJECTS)
    with pytest.raises(
        InputError, match=r"5 of its images are not below (?s:.*)\n  gone0\.jpg \(5 such, also gone1\.jpg, gone2"
    ):
        read_root(tmp_path)
    for folder in ("one", "two"):
        write_jpeg(tmp_path / folder / "c.jpg")
    write(path, ["a.jpg", "elsewhere/c.jpg"], OBJECTS)
    with pytest.raises(InputError, match=r"elsewhere/c\.jpg: \S*one/c\.jpg or \S*two/c\.jpg"):
        read_root(tmp_path)
    write(path, ["a.jpg", "a.jpg"], OBJECTS)
    with pytest.raises(InputError, match=r"it lists the image a\.jpg twice"):
        read_root(tmp_path)
    write(path, ["a.jpg", "b.jpg"], OBJECTS, [(1, "crack", "")])
    with pytest.raises(InputError, match="annotations refer to category 2, which the file does not list"):
        read_root(tmp_path)
    write(path, ["a.jpg", "b.jpg"], OBJECTS)
    with pytest.raises(InputError, match=r"data\.classes: COCO is read with background and the categories of its file"):
        read_root(tmp_path, classes=["background", "crack"])
    write(tmp_path / "other.json", ["a.jpg", "b.jpg"], OBJECTS)
    with pytest.raises(InputError, match=r"other\.json and result\.json are of two sets; take all but one of them away"):
        read_root(tmp_path)
