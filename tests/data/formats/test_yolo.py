"""YOLO's segmentation labels, against masks counted by hand and by matplotlib's paths."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from matplotlib.path import Path as Outline

from tests.support.image_files import held_out_root, ids, load, numbers, read_root, write_image, write_jpeg
from tune_seg.config import DataConfig
from tune_seg.data import PackedData, pack
from tune_seg.data.reading import detect_format
from tune_seg.errors import InputError

SIZE = (10, 12)
NAMES = ["crack", "spall"]


def box(label: int, top: int, left: int, bottom: int, right: int) -> str:
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return " ".join([str(label), *(f"{x / SIZE[1]} {y / SIZE[0]}" for x, y in points)])


def drawn(*parts: tuple[int, int, int, int, int]) -> npt.NDArray[np.uint8]:
    mask = np.zeros(SIZE, np.uint8)
    for label, top, left, bottom, right in parts:
        mask[top:bottom, left:right] = label + 1
    return mask


PARTS = {"a": [(0, 1, 1, 5, 5)], "b": [(1, 2, 2, 8, 8), (0, 4, 4, 6, 6)], "c": []}
MASKS = {name: drawn(*parts) for name, parts in PARTS.items()}
LABELS = {name: "\n".join(box(*part) for part in parts) for name, parts in PARTS.items()}


def write(root: Path, image: str, label: str | None, stems: str = "abc") -> None:
    """Images and labels at places that have `{}` for the name."""
    for stem in stems:
        write_jpeg(root / image.format(stem))
        if label is not None:
            path = root / label.format(stem)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(LABELS[stem])


def write_yaml(root: Path, **content: Any) -> Path:
    path = root / "data.yaml"
    path.write_text(yaml.safe_dump({"names": NAMES, **content}))
    return path


def assert_masks(dataset: Any) -> None:
    assert dataset.class_names == ("background", "crack", "spall")
    for sample in dataset.samples:
        assert np.array_equal(dataset.load(sample)[1], MASKS[Path(sample.id).name[0]]), sample.id


@pytest.mark.parametrize(
    ("image", "label", "more"),
    [
        ("{side}/images/{{}}.jpg", "{side}/labels/{{}}.txt", {"train": "../train/images", "val": "../val/images", "nc": 2}),
        ("images/{side}/{{}}.jpg", "labels/{side}/{{}}.txt", {"path": "../datasets/mine", "train": "images/train"}),
        ("images/{side}/{{}}.jpg", "labels/{side}/{{}}.txt", {"path": ".", "names": {0: "crack", 1: "spall"}}),
        ("images/{side}/{{}}.jpg", "labels/{side}/{{}}.txt", {"train": "/content/mine/images/train", "val": "images\\val"}),
        ("images/{side}/{{}}.jpg", "labels/{side}/{{}}.txt", {"train": ["images/train"], "path": None}),
    ],
)
def test_the_usual_exports_are_read_with_their_split(tmp_path: Path, image: str, label: str, more: dict[str, Any]) -> None:
    for side in ("train", "val", "test"):
        write(tmp_path, image.format(side=side), label.format(side=side))
    write_yaml(tmp_path, **{"train": "images/train", "val": "images/val", "test": image[:-9].format(side="test"), **more})
    dataset = read_root(tmp_path)
    assert detect_format(DataConfig(root=tmp_path)) == "yolo"
    assert (ids(dataset, "train"), ids(dataset, "val"), len(dataset.samples)) == (["a", "b", "c"], ["a", "b", "c"], 6)
    assert_masks(dataset)
    test = held_out_root(tmp_path, split={"test": "published"})
    assert ids(test, "test") == ["a", "b", "c"]
    assert_masks(test)
    assert "The classes are background and the names of data.yaml: crack, spall." in dataset.notes
    assert "2 of 6 images have an empty label file and are background throughout." in dataset.notes
    assert any("the later one in the file counts; --set data.options.overlap=ignore" in note for note in dataset.notes)
    PackedData(pack(dataset, tmp_path / "packs", SIZE))


def test_what_is_not_where_data_yaml_says_is_looked_for_beside_it_and_that_is_said(tmp_path: Path) -> None:
    write(tmp_path, "train/images/{}.jpg", "train/labels/{}.txt")
    write(tmp_path, "valid/images/{}.jpg", "valid/labels/{}.txt")
    write_yaml(tmp_path, path="/content/mine", train="../train/images", val="../valid/images")
    assert read_root(tmp_path).notes[:4] == (
        "data.yaml says path: /content/mine, which is not there; its own folder is taken instead.",
        "data.yaml says train: ../train/images, which is not there; train/images is taken.",
        "data.yaml says val: ../valid/images, which is not there; valid/images is taken.",
        "The classes are background and the names of data.yaml: crack, spall.",
    )
    write(tmp_path / "other", "valid/images/{}.jpg", "valid/labels/{}.txt")
    write_yaml(tmp_path, path=str(tmp_path / "other"), train="valid/images", val="../train/images")
    dataset = read_root(tmp_path)
    assert_masks(dataset)
    (tmp_path / "one").mkdir()
    write_yaml(tmp_path / "one", path=str(tmp_path), train="train/images", val="valid/images")
    assert (
        f"data.yaml says path: {tmp_path}, which is elsewhere: the images and labels in {tmp_path} are read."
        in read_root(tmp_path / "one").notes
    )
    write_yaml(tmp_path, train="gone/images", val="valid/images")
    with pytest.raises(InputError, match=r"data\.yaml: train: gone/images is neither in"):
        read_root(tmp_path)


def test_sides_may_be_lists_of_images_and_one_side_is_divided(tmp_path: Path) -> None:
    write(tmp_path, "images/train/{}.jpg", "labels/train/{}.txt")  # as CVAT exports it
    (tmp_path / "train.txt").write_text("".join(f"data/images/train/{stem}.jpg\n" for stem in "abc"))
    write_yaml(tmp_path, path=".", train="train.txt")
    dataset = read_root(tmp_path, split={"val_fraction": 0.3})
    assert {sample.split for sample in dataset.samples} == {"train", "val"} and len(dataset.samples) == 3
    assert_masks(dataset)
    assert any(
        note.startswith("train.txt: 3 images are not where it says, such as data/images/train/a.jpg;")
        for note in dataset.notes
    )
    (tmp_path / "train.txt").write_text("./images/train/a.jpg\n./images/train/gone.jpg\n")
    with pytest.raises(
        InputError, match=r"train\.txt must name images that are there:\n  \S+: \./images/train/gone\.jpg is not"
    ):
        read_root(tmp_path)


def test_the_same_images_to_train_and_validate_are_no_split_and_some_in_common_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "images/{}.jpg", "labels/{}.txt")
    write_yaml(tmp_path, train="images", val="images")
    dataset = read_root(tmp_path)
    assert len(dataset.samples) == 3 and {sample.split for sample in dataset.samples} == {"train", "val"}
    assert "data.yaml names the same images to train and to validate, so a split is drawn." in dataset.notes
    (tmp_path / "val.txt").write_text("images/a.jpg\n")
    write_yaml(tmp_path, train="images", val="val.txt")
    with pytest.raises(
        InputError, match=r"train and val have 1 images in common; take each out of one:\n  \S+images/a\.jpg"
    ):
        read_root(tmp_path)


def test_outlines_cover_what_lies_inside_of_them(tmp_path: Path) -> None:
    """Against matplotlib's paths, of which pixels at an edge may differ."""
    size = (80, 100)
    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    points = np.stack([0.5 + 0.35 * np.cos(angles), 0.45 + (0.2 + 0.1 * np.cos(3 * angles)) * np.sin(angles)], axis=1)
    for stem in "ab":
        write_image(tmp_path / f"images/{stem}.png", np.zeros((*size, 3), np.uint8))
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{stem}.txt").write_text(f"1 {' '.join(map(str, points.ravel().tolist()))}\n")
    write_yaml(tmp_path, train="images", val="images")
    mask = load(read_root(tmp_path), "a")[1]
    y, x = np.mgrid[: size[0], : size[1]]
    centres = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], axis=1)
    inside = {r: Outline(points * size[::-1]).contains_points(centres, radius=r).reshape(size) for r in (-1.5, 1.5)}
    thin, thick = sorted(inside.values(), key=np.sum)
    assert set(np.unique(mask)) == {0, 2}
    assert (mask[thin] == 2).all() and (mask[~thick] == 0).all() and thin.sum() > 1000


