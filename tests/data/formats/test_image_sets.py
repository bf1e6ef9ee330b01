"""The readers of published image data sets, on files in the published layout, against the arrays they were written from."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as runs
from scipy.io import savemat

from tests.support.image_files import (
    Killed,
    assert_holds,
    held_out_root,
    ids,
    load,
    numbers,
    photo,
    read_root,
    write_image,
    write_jpeg,
    write_palette,
)
from tune_seg.data import PackedData, pack
from tune_seg.data.formats.camvid import CLASS_NAMES as SEGNET_CLASSES
from tune_seg.data.formats.camvid import COLOURS
from tune_seg.data.formats.coco import Region, draw
from tune_seg.data.packing import decoding
from tune_seg.errors import InputError

VOC_CLASSES = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]


# Cityscapes

TRAIN_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


def write_cityscapes(root: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    written = {}
    for split, city, frames in (("train", "aachen", 2), ("train", "bochum", 1), ("val", "lindau", 2), ("test", "bonn", 1)):
        for frame in range(frames):
            name = f"{city}_{frame:06}_000019"
            image = write_image(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", photo())
            mask = (np.arange(120) % 34).reshape(10, 12).astype(np.uint8)
            write_image(root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", mask)
            write_image(root / "gtFine" / split / city / f"{name}_gtFine_instanceIds.png", mask.astype(np.uint16) * 1000)
            (root / "gtFine" / split / city / f"{name}_gtFine_polygons.json").write_text("{}")
            written[name] = image, mask
    return written


@pytest.mark.parametrize(
    ("labels", "classes"), [("ids", range(4, 34)), ("all", range(34)), ("train", TRAIN_IDS)], ids=["30", "34", "19"]
)
def test_cityscapes_has_the_classes_that_are_chosen(tmp_path: Path, labels: str, classes: list[int]) -> None:
    written = write_cityscapes(tmp_path)
    dataset = read_root(tmp_path, options={"labels": labels})
    assert ids(dataset, "train") == ["aachen_000000_000019", "aachen_000001_000019", "bochum_000000_000019"]
    assert ids(dataset, "val") == ["lindau_000000_000019", "lindau_000001_000019"]
    index = {id: place for place, id in enumerate(classes)}
    for sample in dataset.samples:
        image, raw = written[sample.id]
        assert_holds(dataset, sample.id, image, np.vectorize(lambda id: index.get(id, 255))(raw))
    assert len(dataset.class_names) == len(index)


def test_cityscapes_names_its_classes_by_id_and_by_train_id(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    thirty = read_root(tmp_path)
    assert (thirty.class_names[0], thirty.class_names[3], thirty.class_names[29]) == ("static", "road", "bicycle")
    assert read_root(tmp_path, options={"labels": "train"}).class_names == tuple(
        [
            "road",
            "sidewalk",
            "building",
            "wall",
            "fence",
            "pole",
            "traffic light",
            "traffic sign",
            "vegetation",
            "terrain",
            "sky",
            "person",
            "rider",
            "car",
            "truck",
            "bus",
            "train",
            "motorcycle",
            "bicycle",
        ]
    )


def test_cityscapes_divided_anew_keeps_cities_whole(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    dataset = read_root(tmp_path, split={"val_fraction": 0.4})
    sides = {(sample.id.split("_")[0], sample.split) for sample in dataset.samples}
    assert len(sides) == 3
    assert len(dataset.samples) == 5


def test_lists_name_cityscapes_files_as_they_are_called(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    folder = "leftImg8bit/train/aachen"
    (tmp_path / "one").write_text("".join(f"{folder}/aachen_{n:06}_000019_leftImg8bit.png\n" for n in range(2)))
    (tmp_path / "two").write_text("bochum_000000_000019_gtFine_labelIds.png\n")
    dataset = read_root(tmp_path, split={"train": "one", "val": "two"})
    assert ids(dataset, "train") == ["aachen_000000_000019", "aachen_000001_000019"]
    assert ids(dataset, "val") == ["bochum_000000_000019"]


def test_cityscapes_says_what_is_missing_or_unknown(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    city = tmp_path / "gtFine" / "train" / "aachen"
    (city / "aachen_000000_000019_gtFine_labelIds.png").unlink()
    write_image(city / "aachen_000001_000019_gtFine_labelIds.png", np.full((10, 12), 40, np.uint8))
    dataset = read_root(tmp_path)
    with pytest.raises(InputError, match=r"aachen_000000_000019_leftImg8bit\.png: an image without a mask"):
        load(dataset, "aachen_000000_000019")
    with pytest.raises(InputError, match=r"aachen_000001_000019_gtFine_labelIds\.png: unknown label value 40"):
        load(dataset, "aachen_000001_000019")
    with pytest.raises(InputError, match=r"data\.classes: the classes of Cityscapes are chosen with data\.options\.labels"):
        read_root(tmp_path, classes=["a", "b"])
    with pytest.raises(InputError, match=r"data\.options\.labels: '34' is not possible; allowed: ids, all, train"):
        read_root(tmp_path, options={"labels": "34"})
    (tmp_path / "leftImg8bit" / "val").rename(tmp_path / "leftImg8bit" / "elsewhere")
    with pytest.raises(InputError, match=r"leftImg8bit/val: no CITY/\*_leftImg8bit\.png here"):
        read_root(tmp_path)


def test_cityscapes_holds_out_its_test_cities_where_they_have_labels(tmp_path: Path) -> None:
    written = write_cityscapes(tmp_path)
    held_out = {"split": {"test": "published"}}
    test = held_out_root(tmp_path, **held_out)
    assert ids(test, "test") == ["bonn_000000_000019"]
    assert np.array_equal(load(test, "bonn_000000_000019")[0], written["bonn_000000_000019"][0])
    assert not ids(read_root(tmp_path, **held_out), "test")
    write_image(
        tmp_path / "gtFine" / "test" / "bonn" / "bonn_000000_000019_gtFine_labelIds.png", np.full((10, 12), 3, np.uint8)
    )
    with pytest.raises(InputError, match=r"the test split \(1 samples\) holds no pixel with a class"):
        pack(held_out_root(tmp_path, **held_out), tmp_path / "packs", (10, 12))  # as published
    city = tmp_path / "leftImg8bit" / "train" / "bonn" / "bonn_000009_000019_leftImg8bit.png"
    write_image(city, photo())
    write_image(tmp_path / "gtFine" / "train" / "bonn" / "bonn_000009_000019_gtFine_labelIds.png", numbers([7]))
    with pytest.raises(InputError, match=r"are held out, and others of it train or validate.*\n  bonn"):
        read_root(tmp_path, **held_out)
    shutil.rmtree(tmp_path / "gtFine" / "test")
    with pytest.raises(InputError, match="has no published test images with labels"):
        read_root(tmp_path, **held_out)


# VOC


def write_voc(home: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    written = {}
    for name in ("2007_000001", "2007_000002", "2007_000003", "2008_000004", "2008_000005"):
        written[name] = (
            write_jpeg(home / "JPEGImages" / f"{name}.jpg"),
            write_palette(home / "SegmentationClass" / f"{name}.png", numbers([*range(21), 255])),
        )
    lists = home / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000001\n2007_000002\n")
    (lists / "val.txt").write_text("2007_000003\n")
    (lists / "trainval.txt").write_text("2007_000001\n2007_000002\n2007_000003\n")
    return written


@pytest.mark.parametrize("above", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_voc_reads_palette_indices_and_ignores_void(tmp_path: Path, above: str) -> None:
    written = write_voc(tmp_path / above)
    dataset = read_root(tmp_path)
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["2007_000001", "2007_000002"], ["2007_000003"])
    assert list(dataset.class_names) == VOC_CLASSES
    for sample in dataset.samples:
        assert (written[sample.id][1] == 255).any()
        assert_holds(dataset, sample.id, *written[sample.id])


def test_extra_labels_train_but_replace_no_label_of_voc_and_never_its_validation_images(tmp_path: Path) -> None:
    written = write_voc(tmp_path)
    extra = {
        name: write_image(tmp_path / "Aug" / f"{name}.png", numbers([0, 5, 20])) for name in written if name != "2008_000005"
    }
    dataset = read_root(tmp_path, options={"extra": "Aug"})
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["2007_000001", "2007_000002", "2008_000004"], ["2007_000003"])
    assert_holds(dataset, "2008_000004", written["2008_000004"][0], extra["2008_000004"])
    for name in ("2007_000001", "2007_000003"):
        assert_holds(dataset, name, *written[name])
    absolute = read_root(tmp_path, options={"extra": str(tmp_path / "Aug")})
    assert ids(absolute, "train") == ids(dataset, "train")


def test_voc_holds_out_the_images_of_its_test_list(tmp_path: Path) -> None:
    written = write_voc(tmp_path)
    held_out = {"split": {"test": "published"}, "options": {"extra": "SegmentationClass"}}
    with pytest.raises(InputError, match="has no published test images with labels"):
        read_root(tmp_path, **held_out)
    list_of_test = tmp_path / "ImageSets" / "Segmentation" / "test.txt"
    list_of_test.write_text("2008_000005\n")
    test, dataset = held_out_root(tmp_path, **held_out), read_root(tmp_path, **held_out)
    assert ids(test, "test") == ["2008_000005"]
    assert_holds(test, "2008_000005", *written["2008_000005"])
    assert ids(dataset, "train") == ["2007_000001", "2007_000002", "2008_000004"]
    list_of_test.write_text("2008_000005\n2007_000003\n")
    with pytest.raises(InputError, match=r"test\.txt names images of train\.txt or val\.txt.*\n  2007_000003"):
        read_root(tmp_path, **held_out)


def test_voc_names_every_file_that_a_list_names_and_that_is_missing(tmp_path: Path) -> None:
    write_voc(tmp_path)
    (tmp_path / "JPEGImages" / "2007_000001.jpg").unlink()
    (tmp_path / "SegmentationClass" / "2007_000002.png").unlink()
    with pytest.raises(
        InputError,
        match=r"train\.txt names samples .*\n  \S*JPEGImages/2007_000001\.jpg\n  \S*SegmentationClass/2007_000002\.png",
    ):
        read_root(tmp_path)
    with pytest.raises(InputError, match=r"data\.options\.extra: no PNG label in \S*nowhere"):
        write_voc(tmp_path / "whole")
        read_root(tmp_path / "whole", options={"extra": "nowhere"})
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("\n")
    with pytest.raises(InputError, match=r"train\.txt: the list is empty"):
        read_root(tmp_path)


@pytest.mark.parametrize("name", ["voc", "sbd"])
def test_an_image_in_both_lists_is_refused_and_one_that_stands_twice_in_one_counts_once(tmp_path: Path, name: str) -> None:
    lists = tmp_path / "ImageSets" / "Segmentation" if name == "voc" else tmp_path
    (write_voc if name == "voc" else write_sbd)(tmp_path)
    train, val = (set((lists / f"{split}.txt").read_text().split()) for split in ("train", "val"))
    (lists / "train.txt").write_text("\n".join([*train, *train]))
    assert sorted(ids(read_root(tmp_path), "train")) == sorted(train)
    (lists / "train.txt").write_text("\n".join([*train, *val]))
    with pytest.raises(InputError, match=rf"train\.txt and val\.txt both name these images.*\n  {min(val)}"):
        read_root(tmp_path)


# SBD


def write_sbd(home: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    written = {}
    for name in ("2008_000002", "2008_000003", "2008_000007", "2009_000001"):
        mask = numbers(list(range(21)))
        written[name] = write_jpeg(home / "img" / f"{name}.jpg"), mask
        (home / "cls").mkdir(exist_ok=True)
        boundaries = np.empty((20, 1), object)
        boundaries[:] = [[np.zeros((10, 12), np.uint8)]] * 20
        content = {"Boundaries": boundaries, "Segmentation": mask, "CategoriesPresent": np.unique(mask[mask > 0])[:, None]}
        savemat(home / "cls" / f"{name}.mat", {"GTcls": content})
    (home / "train.txt").write_text("2008_000002\n2008_000003\n2009_000001\n")
    (home / "val.txt").write_text("2008_000007\n")
    return written


@pytest.mark.parametrize("above", ["", "dataset", "benchmark_RELEASE/dataset"])
def test_sbd_reads_its_mat_files(tmp_path: Path, above: str) -> None:
    written = write_sbd(tmp_path / above)
    dataset = read_root(tmp_path)
    assert ids(dataset, "train") == ["2008_000002", "2008_000003", "2009_000001"]
    assert ids(dataset, "val") == ["2008_000007"]
    assert list(dataset.class_names) == VOC_CLASSES
    for sample in dataset.samples:
        assert_holds(dataset, sample.id, *written[sample.id])


def test_images_that_are_left_out_do_not_train_on_sbd(tmp_path: Path) -> None:
    write_sbd(tmp_path)
    (tmp_path / "voc_val.txt").write_text("2008_000003\n2008_000007\n2010_000001\n")
    dataset = read_root(tmp_path, options={"leave_out": "voc_val.txt"})
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["2008_000002", "2009_000001"], ["2008_000007"])


def test_mat_files_without_a_mask_are_named(tmp_path: Path) -> None:
    write_sbd(tmp_path)
    savemat(tmp_path / "cls" / "2008_000002.mat", {"GTinst": {"Segmentation": numbers([0, 1])}})
    whole = (tmp_path / "cls" / "2008_000003.mat").read_bytes()
    (tmp_path / "cls" / "2008_000003.mat").write_bytes(whole[:200])
    savemat(tmp_path / "cls" / "2009_000001.mat", {"GTcls": {"Segmentation": np.zeros((10, 12))}})
    dataset = read_root(tmp_path)
    for name, message in (
        ("2008_000002", r"2008_000002\.mat: no GTcls\.Segmentation can be read from it \(no 'GTcls'\)"),
        ("2008_000003", r"2008_000003\.mat: no GTcls\.Segmentation can be read"),
        ("2009_000001", r"2009_000001\.mat: GTcls\.Segmentation is not rows and columns of class numbers"),
    ):
        with pytest.raises(InputError, match=message):
            load(dataset, name)
    (tmp_path / "cls" / "2008_000007.mat").unlink()
    with pytest.raises(InputError, match=r"val\.txt names samples that are not there.*\n  \S*2008_000007\.mat"):
        read_root(tmp_path)


# COCO

CATEGORIES = [
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 5, "name": "airplane", "supercategory": "vehicle"},
    {"id": 8, "name": "truck", "supercategory": "vehicle"},
    {"id": 72, "name": "tv", "supercategory": "electronic"},
]
SIZE = (10, 12)


def rectangle(top: int, left: int, bottom: int, right: int) -> tuple[list[float], npt.NDArray[np.bool_]]:
    """A polygon around whole pixels, and the pixels."""
    covered = np.zeros(SIZE, np.bool_)
    covered[top:bottom, left:right] = True
    return [float(n) for n in (left, top, right, top, right, bottom, left, bottom)], covered


def run_lengths(covered: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Uncompressed, as COCO stores crowds."""
    flat = covered.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    return {"counts": [0, *counts] if flat[0] else counts, "size": list(SIZE)}


