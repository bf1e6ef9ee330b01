"""Classes of one's own in the folder layouts of published sets: never under the names of the published ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.image_files import assert_holds, ids, load, numbers, photo, read_root, write_image, write_jpeg
from tune_seg.errors import InputError

Written = dict[str, tuple[np.ndarray, np.ndarray]]


def segnet(root: Path, values: list[int]) -> Written:
    written = {}
    for side in ("train", "val"):
        for number in (1, 2):
            name = f"{side}{number}"
            written[name] = (
                write_image(root / side / f"{name}.png", photo()),
                write_image(root / f"{side}annot" / f"{name}.png", numbers(values)),
            )
    return written


def voc(root: Path, values: list[int]) -> Written:
    written = {}
    for name in ("a", "b", "c d"):
        written[name] = (
            write_jpeg(root / "JPEGImages" / f"{name}.jpg"),
            write_image(root / "SegmentationClass" / f"{name}.png", numbers(values)),
        )
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c d\n")
    return written


@pytest.mark.parametrize(("write", "known"), [(segnet, 11), (voc, 21)])
def test_values_that_do_not_fit_are_not_given_the_published_names(tmp_path: Path, write: object, known: int) -> None:
    assert callable(write)
    write(tmp_path / "own", [0, 1, 2])
    own = read_root(tmp_path / "own")
    assert own.class_names == ("class 0", "class 1", "class 2")
    assert any(f"other classes than its {known}" in note and "data.classes=" in note for note in own.notes)
    few = known // 2 + 1  # most of the published ones have these numbers too
    write(tmp_path / "six", list(range(few)))
    assert read_root(tmp_path / "six").class_names == tuple(f"class {number}" for number in range(few))
    write(tmp_path / "same", list(range(known)))
    same = read_root(tmp_path / "same")
    assert len(same.class_names) == known and "class 0" not in same.class_names and not same.notes
    write(tmp_path / "more", [*range(known), 30])
    assert read_root(tmp_path / "more").class_names[-1] == "class 30"


@pytest.mark.parametrize(("write", "known", "first"), [(segnet, 11, "sky"), (voc, 21, "background")])
def test_published_names_for_some_of_the_published_values_are_said(
    tmp_path: Path, write: object, known: int, first: str
) -> None:
    assert callable(write)
    write(tmp_path, [0, *range(4, known)])  # images that lack three of them
    dataset = read_root(tmp_path)
    assert (len(dataset.class_names), dataset.class_names[0]) == (known, first)
    assert any("although 3 of its classes are in no mask; name others with --set" in note for note in dataset.notes)


def test_dates_are_not_taken_for_names_of_voc_and_a_list_beside_the_folders_decides(tmp_path: Path) -> None:
    for stem, own in (("2021_101530", True), ("2007_000027", False)):
        root = tmp_path / stem
        for number in range(2):
            name = f"{stem[:-1]}{number}"
            write_jpeg(root / "JPEGImages" / f"{name}.jpg")
            write_image(root / "SegmentationClass" / f"{name}.png", numbers([0, 1, 255]))
            lists = root / "ImageSets" / "Segmentation"
            lists.mkdir(parents=True, exist_ok=True)
            (lists / f"{['train', 'val'][number]}.txt").write_text(name)
        assert (read_root(root).class_names[1] == "class 1") == own
        (root / "classes.txt").write_text("background\ncrack\n")
        assert read_root(root).class_names == ("background", "crack")


@pytest.mark.parametrize("suffix", [".bmp", ".tif"])
def test_segnets_folders_hold_masks_of_other_formats_and_names(tmp_path: Path, suffix: str) -> None:
    written = segnet(tmp_path, [0, 1, 2])
    for side in ("train", "val"):
        for path in sorted((tmp_path / f"{side}annot").iterdir()):
            rows = written[path.stem][1].astype(np.uint8)
            Image.fromarray(rows).save(path.with_name(f"{path.stem}_mask{suffix}"))
            path.unlink()
    dataset = read_root(tmp_path)
    assert "Names of images and masks: 'X_mask' is the mask of 'X' (2 pairs)." in dataset.notes
    for name, (image, rows) in written.items():
        assert_holds(dataset, name, image, rows)


@pytest.mark.parametrize("write", [segnet, voc])
@pytest.mark.parametrize(
    ("where", "content"),
    [
        ("classes.txt", "background\ncrack\nspall\n"),
        ("class_names.txt", "background\ncrack\nspall\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncrack:250,50,83::\nspall:50,183,250::\n"),
        ("label_colors.txt", "0 0 0 background\n250 50 83 crack\n50 183 250 spall\n"),
    ],
)
def test_the_list_beside_the_folders_names_the_classes(tmp_path: Path, write: object, where: str, content: str) -> None:
    assert callable(write)
    written = write(tmp_path, [0, 1, 2, 255] if "class" in where else [0, 1, 2])
    (tmp_path / where).write_text(content)
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("background", "crack", "spall")
    for name, (image, rows) in written.items():
        assert_holds(dataset, name, image, rows)
    assert dataset.notes[0] == f"The class names are those of {tmp_path / where}."
    assert any("255 is taken for ignored" in note for note in dataset.notes) == ("class" in where)


def test_cvats_masks_in_colour_are_read_by_its_label_map(tmp_path: Path) -> None:
    written = voc(tmp_path, [0, 1, 2])
    colours = np.array([(0, 0, 0), (250, 50, 83), (50, 183, 250)], np.uint8)
    for name, (_, rows) in written.items():
        write_image(tmp_path / "SegmentationClass" / f"{name}.png", colours[rows])
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\ncrack:250,50,83::\nspall:50,183,250::\n")
    for path in (tmp_path / "ImageSets" / "Segmentation").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"Segmentation: no list of images, such as train\.txt and val\.txt, is here"):
        read_root(tmp_path)
    (tmp_path / "ImageSets" / "Segmentation" / "default.txt").write_text("a\nb\nc d\n")
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("background", "crack", "spall")
    assert (len(ids(dataset, "train")), len(ids(dataset, "val"))) == (2, 1)
    for name, (image, rows) in written.items():
        assert_holds(dataset, name, image, rows)


@pytest.mark.parametrize(
    "lines",
    [
        "JPEGImages/a.jpg SegmentationClass/a.png\nJPEGImages\\b.jpg SegmentationClass\\b.png\n",
        "a.jpg\nb.jpg\n",
        "a 1\nb -1\n",
        "/JPEGImages/a.jpg\r\n/JPEGImages/b.jpg\r\n",
    ],
)
def test_lists_have_two_columns_paths_and_windows_slashes(tmp_path: Path, lines: str) -> None:
    voc(tmp_path, [0, 1, 2])
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text(lines)
    dataset = read_root(tmp_path)
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["a", "b"], ["c d"])


def test_images_of_other_formats_than_jpeg_are_found(tmp_path: Path) -> None:
    written = voc(tmp_path, [0, 1, 2])
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    image = write_image(tmp_path / "JPEGImages" / "a.png", photo())
    assert_holds(read_root(tmp_path), "a", image, written["a"][1])


def test_segnets_frames_need_no_look_at_the_masks(tmp_path: Path) -> None:
    for side in ("train", "val"):
        write_image(tmp_path / side / "0001TP_006690.png", photo())
        write_image(tmp_path / f"{side}annot" / "0001TP_006690.png", numbers([0, 1, 11]))
    dataset = read_root(tmp_path)
    assert dataset.masks_to_scan == 0
    assert dataset.class_names[:2] == ("sky", "building")
    assert set(np.unique(load(dataset, "0001TP_006690")[1])) == {0, 1, 255}
