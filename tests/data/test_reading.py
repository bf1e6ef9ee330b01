"""The readers against small files that the tests write, and what each bad input is answered with."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tune_seg.config import DataConfig, parse
from tune_seg.data import Dataset, PackedData, PackedTest, Sample, pack, read, read_test
from tune_seg.errors import InputError

RNG = np.random.default_rng(0)


def write(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if mode == "P":
        image = Image.fromarray(array, "L")
        image.putpalette(list(RNG.permutation(256).repeat(3)))
        assert image.mode == "P"
    if mode == "1":
        image = Image.fromarray(array * 255).convert("1", dither=Image.Dither.NONE)
    image.save(path)
    return path


def write_grey_png(path: Path, array: np.ndarray, bits: int) -> None:
    """A grey PNG of 1, 2, 4 or 8 bits a pixel, most of which Pillow reads but does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    planes = (array[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(planes.reshape(len(array), -1).astype(np.uint8), axis=1)
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], bits, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def photo(height: int = 10, width: int = 12) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def labels(values: list[int], height: int = 10, width: int = 12) -> np.ndarray:
    return RNG.choice(np.array(values, np.uint8), (height, width))


def folder(root: Path, ids: list[str], values: list[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    written = {}
    for id in ids:
        written[id] = (photo(), labels(values))
        write(root / "images" / f"{id}.png", written[id][0])
        write(root / "masks" / f"{id}.png", written[id][1])
    return written


def config(root: Path | None, **values: object) -> DataConfig:
    return parse(DataConfig, {"root": root, "size": (10, 12), **values})


def ids(dataset: Dataset, split: str) -> list[str]:
    return [sample.id for sample in dataset.samples if sample.split == split]


def sample(dataset: Dataset, id: str) -> Sample:
    return next(sample for sample in dataset.samples if sample.id == id)


def test_a_folder_is_read_without_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "mydata", ["a", "b", "c", "d", "e"], [0, 1, 7])
    expected = read(config(tmp_path / "mydata"))
    monkeypatch.chdir(tmp_path)
    for root in ("mydata", Path("mydata")):
        dataset = read(root)
        assert dataset.samples == expected.samples
        assert dataset.class_names == ("class 0", "class 1", "class 7")
    fields = {"classes": {0: "sky", 1: "road", 7: "road"}, "max_train": 2, "split": {"val_fraction": 0.4, "seed": 3}}
    chosen = read("mydata", format="folder", **fields)
    assert chosen.samples == read(config(tmp_path / "mydata", format="folder", **fields)).samples
    assert chosen.class_names == ("sky", "road")
    assert read(max_train=3).samples == read(config(None, max_train=3)).samples  # the generated images


def test_wrong_fields_are_named_in_full(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown key data.clases\b.*; the keys of data are format, root, size"):
        read(tmp_path, clases=["a", "b"])
    with pytest.raises(InputError, match=r"data.root: .*nowhere is not a folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"data.options describes files, so it needs data.root"):
        read(options={"key": 1})
    wrong: dict[str, Any] = {"size": (8, 8)}
    with pytest.raises(TypeError, match=r"read\(DataConfig\) takes no fields, got size"):
        read(DataConfig(), **wrong)


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    for split, count in (("train", 6), ("val", 3)):
        for number in range(count):
            write(tmp_path / split / f"frame{number}.png", photo())
            write(tmp_path / f"{split}annot" / f"frame{number}.png", labels(list(range(12))))
    return tmp_path


def test_camvid_is_detected_and_read(camvid: Path) -> None:
    dataset = read(config(camvid))
    assert ids(dataset, "train") == [f"frame{n}" for n in range(6)]
    assert ids(dataset, "val") == [f"frame{n}" for n in range(3)]
    assert dataset.class_names[0] == "sky"
    assert dataset.class_names[10] == "bicyclist"
    assert len(dataset.class_names) == 11
    for entry in dataset.samples:
        image, mask = dataset.load(entry)
        assert np.array_equal(image, np.asarray(Image.open(camvid / entry.split / f"{entry.id}.png")))
        raw = np.asarray(Image.open(camvid / f"{entry.split}annot" / f"{entry.id}.png"))
        assert (raw == 11).any()
        assert np.array_equal(mask, np.where(raw == 11, 255, raw))
        assert image.dtype == mask.dtype == np.uint8


def test_ignore_label_and_classes_override_camvids(camvid: Path) -> None:
    names = [f"c{n}" for n in range(12)]
    dataset = read(config(camvid, classes=names, ignore_label=200))
    assert dataset.class_names == tuple(names)
    first = dataset.samples[0]
    assert np.array_equal(dataset.load(first)[1], np.asarray(Image.open(camvid / "trainannot" / "frame0.png")))


def test_a_split_of_ones_own_takes_the_place_of_the_published_one(camvid: Path) -> None:
    with pytest.raises(InputError, match=r"two of them have one name:\n  \S*train/frame0\.png and \S*val/frame0\.png"):
        read(config(camvid, split={"val_fraction": 0.5}))
    for folder in ("val", "valannot"):
        for path in sorted((camvid / folder).iterdir()):
            path.rename(path.with_stem(f"other {path.stem}"))
    dataset = read(config(camvid, split={"folds": 3}))
    assert sorted(sample.id for sample in dataset.samples) == [
        *(f"frame{n}" for n in range(6)),
        *(f"other frame{n}" for n in range(3)),
    ]
    assert sorted(sample.fold or 0 for sample in dataset.samples) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("most", "kept"), [(3, [0, 2, 4]), (4, [0, 1, 3, 4]), (6, range(6))])
def test_max_train_is_spread_evenly(camvid: Path, most: int, kept: list[int]) -> None:
    dataset = read(config(camvid, max_train=most, max_val=1))
    assert ids(dataset, "train") == [f"frame{n}" for n in kept]
    assert ids(dataset, "val") == ["frame0"]


def test_no_root_is_the_generated_data_set() -> None:
    dataset = read(config(None, max_train=5, max_val=2))
    assert (len(ids(dataset, "train")), len(ids(dataset, "val"))) == (5, 2)
    assert dataset.load(dataset.samples[0])[0].shape == (10, 12, 3)


def test_unknown_layout_names_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError) as error:
        read(config(tmp_path))
    for part in (str(tmp_path), "trainannot/", "images/, masks/", "masks/, pictures/", "data.root"):
        assert part in str(error.value)
    with pytest.raises(InputError, match="found       nothing"):
        read(config(tmp_path / "pictures"))
    with pytest.raises(
        InputError, match=r"looked for  camvid: train/, trainannot/, val/, valannot/; or 701_StillsRaw_full/"
    ):
        read(config(tmp_path, format="camvid"))
    with pytest.raises(InputError, match="nowhere is not a folder"):
        read(config(tmp_path / "nowhere"))


def test_empty_folder_is_refused(camvid: Path) -> None:
    for path in (camvid / "val").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"val: no image here \(looked for \.png, \.jpg"):
        read(config(camvid))


def test_folder_reads_grey_palette_bilevel_and_16_bit_masks(tmp_path: Path) -> None:
    arrays = {
        "grey": labels([0, 1, 2]),
        "palette": labels([0, 1, 2]),
        "bilevel": labels([0, 1]),
        "deep": labels([0, 1, 2]).astype(np.uint16) * 1000,
    }
    for id, array in arrays.items():
        write(tmp_path / "images" / f"{id}.png", photo())
        write(tmp_path / "masks" / f"{id}.png", array, {"palette": "P", "bilevel": "1"}.get(id))
    modes = {id: Image.open(tmp_path / "masks" / f"{id}.png").mode for id in arrays}
    assert modes == {"grey": "L", "palette": "P", "bilevel": "1", "deep": "I;16"}
    dataset = read(config(tmp_path, classes={0: "a", 1: "b", 1000: "b", 2: "c", 2000: "c"}))
    assert dataset.class_names == ("a", "b", "c")
    for id, array in arrays.items():
        expected = array // 1000 if id == "deep" else array
        assert np.array_equal(dataset.load(sample(dataset, id))[1], expected), id


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_masks_of_few_bits_keep_their_values(tmp_path: Path, bits: int) -> None:
    folder(tmp_path, ["a", "b"], [0, 1])
    array = labels(list(range(2**bits)), width=11)  # rows that do not fill their last byte
    write(tmp_path / "images" / "a.png", photo(width=11))
    write_grey_png(tmp_path / "masks" / "a.png", array, bits)
    dataset = read(config(tmp_path, classes={value: f"c{value % 100}" for value in range(255)}))
    expected = np.where(array == 255, 255, array % 100)
    assert np.array_equal(dataset.load(sample(dataset, "a"))[1], expected)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".bmp", ".tif", ".webp", ".png"])