def compressed(covered: npt.NDArray[np.bool_]) -> dict[str, Any]:
    coded = runs.encode(np.asfortranarray(covered.astype(np.uint8)))
    return {"counts": coded["counts"].decode(), "size": coded["size"]}


def write_coco(root: Path, folder: str = "") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    person, where_person = rectangle(1, 1, 6, 5)
    plane, where_plane = rectangle(4, 3, 9, 9)
    other, where_other = rectangle(1, 7, 3, 11)
    odd = numbers([0, 1]).astype(np.bool_)
    crowd = np.zeros(SIZE, np.bool_)
    crowd[:, 9:] = True
    drawn = np.zeros(SIZE, np.uint8)
    drawn[where_person] = 15
    drawn[where_plane] = 1
    drawn[where_person & where_plane] = 255
    with_crowd = np.where(where_other, 20, np.where(crowd, 255, 0))
    contents: list[tuple[str, list[tuple[int, Any, int]], np.ndarray]] = [
        ("train", [(1, [person], 0), (5, [plane], 0), (8, [other], 0)], drawn),
        ("train", [(72, [other], 0), (1, run_lengths(crowd), 1)], with_crowd),
        ("train", [(8, [other], 0)], np.zeros(SIZE)),
        ("train", [(1, run_lengths(crowd), 1)], np.where(crowd, 255, 0)),
        ("val", [(72, run_lengths(odd), 0)], np.where(odd, 20, 0)),
        ("val", [(5, compressed(odd), 0), (5, [plane, other], 0)], (odd | where_plane | where_other).astype(np.uint8)),
        ("val", [], np.zeros(SIZE)),
    ]
    written = {}
    for split in ("train", "val"):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, (side, entries, mask) in enumerate(contents):
            if side == split:
                name = f"{number:012}"
                images.append({"id": number, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]})
                written[name] = write_jpeg(root / folder / f"{split}2017" / f"{name}.jpg"), mask.astype(np.uint8)
                for category, segmentation, is_crowd in entries:
                    annotations.append(
                        {
                            "id": len(annotations),
                            "image_id": number,
                            "category_id": category,
                            "segmentation": segmentation,
                            "iscrowd": is_crowd,
                        }
                    )
        path = root / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))
    return written


