"""What the values of masks mean: folders as people have them, read to the pixel, or refused with the option that answers."""

import os
import re
import shlex
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.image_files import held_out_root, load, photo, read_root, write_image
from tune_seg.data import PackedData, PackedTest, pack
from tune_seg.data.inspect import inspect
from tune_seg.errors import InputError

SIZE = (40, 48)
Mask = npt.NDArray[np.uint8]


def disc(row: int, column: int, radius: int) -> npt.NDArray[np.bool_]:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    found: npt.NDArray[np.bool_] = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    return found


DISCS = [disc(20, 20, 9), disc(18, 25, 7), disc(22, 24, 11), disc(15, 15, 6)]


def build(root: Path, masks: list[Any], suffix: str = ".png", **options: Any) -> None:
    """A folder of these masks, a to z."""
    for name, mask in zip("abcdefghijklmnopqrstuvwxyz", masks, strict=False):
        write_image(root / "images" / f"{name}.png", photo(*SIZE))
        (root / "masks").mkdir(exist_ok=True)
        image = mask if isinstance(mask, Image.Image) else Image.fromarray(np.asarray(mask, np.uint8))
        image.save(root / "masks" / f"{name}{suffix}", **options)


def packed(root: Path, **values: object) -> tuple[list[int], str]:
    """The pixels of each class, and what was noted."""
    dataset = read_root(root, size=SIZE, **values)
    data = PackedData(pack(dataset, root / "packs", SIZE))
    return (np.array(data.train_pixels) + np.array(data.val_pixels)).tolist(), " ".join(dataset.notes)


def refused(root: Path, **values: object) -> tuple[str, list[dict[str, Any]]]:
    """What is said, and the answers that it names, as fields."""
    with pytest.raises(InputError) as error:
        packed(root, **values)
    said = str(error.value)
    answers = []
    for key, value in (word.split("=", 1) for word in shlex.split(" ".join(re.findall(r"--set ('[^']*')", said)))):
        *inner, last = key.removeprefix("data.").split(".")
        field = {last: yaml.safe_load(value)}
        answers.append({inner[0]: field} if inner else field)
    return said, answers


def counts(masks: list[npt.NDArray[Any]], *values: int) -> list[int]:
    return [int(sum((mask == value).sum() for mask in masks)) for value in values]


# 255


@pytest.mark.parametrize("how", ["nothing", "classes.txt", "data.classes"])
def test_of_black_and_white_masks_white_is_the_object(tmp_path: Path, how: str) -> None:
    masks = [np.where(found, 255, 0) for found in DISCS]
    build(tmp_path, masks)
    if how == "classes.txt":
        (tmp_path / how).write_text("background\ncrack\n")
    pixels, notes = packed(tmp_path, **({"classes": ["background", "crack"]} if how == "data.classes" else {}))
    assert pixels == counts(masks, 0, 255)
    assert "the masks hold 0 and 255 alone" in notes
    assert ("255 for crack" in notes) == (how != "nothing")


def test_black_and_white_masks_of_other_classes_are_a_question(tmp_path: Path) -> None:
    masks = [np.where(found, 255, 0) for found in DISCS]
    build(tmp_path, masks)
    for classes in ({0: "background", 1: "crack"}, ["background", "crack", "rust"]):
        said, (answer,) = refused(tmp_path, classes=classes)
        assert "the masks hold 0 and 255 alone" in said
        assert packed(tmp_path, **answer)[0] == counts(masks, 0, 255)