def test_any_image_extension_goes_with_a_png_mask(tmp_path: Path, suffix: str) -> None:
    folder(tmp_path, ["a", "b"], [0, 1])
    (tmp_path / "images" / "a.png").unlink()
    flat = np.full((10, 12, 3), (200, 100, 50), np.uint8)
    write(tmp_path / "images" / f"a{suffix}", flat)
    image, _ = (dataset := read(config(tmp_path))).load(sample(dataset, "a"))
    assert np.abs(image.astype(int) - flat).max() <= 4  # lossy formats


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 4), ("L", 1), ("P", 1), ("LA", 2), ("CMYK", 4)])
def test_images_of_every_mode_become_rgb(tmp_path: Path, mode: str, channels: int) -> None:
    folder(tmp_path, ["a", "b"], [0, 1])
    (tmp_path / "images" / "a.png").unlink()
    image = Image.fromarray(photo()).convert(mode)
    assert len(image.getbands()) == channels
    image.save(tmp_path / "images" / "a.tif")
    loaded, _ = (dataset := read(config(tmp_path))).load(sample(dataset, "a"))
    assert np.array_equal(loaded, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_images_that_are_stored_turned_are_refused(tmp_path: Path, suffix: str) -> None:
    folder(tmp_path, ["a", "b"], [0, 1])
    (tmp_path / "images" / "a.png").unlink()
    for orientation, upright in ((1, True), (3, False), (6, False), (0, True)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(photo()).save(tmp_path / "images" / f"a{suffix}", exif=exif)
        dataset = read(config(tmp_path))
        if upright:
            assert dataset.load(sample(dataset, "a"))[0].shape == (10, 12, 3)
        else:
            with pytest.raises(
                InputError, match=rf"a{suffix}: stored turned or mirrored.*EXIF orientation.*store it upright"
            ):
                dataset.load(sample(dataset, "a"))


def test_a_damaged_exif_block_does_not_matter(tmp_path: Path) -> None:
    folder(tmp_path, ["a", "b"], [0, 1])
    text = PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n 4\nno hexadecimal digits")
    Image.fromarray(photo()).save(tmp_path / "images" / "a.png", pnginfo=text)
    dataset = read(config(tmp_path))
    assert dataset.load(sample(dataset, "a"))[0].shape == (10, 12, 3)


def test_a_file_name_that_is_not_utf_8_is_a_problem(tmp_path: Path) -> None:
    written = folder(tmp_path, ["a", "b", "c"], [0, 1])
    name = os.fsdecode(b"stra\xdfe")
    try:
        for kind, array in zip(("images", "masks"), written["a"], strict=True):
            write(tmp_path / kind / f"{name}.png", array)
    except OSError:
        pytest.skip("this file system takes no such name")
    dataset = read(config(tmp_path))
    with pytest.raises(InputError, match=r"stra\\udcdfe\.png: the file name is not UTF-8"):
        dataset.load(sample(dataset, name))
    with pytest.raises(InputError) as error:
        pack(dataset, tmp_path / "packs", (10, 12))
    assert str(error.value).encode().count(b"\n") == 1


def test_hidden_and_other_files_are_left_alone(tmp_path: Path) -> None:
    folder(tmp_path, ["a", "b", "c"], [0, 1])
    for name in ("images/._a.png", "images/Thumbs.db", "masks/.hidden.png", "masks/notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert len(read(config(tmp_path)).samples) == 3


def test_split_by_folders(tmp_path: Path) -> None:
    for split, id in (("train", "a"), ("val", "a"), ("val", "b"), ("test", "c")):
        write(tmp_path / "images" / split / f"{id}.png", photo())
        write(tmp_path / "masks" / split / f"{id}.png", labels([0, 1]))
    dataset = read(config(tmp_path))
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["a"], ["a", "b"])
    assert np.array_equal(dataset.load(dataset.samples[1])[0], np.asarray(Image.open(tmp_path / "images" / "val" / "a.png")))
    with pytest.raises(InputError, match="two of them have one name"):
        read(config(tmp_path, split={"val_fraction": 0.5}))
    for path in (tmp_path / "masks" / "val").iterdir():
        path.unlink()
    (tmp_path / "masks" / "val").rmdir()
    with pytest.raises(InputError, match=r"missing:\n  \S*masks/val"):
        read(config(tmp_path))


def test_a_folder_of_test_images_is_held_out_on_demand(tmp_path: Path) -> None:
    for split, values in (("train", [0, 1]), ("val", [0, 1, 7]), ("test", [0, 1])):
        write(tmp_path / "images" / split / "a.png", photo())
        write(tmp_path / "masks" / split / "a.png", labels(values))
    assert read_test(config(tmp_path)) is None
    assert read(config(tmp_path)).class_names == ("class 0", "class 1", "class 7")
    asked = config(tmp_path, split={"test": "published"}, max_train=1, max_val=1)
    dataset, test = read(asked), read_test(asked)
    assert test is not None
    assert [(sample.id, sample.split) for sample in dataset.samples] == [("a", "train"), ("a", "val")]
    assert [(sample.id, sample.split) for sample in test.samples] == [("a", "test")]
    assert np.array_equal(test.load(test.samples[0])[0], np.asarray(Image.open(tmp_path / "images" / "test" / "a.png")))
    # one set of classes, so that a model that learned on the one can be tested on the other
    assert dataset.class_names == test.class_names == ("class 0", "class 1", "class 7")
    data, held_out = (
        PackedData(pack(dataset, tmp_path / "packs", (10, 12))),
        PackedTest(pack(test, tmp_path / "packs", (10, 12))),
    )
    assert (data.class_names, len(data.train), len(data.val)) == (held_out.class_names, 1, 1)
    for path in (tmp_path / "masks" / "test").iterdir():
        path.unlink()
    (tmp_path / "masks" / "test").rmdir()
    with pytest.raises(InputError, match="has no published test images with labels"):
        read(asked)


def test_masks_that_are_held_out_name_no_class(tmp_path: Path) -> None:
    for split, values in (("train", [0, 1]), ("val", [0, 1]), ("test", [0, 1, 7])):
        write(tmp_path / "images" / split / f"{split}.png", photo())
        write(tmp_path / "masks" / split / f"{split}.png", labels(values))
    alone, asked = config(tmp_path), config(tmp_path, split={"test": "published"})
    test = read_test(asked)
    assert test is not None and read(asked).class_names == test.class_names == ("class 0", "class 1")
    packs = [pack(read(each), tmp_path / "packs", (10, 12)) for each in (alone, asked)]
    assert packs[0] == packs[1]  # the trials' data are the same whatever is held out
    with pytest.raises(InputError, match=r"masks/test/test\.png: unknown label value 7 .* declare what they mean with"):
        pack(test, tmp_path / "packs", (10, 12))


def test_folds_are_made_of_what_is_not_held_out(tmp_path: Path) -> None:
    names = [f"s{number}" for number in range(10)]
    written = folder(tmp_path, names, [0, 1])
    asked = config(tmp_path, split={"folds": 3, "test": 0.4})
    dataset, test = read(asked), read_test(asked)
    assert test is not None
    assert len(test.samples) == 4
    assert sorted([*ids(dataset, "train"), *ids(dataset, "val"), *ids(test, "test")]) == names
    data, held_out = (
        kind(pack(each, tmp_path / "packs", (10, 12))) for kind, each in ((PackedData, dataset), (PackedTest, test))
    )
    assert (data.folds, data.train_images, len(held_out.val)) == (3, (4, 4, 4), 4)
    for fold in range(3):
        assert data.of_fold(fold).val_groups.tolist() == [0, 1]
    images, _ = held_out.val.gather(range(4))
    assert {image.numpy().tobytes() for image in images} == {written[id][0].tobytes() for id in ids(test, "test")}


def test_split_by_lists(tmp_path: Path) -> None:
    folder(tmp_path, ["a", "b", "c.d", "e"], [0, 1])
    write(tmp_path / "images" / "f.png", photo())  # in no list, so it may lack a mask
    (tmp_path / "train.txt").write_text("c.d\nimages/b.png\n\n")
    (tmp_path / "val.txt").write_text("a.png\r\n")
    dataset = read(config(tmp_path))
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["b", "c.d"], ["a"])
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "one").write_text("e\n")
    (tmp_path / "lists" / "two").write_text("a\nb\n")
    dataset = read(config(tmp_path, split={"train": "lists/one", "val": "lists/two"}))
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["e"], ["a", "b"])