@pytest.mark.parametrize("folder", ["", "images"])
def test_coco_draws_objects_of_vocs_classes_and_ignores_crowds_and_what_is_contested(tmp_path: Path, folder: str) -> None:
    written = write_coco(tmp_path, folder)
    dataset = read_root(tmp_path)
    assert list(dataset.class_names) == VOC_CLASSES
    assert ids(dataset, "train") == [f"{n:012}" for n in (0, 1)]
    assert ids(dataset, "val") == [f"{n:012}" for n in (4, 5)]
    for sample in dataset.samples:
        assert_holds(dataset, sample.id, *written[sample.id])


def test_coco_is_packed_by_processes_and_goes_on_when_one_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "available_cores", lambda: 3)
    written = write_coco(tmp_path)
    dataset = read_root(tmp_path)
    assert dataset.holds_lock
    with pytest.raises(InputError, match="a process that decodes images ended before its time"):
        pack(Killed(dataset.samples), tmp_path / "packs", SIZE)
    data = PackedData(pack(dataset, tmp_path / "packs", SIZE))
    assert len(data) == len(dataset.samples)
    for row, sample in enumerate(sorted(dataset.samples, key=lambda sample: sample.place)):
        image, mask = written[sample.id]
        assert np.array_equal(data.image(row), image) and np.array_equal(data.mask(row), mask)


