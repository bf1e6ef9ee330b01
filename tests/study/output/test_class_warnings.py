"""What is wrong with the classes and the images, said before a study starts: of folders as people have them."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console

from tests.support.image_files import held_out_root, photo, read_root, write_image
from tune_seg.data import Dataset, PackedData, PackedTest, pack
from tune_seg.data.packing.counts import Counts
from tune_seg.data.packing.write import packed_origin
from tune_seg.study.output.class_chart import show_classes
from tune_seg.study.output.class_warnings import note_of_twins, say_ignored, warn_of_classes, warn_of_test

CLASSES = ["background", "road", "crack", "sign"]


def packed_with_counts(dataset: Dataset, root: Path, size: tuple[int, int]) -> tuple[PackedData, dict[str, Counts]]:
    data = PackedData(pack(dataset, root / "packs", size))
    origin = packed_origin(dataset, root / "packs", size)
    assert origin is not None
    return data, dict(origin.counts)


def write(root: Path, split: str, name: str, mask: npt.NDArray[np.uint8]) -> None:
    write_image(root / "images" / split / f"{name}.png", photo(*mask.shape))
    write_image(root / "masks" / split / f"{name}.png", mask)


def road(crack: bool = False, ignored: int = 0, sign: bool = False) -> npt.NDArray[np.uint8]:
    """A road of half of 64 x 64 pixels, with a crack of a pixel's width, which no pixel of 16 x 16 is taken from."""
    mask = np.zeros((64, 64), np.uint8)
    mask[32:] = 1
    if crack:
        mask[40, :] = 2
    if sign:
        mask[8:16, 8:16] = 3
    mask[:, :ignored] = 255
    return mask


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=120)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_each_way_to_lack_a_class_is_said_with_what_to_do(console: Console, tmp_path: Path) -> None:
    write(tmp_path, "train", "a", road(crack=True))
    write(tmp_path, "val", "b", road(crack=True, sign=True))
    dataset = read_root(tmp_path, classes=[*CLASSES, "bird"])
    warn_of_classes(console, *packed_with_counts(dataset, tmp_path, (16, 16)))
    lines = printed(console).splitlines()
    assert lines[0] == "Warning: bird in no mask at all: take it out of data.classes, or correct its label there."
    assert lines[1].startswith("Warning: crack (128 pixels in the files): no pixel is left at 16 x 16 pixels; no loss")
    assert "--set data.size=[32,32]" in lines[1]
    assert lines[2].startswith("Warning: sign in no training image") and "--set data.split.val_fraction=0.2" in lines[2]
    assert len(lines) == 3


def test_what_resizing_loses_of_each_class_is_shown_beside_its_share(console: Console, tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path, split, "a", road(crack=True, sign=True))
    dataset = read_root(tmp_path, classes=CLASSES)
    data, counts = packed_with_counts(dataset, tmp_path, (16, 16))
    show_classes(data, tmp_path / "classes.png", console, counts)
    lines = printed(console).splitlines()
    assert "lost at 16 x 16" in lines[1]
    lost = {line.split()[0]: line.split("%")[1].strip() for line in lines[2:]}
    assert lost == {"background": "0", "road": "0", "crack": "100", "sign": "0"}
    assert counts["train"].full == (2048 - 64, 2048 - 64, 64, 64)
    assert counts["train"].kept == (2048 - 64, 2048 - 64, 0, 64)
    # at its own size nothing is lost, and nothing is said of it
    whole, of_whole = packed_with_counts(dataset, tmp_path, (64, 64))
    assert of_whole["train"].full == of_whole["train"].kept
    other = Console(file=io.StringIO(), width=120)
    show_classes(whole, tmp_path / "other.png", other, of_whole)
    assert "lost" not in printed(other)


def test_the_share_of_ignored_pixels_is_always_said(console: Console, tmp_path: Path) -> None:
    write(tmp_path, "train", "a", road(ignored=16))
    write(tmp_path, "val", "b", road())
    data, counts = packed_with_counts(read_root(tmp_path, classes=CLASSES), tmp_path, (16, 16))
    say_ignored(console, data, counts)
    assert printed(console) == "Ignored pixels: 25 % in training, none in validation.\n"


def test_what_a_test_ignores_and_lacks_is_said(console: Console, tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path, split, split, road(sign=True))
    write(tmp_path, "test", "t", road(ignored=16))
    classes = {0: "background", 1: "road", 3: "sign"}
    values: dict[str, object] = {"classes": classes, "split": {"test": "published"}, "ignore_label": 255}
    dataset = held_out_root(tmp_path, **values)
    test = PackedTest(pack(dataset, tmp_path / "packs", (16, 16)))
    origin = packed_origin(dataset, tmp_path / "packs", (16, 16))
    assert origin is not None
    warn_of_test(console, test, origin.counts["test"])
    lines = printed(console).splitlines()
    assert lines[0] == "Ignored pixels of the test: 25 %."
    assert lines[1].startswith("Warning: sign in no test image: ") and len(lines) == 2


def test_images_that_are_on_both_sides_are_said(tmp_path: Path) -> None:
    for split, name in (("train", "a"), ("train", "b"), ("val", "c"), ("test", "d")):
        write(tmp_path, split, name, road())
    for split, name in (("val", "copy of a"), ("test", "another of a")):
        write(tmp_path, split, name, road())
        (tmp_path / "images" / split / f"{name}.png").write_bytes((tmp_path / "images" / "train" / "a.png").read_bytes())
    data, _ = packed_with_counts(read_root(tmp_path, classes=CLASSES), tmp_path, (16, 16))
    assert data.twins() == [("train/a", "val/copy of a")]
    (note,) = note_of_twins(data.twins())
    assert note.startswith(
        "1 image on one side of the split is pixel for pixel equal to one on another side (train/a = val/c"
    )
    test = PackedTest(
        pack(held_out_root(tmp_path, classes=CLASSES, split={"test": "published"}), tmp_path / "packs", (16, 16))
    )
    assert data.twins(test) == [("train/a", "test/another of a")]
    assert note_of_twins([]) == []


def test_pictures_of_one_colour_are_no_copies(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_image(tmp_path / "images" / split / f"{split}.png", np.zeros((64, 64, 3), np.uint8))
        write_image(tmp_path / "masks" / split / f"{split}.png", road())
    data, _ = packed_with_counts(read_root(tmp_path, classes=CLASSES), tmp_path, (16, 16))
    assert data.twins() == []
