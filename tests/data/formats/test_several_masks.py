"""Masks in several files of an image, one for each class or each object, that are not alike."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.support.image_files import load, photo, read_root, write_image
from tune_seg.errors import InputError


def marked(row: int, column: int, value: int = 255) -> np.ndarray:
    mask = np.zeros((10, 12), np.uint8)
    mask[row : row + 3, column : column + 3] = value
    return mask


def write_classes(root: Path, inverted: str = "") -> None:
    """Six images, each with a mask of cracks and one of spalls."""
    for number, name in enumerate("abcdef"):
        write_image(root / f"images/{name}.png", photo())
        for kind, column in (("crack", 1), ("spall", 7)):
            mask = marked(1 + number, column)
            write_image(root / f"masks/{kind}/{name}.png", 255 - mask if kind == "crack" and name in inverted else mask)


@pytest.mark.parametrize("classes", [None, ["background", "crack", "spall"]])
def test_the_background_may_have_masks_of_its_own_under_any_of_its_names(tmp_path: Path, classes: list[str] | None) -> None:
    write_classes(tmp_path)
    for number, name in enumerate("abcdef"):
        rest = 255 - marked(1 + number, 1) - marked(1 + number, 7)
        write_image(tmp_path / f"masks/bg/{name}.png", rest)
    dataset = read_root(tmp_path, **({} if classes is None else {"classes": classes}))
    assert dataset.class_names == ("background", "crack", "spall")
    assert np.bincount(load(dataset, "b")[1].ravel()).tolist() == [102, 9, 9]


def test_masks_of_a_class_of_which_some_are_inverted_are_refused(tmp_path: Path) -> None:
    write_classes(tmp_path, inverted="bdf")
    said = (
        r"masks: masks of crack: 3 masks \([ace., png]+\) have 0 all around, 3 masks \([bdf., png]+\) have "
        r"another value, so one kind seems inverted.*--set 'data\.classes=\{0: background, 1: crack, 2: spall\}'"
    )
    with pytest.raises(InputError, match=said):
        load(read_root(tmp_path), "a")
    with pytest.raises(InputError, match=said):
        read_root(tmp_path, classes=["background", "crack", "spall"]).find_classes(lambda _: None)
    right = read_root(tmp_path, classes={0: "background", 1: "crack", 2: "spall"})
    assert np.bincount(load(right, "b")[1].ravel()).tolist() == [9, 102, 9]


def test_masks_of_objects_of_which_some_are_inverted_are_refused(tmp_path: Path) -> None:
    for number, name in enumerate("abcd"):
        write_image(tmp_path / f"images/{name}.png", photo())
        for place in range(1 if number % 2 else 2):
            mask = marked(1 + number, 1 + 6 * place)
            write_image(tmp_path / f"masks/{name}_{place}.png", 255 - mask if number % 2 else mask)
    with pytest.raises(InputError, match=r"of object: 4 masks \(a_0\.png, .*\) have 0 .*, 2 masks \(b_0\.png, d_0\.png\)"):
        load(read_root(tmp_path), "a")


def test_masks_of_classes_that_are_alike_are_read(tmp_path: Path) -> None:
    write_classes(tmp_path)
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("background", "crack", "spall") and dataset.names_known
    assert np.bincount(load(dataset, "a")[1].ravel()).tolist() == [102, 9, 9]


@pytest.mark.parametrize("paged", ["images/b.tif", "masks/spall/b.tif"])
def test_pages_of_which_all_but_the_first_would_be_left_out_are_refused(tmp_path: Path, paged: str) -> None:
    for name in "ab":
        write_image(tmp_path / f"images/{name}.tif", photo())
        for kind, column in (("crack", 1), ("spall", 7)):
            write_image(tmp_path / f"masks/{kind}/{name}.tif", marked(2, column))
    assert len(read_root(tmp_path).samples) == 2
    page = np.asarray(tifffile.imread(tmp_path / paged))
    tifffile.imwrite(tmp_path / paged, np.stack([page] * 3), photometric="rgb" if page.ndim == 3 else "minisblack")
    with pytest.raises(InputError, match=rf"one page each; write a file for each page:\n.*{paged}: 3 pages"):
        read_root(tmp_path)


def test_a_value_to_ignore_that_leaves_nothing_of_a_class_is_refused(tmp_path: Path) -> None:
    write_classes(tmp_path)
    with pytest.raises(InputError, match=r"data\.ignore_label: 255 is the one value beside 0 in all masks of crack"):
        load(read_root(tmp_path, ignore_label=255), "a")
    write_image(tmp_path / "masks/crack/a.png", marked(1, 1, 7))
    write_image(tmp_path / "masks/spall/a.png", marked(1, 7, 7))
    assert np.bincount(load(read_root(tmp_path, ignore_label=255), "a")[1].ravel()).tolist() == [102, 9, 9]


def test_folders_of_several_annotators_are_not_taken_for_classes(tmp_path: Path) -> None:
    for number, name in enumerate("abcdef"):
        write_image(tmp_path / f"images/{name}.png", photo())
        for person in (1, 2):
            write_image(tmp_path / f"masks/annotator{person}/{name}.png", marked(number, 2 * person, 1))
    with pytest.raises(InputError, match=r"the folders annotator1, annotator2 seem to hold masks .* by several people"):
        read_root(tmp_path)
    chosen = read_root(tmp_path, options={"masks": "masks/annotator2"})
    assert np.bincount(load(chosen, "a")[1].ravel()).tolist() == [111, 9]
    (tmp_path / "masks/annotator1").rename(tmp_path / "masks/crater_large")
    (tmp_path / "masks/annotator2").rename(tmp_path / "masks/crater_small")
    assert read_root(tmp_path).class_names == ("background", "crater_large", "crater_small")