@pytest.mark.parametrize("levels", [(0, 127, 255), (0, 85, 170, 255)])
def test_of_several_greys_255_is_one_class(tmp_path: Path, levels: tuple[int, ...]) -> None:
    masks = []
    for number, found in enumerate(DISCS):
        mask = np.where(found, 255, 0)
        mask[2:8, 2:8] = levels[1 + number % (len(levels) - 2)]
        masks.append(mask)
    build(tmp_path, masks)
    pixels, notes = packed(tmp_path)
    assert pixels == counts(masks, *levels)
    assert "255 is a class" in notes and "data.ignore_label=255" in notes
    names = [f"n{value}" for value in levels]
    said, (answer,) = refused(tmp_path, classes=names)
    assert "unknown label value" in said
    assert packed(tmp_path, **answer)[0] == counts(masks, *levels)
    assert packed(tmp_path, ignore_label=255)[0] == counts(masks, *levels[:-1])


def test_white_as_most_of_the_masks_is_a_class_unless_it_is_none_of_the_named(tmp_path: Path) -> None:
    masks = [np.where(found, 1, 255) for found in DISCS]
    for mask in masks:
        mask[:5] = 0
    build(tmp_path, masks)
    found, notes = packed(tmp_path)
    assert found == counts(masks, 0, 1, 255)
    assert "255 is a class, because it is most of the masks" in notes
    said, (ignored, named) = refused(tmp_path, classes=["background", "crack"])
    assert "none of the classes 0 (background), 1 (crack)" in said
    assert packed(tmp_path, classes=["background", "crack"], **ignored)[0] == counts(masks, 0, 1)
    assert packed(tmp_path, **named)[0] == counts(masks, 0, 1, 255)


@pytest.mark.parametrize("classes", [None, ["background", "cat", "dog"]])
def test_bands_of_255_around_objects_are_ignored_and_said(tmp_path: Path, classes: list[str] | None) -> None:
    masks = []
    for number, (row, column, radius) in enumerate([(20, 20, 9), (18, 25, 7), (22, 24, 11), (15, 15, 6)]):
        mask = np.where(disc(row, column, radius + 2), 255, 0)
        mask[disc(row, column, radius)] = 1 + number % 2
        masks.append(mask)
    build(tmp_path, masks)
    found, notes = packed(tmp_path, classes=classes)
    assert found == counts(masks, 0, 1, 2)
    share = 100 * sum((mask == 255).sum() for mask in masks) / np.size(masks)
    assert f"255 is taken for ignored: {share:.3g} % of the pixels" in notes


def test_255_that_may_be_a_class_or_ignored_is_a_question(tmp_path: Path) -> None:
    masks = [np.where(found, 1, 0) for found in DISCS]
    for mask in masks:
        mask[:, 34:] = 255
    build(tmp_path, masks)
    said, (ignored, named) = refused(tmp_path)
    assert "so it may be a class or ignored" in said
    found, notes = packed(tmp_path, **ignored)
    assert found == counts(masks, 0, 1)
    assert "255 is ignored, as data.ignore_label says: 29.2 % of the pixels" in notes
    assert packed(tmp_path, **named)[0] == counts(masks, 0, 1, 255)


@pytest.mark.parametrize("classes", [None, ["background", "crack"]])
def test_folders_that_mix_0_1_and_0_255_are_refused(tmp_path: Path, classes: list[str] | None) -> None:
    masks = [np.where(found, 255 if number else 1, 0) for number, found in enumerate(DISCS)]
    build(tmp_path, masks)
    said, answers = refused(tmp_path, classes=classes)
    assert "1 mask (a.png) with 1, 3 masks (b.png, c.png, d.png) with 255, none with both" in said
    assert packed(tmp_path, **answers[0])[0] == counts([mask > 0 for mask in masks], 0, 1)


