"""A first look at a data set: what is said of it, and whether a study with it could start."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.image_files import held_out_root, numbers, photo, read_root, write_image
from tune_seg.config import DataConfig
from tune_seg.data import Dataset
from tune_seg.data import inspect as module
from tune_seg.data.cores import available_cores
from tune_seg.data.inspect import inspect
from tune_seg.data.reading import read_both


def folder(root: Path, count: int = 8) -> Path:
    """Images of two sizes with a road, a crack of a pixel's width in every second one, and an ignored border."""
    for number in range(count):
        height, width = ((64, 80), (32, 32))[number % 2]
        mask = np.zeros((height, width), np.uint8)
        mask[height // 2 :] = 1
        if number % 2 == 0:
            mask[40, :] = 2
        mask[:, :4] = 255
        write_image(root / "images" / f"i{number:03}.png", photo(height, width))
        write_image(root / "masks" / f"i{number:03}.png", mask)
    return root


def look(dataset: Dataset, root: Path, size: tuple[int, int] = (16, 16)) -> tuple[str, list[str]]:
    found = inspect(dataset, None, size, root / "packs")
    return "\n".join(found.lines), found.problems


@pytest.mark.parametrize("classes", [None, ["background", "road", "crack", "bird"]])
def test_a_look_tells_what_is_there_and_what_becomes_of_it(tmp_path: Path, classes: list[str] | None) -> None:
    said, problems = look(read_root(folder(tmp_path), classes=classes), tmp_path)
    crack = "crack" if classes else "class 2"
    assert problems == []
    assert "images: 6 train, 2 validate; drawn by data.split.seed" in said
    assert "looked at 8 of 8 images" in said
    assert "sizes: 32 x 32 to 80 x 64 pixels (width x height); data.size makes 16 x 16 of them" in said
    pixels = 4 * (64 * 76 + 32 * 28)
    assert f"{crack} {100 * 4 * 76 / pixels:.3g} % (100 % of it lost)" in said
    assert f"ignored pixels: {100 * 4 * (64 * 4 + 32 * 4) / (4 * (64 * 80 + 32 * 32)):.3g} %" in said
    assert f"no pixel is left at data.size of: {crack}; set a larger one, such as --set data.size=[32,32]" in said
    assert ("not in any mask: bird" in said) == (classes is not None)
    assert "MiB in" in said and "free)" in said
    assert not (tmp_path / "packs").exists()


def test_what_is_wrong_is_a_problem_and_many_of_a_kind_are_one_line(tmp_path: Path) -> None:
    folder(tmp_path, 12)
    for number in range(5):
        (tmp_path / "images" / f"i{number:03}.png").write_bytes(b"no image")
    (tmp_path / "masks" / "i005.png").unlink()
    (tmp_path / "masks" / "alone.png").write_bytes((tmp_path / "masks" / "i007.png").read_bytes())
    _, problems = look(read_root(tmp_path), tmp_path)
    assert len(problems) == 3
    damaged = next(problem for problem in problems if "cannot be read as an image" in problem)
    assert "(5 such, also " in damaged
    assert any(problem.endswith("i005.png: an image without a mask") for problem in problems)
    assert any(problem.endswith("alone.png: a mask without an image") for problem in problems)


def test_of_a_large_folder_some_masks_are_read(tmp_path: Path) -> None:
    folder(tmp_path, 2)
    for number in range(2, 400):
        for kind in ("images", "masks"):
            (tmp_path / kind / f"i{number:03}.png").hardlink_to(tmp_path / kind / f"i{number % 2:03}.png")
    dataset, _ = read_both(DataConfig(root=tmp_path), tmp_path / "packs", quick=True)
    (tmp_path / "masks" / "i017.png").unlink()  # which is not looked at
    (tmp_path / "masks" / "i017.png").write_bytes(b"no mask")
    said, problems = look(dataset, tmp_path)
    assert problems == []
    assert "looked at 48 of 400 images" in said
    assert dataset.masks_to_scan == 400  # the masks that were not looked at are still unread


def test_masks_without_an_object_are_a_problem_only_where_all_were_seen(tmp_path: Path) -> None:
    for number in range(60):
        write_image(tmp_path / "images" / f"i{number:03}.png", photo())
        write_image(tmp_path / "masks" / f"i{number:03}.png", np.zeros((10, 12), np.uint8))
    said, problems = look(read_root(tmp_path), tmp_path)
    assert problems == [] and "those masks that were looked at do not show them" in said
    _, problems = look(read_root(tmp_path, max_train=10, max_val=5), tmp_path)
    assert any("every pixel of every mask is 0" in problem for problem in problems)


@pytest.mark.parametrize(
    ("suffix", "values", "classes", "said"),
    [
        (".jpg", (255,), None, "compressed as JPEG"),
        (".png", (1, 255), None, "two kinds of masks"),
        (".png", (1, 255), ("background", "crack"), "two kinds of masks"),
    ],
)
def test_what_no_further_mask_can_mend_is_a_problem_also_of_a_large_folder(
    tmp_path: Path, suffix: str, values: tuple[int, ...], classes: tuple[str, ...] | None, said: str
) -> None:
    for number in range(60):
        write_image(tmp_path / "images" / f"i{number:03}.png", photo())
        mask = np.zeros((10, 12), np.uint8)
        mask[3:7, 2:8] = values[number % len(values)]
        write_image(tmp_path / "masks" / f"i{number:03}{suffix}", mask)
    config = DataConfig.model_validate({"root": tmp_path, "classes": classes})
    dataset, _ = read_both(config, tmp_path / "packs", quick=True)
    (problem,) = look(dataset, tmp_path)[1]
    assert said in problem


def test_copies_on_two_sides_are_said_and_refused_for_a_test(tmp_path: Path) -> None:
    for split, name in (("train", "a"), ("train", "b"), ("val", "c"), ("test", "d")):
        write_image(tmp_path / "images" / split / f"{name}.png", photo())
        write_image(tmp_path / "masks" / split / f"{name}.png", numbers([0, 1]))
    for split, name in (("val", "again"), ("test", "too")):
        for kind in ("images", "masks"):
            copy = tmp_path / kind / split / f"{name}.png"
            copy.write_bytes((tmp_path / kind / "train" / "a.png").read_bytes())
    said, problems = look(read_root(tmp_path), tmp_path)
    assert "again.png: a copy of" in said and problems == []
    held_out = {"split": {"test": "published"}}
    found = inspect(read_root(tmp_path, **held_out), held_out_root(tmp_path, **held_out), (16, 16), tmp_path / "packs")
    assert len(found.problems) == 1 and "too.png: held out, and a copy of " in found.problems[0]


def test_of_tiles_those_that_are_looked_at_are_cut_and_the_resizing_is_said(tmp_path: Path) -> None:
    folder(tmp_path)
    said, problems = look(read_root(tmp_path, tiles={"size": [32, 32]}), tmp_path)
    assert problems == []
    assert "8 images are cut into 28 tiles" in said and "looked at 28 of 28 tiles" in said
    said, _ = look(read_root(tmp_path), tmp_path)
    assert "Their shape is kept, and 19% of the area is left empty" in said and "% another" not in said
    said, _ = look(read_root(tmp_path, resize="stretch"), tmp_path)
    assert "whose ratio of width to height is up to 25 % another" in said and "Their shape" not in said


@pytest.mark.parametrize(("tiles", "decoded"), [({}, 8), ({"size": [32, 32]}, 8)])
def test_the_time_that_is_expected_decodes_each_image_once(tmp_path: Path, tiles: dict[str, object], decoded: int) -> None:
    dataset = read_root(folder(tmp_path), tiles=tiles)
    some = dataset.samples[:2]  # of tiles, both of one image, of which the second waits less
    times = dict(zip(some, (4.0, 4.0 if not tiles else 0.0), strict=True))
    looks = [module._Look(sample, (1, 1), np.zeros((256, 2), np.int64), times[sample], 0.25) for sample in some]
    expected = (4.0 * decoded + 0.25 * len(dataset.samples)) / available_cores()
    assert module._seconds(dataset, looks) == pytest.approx(expected)


def test_many_copies_are_one_line(tmp_path: Path) -> None:
    for number in range(10):
        for split in ("train", "val"):
            write_image(tmp_path / "masks" / split / f"{split}{number}.png", numbers([0, 1]))
        image = write_image(tmp_path / "images" / "train" / f"train{number}.png", photo())
        write_image(tmp_path / "images" / "val" / f"val{number}.png", image)
    found = inspect(read_root(tmp_path), None, (16, 16), tmp_path / "packs")
    (line,) = (line for line in found.lines if " copy of " in line)
    assert "(10 such, also " in line


def test_a_class_that_cannot_be_on_both_sides_is_said(tmp_path: Path) -> None:
    folder(tmp_path)
    for number, value in ((1, 3), (2, 4), (4, 4)):  # one image has class 3, two have class 4
        path = tmp_path / "masks" / f"i{number:03}.png"
        mask = np.array(Image.open(path))
        mask[0, 10:20] = value
        write_image(path, mask)
    said, _ = look(read_root(tmp_path), tmp_path)
    assert "class 3: in one image or group alone, so it cannot both train and validate" in said
    assert "class 4: in" not in said and "class 1: in" not in said
    (tmp_path / "train.txt").write_text("".join(f"i{number:03}\n" for number in range(5)))
    (tmp_path / "val.txt").write_text("".join(f"i{number:03}\n" for number in range(5, 8)))
    said, _ = look(read_root(tmp_path), tmp_path)
    assert "class 3: only trains" in said and "class 4: only trains" in said and "class 2: only" not in said
