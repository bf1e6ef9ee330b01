"""Own data with several peculiarities at once: what finds the files, the classes, the sides and the tiles fits together."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.image_files import photo, read_root, write_image
from tune_seg.data import PackedData, pack
from tune_seg.data.inspect import inspect

NAMES = ("background", "crack")


def black_and_white(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    mask = np.zeros((40, 48), np.uint8)
    mask[10 : 12 + number, 8:20] = 255
    return mask


def total(root: Path, **values: object) -> list[int]:
    data = PackedData(pack(read_root(root, size=(40, 48), **values), root / "packs", (40, 48)))
    return (data.train_pixels + data.val_pixels).tolist()


@pytest.mark.parametrize("by_list", [False, True])
@pytest.mark.parametrize(
    ("images", "masks"), [("img_dir", "ann_dir"), ("JPEGImages", "SegmentationClass"), ("train", "trainannot")]
)
def test_black_and_white_masks_keep_their_object_in_every_layout(
    tmp_path: Path, images: str, masks: str, by_list: bool
) -> None:
    drawn = [black_and_white(number) for number in range(6)]
    names = [f"p{number}" for number in range(6)]
    for number, (name, mask) in enumerate(zip(names, drawn, strict=True)):
        val = images == "train" and number > 3
        write_image(tmp_path / ("val" if val else images) / f"{name}.png", photo(40, 48))
        write_image(tmp_path / ("valannot" if val else masks) / f"{name}.png", mask)
    if images == "JPEGImages":
        (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
        (tmp_path / "ImageSets" / "Segmentation" / "default.txt").write_text("\n".join(names))
    if by_list:
        (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    white = sum(int((mask == 255).sum()) for mask in drawn)
    found = total(tmp_path) if by_list else total(tmp_path, classes=NAMES)
    assert found == [6 * 40 * 48 - white, white]


def test_images_without_a_mask_are_divided_tiled_and_looked_at_as_background(tmp_path: Path) -> None:
    for number in range(8):
        write_image(tmp_path / "labels_and_images" / f"v{number}.png", photo(40, 48))
        if number % 2:
            write_image(tmp_path / "labels_and_images" / f"v{number}_gt.png", black_and_white(number))
    options = {"without_mask": "background"}
    white = sum(int((black_and_white(number) == 255).sum()) for number in (1, 3, 5, 7))
    assert total(tmp_path, options=options, classes=NAMES) == [8 * 40 * 48 - white, white]
    dataset = read_root(tmp_path, options=options, classes=NAMES, tiles={"size": [20, 24]}, size=(20, 24))
    found = inspect(dataset, None, (20, 24), tmp_path / "packs")
    assert found.problems == []
    assert any("4 images without a mask are background" in line for line in found.lines)


def test_gif_masks_beside_tiff_images_are_found(tmp_path: Path) -> None:
    for number in range(5):
        write_image(tmp_path / "images" / f"{number}_training.tif", photo(40, 48))
        write_image(tmp_path / "1st_manual" / f"{number}_manual1.gif", black_and_white(number))
    assert total(tmp_path)[1] == sum(int((black_and_white(number) == 255).sum()) for number in range(5))