def test_255_that_only_a_published_test_has_is_not_ignored_without_a_word(tmp_path: Path) -> None:
    for side, found in zip(("train", "val", "test"), DISCS, strict=False):
        write_image(tmp_path / side / "images" / f"{side}.png", photo(*SIZE))
        mask = np.where(found, 255 if side == "test" else 1, 0)
        write_image(tmp_path / side / "masks" / f"{side}.png", mask.astype(np.uint8))
    values: dict[str, Any] = {"classes": ["background", "crack"], "split": {"test": "published"}, "size": SIZE}
    assert packed(tmp_path, classes=values["classes"], split=values["split"])[0] == counts([*DISCS[:2]], 0, 1)
    with pytest.raises(InputError, match=r"test\.png: unknown label value 255 \(known: 0 to 1\)"):
        pack(held_out_root(tmp_path, **values), tmp_path / "packs", SIZE)
    background, object_ = counts([DISCS[2]], 0, 1)
    answers: list[tuple[dict[str, Any], list[int]]] = [
        ({"classes": {0: "background", 1: "crack", 255: "crack"}}, [background, object_]),
        ({"ignore_label": 255}, [background, 0]),
    ]
    for answer, pixels in answers:
        test = PackedTest(pack(held_out_root(tmp_path, **values | answer), tmp_path / "packs", SIZE))
        assert list(test.val_pixels) == pixels


@pytest.mark.parametrize("white", [1, 255])
def test_inverted_masks_are_refused(tmp_path: Path, white: int) -> None:
    masks = [np.where(found, white, 0) for found in DISCS]
    masks[2] = white - masks[2]
    build(tmp_path, masks)
    said, (answer,) = refused(tmp_path)
    assert f"3 masks (a.png, b.png, d.png) have 0 all around, 1 mask (c.png) have {white}" in said
    found, notes = packed(tmp_path, **answer)
    assert found == counts(masks, 0, white) and f"1 mask (c.png) have {white}: all are taken as they are" in notes


@pytest.mark.parametrize("palettes", [False, True])
def test_a_published_test_whose_masks_say_the_contrary_is_refused(tmp_path: Path, palettes: bool) -> None:
    for split, alike in (("train", True), ("val", True), ("test", False)):
        for number, found in enumerate(DISCS):
            write_image(tmp_path / "images" / split / f"{split}{number}.png", photo(*SIZE))
            (tmp_path / "masks" / split).mkdir(exist_ok=True, parents=True)
            mask = Image.fromarray((found if alike or palettes else ~found).astype(np.uint8))
            if palettes:
                mask.putpalette([0, 0, 0, 255, 0, 0] if alike else [255, 0, 0, 0, 0, 0])
            mask.save(tmp_path / "masks" / split / f"{split}{number}.png")
    values: dict[str, Any] = {"split": {"test": "published"}}
    said, answers = refused(tmp_path, classes=["background", "crack"], **values)
    assert ("palettes differ" if palettes else "one kind seems inverted") in said and "test0.png" in said
    problems = inspect(read_root(tmp_path, **values), held_out_root(tmp_path, **values), SIZE, tmp_path / "packs").problems
    assert len(problems) == 1 and "test0.png" in problems[0]
    twice = [2 * count for count in counts([*DISCS], 0, 1)]
    assert packed(tmp_path, **values, **answers[-1])[0] == twice == packed(tmp_path)[0]  # which does not read the test


def test_what_many_masks_have_wrong_is_one_line(tmp_path: Path) -> None:
    masks = [np.where(found, 2, 0) for found in DISCS]
    masks[0][0, 0] = 7
    build(tmp_path, masks)
    said, _ = refused(tmp_path, classes=["background", "crack"])
    assert len(said.splitlines()) == 2
    assert "unknown label values 2 in 4 masks (a.png, b.png, c.png, ...), 7 in 1 mask (a.png)" in said


# JPEG, smoothing, instances


@pytest.mark.parametrize(("suffix", "mode"), [(".jpg", "L"), (".jpg", "RGB"), (".webp", "RGB")])
def test_masks_compressed_with_loss_are_refused_with_the_threshold_that_reads_them(
    tmp_path: Path, suffix: str, mode: str
) -> None:
    masks = [Image.fromarray(np.where(found, 255, 0).astype(np.uint8)).convert(mode) for found in DISCS]
    build(tmp_path, masks, suffix, quality=85)
    said, (answer,) = refused(tmp_path, classes=["background", "crack"])
    assert f"4 masks (a{suffix}, b{suffix}, c{suffix}, ...) compressed as JPEG" in said
    assert answer == {"options": {"threshold": 128}}
    assert packed(tmp_path, classes=["background", "crack"], **answer)[0] == counts(DISCS, 0, 1)