def test_coco_keeps_images_without_the_classes_on_demand(tmp_path: Path) -> None:
    written = write_coco(tmp_path)
    dataset = read_root(tmp_path, options={"only_labelled": False})
    assert len(ids(dataset, "train")) == 4
    assert len(ids(dataset, "val")) == 3
    for sample in dataset.samples:
        assert_holds(dataset, sample.id, *written[sample.id])


def test_coco_reads_names_beyond_ascii_and_says_which_image_is_unknown(tmp_path: Path) -> None:
    written = write_coco(tmp_path)
    path = tmp_path / "annotations" / "instances_train2017.json"
    (tmp_path / "train2017" / "000000000000.jpg").rename(tmp_path / "train2017" / "Straße.jpg")
    content = path.read_text().replace("000000000000.jpg", "Straße.jpg")
    path.write_text(content, encoding="utf-8")
    assert_holds(read_root(tmp_path), "Straße", *written["000000000000"])
    path.write_text(content.replace('"image_id": 0', '"image_id": 99'), encoding="utf-8")
    with pytest.raises(InputError, match=r"instances_train2017\.json: not a file .*annotations refer to image 99,"):
        read_root(tmp_path)


def test_coco_changes_its_source_with_its_annotations(tmp_path: Path) -> None:
    write_coco(tmp_path)
    before = json.dumps(read_root(tmp_path).source())
    assert json.dumps(read_root(tmp_path).source()) == before
    path = tmp_path / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text() + " ")
    assert json.dumps(read_root(tmp_path).source()) != before