@pytest.mark.parametrize(
    "entries",
    [
        ("images/a b.png masks/a b.png", "c.png masks/c.png"),
        ("images\\a b.png", "images\\c.png"),
        ("a b", "/data/set/images/c.png /data/set/masks/c.png"),
        ("a b.png", "c 1"),
    ],
)
def test_lists_have_windows_slashes_blanks_and_more_columns(tmp_path: Path, entries: tuple[str, str]) -> None:
    folder(tmp_path, ["a b", "c", "Stra\u00dfe\u00fc"], [0, 1])
    (tmp_path / "train.txt").write_text(f"{entries[1]}\n")
    (tmp_path / "val.txt").write_text(f"{entries[0]}\nStra\u00dfeu\u0308.png\n", encoding="utf-8")
    dataset = read(config(tmp_path))
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["c"], ["Stra\u00dfe\u00fc", "a b"])


def test_bad_lists_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, ["a", "b"], [0, 1])
    (tmp_path / "train.txt").write_text("a\nz\n")
    with pytest.raises(InputError, match=r"train\.txt is the only list"):
        read(config(tmp_path))
    (tmp_path / "val.txt").write_text("a\ny\n")
    with pytest.raises(InputError) as error:
        read(config(tmp_path))
    for part in ("train.txt: z is neither", "val.txt: y is neither", "val.txt: a is in the list of train too"):
        assert part in str(error.value)
    (tmp_path / "val.txt").write_text("\n")
    with pytest.raises(InputError, match=r"val\.txt: the list is empty"):
        read(config(tmp_path))
    with pytest.raises(InputError, match=r"missing\.txt: cannot be read"):
        read(config(tmp_path, split={"train": "train.txt", "val": "missing.txt"}))