def test_masks_compressed_with_loss_are_said_once(tmp_path: Path) -> None:
    build(tmp_path, [np.where(found, 255, 0) for found in DISCS], ".jpg", quality=85)
    said, _ = refused(tmp_path)
    assert said.count("JPEG") == 1 and len(said.splitlines()) == 2 and "(1 problems)" in said


def recompressed(mask: Mask, path: Path, quality: int) -> Image.Image:
    Image.fromarray(mask).save(path, quality=quality)
    return Image.open(path)


@pytest.mark.parametrize("quality", [50, 95])
@pytest.mark.parametrize("classes", [None, ["background", "crack"]])
def test_masks_that_were_jpeg_once_are_refused_with_the_threshold(
    tmp_path: Path, quality: int, classes: list[str] | None
) -> None:
    build(tmp_path, [recompressed(np.where(found, 255, 0).astype(np.uint8), tmp_path / "a.jpg", quality) for found in DISCS])
    said, (answer,) = refused(tmp_path, classes=classes)
    assert "They gather around 0 and 255" in said
    assert answer == {"options": {"threshold": 128}}
    assert packed(tmp_path, classes=classes, **answer)[0] == counts(DISCS, 0, 1)


def test_smoothed_masks_are_refused_with_the_threshold(tmp_path: Path) -> None:
    small = [Image.fromarray(np.where(found, 255, 0).astype(np.uint8)).resize((24, 20)) for found in DISCS]
    masks = [np.asarray(image.resize(SIZE[::-1], Image.Resampling.BILINEAR)) for image in small]
    build(tmp_path, masks)
    _, (answer,) = refused(tmp_path)
    assert answer == {"options": {"threshold": 128}}
    assert packed(tmp_path, **answer)[0] == counts([mask >= 128 for mask in masks], 0, 1)


def test_inverted_masks_are_refused_although_they_are_cut(tmp_path: Path) -> None:
    masks = [np.where(found, 255, 0) for found in DISCS[:2]] + [np.where(found, 0, 255) for found in DISCS[2:]]
    build(tmp_path, masks, ".jpg", quality=95)
    said, (answer,) = refused(tmp_path, options={"threshold": 128})
    assert "one kind seems inverted" in said
    found, _ = packed(tmp_path, options={"threshold": 128}, **answer)
    assert found == counts(masks, 0, 255)


def test_masks_of_white_alone_tell_nothing_apart(tmp_path: Path) -> None:
    build(tmp_path, [np.full(SIZE, 255)] * 2)
    said, _ = refused(tmp_path)
    assert "every pixel of every mask is 255, so there is nothing to tell apart" in said


def test_many_masks_that_cannot_be_read_are_one_line_of_what_packing_says(tmp_path: Path) -> None:
    build(
        tmp_path,
        [Image.fromarray(np.dstack([np.where(found, 200, 0)] + [found * 90] * 2).astype(np.uint8)) for found in DISCS],
    )
    with pytest.raises(InputError, match=r"\n  .*a mask in colour.*\(4 such, also .*\)\n  .*do not tell which classes"):
        pack(read_root(tmp_path), tmp_path / "packs", SIZE)


def test_levels_of_three_classes_are_found(tmp_path: Path) -> None:
    masks = []
    for found in DISCS:
        mask = np.where(found, 255, 0)
        mask[:, 36:] = 128
        masks.append(mask.astype(np.uint8))
    build(tmp_path, [recompressed(mask, tmp_path / "a.jpg", 90) for mask in masks])
    said, (answer,) = refused(tmp_path)
    assert "They gather around 0, 128 and 255" in said
    assert answer == {"options": {"threshold": [64, 192]}}
    assert len(packed(tmp_path, **answer)[0]) == 3