def test_what_is_wrong_with_a_coco_set_is_said(tmp_path: Path) -> None:
    write_coco(tmp_path)
    path = tmp_path / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    write_jpeg(tmp_path / "train2017" / "000000000000.jpg", 8, 8)
    crowd = next(entry for entry in content["annotations"] if entry["iscrowd"])
    crowd["segmentation"]["counts"][0] += 5
    path.write_text(json.dumps(content))
    dataset = read_root(tmp_path)
    with pytest.raises(InputError, match=r"instances_train2017\.json: a segmentation on 000000000001\.jpg cannot be drawn"):
        load(dataset, "000000000001")
    with pytest.raises(InputError, match=r"000000000000\.jpg: 8 x 8 pixels, but \S*instances_train2017\.json says 12 x 10"):
        load(dataset, "000000000000")
    with pytest.raises(InputError, match=r"data\.ignore_label: COCO is read with the twenty classes of VOC"):
        read_root(tmp_path, ignore_label=3)
    path.write_text(json.dumps({"info": {}, "images": []}))
    with pytest.raises(InputError, match=r"instances_train2017\.json: not a file of COCO instances.*categories"):
        read_root(tmp_path)
    path.write_text(json.dumps({**content, "categories": CATEGORIES[2:3]}))
    with pytest.raises(InputError, match=r"instances_train2017\.json: none of its images shows one of VOC's twenty classes"):
        read_root(tmp_path)
    (tmp_path / "train2017").rename(tmp_path / "train")
    with pytest.raises(
        InputError, match=r"train2017: no such folder; the images of \S*instances_train2017\.json belong there"
    ):
        read_root(tmp_path)
    path.with_name("instances_train2014.json").write_text("{}")
    with pytest.raises(InputError, match=r"instances_train2014\.json and instances_train2017\.json are of two sets"):
        read_root(tmp_path)


