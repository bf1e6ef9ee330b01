"""Frames of one video, tiles of one image, photographs of one patient: kept on one side, or said to be on two."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.support.image_files import numbers, photo, read_root, write_image
from tune_seg.data import Dataset, PackedData, pack
from tune_seg.data.dataset import Sample
from tune_seg.data.groups import detected, grouped
from tune_seg.errors import InputError


def groups_of(names: list[str]) -> list[str]:
    return sorted({sample.group for sample in grouped([Sample(name, "train") for name in names], detected(names))})


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        ([f"vid{v}_{n:04}" for v in (1, 2) for n in (1, 7, 9)], ["vid1", "vid2"]),
        ([f"seq{v:02}_f{n:03}" for v in (1, 2) for n in range(3)], ["seq01", "seq02"]),
        ([f"img{v}_tile_{y}_{x}" for v in (1, 2) for y in range(2) for x in range(2)], ["img1", "img2"]),
        ([f"austin{v}_x{x}_y{y}" for v in (1, 2) for y in (0, 512) for x in (0, 512)], ["austin1", "austin2"]),
        ([f"IMG_{v}_patch{n}" for v in (12, 13) for n in range(3)], ["IMG_12", "IMG_13"]),
        ([f"Patient-{v}_{n}" for v in (3, 44) for n in (1, 5)], ["Patient-3", "Patient-44"]),
        ([f"case_{v}_slice_{n}" for v in (3, 44) for n in range(2)], ["case_3", "case_44"]),
        ([f"A12B{v}_{n:05}" for v in (1, 2) for n in range(30, 330, 30)], ["A12B1", "A12B2"]),
    ],
)
def test_names_tell_what_an_image_is_a_part_of(names: list[str], groups: list[str]) -> None:
    assert groups_of(names) == groups


@pytest.mark.parametrize(
    "names",
    [
        [f"s{n:03}" for n in range(9)],
        [f"ISIC_{n:07}" for n in range(9)],
        ["2007_000027", "2007_000032", "2007_000039", "2007_000061", "2008_000003", "2008_000007", "2008_000026"],
        ["IMG_20210305_101112", "IMG_20210305_101519", "IMG_20210306_091112", "IMG_20210306_181112"],
        [f"IMG_{n:04}" for n in range(9)] + [f"DSC_{n:04}" for n in range(9)],
        [f"tile_{y}_{x}" for y in range(3) for x in range(3)],  # of one image: nothing to keep apart
        ["vid1_1", "vid2_1", "vid3_1"],  # one of each
        ["vid1_1", "vid1_2", "vid2_1", "vid2_2", "another"],
        [],
    ],
)
def test_other_names_tell_nothing(names: list[str]) -> None:
    assert detected(names) is None


def folder(root: Path, names: list[str], split: str = "") -> Path:
    for name in names:
        write_image(root / "images" / split / f"{name}.png", photo())
        write_image(root / "masks" / split / f"{name}.png", numbers([0, 1]))
    return root


def sides(dataset: Dataset) -> dict[str, set[str]]:
    """On which sides the frames of each video are."""
    found: dict[str, set[str]] = {}
    for sample in dataset.samples:
        found.setdefault(sample.id.split("_")[0], set()).add(sample.subset)
    return found


FRAMES = [f"vid{video}_{frame:04}" for video in range(6) for frame in range(4)]


@pytest.mark.parametrize("split", [{}, {"val_fraction": 0.3}, {"folds": 3}])
def test_frames_of_a_video_are_not_drawn_apart_and_that_is_said(tmp_path: Path, split: dict[str, Any]) -> None:
    dataset = read_root(folder(tmp_path, FRAMES), split=split)
    assert all(len(found) == 1 for found in sides(dataset).values())
    (note,) = dataset.split_notes
    assert note.startswith("names such as vid")
    assert "6 groups (vid0, vid1, vid2, ...)" in note and "--set 'data.options.group=.*'" in note
    alone = read_root(tmp_path, split=split, options={"group": ".*"})
    assert any(len(found) > 1 for found in sides(alone).values())
    assert alone.split_notes == ()


def test_an_expression_names_the_groups(tmp_path: Path) -> None:
    names = [f"{day}{animal}{n}" for day in "xyz" for animal in "ab" for n in range(3)]
    dataset = read_root(folder(tmp_path, names), options={"group": "^.([ab])"})
    assert {sample.group for sample in dataset.samples} == {"a", "b"}
    assert {(sample.id[1], sample.split) for sample in dataset.samples} in (
        {("a", "train"), ("b", "val")},
        {("b", "train"), ("a", "val")},
    )
    with pytest.raises(InputError) as error:
        read_root(tmp_path, options={"group": "^x([ab])"})
    assert str(error.value).startswith("data.options.group: '^x([ab])' finds no group in these names; ")
    assert "--set 'data.options.group=.*'" in str(error.value)
    with pytest.raises(InputError, match=r"data\.options\.group: is not a valid regular expression"):
        read_root(tmp_path, options={"group": "("})


def test_two_videos_are_too_few_for_three_folds_and_that_is_said(tmp_path: Path) -> None:
    names = [name for name in FRAMES if name < "vid2"]
    dataset = read_root(folder(tmp_path, names), split={"folds": 3})
    assert {sample.fold for sample in dataset.samples} == {0, 1, 2}
    assert "parts of 2 videos, images or patients (vid0, vid1), too few" in dataset.split_notes[0]


@pytest.mark.parametrize("name", ["vid1_{:04}", "frame_{:04}", "frame{}", "tile_{0}_{0}", "slide7_x{0}_y{0}"])
def test_that_all_images_are_of_one_video_is_said(tmp_path: Path, name: str) -> None:
    dataset = read_root(folder(tmp_path, [name.format(number) for number in range(6)]))
    (note,) = dataset.split_notes
    assert "look like parts of one video, image or patient (" in note and "validation is too good" in note
    assert {sample.group for sample in dataset.samples} == {""}


@pytest.mark.parametrize("name", ["{:04}", "ISIC_{:07}", "IMG_20210305_10111{}", "2007_00{:04}", "case_{:03}"])
def test_numbered_images_are_not_taken_for_one_video(tmp_path: Path, name: str) -> None:
    assert read_root(folder(tmp_path, [name.format(number) for number in range(6)])).split_notes == ()


def test_a_published_split_that_divides_a_video_stays_and_that_is_said(tmp_path: Path) -> None:
    folder(tmp_path, [name for name in FRAMES if name < "vid3_0002"], "train")
    folder(tmp_path, [name for name in FRAMES if name >= "vid3_0002"], "val")
    dataset = read_root(tmp_path)
    assert sides(dataset)["vid3"] == {"train", "val"}
    note, groups = dataset.split_notes
    assert note.startswith("images of one video, image or patient train and validate, by their names: vid3;")
    assert "each judged as one" in groups
    folder(tmp_path, ["vid0_0009"], "test")
    assert any(
        "vid0" in note and "held out" in note for note in read_root(tmp_path, split={"test": "published"}).split_notes
    )


def test_videos_of_a_published_split_are_groups_of_its_validation_images(tmp_path: Path) -> None:
    folder(tmp_path, [name for name in FRAMES if name < "vid3"], "train")
    folder(tmp_path, [name for name in FRAMES if name >= "vid3"], "val")
    dataset = read_root(tmp_path)
    data = PackedData(pack(dataset, tmp_path / "packs", (8, 8)))
    assert data.val_groups.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    (note,) = dataset.split_notes
    assert "6 groups (vid0, vid1, vid2, ...), each judged as one" in note
    alone = read_root(tmp_path, options={"group": ".*"})
    assert PackedData(pack(alone, tmp_path / "packs", (8, 8))).val_groups.tolist() == list(range(12))


def test_one_video_that_validates_is_one_group(tmp_path: Path) -> None:
    folder(tmp_path, [name for name in FRAMES if name < "vid5"], "train")
    folder(tmp_path, [name for name in FRAMES if name >= "vid5"], "val")
    dataset = read_root(tmp_path)
    assert {sample.group for sample in dataset.samples if sample.split == "val"} == {"vid5"}
    assert "each judged as one" in dataset.split_notes[0]


def camvid(root: Path) -> Path:
    frames = {
        "train": ["0001TP_006690", "0001TP_006720", "0006R0_f00930", "0006R0_f00960", "0016E5_07920"],
        "val": ["0016E5_07959", "0016E5_07961"],
        "test": ["0001TP_008550", "Seq05VD_f00000", "Seq05VD_f00030"],
    }
    for split, names in frames.items():
        for name in names:
            write_image(root / split / f"{name}.png", photo())
            write_image(root / f"{split}annot" / f"{name}.png", np.zeros((10, 12), np.uint8))
    return root


def test_drives_of_camvid_are_kept_whole_where_its_images_are_divided_anew(tmp_path: Path) -> None:
    camvid(tmp_path)
    assert sides(read_root(tmp_path, split={"folds": 4})).keys() == {"0001TP", "0006R0", "0016E5", "Seq05VD"}
    assert all(len(found) == 1 for found in sides(read_root(tmp_path, split={"folds": 4})).values())
    alone = read_root(tmp_path, split={"folds": 5}, options={"group": ".*"})
    assert {sample.fold for sample in alone.samples} == set(range(5))


def test_the_published_split_of_camvid_divides_a_drive_and_stays(tmp_path: Path) -> None:
    published = read_root(camvid(tmp_path))
    assert sides(published)["0016E5"] == {"train", "val"}
    assert {sample.group for sample in published.samples if sample.split == "val"} == {"0016E5"}
    assert "0016E5" in published.split_notes[0]
    assert read_root(tmp_path, options={"group": ".*"}).split_notes == ()
    assert not any(
        "the split is kept as it is" in note
        for note in read_root(tmp_path, split={"val_fraction": 0.4, "test": "published"}).split_notes
    )
    tested = read_root(tmp_path, options={"val": "test"})
    assert {sample.group for sample in tested.samples if sample.split == "val"} == {"0001TP", "Seq05VD"}


def test_a_file_of_several_pages_among_frames_is_in_the_group_that_its_name_tells(tmp_path: Path) -> None:
    for video in range(5):
        for frame in range(4):
            pages = 2 if video == frame == 0 else 1
            image = np.stack([photo()] * pages) if pages > 1 else photo()
            mask = np.stack([numbers([0, 1])] * pages) if pages > 1 else numbers([0, 1])
            for folder, content, kind in (("images", image, "rgb"), ("masks", mask, "minisblack")):
                (tmp_path / folder).mkdir(exist_ok=True)
                tifffile.imwrite(tmp_path / folder / f"vid{video}_{frame:04}.tif", content, photometric=kind)
    dataset = read_root(tmp_path)
    assert {(sample.id[:4], sample.group) for sample in dataset.samples} == {(f"vid{n}", f"vid{n}") for n in range(5)}
    assert sum(sample.id.startswith("vid0_0000#") for sample in dataset.samples) == 2
    val = {sample.group for sample in dataset.samples if sample.split == "val"}
    assert len(val) == 1 and not val & {sample.group for sample in dataset.samples if sample.split == "train"}
    assert "are taken for parts of one video, image or patient: 5 groups (vid0, vid1, vid2, ...)" in dataset.split_notes[-1]