def test_a_threshold_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    build(tmp_path, [np.where(found, 255 if number else 1, 0) for number, found in enumerate(DISCS)])
    assert "a.png: the values are 0 and 1" in refused(tmp_path, options={"threshold": 128})[0]
    for values, message in (
        ({"options": {"threshold": [9, 9]}}, "in ascending order"),
        ({"options": {"threshold": 0}}, r"data\.options\.threshold"),
        ({"options": {"threshold": 9, "colours": {"a": [0, 0, 0], "b": [1, 1, 1]}}}, "choose one"),
        ({"options": {"threshold": 9}, "ignore_label": 255, "classes": ["a", "b"]}, "255, but .* makes 0, 1 of all grey"),
        ({"options": {"threshold": 9}, "classes": ["a", "b", "c"]}, "with 1 of them the classes are 0, 1, but 0, 1, 2 are"),
    ):
        with pytest.raises(InputError, match=message):
            read_root(tmp_path, **values)


@pytest.mark.parametrize("global_numbers", [False, True])
def test_numbers_of_objects_are_called_that(tmp_path: Path, global_numbers: bool) -> None:
    masks, number = [], 0
    for rows in (2, 3, 4, 4, 5, 5):
        mask = np.zeros(SIZE, np.uint16)
        number = number if global_numbers else 0
        for row in range(rows):
            for column in range(4):
                number += 1
                mask[row * 8 + 1 : row * 8 + 6, column * 10 + 2 : column * 10 + 8] = number
        masks.append(mask)
    build(tmp_path, [Image.fromarray(mask) for mask in masks])
    said, (answer,) = refused(tmp_path)
    assert "numbers of single objects (instances)" in said
    assert packed(tmp_path, **answer)[0] == counts([mask > 0 for mask in masks], 0, 1)
    assert "instances" in refused(tmp_path, classes=["background", "cell"])[0]


def test_nested_classes_of_a_few_masks_are_not_taken_for_objects(tmp_path: Path) -> None:
    masks = [np.where(found, 1, 0) for found in DISCS]
    masks[1][disc(18, 25, 4)] = 2
    masks[2][disc(22, 24, 4)] = 2
    build(tmp_path, masks)
    assert packed(tmp_path) == (counts(masks, 0, 1, 2), "")


# Palettes and encodings