regions = st.lists(
    st.tuples(st.integers(1, 20), st.booleans(), st.binary(min_size=12, max_size=12), st.booleans()), max_size=5
)


@settings(max_examples=60, deadline=None)
@given(regions, st.randoms())
def test_what_is_drawn_is_what_the_regions_say_in_any_order(drawn: list[tuple[int, bool, bytes, bool]], random: Any) -> None:
    size = (8, 12)
    objects: list[Region] = []
    classes: list[list[set[int]]] = [[set() for _ in range(size[1])] for _ in range(size[0])]
    crowds = np.zeros(size, np.bool_)
    for label, crowd, bits, plain in drawn:
        covered = np.unpackbits(np.frombuffer(bits, np.uint8)).reshape(size).astype(np.bool_)
        coded = runs.encode(np.asfortranarray(covered.astype(np.uint8)))
        flat = covered.ravel(order="F").astype(np.int8)
        counts = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
        uncompressed = {"counts": [0, *counts] if flat[0] else counts, "size": list(size)}
        objects.append(Region(label, crowd, uncompressed if plain else coded))
        crowds |= covered & crowd
        for row, column in np.argwhere(covered & (not crowd)):
            classes[row][column].add(label)
    expected = np.array(
        [
            [
                255 if len(found) > 1 or (crowds[row, column] and not found) else sum(found)
                for column, found in enumerate(line)
            ]
            for row, line in enumerate(classes)
        ]
    )
    np.testing.assert_array_equal(draw(objects, size), expected)
    random.shuffle(objects)
    np.testing.assert_array_equal(draw(objects, size), expected)


def test_a_polygon_of_two_points_covers_nothing_and_run_lengths_of_another_size_are_refused() -> None:
    assert not draw([Region(3, False, [[1.0, 1.0, 5.0, 5.0]])], SIZE).any()
    with pytest.raises(ValueError, match="run lengths of 12 x 10 pixels on 7 x 5"):
        draw([Region(3, False, compressed(np.ones(SIZE, np.bool_)))], (5, 7))


# CamVid

SEGNET = {
    "sky": "Sky",
    "building": "Archway Bridge Building Tunnel Wall",
    "pole": "Column_Pole TrafficCone",
    "road": "LaneMkgsDriv LaneMkgsNonDriv Road",
    "pavement": "ParkingBlock RoadShoulder Sidewalk",
    "tree": "Tree VegetationMisc",
    "sign": "Misc_Text SignSymbol TrafficLight",
    "fence": "Fence",
    "car": "Car OtherMoving SUVPickupTruck Train Truck_Bus",
    "pedestrian": "Animal CartLuggagePram Child Pedestrian",
    "bicyclist": "Bicyclist MotorcycleScooter",
}
FRAMES = {
    "train": ["0001TP_006690", "0001TP_008520", "0006R0_f00930", "0016E5_07920", "0016E5_08190"],
    "val": ["0016E5_07959", "0016E5_08159"],
    "test": ["0001TP_008550", "0001TP_010380", "Seq05VD_f00000", "Seq05VD_f05100"],
}