def test_split_by_fraction_moves_at_most_as_many_as_were_added(tmp_path: Path) -> None:
    names = [f"s{n:03d}" for n in range(120)]
    for name in names:
        write(tmp_path / "images" / f"{name}.png", photo(2, 2))
        write(tmp_path / "masks" / f"{name}.png", labels([0, 1], 2, 2))
    before = set(ids(read(config(tmp_path)), "val"))
    assert len(before) == 24
    assert set(ids(read(config(tmp_path, split={"val_fraction": 0.2, "seed": 0})), "val")) == before
    assert set(ids(read(config(tmp_path, split={"seed": 1})), "val")) != before
    assert len(ids(read(config(tmp_path, split={"val_fraction": 0.7})), "val")) == 84
    for added in range(1, 6):
        folder(tmp_path, [f"new{added}"], [0, 1])
        after = set(ids(read(config(tmp_path)), "val"))
        assert len((after ^ before) & set(names)) <= added
    assert len(after) == 25


@pytest.mark.parametrize("seed", range(5))
def test_a_fraction_of_a_small_folder_is_kept(tmp_path: Path, seed: int) -> None:
    folder(tmp_path, [f"s{n}" for n in range(10)], [0, 1])
    dataset = read(config(tmp_path, split={"seed": seed, "val_fraction": 0.3}))
    assert (len(ids(dataset, "train")), len(ids(dataset, "val"))) == (7, 3)