def test_overlaps_may_be_ignored(tmp_path: Path) -> None:
    write(tmp_path, "images/{}.jpg", "labels/{}.txt")
    write_yaml(tmp_path, train="images", val="images")
    ignored = load(read_root(tmp_path, options={"overlap": "ignore"}), "b")[1]
    assert np.array_equal(ignored, np.where(MASKS["b"] == 1, 255, MASKS["b"]))


def test_images_without_labels_are_background_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    write(tmp_path, "images/{}.jpg", "labels/{}.txt")
    (tmp_path / "labels/c.txt").unlink()
    with (tmp_path / "labels/a.txt").open("a") as file:
        file.write("\n1 0.5 0.5 0.2 0.2\n\n" + box(0, 1, 1, 5, 5).replace(" 0.1 ", " -0.01 "))
    (tmp_path / "labels/gone.txt").write_text(LABELS["a"])
    (tmp_path / "labels/classes.txt").write_text("crack\nspall\n")
    write_yaml(tmp_path, train="images", val="images")
    dataset = read_root(tmp_path)
    assert np.array_equal(load(dataset, "c")[1], MASKS["c"])
    assert dataset.notes[2:6] == (
        "1 lines are boxes (four numbers), which have no outline, and are left out.",
        "1 outlines go beyond their image; what lies outside is cut off.",
        "1 of 3 images have no label file and are background throughout.",
        f"1 label files have no image and are not used, such as {tmp_path / 'labels/gone.txt'}.",
    )
    assert dataset.classes_in(dataset.samples) == [
        frozenset(np.unique(MASKS[sample.id]).tolist()) for sample in dataset.samples
    ]


