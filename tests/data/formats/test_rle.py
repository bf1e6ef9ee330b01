"""Tables of run lengths, against masks whose runs are counted pixel by pixel."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.image_files import held_out_root, ids, load, numbers, read_root, write_image, write_jpeg
from tune_seg.config import DataConfig
from tune_seg.data import Dataset, PackedData, pack
from tune_seg.data.reading import detect_format
from tune_seg.errors import InputError

SIZE = (10, 12)
Mask = npt.NDArray[np.uint8]


def blob(top: int, left: int, bottom: int, right: int) -> Mask:
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    mask[top : top + 1, left : left + 1] = 0  # so that it is no rectangle
    return mask


NONE = np.zeros(SIZE, np.uint8)
MASKS = {"a": blob(1, 1, 5, 5), "b": blob(2, 2, 8, 9), "c": NONE}


def encoded(mask: Mask, *, first: int = 1, order: str = "columns") -> str:
    """The runs of a mask, pixel by pixel."""
    height, width = mask.shape
    places = [(y, x) for x in range(width) for y in range(height)]
    if order == "rows":
        places = [(y, x) for y in range(height) for x in range(width)]
    runs: list[tuple[int, int]] = []
    for number, place in enumerate(places, first):
        if mask[place]:
            if runs and sum(runs[-1]) == number:
                runs[-1] = runs[-1][0], runs[-1][1] + 1
            else:
                runs.append((number, 1))
    return " ".join(f"{start} {length}" for start, length in runs)


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


def photos(folder: Path, stems: str = "abc") -> None:
    for stem in stems:
        write_jpeg(folder / f"{stem}.jpg")


def assert_masks(dataset: Dataset, names: tuple[str, ...] = ("background", "object")) -> None:
    assert dataset.class_names == names
    for sample in dataset.samples:
        assert np.array_equal(dataset.load(sample)[1], MASKS[Path(sample.id).name[0]]), sample.id


def plain(suffix: str = ".jpg", order: str = "columns") -> list[tuple[str, str]]:
    return [(f"{stem}{suffix}", encoded(mask, order=order)) for stem, mask in MASKS.items()]


@pytest.mark.parametrize(
    ("header", "suffix", "delimiter"),
    [
        (("ImageId", "EncodedPixels"), ".jpg", ","),
        (("id", "rle_mask"), "", ","),
        (("img", "pixels"), ".jpg", ";"),
        (("\ufeffid", "annotation"), "", "\t"),
        (("Image_Name", "RLE"), ".jpg", ","),
    ],
)
def test_one_object_an_image(tmp_path: Path, header: tuple[str, str], suffix: str, delimiter: str) -> None:
    photos(tmp_path / "train_images")
    photos(tmp_path / "test_images", "xyz")
    write(tmp_path / "train.csv", header, plain(suffix), delimiter)
    write(tmp_path / "sample_submission.csv", header, [("x.jpg", "1 1")], delimiter)
    dataset = read_root(tmp_path)
    assert detect_format(DataConfig(root=tmp_path)) == "rle"
    assert len(dataset.samples) == 3 and {sample.split for sample in dataset.samples} == {"train", "val"}
    assert_masks(dataset)
    name = header[0].lstrip("\ufeff")
    assert dataset.notes == (
        "The table has no classes: they are background and object.",
        f"train.csv: images are in the column {name}, runs in {header[1]}.",
        "train.csv: 1 of 3 images have no object and are background throughout.",
        "Pixels are taken to be counted down the columns, and the first pixel is 1; else --set data.options.order=rows, or "
        "--set data.options.first=0.",
    )
    PackedData(pack(dataset, tmp_path / "packs", SIZE))


def test_several_objects_an_image_are_one_class_without_a_column_of_classes(tmp_path: Path) -> None:
    photos(tmp_path / "train")
    left, right = MASKS["b"].copy(), MASKS["b"].copy()
    left[:, 6:], right[:, :5] = 0, 0
    rows = [("a", encoded(MASKS["a"]), 1), ("b", encoded(left), 2), ("b", encoded(right), 3), ("c", "", "")]
    write(tmp_path / "train.csv", ("id", "annotation", "cell"), rows)
    dataset = read_root(tmp_path)
    assert_masks(dataset)
    assert "train.csv: images are in the column id, runs in annotation; not used: cell." in dataset.notes


FISH = blob(0, 6, 4, 11)


@pytest.mark.parametrize("how", ["column", "numbers", "behind", "behind a name without suffix"])
def test_classes_are_in_a_column_or_behind_the_name(tmp_path: Path, how: str) -> None:
    photos(tmp_path / "train_images")
    of = {("a", "Fish"): FISH, ("a", "Sea_Star"): MASKS["a"], ("b", "Fish"): NONE, ("b", "Sea_Star"): MASKS["b"]}
    if how == "column":
        rows = [(f"{stem}.jpg", label, encoded(mask)) for (stem, label), mask in of.items()]
        write(tmp_path / "train.csv", ("ImageId", "ClassId", "EncodedPixels"), rows)
    elif how == "numbers":  # as pandas writes them where some are missing
        rows = [(stem, {"Fish": "9.0", "Sea_Star": "10.0"}[label], encoded(mask)) for (stem, label), mask in of.items()]
        write(tmp_path / "train.csv", ("id", "class", "rle"), [*rows, ("c", "", "nan")])
    elif how == "behind":
        write(
            tmp_path / "train.csv",
            ("Image_Label", "EncodedPixels"),
            [(f"{s}.jpg_{label}", encoded(mask)) for (s, label), mask in of.items()],
        )
    else:
        write(
            tmp_path / "train.csv",
            ("ImageId_ClassId", "EncodedPixels"),
            [(f"{s}_{label.replace('_', '')}", encoded(mask)) for (s, label), mask in of.items()],
        )
    dataset = read_root(tmp_path)
    names = {"numbers": ("class 9", "class 10"), "behind a name without suffix": ("Fish", "SeaStar")}
    assert dataset.class_names == ("background", *names.get(how, ("Fish", "Sea_Star")))
    assert np.array_equal(load(dataset, "a")[1], np.where(MASKS["a"] > 0, 2, FISH))
    assert np.array_equal(load(dataset, "b")[1], 2 * MASKS["b"])
    sample = next(sample for sample in dataset.samples if sample.id == "b")
    assert dataset.classes_in([sample]) == [frozenset({0, 2})]


def test_later_rows_lie_on_top_or_overlaps_are_ignored(tmp_path: Path) -> None:
    photos(tmp_path)
    over = blob(3, 3, 9, 12)
    rows = [("b.jpg", "x", encoded(MASKS["b"])), ("b.jpg", "y", encoded(over)), ("a.jpg", "y", encoded(MASKS["a"]))]
    write(tmp_path / "train.csv", ("image_id", "label", "rle"), rows)
    dataset = read_root(tmp_path)
    assert np.array_equal(load(dataset, "b")[1], np.where(over > 0, 2, MASKS["b"]))
    assert any("the later one in the table counts; --set data.options.overlap=ignore" in note for note in dataset.notes)
    ignored = read_root(tmp_path, options={"overlap": "ignore"})
    both = (over > 0) & (MASKS["b"] > 0)
    assert np.array_equal(load(ignored, "b")[1], np.where(both, 255, MASKS["b"] + 2 * over))
    assert dataset.source() != ignored.source()


def test_runs_along_rows_are_refused_until_that_is_said(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    write(tmp_path / "train.csv", ("id", "rle"), plain("", order="rows"))
    with pytest.raises(
        InputError, match=r"the runs fit together along rows better than down columns; say (?s:.*)order=rows"
    ):
        read_root(tmp_path)
    dataset = read_root(tmp_path, options={"order": "rows"})
    assert_masks(dataset)
    assert "Pixels are counted along the rows, as asked for, and the first pixel is 1." in dataset.notes
    read_root(tmp_path, options={"order": "columns"})  # whoever says so is believed


def test_square_images_do_not_show_the_order_and_that_is_said(tmp_path: Path) -> None:
    for stem in "ab":
        write_image(tmp_path / f"{stem}.png", np.zeros((12, 12, 3), np.uint8))
    write(tmp_path / "train.csv", ("id", "rle"), [("a", "14 3 26 3"), ("b", "14 3 26 3")])
    assert any("down the columns, which square images do not show, and" in note for note in read_root(tmp_path).notes)


def test_the_first_pixel_may_be_0(tmp_path: Path) -> None:
    photos(tmp_path)
    corner = NONE.copy()
    corner[:3, :2] = 1
    write(tmp_path / "t.csv", ("id", "rle"), [("a", encoded(corner, first=0)), ("b", encoded(MASKS["b"], first=0))])
    with pytest.raises(
        InputError, match=r"line 2 \(a\) has a run from 0, but pixels count from 1; (?s:.*)data\.options\.first=0"
    ):
        read_root(tmp_path)
    dataset = read_root(tmp_path, options={"first": 0})
    assert np.array_equal(load(dataset, "a")[1], corner) and np.array_equal(load(dataset, "b")[1], MASKS["b"])


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1 3 20", "has 3 numbers; starts and lengths come in pairs, so was it cut off?"),
        ("5 0", "has a run of length 0"),
        ("30 2 5 1", "has runs that go back; starts count from the beginning of the image and ascend"),
        ("1 5 3 9", "has runs that go back"),
        ("PPQ2n0", "has no pairs of whole numbers but 'PPQ2n0'; each object is 'start length start length'"),
        ("1 2.5", "has no pairs of whole numbers"),
        ("[1, 3]", "has no pairs of whole numbers"),
        ("-5 3", "has no pairs of whole numbers"),
        ("99999999999999999999 1", "too large"),
    ],
)
def test_what_is_wrong_with_a_cell_is_said(tmp_path: Path, cell: str, said: str) -> None:
    photos(tmp_path)
    write(tmp_path / "train.csv", ("id", "rle"), [*plain(""), ("a", cell)])
    with pytest.raises(InputError) as failure:
        read_root(tmp_path)
    assert str(failure.value).startswith(f"1 rows cannot be used:\n  {tmp_path / 'train.csv'}: line 5 (a) ")
    assert said in str(failure.value)


def test_runs_beyond_the_image_are_refused_with_its_size(tmp_path: Path) -> None:
    photos(tmp_path)
    write(tmp_path / "train.csv", ("id", "rle"), [("a", "118 3"), ("b", "118 4")])
    dataset = read_root(tmp_path)
    assert load(dataset, "a")[1].sum() == 3
    with pytest.raises(
        InputError, match=r"b\.jpg: 12 x 10 pixels are 120, but \S+train\.csv has a run to pixel 121; was the"
    ):
        load(dataset, "b")
    rows = [("a", "118 3", 10, 12), ("b", "118 3", 20, 24)]
    write(tmp_path / "train.csv", ("id", "rle", "Height", "Width"), rows)
    dataset = read_root(tmp_path)
    assert load(dataset, "a")[1].sum() == 3
    with pytest.raises(InputError, match=r"b\.jpg: 12 x 10 pixels, but \S+train\.csv says 24 x 20"):
        load(dataset, "b")


def test_images_that_are_not_there_or_there_twice_are_named(tmp_path: Path) -> None:
    photos(tmp_path / "one")
    write(tmp_path / "train.csv", ("id", "rle"), [*plain(""), *((f"gone{n}", "1 1") for n in range(5))])
    with pytest.raises(
        InputError, match=r"5 of its 8 images are not below (?s:.*)gone0: no image .*\(5 such, also gone1, gone2"
    ):
        read_root(tmp_path)
    photos(tmp_path / "two", "a")
    write(tmp_path / "train.csv", ("id", "rle"), plain(""))
    with pytest.raises(InputError, match=r"several images have one name(?s:.*)a: \S+one/a\.jpg or \S+two/a\.jpg"):
        read_root(tmp_path)
    assert_masks(read_root(tmp_path, options={"images": "one"}))
    write(tmp_path / "train.csv", ("id", "rle"), [(f"one/{name}", runs) for name, runs in plain()])
    assert_masks(read_root(tmp_path))
    write(tmp_path / "train.csv", ("id", "rle"), [*plain(), ("b", "1 1")])
    with pytest.raises(InputError, match="1 images are named in two ways, with and without suffix"):
        read_root(tmp_path, options={"images": "one"})


def test_images_without_rows_are_left_out_or_background(tmp_path: Path) -> None:
    photos(tmp_path / "train", "abc")
    photos(tmp_path / "test", "x")
    write(tmp_path / "train.csv", ("id", "rle"), plain("")[:2])
    dataset = read_root(tmp_path)
    assert len(dataset.samples) == 2
    assert any(
        "1 images beside the others have no row in train.csv and are left out, such as c.jpg" in n for n in dataset.notes
    )
    dataset = read_root(tmp_path, options={"without_rows": "background"})
    assert len(dataset.samples) == 3
    assert_masks(dataset)
    assert "1 images have no row in train.csv and are background throughout." in dataset.notes


def test_tables_of_two_sides_are_the_split(tmp_path: Path) -> None:
    photos(tmp_path / "images", "abcdef")
    sides = {"train": "ab", "valid": "cd", "test": "ef"}
    for side, stems in sides.items():
        write(tmp_path / f"{side}.csv", ("id", "rle"), [(stem, encoded(MASKS["a"])) for stem in stems])
    dataset = read_root(tmp_path, options={"without_rows": "background"})
    assert (ids(dataset, "train"), ids(dataset, "val"), len(dataset.samples)) == (["a", "b"], ["c", "d"], 4)
    assert ids(held_out_root(tmp_path, split={"test": "published"}), "test") == ["e", "f"]
    write(tmp_path / "folds.csv", ("id", "rle"), plain(""))
    with pytest.raises(
        InputError, match=r"both have run lengths; name the one that counts with --set data\.options\.table="
    ):
        read_root(tmp_path)
    assert len(read_root(tmp_path, format="rle", options={"table": "train.csv"}).samples) == 2


def test_columns_that_no_name_tells_are_named(tmp_path: Path) -> None:
    photos(tmp_path)
    rows = [("x", runs, name, "crack") for name, runs in plain()]
    write(tmp_path / "mine.csv", ("id", "where", "photo", "kind"), rows)
    chosen = {"table": "mine.csv", "columns": {"image": "photo", "runs": "where", "class": "kind"}}
    dataset = read_root(tmp_path, format="rle", options=chosen)
    assert_masks(dataset, ("background", "crack"))
    assert "mine.csv: images are in the column photo, runs in where, classes in kind; not used: id." in dataset.notes
    with pytest.raises(InputError, match=r"no column of runs is known by its name among id, where, photo, kind; say which"):
        read_root(tmp_path, format="rle", options={"table": "mine.csv"})
    with pytest.raises(InputError, match=r"data\.options\.columns: \S+mine\.csv has no column wo; it has id, where"):
        read_root(tmp_path, format="rle", options={**chosen, "columns": {"runs": "wo"}})
    with pytest.raises(InputError, match=r"data\.options\.table: \S+gone\.csv is no file"):
        read_root(tmp_path, format="rle", options={"table": "gone.csv"})
    with pytest.raises(InputError, match="matches no known layout"):
        read_root(tmp_path)


def test_what_is_wrong_with_a_table_is_said(tmp_path: Path) -> None:
    photos(tmp_path)
    path = tmp_path / "train.csv"
    write(path, ("id", "label", "rle"), [("a", "x", "1 1"), ("b", "", "1 1")])
    with pytest.raises(InputError, match=rf"{path}: 1 objects have no class, others have one:\n  b"):
        read_root(tmp_path)
    write(path, ("id", "rle"), [("a.jpg_x", "1 1"), ("b.jpg", "1 1")])
    with pytest.raises(InputError, match=r"some names have a class behind them, as in a\.jpg_Fish, but b\.jpg has none"):
        read_root(tmp_path)
    path.write_text("id,rle\na,1 1\nb,1 1,2\n")
    with pytest.raises(InputError, match=r"train\.csv: line 3 has 3 cells, its first line 2"):
        read_root(tmp_path)
    path.write_text("id,rle\n")
    with pytest.raises(InputError, match="no row has a run, so there is nothing to learn"):
        read_root(tmp_path, format="rle", options={"table": "train.csv"})
    write(path, ("id", "rle"), [("a", ""), ("b", "")])
    with pytest.raises(InputError, match="matches no known layout"):
        read_root(tmp_path)
    with pytest.raises(InputError, match="no row has a run, so there is nothing to learn"):
        read_root(tmp_path, format="rle", options={"table": "train.csv"})
    path.write_bytes(b"id,rle\n\xff,1 1\n")
    with pytest.raises(InputError, match=r"train\.csv: cannot be read as a table"):
        read_root(tmp_path, format="rle", options={"table": "train.csv"})


def test_cells_may_be_long(tmp_path: Path) -> None:
    for stem in "ab":
        write_image(tmp_path / f"{stem}.png", np.zeros((300, 500, 3), np.uint8))
    pixels = range(1, 150_000, 4)
    cell = " ".join(f"{pixel} 1" for pixel in pixels)
    assert len(cell) > 2**17  # more than the csv module takes by itself
    write(tmp_path / "train.csv", ("id", "rle"), [("a", cell), ("b", "7 2")])
    mask = load(read_root(tmp_path, options={"order": "columns"}), "a")[1]
    assert np.flatnonzero(mask.ravel(order="F")).tolist() == [pixel - 1 for pixel in pixels]


def test_other_tables_and_masks_as_pictures_are_not_taken_for_run_lengths(tmp_path: Path) -> None:
    for stem in "abc":
        write_jpeg(tmp_path / f"images/{stem}.jpg")
        write_image(tmp_path / f"masks/{stem}.png", numbers([0, 1]))
    write(tmp_path / "train.csv", ("id", "rle_mask"), plain(""))
    assert detect_format(DataConfig(root=tmp_path)) == "folder"
    assert_masks(read_root(tmp_path, format="rle", options={"images": "images"}))
    write(tmp_path / "only" / "train.csv", ("image", "mask"), [("a.jpg", "a.png")])
    photos(tmp_path / "only")
    with pytest.raises(InputError, match="matches no known layout"):
        read_root(tmp_path / "only")


def test_classes_are_those_of_the_table(tmp_path: Path) -> None:
    photos(tmp_path)
    write(tmp_path / "train.csv", ("id", "rle"), plain(""))
    for key, value in (("classes", ["a", "b"]), ("ignore_label", 3)):
        with pytest.raises(InputError, match=rf"data\.{key}: run lengths are read with background and the classes of the"):
            read_root(tmp_path, **{key: value})
