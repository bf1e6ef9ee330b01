"""Folders of images of any number of channels, 8 or 16 bits, TIFF pages and masks in colour, against the arrays written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecodecs import png_encode
from PIL import Image

from tests.support.image_files import Array, assert_holds, ids, load, numbers, photo, read_root, write_image
from tune_seg.data import PackedData, pack
from tune_seg.data.dataset import ImageType
from tune_seg.data.images.colours import ColourMasks, read_colour_table
from tune_seg.data.images.pictures import Pictures, page_numbers
from tune_seg.errors import InputError


def write_tiff(path: Path, array: np.ndarray, **options: Any) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, **options)
    return array


def write_deep_png(path: Path, array: Array) -> Array:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_encode(array))
    return array


def write_masks(root: Path, *names: str) -> dict[str, np.ndarray]:
    return {name: write_image(root / "masks" / f"{name}.png", numbers([0, 1])) for name in names}


def fill(root: Path, *names: str) -> None:
    """Samples of no interest, so that there is something to divide and two classes."""
    for name in names:
        write_image(root / "images" / f"{name}.png", photo())
    write_masks(root, *names)


# Channels and depth


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_images_keep_their_channels_and_their_depth(tmp_path: Path, channels: int, dtype: str) -> None:
    masks = write_masks(tmp_path, "a", "b")
    images = {}
    for name in masks:
        images[name] = photo(channels=channels, dtype=dtype)
        write_deep_png(tmp_path / "images" / f"{name}.png", images[name])
    dataset = read_root(tmp_path, options={"channels": channels})
    assert (dataset.channels, dataset.dtype) == (channels, dtype)
    for name, mask in masks.items():
        assert_holds(dataset, name, images[name], mask)


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 7),
    dtype=st.sampled_from(["uint8", "uint16"]),
    planar=st.booleans(),
    compression=st.sampled_from([None, "zlib", "lzw"]),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_tiff_images_keep_their_channels_and_their_depth(
    tmp_path_factory: pytest.TempPathFactory,
    channels: int,
    dtype: ImageType,
    planar: bool,
    compression: str | None,
    size: tuple[int, int],
) -> None:
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    image = photo(*size, channels, dtype)
    stored = image[..., 0] if channels == 1 else np.moveaxis(image, 2, 0) if planar else image
    layout = {} if channels == 1 else {"planarconfig": "separate" if planar else "contig"}
    write_tiff(path, stored, photometric="rgb" if channels == 3 else "minisblack", compression=compression, **layout)
    loaded = Pictures(channels, dtype).read(path)
    assert loaded.dtype == dtype
    np.testing.assert_array_equal(loaded, image)


def test_transparency_is_kept_only_where_it_is_declared(tmp_path: Path) -> None:
    masks = write_masks(tmp_path, "a", "b")
    images = {name: write_image(tmp_path / "images" / f"{name}.png", photo(channels=4)) for name in masks}
    for name, mask in masks.items():
        assert_holds(read_root(tmp_path), name, images[name][..., :3], mask)
        assert_holds(read_root(tmp_path, options={"channels": 4}), name, images[name], mask)


def test_grey_images_are_three_channels_or_one(tmp_path: Path) -> None:
    masks = write_masks(tmp_path, "grey", "coloured", "with_alpha")
    grey = photo(channels=1)
    write_image(tmp_path / "images" / "grey.png", grey)
    write_image(tmp_path / "images" / "coloured.png", np.repeat(grey, 3, axis=2))
    write_image(tmp_path / "images" / "with_alpha.png", np.concatenate([grey, photo(channels=1)], axis=2))
    for name, mask in masks.items():
        assert_holds(read_root(tmp_path), name, np.repeat(grey, 3, axis=2), mask)
        assert_holds(read_root(tmp_path, options={"channels": 1}), name, grey, mask)


def test_other_channels_than_declared_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "colour")
    write_masks(tmp_path, "five", "two", "near")
    write_tiff(tmp_path / "images" / "five.tif", photo(channels=5), photometric="minisblack", planarconfig="contig")
    write_tiff(tmp_path / "images" / "two.tif", photo(channels=2), photometric="minisblack", planarconfig="contig")
    write_tiff(tmp_path / "images" / "near.tif", photo(channels=4), photometric="rgb", extrasamples=["unspecified"])
    dataset = read_root(tmp_path)
    for name, count in (("five", 5), ("two", 2), ("near", 4)):
        with pytest.raises(
            InputError, match=rf"{name}\.tif: {count} channels, where 3 are asked for.*data\.options\.channels"
        ):
            load(dataset, name)
    with pytest.raises(InputError, match=r"colour\.png: 3 channels, where 1 are asked for"):
        load(read_root(tmp_path, options={"channels": 1}), "colour")
    with pytest.raises(InputError, match=r"colour\.png: 3 channels, where 4 are asked for"):
        load(read_root(tmp_path, options={"channels": 4}), "colour")
    with pytest.raises(InputError, match=r"data\.options\.channels: 0 is not possible; allowed: a whole number ≥ 1"):
        read_root(tmp_path, options={"channels": 0})


def test_one_data_set_has_one_depth(tmp_path: Path) -> None:
    write_masks(tmp_path, "a", "b", "c", "d")
    write_deep_png(tmp_path / "images" / "a.png", photo(dtype="uint16"))
    write_image(tmp_path / "images" / "b.png", photo())
    write_deep_png(tmp_path / "images" / "c.png", photo(channels=1, dtype="uint16"))
    write_tiff(tmp_path / "images" / "d.tif", photo(dtype="uint16"), photometric="rgb")
    dataset = read_root(tmp_path)
    assert dataset.dtype == "uint16"
    for name in ("a", "c", "d"):
        assert load(dataset, name)[0].dtype == np.uint16
    with pytest.raises(InputError, match=r"b\.png: an image of 8 bits a channel, where the data set has 16"):
        load(dataset, "b")


def test_complex_numbers_are_refused_and_deep_ones_among_8_bits(tmp_path: Path) -> None:
    fill(tmp_path, "b")
    write_masks(tmp_path, "c", "d")
    write_tiff(tmp_path / "images" / "c.tif", np.ones((10, 12), np.complex64))
    write_tiff(tmp_path / "images" / "d.tif", np.ones((10, 12), np.float32))
    dataset = read_root(tmp_path)
    with pytest.raises(InputError, match=r"c\.tif: \d+ bits a channel \(complex64\); convert it to whole or floating-point"):
        load(dataset, "c")
    with pytest.raises(InputError, match=r"d\.tif: an image of 16 bits a channel, where the data set has 8"):
        load(dataset, "d")


@pytest.mark.parametrize("dtype", ["float32", "uint32", "int16"])
def test_other_numbers_than_8_and_16_bits_need_a_range(tmp_path: Path, dtype: str) -> None:
    write_tiff(tmp_path / "a.tif", np.ones((10, 12), dtype))
    with pytest.raises(
        InputError, match=rf"a\.tif: an image of {dtype} values; convert it to whole numbers of 8 or 16 bits"
    ):
        Pictures(1, "uint16").read(tmp_path / "a.tif")


def test_damaged_and_turned_tiffs_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "b")
    write_masks(tmp_path, "cut", "empty", "turned")
    whole = tmp_path / "whole.tif"
    write_tiff(whole, photo(), photometric="rgb", compression="zlib")
    (tmp_path / "images" / "cut.tif").write_bytes(whole.read_bytes()[:400])
    (tmp_path / "images" / "empty.tif").write_bytes(b"")
    write_tiff(tmp_path / "images" / "turned.tif", photo(), photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    dataset = read_root(tmp_path)
    for name in ("cut", "empty"):
        with pytest.raises(InputError, match=rf"{name}\.tif: cannot be read as an image"):
            load(dataset, name)
    with pytest.raises(InputError, match=r"turned\.tif: stored turned or mirrored"):
        load(dataset, "turned")


def test_twelve_bits_are_kept_and_deep_colours_of_print_are_refused(tmp_path: Path) -> None:
    masks = write_masks(tmp_path, "a", "b")
    image = photo(channels=1, dtype="uint16") // np.uint16(16)
    write_tiff(tmp_path / "images" / "a.tif", image[..., 0], bitspersample=12, photometric="minisblack")
    write_tiff(tmp_path / "images" / "b.tif", photo(channels=4, dtype="uint16"), photometric="separated")
    dataset = read_root(tmp_path, options={"channels": 1})
    assert_holds(dataset, "a", image, masks["a"])
    with pytest.raises(InputError, match=r"b\.tif: 16 bits a channel, but neither grey nor RGB"):
        load(dataset, "b")


def test_a_folder_of_five_deep_channels_is_packed_as_it_is(tmp_path: Path) -> None:
    masks = write_masks(tmp_path, "a", "b")
    images = {name: photo(channels=5, dtype="uint16") for name in masks}
    for name, image in images.items():
        write_tiff(tmp_path / "images" / f"{name}.tif", image, photometric="minisblack", planarconfig="contig")
    data = PackedData(pack(read_root(tmp_path, options={"channels": 5}), tmp_path / "packs", (10, 12)))
    assert (data.channels, data.dtype) == (5, "uint16")
    for name, mask in masks.items():
        assert any(
            np.array_equal(data.image(row), images[name]) and np.array_equal(data.mask(row), mask)
            for row in range(len(data))
        )


# Pages


def write_stacks(root: Path, **pages: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    written = {}
    for name, count in pages.items():
        images = photo(channels=count)
        masks = np.stack([numbers([0, 1, 2]) for _ in range(count)])
        write_tiff(root / "images" / f"{name}.tif", np.moveaxis(images, 2, 0), photometric="minisblack")
        write_tiff(root / "masks" / f"{name}.tif", masks, photometric="minisblack")
        for page in range(count):
            id = f"{name}#{page:0{len(str(count - 1))}}" if count > 1 else name
            written[id] = images[..., page : page + 1], masks[page]
    return written


def test_each_page_of_a_tiff_is_a_sample_and_those_of_one_file_stay_together(tmp_path: Path) -> None:
    written = write_stacks(tmp_path, a=3, b=12, c=1)
    dataset = read_root(tmp_path, options={"channels": 1})
    assert sorted(sample.id for sample in dataset.samples) == sorted(written)
    assert {"a#0", "a#2", "b#00", "b#11", "c"} < set(written)
    for sample in dataset.samples:
        assert_holds(dataset, sample.id, *written[sample.id])
    for seed in range(6):
        divided = read_root(tmp_path, options={"channels": 1}, split={"val_fraction": 0.4, "seed": seed})
        sides = {(sample.id.split("#")[0], sample.split) for sample in divided.samples}
        assert len(sides) == 3
    (tmp_path / "train.txt").write_text("b.tif\nc\n")
    (tmp_path / "val.txt").write_text("a.tif\n")
    assert ids(read_root(tmp_path, options={"channels": 1}), "val") == ["a#0", "a#1", "a#2"]


def test_files_of_one_name_in_train_and_val_are_two_groups(tmp_path: Path) -> None:
    for kind, dtype in (("images", "uint16"), ("masks", "uint8")):
        for split in ("train", "val"):
            (tmp_path / kind / split).mkdir(parents=True)
            pages = np.ones((2, 10, 12), dtype)
            tifffile.imwrite(tmp_path / kind / split / "stack.tif", pages, photometric="minisblack")
    dataset = read_root(tmp_path, options={"channels": 1}, classes=["a", "b"])
    assert ids(dataset, "train") == ids(dataset, "val") == ["stack#0", "stack#1"]
    with pytest.raises(InputError, match=r"divides all samples anew, but two of them have one name"):
        read_root(tmp_path, options={"channels": 1}, classes=["a", "b"], split={"folds": 2})


def test_classes_are_found_on_all_pages(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tiff(tmp_path / "images" / f"{name}.tif", photo(channels=3)[..., 0])
        write_tiff(tmp_path / "masks" / f"{name}.tif", numbers([4, 7]))
    assert read_root(tmp_path).class_names == ("class 4", "class 7")
    stack = np.stack([numbers([0, 4]), numbers([0, 9])])
    write_tiff(tmp_path / "images" / "b.tif", np.zeros((2, 10, 12), np.uint8), photometric="minisblack")
    write_tiff(tmp_path / "masks" / "b.tif", stack, photometric="minisblack")
    assert read_root(tmp_path).class_names == ("class 0", "class 4", "class 7", "class 9")


def test_pages_may_be_the_channels_of_one_image(tmp_path: Path) -> None:
    masks = write_masks(tmp_path, "a", "b")
    images = {name: photo(channels=4, dtype="uint16") for name in masks}
    for name, image in images.items():
        write_tiff(tmp_path / "images" / f"{name}.tif", np.moveaxis(image, 2, 0), photometric="minisblack")
    with pytest.raises(
        InputError, match=r"data\.options\.pages: channels:\n  \S*a\.tif: 4 pages, but its mask \S*a\.png has 1 page\n"
    ):
        read_root(tmp_path)
    dataset = read_root(tmp_path, options={"pages": "channels", "channels": 4})
    for name, mask in masks.items():
        assert_holds(dataset, name, images[name], mask)
    with tifffile.TiffWriter(tmp_path / "images" / "a.tif") as file:
        for size in (10, 9):
            file.write(photo(size, dtype="uint16")[..., 0], contiguous=False)
    with pytest.raises(InputError, match=r"a\.tif: its pages differ in size or depth"):
        load(dataset, "a")
    (tmp_path / "masks" / "b.png").unlink()
    write_tiff(tmp_path / "masks" / "b.tif", np.zeros((2, 10, 12), np.uint8), photometric="minisblack")
    with pytest.raises(
        InputError, match=r"has a mask of one page:\n  \S*b\.tif: 1 page, but its mask \S*b\.tif has 2 pages"
    ):
        read_root(tmp_path, options={"pages": "channels", "channels": 4})


@pytest.mark.parametrize("options", [{"imagej": True}, {}], ids=["ImageJ", "tifffile"])
def test_a_stack_under_the_header_of_one_page_is_refused(tmp_path: Path, options: dict[str, bool]) -> None:
    fill(tmp_path, "a", "b")
    write_masks(tmp_path, "stack")
    write_image(tmp_path / "images" / "mask.png", photo())
    for kind, name in (("images", "stack"), ("masks", "mask")):
        write_tiff(tmp_path / kind / f"{name}.tif", np.zeros((5, 10, 12), np.uint8), truncate=True, **options)
    for name in ("stack", "mask"):
        with pytest.raises(InputError, match=rf"{name}\.tif: a stack of \(5, 10, 12\) under the header of one page"):
            load(read_root(tmp_path, classes=["x", "y"]), name)


def test_smaller_copies_of_a_page_are_no_samples(tmp_path: Path) -> None:
    masks = write_masks(tmp_path, "a", "b")
    images = {name: photo() for name in masks}
    for name, image in images.items():
        path = tmp_path / "images" / f"{name}.tif"
        path.parent.mkdir(exist_ok=True)
        with tifffile.TiffWriter(path) as file:
            file.write(image, photometric="rgb")
            file.write(image[::2, ::2], photometric="rgb", subfiletype=1)
        assert page_numbers(path) == (0,)
    dataset = read_root(tmp_path)
    for name, mask in masks.items():
        assert_holds(dataset, name, images[name], mask)


# Masks as TIFF


def test_tiff_masks_hold_class_numbers(tmp_path: Path) -> None:
    palette = np.zeros((3, 256), np.uint16)
    palette[:, :3] = 65535
    arrays: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "grey": (numbers([0, 1, 2]), {}),
        "palette": (numbers([0, 1, 2]), {"photometric": "palette", "colormap": palette}),
        "packed": (numbers([0, 1, 2]), {"compression": "lzw"}),
        "deep": (numbers([0, 1, 2]).astype(np.uint16) * 1000, {}),
        "wide": (numbers([0, 1, 2]).astype(np.int32), {}),
        "bilevel": (numbers([0, 1]).astype(np.bool_), {"photometric": "minisblack"}),
    }
    images = {}
    for name, (array, options) in arrays.items():
        images[name] = write_image(tmp_path / "images" / f"{name}.png", photo())
        write_tiff(tmp_path / "masks" / f"{name}.tiff", array, **options)
    dataset = read_root(tmp_path, classes={0: "a", 1: "b", 2: "c", 1000: "b", 2000: "c"})
    for name, (array, _) in arrays.items():
        assert_holds(dataset, name, images[name], array.astype(int) // (1000 if name == "deep" else 1))


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (photo(), {"photometric": "rgb"}, r"not a mask of one channel.*data\.options\.colours"),
        (numbers([0, 1]), {"photometric": "miniswhite"}, r"not a mask of one channel.*black as 0"),
        (numbers([0, 255], 16, 16), {"compression": "jpeg"}, "compressed as JPEG, which changes class numbers"),
        (numbers([0, 1]) + np.float32(0.5), {}, "the value .* is not a class number"),
        (numbers([0, 1]).astype(np.int32) * 70000, {}, "values up to 70000; a mask holds class numbers, 0 to 65535"),
    ],
    ids=["colour", "white is 0", "jpeg", "float", "large"],
)
def test_tiff_masks_without_class_numbers_are_refused(
    tmp_path: Path, array: np.ndarray, options: dict[str, str], message: str
) -> None:
    fill(tmp_path, "b")
    write_image(tmp_path / "images" / "a.png", photo(*array.shape[:2]))
    write_tiff(tmp_path / "masks" / "a.tif", array, **options)
    with pytest.raises(InputError, match=rf"a\.tif\b.*{message}"):
        load(read_root(tmp_path, classes=["x", "y"]), "a")


# Masks in colour

TABLE = {"road": (128, 64, 128), "car": (64, 0, 128), "sky": (128, 128, 128), "void": (0, 0, 0)}
PALETTE = np.array(list(TABLE.values()), np.uint8)


def write_coloured(root: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    written = {}
    for name in ("a", "b", "c", "d"):
        rows = numbers([0, 1, 2, 3])
        written[name] = write_image(root / "images" / f"{name}.png", photo()), rows
        if name == "a":
            write_image(root / "masks" / "a.png", PALETTE[rows])
        elif name == "b":
            write_tiff(root / "masks" / "b.tif", PALETTE[rows], photometric="rgb")
        elif name == "c":
            write_image(root / "masks" / "c.png", np.dstack([PALETTE[rows], photo(channels=1)]))
        else:
            image = Image.fromarray(rows)
            image.putpalette(PALETTE.ravel().tolist())
            image.save(root / "masks" / "d.png")
    return written


@pytest.mark.parametrize("where", ["data.options.colours", "colours.txt", "class_dict.csv"])
def test_colours_are_classes_by_a_table(tmp_path: Path, where: str) -> None:
    written = write_coloured(tmp_path)
    options = {}
    if where == "colours.txt":
        (tmp_path / where).write_text("".join(f"{r} {g}\t{b} {name}\n" for name, (r, g, b) in TABLE.items()) + "\n")
    elif where == "class_dict.csv":
        (tmp_path / where).write_text(
            "".join(["Name, R,G,B\r\n", *(f"{n},{r},{g}, {b}\r\n" for n, (r, g, b) in TABLE.items())])
        )
    else:
        options = {"colours": TABLE}
    dataset = read_root(tmp_path, options=options, ignore_label=3)
    assert dataset.class_names == ("road", "car", "sky")
    for name, (image, rows) in written.items():
        assert_holds(dataset, name, image, np.where(rows == 3, 255, rows))
    assert read_root(tmp_path, options=options).class_names == tuple(TABLE)
    merged = read_root(tmp_path, options=options, classes={0: "flat", 1: "thing", 2: "flat"}, ignore_label=3)
    assert merged.class_names == ("flat", "thing")
    assert_holds(merged, "a", written["a"][0], np.array([0, 1, 0, 255])[written["a"][1]])


def test_a_colour_that_is_not_in_the_table_is_named(tmp_path: Path) -> None:
    written = write_coloured(tmp_path)
    mask = PALETTE[written["a"][1]]
    mask[2, 3:6] = (128, 64, 129)
    mask[5, 1] = (255, 255, 255)
    write_image(tmp_path / "masks" / "a.png", mask)
    dataset = read_root(tmp_path, options={"colours": TABLE})
    with pytest.raises(
        InputError,
        match=r"a\.png: 2 colours, \(128, 64, 129\) in 3 pixels, \(255, 255, 255\) in 1 pixel, not in data\.options",
    ):
        load(dataset, "a")
    write_image(tmp_path / "masks" / "a.png", photo())
    with pytest.raises(InputError, match=r"a\.png: \d+ colours, .* and \d+ more, not in .*without smoothing"):
        load(dataset, "a")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("colours.txt", "1 2 3 a\n1 2 3 b\n", r"b and a have one colour, \(1, 2, 3\)"),
        ("colours.txt", "1 2 3 a\n1 2 b\n", r"line 2: 1, 2, b is no colour of three numbers 0 to 255"),
        ("colours.txt", "1 2 3 a\n\n1 2 256 b\n", r"line 3: 1, 2, 256 is no colour"),
        ("colours.txt", "1 2 3 a\n", "needs 2 to 254 colours and has 1"),
        ("colours.txt", "1 2 3 a\n4 5 6\n", "line 2: the colour has no name"),
        (
            "class_dict.csv",
            "name,red,g,b\na,1,2,3\n",
            "its first line names the columns name, red, g, b; it needs name, r, g and b",
        ),
        ("class_dict.csv", "name,r,g,b\na,1,2,3\nb,1,2\n", "line 3: 1, 2, None is no colour"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_coloured(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: {message}"):
        read_root(tmp_path)


def test_bad_colours_in_the_configuration_and_two_tables_are_refused(tmp_path: Path) -> None:
    write_coloured(tmp_path)
    with pytest.raises(InputError, match=r"data\.options\.colours.*≤ 255"):
        read_root(tmp_path, options={"colours": {"a": [1, 2, 256], "b": [0, 0, 0]}})
    with pytest.raises(InputError, match=r"data\.options\.colours: b and a have one colour"):
        read_root(tmp_path, options={"colours": {"a": [1, 2, 3], "b": [1, 2, 3]}})
    for name in ("colours.txt", "class_dict.csv"):
        (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=r"colours\.txt and class_dict\.csv both say what colours mean"):
        read_root(tmp_path)


colours = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))


@settings(max_examples=60, deadline=None)
@given(st.lists(colours, min_size=2, max_size=40, unique=True), st.integers(0, 2**32 - 1))
def test_numbers_written_in_colours_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, palette: list[tuple[int, int, int]], seed: int
) -> None:
    path = tmp_path_factory.mktemp("colours") / "mask.png"
    rows = np.random.default_rng(seed).integers(0, len(palette), (5, 7))
    write_image(path, np.array(palette, np.uint8)[rows])
    masks = ColourMasks({colour: number for number, colour in enumerate(palette)}, "the table")
    np.testing.assert_array_equal(masks.read(path), rows)
    missing = ColourMasks({colour: number for number, colour in enumerate(palette) if number != rows[0, 0]}, "the table")
    with pytest.raises(InputError, match="1 colour, "):
        missing.read(path)


def test_names_with_spaces_and_equal_names_stand_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "colours.txt"
    path.write_text("1 2 3 traffic light\n4 5 6  car \n7 8 9 car\n")
    table = read_colour_table(path)
    assert table.names == {0: "traffic light", 1: "car", 2: "car"}
    write_coloured(tmp_path)
    assert read_root(tmp_path).class_names == ("traffic light", "car")