def test_a_class_called_background_is_the_background(tmp_path: Path) -> None:
    write(tmp_path, "images/{}.jpg", "labels/{}.txt")
    write_yaml(tmp_path, train="images", val="images", names=["_background_", "spall"])
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("background", "spall")
    assert np.array_equal(load(dataset, "b")[1], (MASKS["b"] == 2).astype(np.uint8))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2 0 0 0.5 0 0.5 0.5", "line 1: class 2, but data.yaml names 0 to 1; mend one of them"),
        ("-1 0 0 0.5 0 0.5 0.5", "line 1: class -1, but data.yaml names 0 to 1"),
        ("0.5 0 0 0.5 0 0.5 0.5", "line 1: class 0.5, but"),
        ("crack 0 0 0.5 0 0.5 0.5", "line 1 is no list of numbers: crack 0 0"),
        ("0,0,0,0.5,0,0.5,0.5", "line 1 is no list of numbers: 0,0,0"),
        ("\n0 0 0 0.5 0 0.5 0.5 0.1", "line 2: 7 numbers after the class; an outline has x and y of three or more points"),
        ("0 0 0", "line 1: 2 numbers after the class"),
        ("0", "line 1: 0 numbers after the class"),
        ("0 0 0 50 0 50 30", "line 1: the coordinate 50 lies outside of the image; coordinates are shares of its width"),
        ("0 0 0 0.5 0 0.5 -0.3", "line 1: the coordinate -0.3 lies outside"),
        ("0 0 0 0.5 0 0.5 nan", "line 1: the coordinate nan lies outside"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(tmp_path: Path, line: str, said: str) -> None:
    write(tmp_path, "images/{}.jpg", "labels/{}.txt")
    write_yaml(tmp_path, train="images", val="images")
    (tmp_path / "labels/a.txt").write_text(line)
    with pytest.raises(InputError) as failure:
        read_root(tmp_path)
    assert str(failure.value).startswith("1 label files cannot be used:\n") and "labels/a.txt: " + said in str(failure.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"names": ["a", "b"], "nc": 3}, "nc is 3, but names has 2 (a, b); mend it"),
        ({"names": ["a", "a"]}, "names has a name twice; give each class a name of its own"),
        ({"names": [], "nc": 2}, "it needs names, the names of the classes"),
        ({"names": {"crack": 0}}, "names must be a list, or have a number before each name"),
        ({"names": ["background"]}, "0 names; with the background there must be 2 to 254 classes"),
        ({"train": None, "val": None}, "it needs train and val, the folders of their images"),
    ],
)
def test_what_is_wrong_with_data_yaml_is_said(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    write(tmp_path, "images/{}.jpg", "labels/{}.txt")
    path = write_yaml(tmp_path, **{"train": "images", "val": "images", **content})
    with pytest.raises(InputError) as failure:
        read_root(tmp_path)
    assert str(failure.value).startswith(f"{path}: {said}")


def test_data_yaml_that_is_no_yaml_or_one_of_two_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "images/{}.jpg", "labels/{}.txt")
    path = tmp_path / "data.yaml"
    path.write_text("train: images\nnames: [a, b\n")
    with pytest.raises(InputError, match=rf"{path}: not YAML \("):
        read_root(tmp_path)
    path.rename(tmp_path / "mine.yaml")
    with pytest.raises(InputError, match="matches no known layout"):
        read_root(tmp_path)
    for name in ("one.yaml", "two.yaml"):
        write_yaml(tmp_path, train="images").rename(tmp_path / name)
    with pytest.raises(InputError, match=r"one\.yaml and two\.yaml are of two sets; take all but one of them away"):
        read_root(tmp_path)