@pytest.mark.parametrize("seed", range(8))
def test_a_fraction_leaves_neither_side_empty(tmp_path: Path, seed: int) -> None:
    folder(tmp_path, ["a", "b"], [0, 1])
    for fraction in (0.01, 0.99):
        dataset = read(config(tmp_path, split={"val_fraction": fraction, "seed": seed}))
        assert len(ids(dataset, "train")) == len(ids(dataset, "val")) == 1


def test_one_sample_cannot_be_split(tmp_path: Path) -> None:
    folder(tmp_path, ["only"], [0, 1])
    with pytest.raises(InputError, match=r"only\.png: one sample cannot both train and validate"):
        read(config(tmp_path))


def test_class_names_from_list_mapping_file_and_values(tmp_path: Path) -> None:
    written = folder(tmp_path, ["a", "b"], [3, 7, 255])
    found = read(config(tmp_path))
    assert found.class_names == ("class 3", "class 7")
    mask = found.load(sample(found, "a"))[1]
    assert np.array_equal(mask, np.select([written["a"][1] == 3, written["a"][1] == 7], [0, 1], 255))

    mapped = read(config(tmp_path, classes={7: "seven", 3: "three"}))
    assert mapped.class_names == ("three", "seven")
    listed = read(config(tmp_path, classes=[f"n{n}" for n in range(8)]))
    assert set(np.unique(listed.load(sample(listed, "a"))[1])) == {3, 7, 255}
    (tmp_path / "classes.txt").write_text("".join(f"line {n}\n" for n in range(8)))
    assert read(config(tmp_path)).class_names[7] == "line 7"
    (tmp_path / "classes.txt").write_text("one\n\nthree\n")
    with pytest.raises(InputError, match=r"classes\.txt: line 2 is empty"):
        read(config(tmp_path))
    (tmp_path / "classes.txt").write_text("one\none\n")
    with pytest.raises(InputError, match=r"classes\.txt: a class name appears twice"):
        read(config(tmp_path))