def write_coloured_camvid(root: Path, layout: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Written: the image, and the place of each pixel's class among the 32."""
    palette = np.array([colour for colour, _ in COLOURS.values()], np.uint8)
    written = {}
    for side, frames in FRAMES.items():
        for frame in frames:
            places = numbers(list(range(32)))
            images, masks = (
                ("701_StillsRaw_full", "LabeledApproved_full") if layout == "original" else (side, f"{side}_labels")
            )
            written[frame] = write_image(root / images / f"{frame}.png", photo()), places
            write_image(root / masks / f"{frame}_L.png", palette[places])
    if layout == "Kaggle":
        rows = [f"{name},{r},{g},{b}" for name, ((r, g, b), _) in COLOURS.items()]
        (root / "class_dict.csv").write_text("\n".join(["name,r,g,b", *rows]) + "\n")
    return written


@pytest.mark.parametrize("layout", ["original", "Kaggle"])
def test_colours_of_camvid_become_its_32_classes_or_segnets_11(tmp_path: Path, layout: str) -> None:
    written = write_coloured_camvid(tmp_path, layout)
    names = list(COLOURS)
    void = names.index("Void")
    everything = read_root(tmp_path)
    assert len(everything.class_names) == 31 and "Void" not in everything.class_names
    grouped = read_root(tmp_path, options={"classes": 11})
    assert grouped.class_names == tuple(SEGNET) == SEGNET_CLASSES
    group = {name: place for place, members in enumerate(SEGNET.values()) for name in members.split()}
    for dataset in (everything, grouped):
        assert (ids(dataset, "train"), ids(dataset, "val")) == (FRAMES["train"], FRAMES["val"])
    for frame in (*FRAMES["train"], *FRAMES["val"]):
        image, places = written[frame]
        assert_holds(everything, frame, image, np.where(places == void, 255, places - (places > void)))
        assert_holds(grouped, frame, image, np.array([group.get(name, 255) for name in names])[places])


@pytest.mark.parametrize("layout", ["original", "Kaggle"])
def test_camvids_test_images_validate_on_demand_and_divided_anew_all_images_are_used(tmp_path: Path, layout: str) -> None:
    write_coloured_camvid(tmp_path, layout)
    dataset = read_root(tmp_path, options={"val": "test"})
    assert (ids(dataset, "train"), ids(dataset, "val")) == (FRAMES["train"], FRAMES["test"])
    anew = read_root(tmp_path, split={"folds": 3, "val_fraction": 0.2})
    assert sorted(sample.id for sample in anew.samples) == sorted(name for names in FRAMES.values() for name in names)
    with pytest.raises(InputError, match=r"data\.options\.val: test is of the published split, which data\.split replaces"):
        read_root(tmp_path, options={"val": "test"}, split={"val_fraction": 0.2})


@pytest.mark.parametrize("layout", ["original", "Kaggle"])
def test_camvids_test_images_are_held_out_on_demand(tmp_path: Path, layout: str) -> None:
    write_coloured_camvid(tmp_path, layout)
    held_out = {"split": {"test": "published"}}
    assert ids(held_out_root(tmp_path, **held_out), "test") == FRAMES["test"]
    dataset = read_root(tmp_path, **held_out)
    assert (ids(dataset, "train"), ids(dataset, "val"), len(dataset.samples)) == (FRAMES["train"], FRAMES["val"], 7)
    folds = {"split": {"test": "published", "folds": 3}}
    assert ids(held_out_root(tmp_path, **folds), "test") == FRAMES["test"]
    assert {sample.id for sample in read_root(tmp_path, **folds).samples} == {*FRAMES["train"], *FRAMES["val"]}
    (tmp_path / "list").write_text("Seq05VD_f00000\n")
    listed = {"split": {"test": "list"}}
    assert ids(held_out_root(tmp_path, **listed), "test") == ["Seq05VD_f00000"]
    assert len(read_root(tmp_path, **listed).samples) == 7
    with pytest.raises(InputError, match=r"data\.options\.val: test is of .*, which data\.split holds out"):
        read_root(tmp_path, options={"val": "test"}, **held_out)


def test_camvids_233_test_frames(tmp_path: Path) -> None:
    tiny = np.zeros((1, 1), np.uint8)
    for split, count in (("train", 3), ("val", 2), ("test", 233)):
        for number in range(count):
            write_image(tmp_path / split / f"{number:03}.png", tiny)
            write_image(tmp_path / f"{split}annot" / f"{number:03}.png", tiny)
    held_out = {"split": {"test": "published"}, "max_val": 1}
    assert len(held_out_root(tmp_path, **held_out).samples) == 233
    assert len(read_root(tmp_path, **held_out).samples) == 4
    for path in (tmp_path / "testannot").iterdir():
        path.unlink()
    (tmp_path / "testannot").rmdir()
    with pytest.raises(InputError, match="has no published test images with labels"):
        read_root(tmp_path, **held_out)


def test_hossains_three_test_sets_of_36_of_all_701_images_are_disjoint(tmp_path: Path) -> None:
    tiny = np.zeros((1, 1), np.uint8)
    for split, count in (("train", 367), ("val", 101), ("test", 233)):
        for number in range(count):
            write_image(tmp_path / split / f"{split}{number:03}.png", tiny)
            write_image(tmp_path / f"{split}annot" / f"{split}{number:03}.png", tiny)
    published = read_root(tmp_path)
    assert (len(ids(published, "train")), len(ids(published, "val"))) == (367, 101)
    tested = read_root(tmp_path, options={"val": "test"})
    assert (len(ids(tested, "train")), len(ids(tested, "val"))) == (367, 233)
    dataset = read_root(tmp_path, split={"folds": 3, "val_fraction": 0.0514})
    folds = [{sample.id for sample in dataset.samples if sample.fold == fold} for fold in range(3)]
    assert len(dataset.samples) == 701
    assert [len(fold) for fold in folds] == [36, 36, 36]
    assert len(set.union(*folds)) == 108
    assert {name[:-3] for fold in folds for name in fold} == {"train", "val", "test"}
    other = read_root(tmp_path, split={"folds": 3, "val_fraction": 0.0514, "seed": 1})
    assert {sample.id for sample in other.samples if sample.fold == 0} != folds[0]


def test_what_does_not_fit_the_layout_of_camvid_is_refused(tmp_path: Path) -> None:
    segnet, original, kaggle = (tmp_path / name for name in ("segnet", "original", "kaggle"))
    for side in ("train", "val"):
        write_image(segnet / side / "a.png", photo())
        write_image(segnet / f"{side}annot" / "a.png", numbers(list(range(12))))
    with pytest.raises(InputError, match=r"data\.options\.classes: 32, but \S*segnet has the 11 classes of SegNet"):
        read_root(segnet, options={"classes": 32})
    for folder in ("test", "testannot"):  # labels alone are no images to test with, nor images without labels
        (segnet / folder).mkdir()
        assert len(read_root(segnet).samples) == 2
        with pytest.raises(InputError, match=r"segnet: no images of the published split's test"):
            read_root(segnet, options={"val": "test"})
        (segnet / folder).rmdir()
    with pytest.raises(InputError, match=r"unknown key data\.options\.colours; the keys of data\.options are classes, val"):
        read_root(segnet, options={"colours": {}})
    write_coloured_camvid(original, "original")
    mask = original / "LabeledApproved_full" / "0001TP_006690_L.png"
    write_image(mask, np.full((10, 12, 3), (255, 69, 0), np.uint8))
    with pytest.raises(
        InputError, match=r"0001TP_006690_L\.png: 1 colour, \(255, 69, 0\) in 120 pixels, not in the 32 colours of CamVid"
    ):
        load(read_root(original), "0001TP_006690")
    for frame in FRAMES["val"]:
        (original / "701_StillsRaw_full" / f"{frame}.png").unlink()
        (original / "LabeledApproved_full" / f"{frame}_L.png").unlink()
    with pytest.raises(InputError, match=r"original: no images of the published split's val.*data\.split\.val_fraction"):
        read_root(original)
    assert len(read_root(original, split={"val_fraction": 0.3}).samples) == 9
    write_coloured_camvid(kaggle, "Kaggle")
    (kaggle / "class_dict.csv").write_text("name,r,g,b\nroad,1,2,3\ncar,4,5,6\n")
    dataset = read_root(kaggle)  # by its own classes, not by those of CamVid
    assert dataset.class_names == ("road", "car")
    with pytest.raises(InputError, match=r"_L\.png: \d+ colours, .*not in \S*class_dict\.csv"):
        dataset.load(dataset.samples[0])


def test_classes_of_camvids_colours_may_be_put_together_and_left_out(tmp_path: Path) -> None:
    written = write_coloured_camvid(tmp_path, "original")
    kept = {
        number: "vehicle" if name in ("Car", "Train") else "other" for number, name in enumerate(COLOURS) if name != "Sky"
    }
    sky, car, train = (list(COLOURS).index(name) for name in ("Sky", "Car", "Train"))
    dataset = read_root(tmp_path, classes=kept, ignore_label=sky)
    assert dataset.class_names == ("other", "vehicle")
    image, places = written["0016E5_07959"]
    assert_holds(dataset, "0016E5_07959", image, np.where(places == sky, 255, np.isin(places, [car, train])))


@pytest.mark.parametrize("classes", [11, 32])
def test_a_stray_pixel_in_no_colour_of_camvids_is_void(tmp_path: Path, classes: int) -> None:
    written = write_coloured_camvid(tmp_path, "original")
    dataset = read_root(tmp_path, options={"classes": classes})
    mask = load(dataset, "0016E5_07959")[1]
    path = tmp_path / "LabeledApproved_full" / "0016E5_07959_L.png"
    coloured = np.array(Image.open(path))
    coloured[4, 5] = (1, 2, 3)
    write_image(path, coloured)
    expected = mask.copy()
    expected[4, 5] = 255
    assert_holds(dataset, "0016E5_07959", written["0016E5_07959"][0], expected)
    coloured[4, 6] = (1, 2, 3)
    write_image(path, coloured)
    with pytest.raises(InputError, match=r"0016E5_07959_L\.png: 1 colour, \(1, 2, 3\) in 2 pixels, not in the 32 colours"):
        load(dataset, "0016E5_07959")