def test_labels_that_show_nothing_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "images/{}.jpg", None)
    path = write_yaml(tmp_path, train="images", val="images")
    label = tmp_path / "labels/a.txt"
    with pytest.raises(InputError, match=rf"{path}: train: none of 3 images has a label file; that of \S+a\.jpg is {label}"):
        read_root(tmp_path)
    label.parent.mkdir()
    label.write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match="no object has an outline; boxes alone make no masks, so export the outlines"):
        read_root(tmp_path)
    label.write_text("\n")
    with pytest.raises(InputError, match="all label files are empty, so there is nothing to learn"):
        read_root(tmp_path)


def test_two_images_of_one_label_file_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "images/{}.jpg", "labels/{}.txt")
    write_jpeg(tmp_path / "images/a.jpeg")
    write_yaml(tmp_path, train="images", val="images")
    with pytest.raises(InputError, match=r"two images have one label file(?s:.*)a\.jpg and a\.jpeg"):
        read_root(tmp_path)


def test_masks_as_pictures_are_read_before_outlines(tmp_path: Path) -> None:
    write(tmp_path, "images/{}.jpg", "labels/{}.txt")
    write_yaml(tmp_path, train="images", val="images")
    for stem in "abc":
        write_image(tmp_path / f"masks/{stem}.png", numbers([0, 1]))
    assert detect_format(DataConfig(root=tmp_path)) == "folder"
    assert_masks(read_root(tmp_path, format="yolo"))


def test_classes_are_those_of_data_yaml(tmp_path: Path) -> None:
    write(tmp_path, "images/{}.jpg", "labels/{}.txt")
    write_yaml(tmp_path, train="images", val="images")
    for key, value in (("classes", ["a", "b"]), ("ignore_label", 3)):
        with pytest.raises(InputError, match=rf"data\.{key}: YOLO is read with background and the names of data\.yaml"):
            read_root(tmp_path, **{key: value})