def with_palette(mask: Mask, colours: list[tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(mask)
    image.putpalette([part for colour in colours for part in colour])
    return image


def test_palettes_that_differ_are_refused(tmp_path: Path) -> None:
    black, red, green = (0, 0, 0), (255, 0, 0), (0, 255, 0)
    truth = [np.where(found, 1 + number % 2, 0).astype(np.uint8) for number, found in enumerate(DISCS)]
    build(
        tmp_path, [with_palette((mask > 0).astype(np.uint8), [black, red if mask.max() == 1 else green]) for mask in truth]
    )
    for classes in (None, ["background", "cat"]):
        said, (by_colour, by_number) = refused(tmp_path, classes=classes)
        assert (
            "the number 1 is the colour (255, 0, 0) in 2 masks (a.png, c.png), (0, 255, 0) in 2 masks (b.png, d.png)" in said
        )
        assert sorted(packed(tmp_path, **by_colour)[0]) == sorted(counts(truth, 0, 1, 2))
        assert packed(tmp_path, **by_number)[0] == counts([mask > 0 for mask in truth], 0, 1)


def grey_alpha(mask: Mask) -> npt.NDArray[np.uint8]:
    return np.dstack([mask, np.full_like(mask, 255)])


ENCODINGS: dict[str, tuple[str, Callable[[Mask], Image.Image], dict[str, Any]]] = {
    "RGB": (".png", lambda mask: Image.fromarray(mask).convert("RGB"), {}),
    "RGBA": (".png", lambda mask: Image.fromarray(mask).convert("RGBA"), {}),
    "LA": (".png", lambda mask: Image.fromarray(grey_alpha(mask)), {}),
    "BMP": (".bmp", Image.fromarray, {}),
    "BMP in colour": (".bmp", lambda mask: Image.fromarray(mask).convert("RGB"), {}),
    "GIF": (".gif", Image.fromarray, {}),
    "1 bit": (".png", lambda mask: Image.fromarray(mask).convert("1"), {}),
    "BMP of 1 bit": (".bmp", lambda mask: Image.fromarray(mask).convert("1"), {}),
    "WebP": (".webp", lambda mask: Image.fromarray(mask).convert("RGB"), {"lossless": True}),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_masks_in_any_lossless_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    suffix, encode, options = ENCODINGS[encoding]
    build(tmp_path, [encode(np.where(found, 255, 0).astype(np.uint8)) for found in DISCS], suffix, **options)
    assert packed(tmp_path, classes=["background", "crack"])[0] == counts(DISCS, 0, 1)


@pytest.mark.parametrize("kind", ["bool", "float32", "float64", "RGB", "RGBA"])
def test_masks_in_tiff_of_other_types_are_read(tmp_path: Path, kind: str) -> None:
    build(tmp_path, DISCS)
    for path, found in zip(sorted((tmp_path / "masks").iterdir()), DISCS, strict=True):
        path.unlink()
        if kind == "RGB":
            tifffile.imwrite(path.with_suffix(".tif"), np.dstack([found * np.uint8(255)] * 3), photometric="rgb")
        elif kind == "RGBA":
            channels = [*[found * np.uint8(255)] * 3, np.full(SIZE, 255, np.uint8)]
            tifffile.imwrite(path.with_suffix(".tif"), np.dstack(channels), photometric="rgb", extrasamples=["unassalpha"])
        else:
            tifffile.imwrite(path.with_suffix(".tif"), found.astype(kind))
    assert packed(tmp_path, classes=["background", "crack"])[0] == counts(DISCS, 0, 1)


def test_objects_in_the_transparency_are_said(tmp_path: Path) -> None:
    build(tmp_path, [np.dstack([np.zeros((*SIZE, 3), np.uint8), found * np.uint8(255)]) for found in DISCS])
    said, _ = refused(tmp_path)
    assert "a.png: a mask with transparency (mode RGBA)" in said and "mogrify -alpha extract" in said


def test_several_pictures_in_one_mask_are_refused(tmp_path: Path) -> None:
    build(tmp_path, DISCS)
    frames = [Image.fromarray(np.where(found, 255, 0).astype(np.uint8)) for found in DISCS]
    frames[0].save(tmp_path / "masks" / "e.gif", save_all=True, append_images=frames[1:])
    write_image(tmp_path / "images" / "e.png", photo(*SIZE))
    with pytest.raises(InputError, match=r"e\.gif: 4 pictures in one file"):
        load(read_root(tmp_path), "e")


# Files that are no images


def test_a_pipe_among_masks_in_colours_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    build(tmp_path, [np.asarray(found, np.uint8) for found in DISCS] * 2)
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nbackground,0,0,0\ncrack,255,0,0\n")
    (first, *_) = sorted((tmp_path / "masks").iterdir())
    first.unlink()
    os.mkfifo(first)
    said, _ = refused(tmp_path)
    assert f"masks/{first.name}: not a file but a pipe" in said


def test_pointers_pipes_and_bombs_are_called_what_they_are(tmp_path: Path) -> None:
    build(tmp_path, [np.asarray(found, np.uint8) for found in DISCS] * 2)
    (tmp_path / "masks" / "a.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    for kind, name in (("masks", "b"), ("images", "c")):
        (tmp_path / kind / f"{name}.png").unlink()
        os.mkfifo(tmp_path / kind / f"{name}.png")
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + b"\0\0\0\4IDAT"
    (tmp_path / "masks" / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    said, _ = refused(tmp_path)
    assert "masks/a.png: a pointer of git-LFS in place of the image" in said
    assert "masks/b.png: not a file but a pipe" in said
    assert "images/c.png: not a file but a pipe" in said
    assert re.search(r"masks/d\.png: more than [\d,]+ pixels", said)


# Any mixture

KINDS: dict[str, Callable[[npt.NDArray[np.bool_]], npt.NDArray[Any]]] = {
    "numbers": lambda found: np.where(found, 1, 0),
    "white": lambda found: np.where(found, 255, 0),
    "inverted": lambda found: np.where(found, 0, 255),
    "grey": lambda found: np.where(found, 127, 0),
    "void": lambda found: np.where(found, 1, np.where(np.roll(found, 2, 0) | np.roll(found, -2, 1), 255, 0)),
    "white void": lambda found: np.where(found, 255, np.where(np.roll(found, 2, 0), 1, 0)),
}
FORMS = ["L", "RGB", "P", "JPEG"]
rectangles = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(2, 20), st.integers(2, 20))
files = st.tuples(rectangles, st.sampled_from(sorted(KINDS)), st.sampled_from(FORMS))


@settings(max_examples=40, deadline=None)
@given(st.lists(files, min_size=2, max_size=5), st.booleans(), st.booleans(), st.booleans())
def test_no_mixture_of_masks_gives_other_counts_without_a_word(
    tmp_path_factory: pytest.TempPathFactory, written: list[Any], alike: bool, named: bool, lossless: bool
) -> None:
    root = tmp_path_factory.mktemp("mixture")
    objects, raw = [], []
    for number, ((top, left, height, width), kind, form) in enumerate(written):
        kind, form = (written[0][1], written[0][2]) if alike else (kind, form)
        form = "L" if lossless and form == "JPEG" else form
        found = np.zeros(SIZE, np.bool_)
        found[top : top + height, left : left + width] = True
        mask = KINDS[kind](found).astype(np.uint8)
        objects.append(found)
        raw.append(mask)
        image = with_palette(mask, [(v, v // 2, 255 - v) for v in range(256)]) if form == "P" else Image.fromarray(mask)
        write_image(root / "images" / f"{number}.png", photo(*SIZE))
        (root / "masks").mkdir(exist_ok=True)
        image = image.convert("RGB") if form == "RGB" else image
        image.save(root / "masks" / f"{number}.{'jpg' if form == 'JPEG' else 'png'}")
    homogeneous = alike and written[0][1] in ("numbers", "white") and (lossless or written[0][2] != "JPEG")
    try:
        found_counts, notes = packed(root, **({"classes": ["background", "object"]} if named else {}))
    except InputError:
        assert not homogeneous
        return
    values = sorted({int(value) for mask in raw for value in np.unique(mask)})
    if "255 is taken for ignored" in notes:
        values.remove(255)
    assert found_counts == counts(raw, *values)
    if not notes:
        assert found_counts == counts(objects, 0, 1) or not named


@pytest.mark.parametrize("options", [{}, {"classes": ["a", "b", "c", "d", "e"]}, {"options": {"threshold": [1, 2, 3, 4]}}])
def test_negative_numbers_and_nan_are_ignored_whatever_the_others_mean(tmp_path: Path, options: dict[str, Any]) -> None:
    masks = [np.full(SIZE, -3, np.float32) for _ in DISCS]
    for number, mask in enumerate(masks):
        mask[:, 8:] = np.arange(40) // 8
        mask[number] = np.nan
        write_image(tmp_path / "images" / f"{number}.png", photo(*SIZE))
        (tmp_path / "masks").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "masks" / f"{number}.tif", mask)
    assert packed(tmp_path, **options)[0] == counts(masks, 0, 1, 2, 3, 4)
