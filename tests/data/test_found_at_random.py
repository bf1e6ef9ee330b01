"""What folders drawn at random showed to be wrong, each in the smallest folder that has it."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFilter

from tests.support.image_files import numbers, photo, read_root, write_image
from tune_seg.data import Dataset, pack
from tune_seg.errors import InputError


def write_pairs(root: Path, images: str, masks: str, count: int = 4, *, values: tuple[int, ...] = (0, 1, 2)) -> None:
    for number in range(count):
        write_image(root / images.format(number), photo())
        write_image(root / masks.format(number), numbers(list(values)))


def packed(dataset: Dataset, root: Path) -> Path:
    return pack(dataset, root / "packs", (10, 12))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.png", b"", "the file is empty"),
        ("a.tif", b"", "the file is empty"),
        ("a.png", b"no picture", "it does not begin like an image of any format that is read"),
        ("a.tif", b"II*\0\x08\0\0\0", "what it says of its content does not fit it"),
    ],
)
def test_why_a_file_is_no_image_is_said_in_plain_words(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    write_pairs(tmp_path, "images/{}.png", "masks/{}.png")
    write_image(tmp_path / "images/a.png", photo())
    (tmp_path / "masks" / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        packed(read_root(tmp_path), tmp_path)
    assert f"{name}: cannot be read as an image ({reason}); is it damaged" in str(caught.value)


def test_images_that_no_list_names_are_counted(tmp_path: Path) -> None:
    write_pairs(tmp_path, "images/{}.png", "masks/{}.png", 5)
    (tmp_path / "train.txt").write_text("0\n1\n")
    (tmp_path / "val.txt").write_text("2\n")
    left_out = "2 of 5 image files are in none of the lists of the split, and are left out."
    assert left_out in read_root(tmp_path).notes
    (tmp_path / "val.txt").write_text("2\n3\n4\n")
    assert not any("none of the lists" in note for note in read_root(tmp_path).notes)


def test_test_images_of_ones_own_that_lie_as_segnets_are_counted(tmp_path: Path) -> None:
    for side in ("train", "val", "test"):
        write_pairs(tmp_path, f"{side}/{side}{{}}.png", f"{side}annot/{side}{{}}.png", 2)
    said = "2 images of test are not used; --set data.split.test=published holds them out for a last test."
    assert said in read_root(tmp_path).notes
    assert said not in read_root(tmp_path, split={"test": "published"}).notes


def test_two_images_of_one_name_beside_vocs_masks_are_refused_unless_one_is_jpeg(tmp_path: Path) -> None:
    write_pairs(tmp_path, "JPEGImages/{}.png", "SegmentationClass/{}.png")
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/default.txt").write_text("0\n1\n2\n3\n")
    write_image(tmp_path / "JPEGImages/1.bmp", photo())
    with pytest.raises(InputError, match=r"two images have one name.*\n  .*1\.bmp and 1\.png"):
        read_root(tmp_path)
    write_image(tmp_path / "JPEGImages/1.jpg", photo())
    assert {sample.image for sample in read_root(tmp_path).samples} >= {tmp_path / "JPEGImages/1.jpg"}


def test_images_of_a_format_that_is_not_read_are_called_that(tmp_path: Path) -> None:
    write_pairs(tmp_path, "images/{}.gif", "masks/{}.png")
    with pytest.raises(
        InputError, match=r"no image of a format that is read \(\.png, .*other pictures in images \(4\); con"
    ):
        read_root(tmp_path)


def test_palettes_whose_colours_have_other_numbers_in_each_mask_are_refused(tmp_path: Path) -> None:
    """No number has two colours here, so that only the colours tell that the numbers mean nothing."""
    write_pairs(tmp_path, "images/{}.png", "masks/{}.png")
    colours = np.array([[10, 20, 30], [200, 100, 0]], np.uint8)
    for number in range(4):
        palette = np.random.default_rng(5).integers(0, 256, (256, 3)).astype(np.uint8)
        first = 2 * number
        palette[first : first + 2] = colours
        image = Image.fromarray(first + numbers([0, 1]))
        image.putpalette(palette.tobytes())
        image.save(tmp_path / f"masks/{number}.png")
    with pytest.raises(
        InputError, match=r"palettes differ: the colour \(10, 20, 30\) is the number 0 in 1 mask \(0\.png\), 2 in 1"
    ):
        read_root(tmp_path).find_classes(print)
    named = read_root(tmp_path, classes={number: "xy"[number % 2] for number in range(8)})
    assert named.find_classes(print) == ("x", "y")


def test_a_palette_of_one_colour_says_nothing_of_the_numbers(tmp_path: Path) -> None:
    write_pairs(tmp_path, "images/{}.png", "masks/{}.png")
    for number in range(4):
        image = Image.fromarray(numbers([0, 1 + number % 2, 3]))
        image.putpalette(bytes(768))
        image.save(tmp_path / f"masks/{number}.png")
    assert read_root(tmp_path).find_classes(print) == ("class 0", "class 1", "class 2", "class 3")


@pytest.mark.parametrize("kind", ["8 bits with a tag", "a range that was given"])
def test_pixels_that_were_not_measured_are_said_where_no_range_is_looked_for(tmp_path: Path, kind: str) -> None:
    write_pairs(tmp_path, "images/{}.tif", "masks/{}.png")
    for number in range(4):
        if kind == "8 bits with a tag":
            pixels, tags = np.maximum(photo(), 1), [(42113, "s", 0, "0", True)]
            pixels[:5] = 0
            tifffile.imwrite(tmp_path / f"images/{number}.tif", pixels, photometric="rgb", extratags=tags)
        else:
            values = np.where(np.arange(10)[:, None] < 5, np.nan, photo()[..., 0]).astype(np.float32)
            tifffile.imwrite(tmp_path / f"images/{number}.tif", values)
    options = {} if kind == "8 bits with a tag" else {"range": [0, 255]}
    dataset = read_root(tmp_path, options=options)
    dataset.find_classes(print)
    assert any(note.startswith("50.0% of the pixels of the training images are nodata or nan") for note in dataset.notes)


def test_that_pixels_of_several_classes_are_ignored_is_said_unless_their_order_is(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"images/{name}.png", photo())
        for kind in ("crack", "spall"):
            write_image(tmp_path / f"masks/{kind}/{name}.png", numbers([0, 1]))
    said = "Pixels that are of several classes are ignored, unless data.classes says which class covers which."
    assert said in read_root(tmp_path).notes
    assert said not in read_root(tmp_path, classes=["background", "crack", "spall"]).notes


def test_a_folder_of_masks_for_each_image_may_be_called_as_images_are(tmp_path: Path) -> None:
    drawn = numbers([0, 1])
    for name in ("img1", "img2"):
        write_image(tmp_path / f"images/{name}.png", photo())
        write_image(tmp_path / f"masks/{name}/1.png", drawn * (np.arange(12) < 6))
        write_image(tmp_path / f"masks/{name}/2.png", drawn * (np.arange(12) >= 6))
    dataset = read_root(tmp_path)
    assert all(np.array_equal(dataset.load(sample)[1], drawn) for sample in dataset.samples)
    assert len(dataset.samples) == 2


def test_ones_own_images_in_segnets_folders_may_have_other_names_and_formats(tmp_path: Path) -> None:
    for side in ("train", "val"):
        write_pairs(tmp_path, f"{side}/{side}{{}}.jpg", f"{side}annot/{side}{{}}_gt.tif", 2)
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("class 0", "class 1", "class 2")
    assert [(sample.id, sample.split) for sample in dataset.samples[::2]] == [("train0", "train"), ("val0", "val")]


def test_the_list_that_names_what_is_not_there_is_the_one_that_is_said(tmp_path: Path) -> None:
    write_pairs(tmp_path, "JPEGImages/{}.png", "SegmentationClass/{}_gt.png")
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/default.txt").write_text("0\n1\n2\n3\n")
    with pytest.raises(InputError, match=r"ImageSets/Segmentation names samples that are not there"):
        read_root(tmp_path)


def test_a_line_of_a_list_is_the_image_whose_path_it_is(tmp_path: Path) -> None:
    """Each patient has images of the same names."""
    for patient in ("p1", "p2"):
        write_pairs(tmp_path, f"images/{patient}/{{}}.png", f"masks/{patient}/{{}}.png", 2)
    (tmp_path / "train.txt").write_text("images/p1/0.png\nimages/p1/1.png\n")
    (tmp_path / "val.txt").write_text("images/p2/0.png\n")
    dataset = read_root(tmp_path)
    assert [(sample.id, sample.split) for sample in dataset.samples] == [
        ("p1/0", "train"),
        ("p1/1", "train"),
        ("p2/0", "val"),
    ]
    (tmp_path / "val.txt").write_text("0.png\n")
    with pytest.raises(InputError, match=r"0\.png may be p1/0 or p2/0; write these instead"):
        read_root(tmp_path)
    (tmp_path / "images/p2/0.png").rename(tmp_path / "images/p2/7.png")
    (tmp_path / "masks/p2/0.png").rename(tmp_path / "masks/p2/7.png")
    (tmp_path / "val.txt").write_text("7\n")
    assert read_root(tmp_path).samples[-1].id == "p2/7"


def test_the_greys_of_a_gif_are_its_values_in_whatever_order_its_palette_has_them(tmp_path: Path) -> None:
    drawn = {0: numbers([0, 1]), 1: numbers([0, 3]), 2: numbers([1, 2, 3]), 3: numbers([2])}
    for number, mask in drawn.items():
        write_image(tmp_path / f"images/{number}.png", photo())
        write_image(tmp_path / f"masks/{number}.gif", mask)  # Pillow drops the entries that are not used
    with Image.open(tmp_path / "masks/1.gif") as image:
        assert np.asarray(image).max() < 3
    dataset = read_root(tmp_path, classes={number: f"c{number}" for number in range(4)})
    for sample in dataset.samples:
        assert np.array_equal(dataset.load(sample)[1], drawn[int(sample.id)])


def test_smoothed_objects_that_are_too_thin_for_a_level_are_called_smoothed(tmp_path: Path) -> None:
    write_pairs(tmp_path, "images/{}.png", "masks/{}.png")
    for number in range(4):
        line = np.zeros((10, 12), np.uint8)
        line[4:6, 2 : 8 + number] = 255
        Image.fromarray(line).filter(ImageFilter.GaussianBlur(1.5)).save(tmp_path / f"masks/{number}.png")
    with pytest.raises(
        InputError, match=r"values in the masks, .* as JPEG or smoothing leaves them.*data\.options\.threshold"
    ):
        read_root(tmp_path).find_classes(print)
    with pytest.raises(InputError, match="as JPEG or smoothing leaves them"):
        read_root(tmp_path, classes=["background", "line"]).find_classes(print)


def test_many_grey_values_that_fill_areas_are_classes(tmp_path: Path) -> None:
    write_pairs(tmp_path, "images/{}.png", "masks/{}.png")
    for number in range(4):
        write_image(
            tmp_path / f"masks/{number}.png", np.kron(numbers(list(range(0, 240, 12)), 5, 6), np.ones((2, 2), np.uint8))
        )
    assert len(read_root(tmp_path).find_classes(print)) > 12


def test_that_negative_numbers_in_masks_are_ignored_is_said_with_their_share(tmp_path: Path) -> None:
    write_pairs(tmp_path, "images/{}.png", "masks/{}.tif")
    for number in range(4):
        values = np.where(np.arange(10)[:, None] < 1 + number % 2, -1, numbers([0, 1]).astype(np.int16))
        tifffile.imwrite(tmp_path / f"masks/{number}.tif", values.astype(np.int16))
    dataset = read_root(tmp_path)
    dataset.find_classes(print)
    assert "negative numbers and nan in the masks are ignored: 15 % of the pixels" in dataset.notes


def test_masks_by_class_on_a_small_side_are_understood_by_those_of_the_other(tmp_path: Path) -> None:
    """The three masks of the one image that validates may be of objects, were it not for the others."""
    drawn = numbers([0, 1, 2, 3])
    for side, count in (("train", 4), ("val", 1)):
        for number in range(count):
            write_image(tmp_path / f"images/{side}/{side}{number}.png", photo())
            for place, kind in enumerate(("crack", "rust", "spall"), start=1):
                write_image(tmp_path / f"masks/{side}/{side}{number}_{kind}.png", (drawn == place).astype(np.uint8))
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("background", "crack", "rust", "spall")
    assert all(np.array_equal(dataset.load(sample)[1], drawn) for sample in dataset.samples)


def test_several_classes_that_are_named_for_masks_of_objects_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"images/{name}.png", photo())
        for number in (1, 2):
            write_image(tmp_path / f"masks/{name}_{number}.png", numbers([0, 1]))
    with pytest.raises(InputError, match=r"each mask is of one object, so there are two classes, but 3 are named"):
        read_root(tmp_path, classes=["x", "y", "z"])
    assert read_root(tmp_path, classes=["x", "y"]).class_names == ("x", "y")
    with pytest.raises(InputError, match=r"but x and y are named; say which is which: .*\[background, y\]"):
        read_root(tmp_path, classes={1: "x", 2: "y"})
    (tmp_path / "classes.txt").write_text("x\ny\n")
    with pytest.raises(InputError, match=r"but x and y are named; say which is which: .*\[background, y\]"):
        read_root(tmp_path)