def test_ignore_label_for_a_folder(tmp_path: Path) -> None:
    written = folder(tmp_path, ["a", "b"], [0, 1, 9])
    dataset = read(config(tmp_path, ignore_label=9))
    assert dataset.class_names == ("class 0", "class 1")
    mask = dataset.load(sample(dataset, "a"))[1]
    assert np.array_equal(mask == 255, written["a"][1] == 9)


def test_binary_masks_of_0_and_255_are_two_classes(tmp_path: Path) -> None:
    written = folder(tmp_path, ["a", "b"], [0, 255])
    for declared in ({}, {"classes": {0: "background", 255: "object"}}, {"classes": ["background", "object"]}):
        dataset = read(config(tmp_path, **declared))
        assert len(dataset.class_names) == 2
        assert np.array_equal(dataset.load(sample(dataset, "b"))[1], written["b"][1] // 255)
    with pytest.raises(InputError, match=r"data\.ignore_label: 255 is the class 'object'"):
        read(config(tmp_path, classes={0: "background", 255: "object"}, ignore_label=255))
    with pytest.raises(InputError, match="only the value 0 is left as a class"):
        pack(read(config(tmp_path, ignore_label=255)), tmp_path / "packs", (10, 12))


def test_masks_like_photographs_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, ["a", "b"], list(range(100)))
    with pytest.raises(InputError, match=r"masks: \d+ distinct values.*data\.classes"):
        _ = read(config(tmp_path)).class_names


def test_the_masks_with_the_rarest_values_are_named(tmp_path: Path) -> None:
    folder(tmp_path, [f"s{n}" for n in range(9)], [0, 1])
    for id, first in (("bad", 10), ("worse", 50)):
        write(tmp_path / "images" / f"{id}.png", photo())
        write(tmp_path / "masks" / f"{id}.png", (np.arange(120).reshape(10, 12) % 40 + first).astype(np.uint8))
    with pytest.raises(
        InputError, match=r"82 distinct values.*rarest values are in bad\.png \(10\), worse\.png \(50\), s\d\.png"
    ):
        _ = read(config(tmp_path)).class_names


def test_classes_that_the_masks_tell_do_not_depend_on_how_many_are_used(tmp_path: Path) -> None:
    folder(tmp_path, [f"s{n}" for n in range(8)], [3, 7])
    folder(tmp_path, ["s9"], [3, 5, 9])
    (tmp_path / "train.txt").write_text("".join(f"s{n}\n" for n in (0, 1, 2, 3, 4, 9)))
    (tmp_path / "val.txt").write_text("s5\ns6\ns7\n")
    few = read(config(tmp_path, max_train=2, max_val=1))
    assert few.class_names == read(config(tmp_path)).class_names == ("class 3", "class 5", "class 7", "class 9")
    first = pack(few, tmp_path / "packs", (10, 12))
    write(tmp_path / "masks" / "s9.png", labels([3, 5]))  # not among the few
    second = pack(read(config(tmp_path, max_train=2, max_val=1)), tmp_path / "packs", (10, 12))
    assert second != first
    assert PackedData(second).class_names == ("class 3", "class 5", "class 7")


def test_masks_with_one_value_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, ["a", "b"], [4])
    with pytest.raises(InputError, match="every pixel of every mask is 4"):
        _ = read(config(tmp_path)).class_names


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, ["a", "b"], [0, 1])
    write(tmp_path / "images" / "a.jpg", photo())
    with pytest.raises(InputError, match=r"share one name.*\n  \S*a\.png and a\.jpg"):
        read(config(tmp_path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "camvid"}, "data.format camvid needs data.root"),
        ({"classes": ["a", "b"]}, "data.classes describes files"),
        ({"ignore_label": 3}, "data.ignore_label describes files"),
        ({"split": {"val_fraction": 0.5}}, "data.split describes files"),
        ({"format": "synthetic", "root": "/"}, "leave data.root out"),
        ({"classes": ["a", "a"], "root": "/"}, "a class name appears twice"),
        ({"classes": ["a"], "root": "/"}, "at least two classes"),
        ({"classes": {70000: "a", 1: "b"}, "root": "/"}, "0 to 65535"),
        ({"split": {"train": "x"}, "root": "/"}, "both list files"),
        ({"split": {"train": "x", "val": "y", "folds": 3}, "root": "/"}, "either list files"),
        ({"split": {"folds": 1}, "root": "/"}, "split.folds: 1 is not possible; allowed: a whole number ≥ 2, or null"),
        ({"split": {"folds": 4, "val_fraction": 0.3}, "root": "/"}, "a fold is at most 0.25"),
        ({"options": {"key": 1}}, "data.options describes files"),
        ({"split": {"test": "list.txt"}}, "data.split.test: of generated images it is published or null, got list.txt"),
        ({"split": {"test": 0.2}}, "data.split.test: of generated images it is published or null, got 0.2"),
        ({"split": {"seed": -1}}, "split.seed: -1 is not possible; allowed: a whole number ≥ 0"),
        ({"split": {"test": 1.0}, "root": "/"}, "split.test: 1.0 is not possible"),
        ({"split": {"test": True}, "root": "/"}, "split.test: true is not possible"),
    ],
)
def test_impossible_configurations_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        parse(DataConfig, values)
