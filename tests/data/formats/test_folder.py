"""Folders of images and masks as people keep them, under the names that they have, against the arrays written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.image_files import assert_holds, held_out_root, ids, load, numbers, photo, read_root, write_image
from tune_seg.data import Dataset, PackedData, pack
from tune_seg.data.packing.origin import read_origin
from tune_seg.errors import InputError


def write_pairs(
    root: Path, pairs: dict[str, str], values: list[int] | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write an image and its mask for each pair of paths; by the path of the image."""
    return {
        image: (write_image(root / image, photo()), write_image(root / mask, numbers(values or [0, 1, 2])))
        for image, mask in pairs.items()
    }


def assert_all_read(dataset: Dataset, root: Path, written: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    by_image = {str(sample.image.relative_to(root)): sample for sample in dataset.samples if sample.image is not None}
    assert by_image.keys() == written.keys() and len(dataset.samples) == len(written)
    for name, (image, mask) in written.items():
        loaded = dataset.load(by_image[name])
        assert np.array_equal(loaded[0], image) and np.array_equal(loaded[1], mask)


@pytest.mark.parametrize(
    ("image", "mask", "note"),
    [
        ("images/{}.png", "labels/{}.png", "The images are in images, their masks in labels."),
        ("Images/{}.png", "Labels/{}.png", "their masks in Labels."),
        ("imgs/{}.png", "gts/{}.png", "their masks in gts."),
        ("JPEGImages/{}.png", "SegmentationClassPNG/{}.png", "their masks in SegmentationClassPNG."),
        ("images/{}.png", "annotations/trimaps/{}.png", "their masks in annotations/trimaps."),
        ("data/images/{}.png", "data/ground truth/{}.png", "their masks in data/ground truth."),
        ("train/{}.png", "train_masks/{}_mask.png", "'X_mask' is the mask of 'X' (4 pairs)."),
        ("{}.png", "mask/{}.png", "The images are in ., their masks in mask."),
        ("{}_sat.png", "{}_mask.png", "'X_mask' is the mask of 'X_sat' (4 pairs)."),
        ("images/{}.jpg.png", "masks/{}.png", "(4 pairs)."),
        ("p1/{}.tif", "p1/{}_mask.tif", "'X_mask' is the mask of 'X' (4 pairs)."),
        ("photos/all/{}.png", "labels/{}.png", "The images are in photos/all"),
    ],
)
def test_folders_are_read_under_the_names_that_they_have(tmp_path: Path, image: str, mask: str, note: str) -> None:
    written = write_pairs(tmp_path, {image.format(n): mask.format(n) for n in ("a", "b", "c d", "e")})
    dataset = read_root(tmp_path)
    assert_all_read(dataset, tmp_path, written)
    assert note in " ".join(dataset.notes)


def test_patients_have_folders_of_their_own(tmp_path: Path) -> None:
    written = write_pairs(tmp_path, {f"TCGA_{p}/{n}.tif": f"TCGA_{p}/{n}_mask.tif" for p in "AB" for n in (1, 2)})
    dataset = read_root(tmp_path)
    assert sorted(sample.id for sample in dataset.samples) == ["TCGA_A/1", "TCGA_A/2", "TCGA_B/1", "TCGA_B/2"]
    assert_all_read(dataset, tmp_path, written)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{}/{}.png", "labels/{}/{}.png"),
        ("{}/images/{}.png", "{}/masks/{}.png"),
        ("img_dir/{}/{}.png", "ann_dir/{}/{}.png"),
        ("{}/{}.png", "{}annot/{}.png"),
        ("{}_images/{}.png", "{}_labels/{}.png"),
        ("set/{}/Images/{}.png", "set/{}/Masks/{}.png"),
    ],
)
@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_the_sides_of_a_split_are_folders_in_any_order(tmp_path: Path, image: str, mask: str, val: str) -> None:
    sides = {"train": "train", val: "val", "test": "test"}
    written = write_pairs(
        tmp_path,
        {image.format(side, f"{name}{n}"): mask.format(side, f"{name}{n}") for side, name in sides.items() for n in (1, 2)},
    )
    options = {"format": "folder"}
    dataset = read_root(tmp_path, **options)
    assert (ids(dataset, "train"), ids(dataset, "val")) == (["train1", "train2"], ["val1", "val2"])
    assert_all_read(dataset, tmp_path, {name: pair for name, pair in written.items() if "test" not in name})
    assert any("2 images and 2 masks of test are not used" in note for note in dataset.notes)
    test = held_out_root(tmp_path, split={"test": "published"}, **options)
    assert ids(test, "test") == ["test1", "test2"]


def test_the_notes_are_kept_beside_the_pack(tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", {f"img/{n}.png": f"gt/{n}_gt.png" for n in "ab"})
    pack(read_root(tmp_path / "data"), tmp_path / "packs", (10, 12))
    origins = [
        read_origin(path) for path in (tmp_path / "packs").iterdir() if path.suffix == ".json" or "source" in path.name
    ]
    said = [note for origin in origins if origin is not None for note in origin.notes]
    assert "Names of images and masks: 'X_gt' is the mask of 'X' (2 pairs)." in said


def test_several_folders_of_masks_are_a_question_that_an_option_answers(tmp_path: Path) -> None:
    written = write_pairs(tmp_path, {f"training/images/{n}.png": f"training/1st_manual/{n}_manual1.png" for n in "ab"})
    for name in "ab":
        write_image(tmp_path / f"training/mask/{name}_mask.png", numbers([0, 1]))
    with pytest.raises(InputError, match=r"several folders may hold the masks.*\n  training/1st_manual\n  training/mask"):
        read_root(tmp_path)
    assert_all_read(read_root(tmp_path, options={"masks": "training/1st_manual"}), tmp_path, written)
    with pytest.raises(InputError, match=r"data\.options\.masks: nowhere: images and masks are not found with it"):
        read_root(tmp_path, options={"masks": "nowhere"})


def test_a_pattern_says_which_masks_are_meant(tmp_path: Path) -> None:
    written = write_pairs(tmp_path, {f"images/{n}.png": f"masks/{n}_labelIds.png" for n in "ab"})
    for name in "ab":
        write_image(tmp_path / f"masks/{name}_gt.png", numbers([0, 1]))
    with pytest.raises(InputError, match=r"a\.png: a_gt\.png or a_labelIds\.png|a\.png: a_labelIds\.png or a_gt\.png"):
        read_root(tmp_path)
    dataset = read_root(tmp_path, options={"masks": "masks/*_labelIds.png"})
    assert_all_read(dataset, tmp_path, written)
    assert any("left out: masks (2)" in note for note in dataset.notes)


def test_folders_with_any_name_are_read_where_options_name_them(tmp_path: Path) -> None:
    written = write_pairs(tmp_path, {f"A/{n}.png": f"B/{n}.png" for n in "ab"})
    with pytest.raises(InputError, match=r"matches no known layout"):
        read_root(tmp_path)
    assert_all_read(read_root(tmp_path, format="folder", options={"images": "A", "masks": "B"}), tmp_path, written)


def test_names_that_do_not_fit_are_shown(tmp_path: Path) -> None:
    write_pairs(tmp_path, {f"images/cat{n}.png": f"masks/dog{n}.png" for n in (1, 2)})
    with pytest.raises(InputError, match=r"the images are called cat1\.png, cat2\.png, the masks dog1\.png, dog2\.png"):
        read_root(tmp_path)


def test_images_without_a_mask_are_background_where_that_is_asked_for(tmp_path: Path) -> None:
    written = write_pairs(tmp_path, {f"images/{n}.png": f"masks/{n}.png" for n in "ab"})
    empty = {f"e{n}": write_image(tmp_path / f"images/e{n}.png", photo()) for n in range(5)}
    with pytest.raises(
        InputError, match=r"5 images without a mask; .*--set data\.options\.without_mask=background(?s:.*)\(5 such, also "
    ):
        read_root(tmp_path)
    dataset = read_root(tmp_path, options={"without_mask": "background"})
    assert_holds(dataset, "a", *written["images/a.png"])
    for name, image in empty.items():
        assert_holds(dataset, name, image, np.zeros((10, 12), np.uint8))
    assert "5 images without a mask are background throughout." in dataset.notes
    with pytest.raises(InputError, match=r"e0\.png: no mask, so background throughout, which is the value 0: unknown label"):
        load(read_root(tmp_path, options={"without_mask": "background"}, classes={1: "x", 2: "y"}), "e0")


@pytest.mark.parametrize("by", ["folders", "names"])
def test_a_mask_for_each_class_is_put_together(tmp_path: Path, by: str) -> None:
    mask = "masks/{1}/{0}.png" if by == "folders" else "masks/{0}_{1}.png"
    expected = {}
    for name in ("a", "b", "c"):
        rows = numbers([0, 1, 2])
        write_image(tmp_path / f"images/{name}.png", photo())
        for number, kind in ((1, "crack"), (2, "spall")):
            if (name, kind) != ("c", "spall"):
                write_image(tmp_path / mask.format(name, kind), (rows == number).astype(np.uint8) * 255)
        expected[name] = np.where(rows == 2, 0, rows) if name == "c" else rows
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("background", "crack", "spall")
    for name, rows in expected.items():
        assert np.array_equal(load(dataset, name)[1], rows)
    assert any("crack, spall" in note for note in dataset.notes)
    named = read_root(tmp_path, classes=["background", "spall", "crack"])
    assert np.array_equal(load(named, "a")[1], np.array([0, 2, 1])[expected["a"]])
    with pytest.raises(InputError, match=r"these classes have masks, but are not among background, crack.*\n  spall"):
        read_root(tmp_path, classes=["background", "crack"])


def test_which_class_lies_on_top_is_a_question(tmp_path: Path) -> None:
    organ, tumour = np.zeros((10, 12), np.uint8), np.zeros((10, 12), np.uint8)
    organ[1:9, 1:9], tumour[3:5, 3:5] = 1, 1
    for name in "ab":
        write_image(tmp_path / f"images/{name}.png", photo())
        write_image(tmp_path / f"masks/organ/{name}.png", organ)
        write_image(tmp_path / f"masks/tumour/{name}.png", tumour)
    with pytest.raises(InputError, match=r"100% of tumour lies in other classes; say which lies on top with data\.classes"):
        load(read_root(tmp_path), "a")
    assert np.array_equal(load(read_root(tmp_path, classes=["background", "organ", "tumour"]), "a")[1], organ + tumour)
    tumour[:, 8:] = 1
    write_image(tmp_path / "masks/tumour/a.png", tumour)
    mask = load(read_root(tmp_path), "a")[1]
    assert np.array_equal(mask, np.where(organ & tumour, 255, organ + 2 * tumour))


@pytest.mark.parametrize("layout", ["one folder an image", "a folder for each image", "numbers"])
def test_a_mask_for_each_object_is_put_together(tmp_path: Path, layout: str) -> None:
    expected = {}
    for name in ("ab12", "cd34"):
        rows = numbers([0, 1, 2, 3])
        image, mask = {
            "one folder an image": (f"{name}/images/{name}.png", f"{name}/masks/{{}}{name}0f.png"),
            "a folder for each image": (f"images/{name}.png", f"masks/{name}/{{}}.png"),
            "numbers": (f"{name}.png", f"{name}_mask_{{}}.png"),
        }[layout]
        write_image(tmp_path / image, photo())
        for number in (1, 2, 3):
            write_image(tmp_path / mask.format(number), (rows == number).astype(np.uint8) * 255)
        expected[name] = rows > 0
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("background", "object")
    for sample in dataset.samples:
        assert np.array_equal(dataset.load(sample)[1], expected[sample.id.split("/")[0]])
    assert any("one for each object" in note for note in dataset.notes)
    data = PackedData(pack(dataset, tmp_path / "packs", (10, 12)))
    assert sorted(int(data.mask(row).sum()) for row in range(2)) == sorted(int(mask.sum()) for mask in expected.values())
    before = json.dumps(dataset.source())
    changed = next(
        path for path in sorted(tmp_path.rglob("*")) if "3" in path.stem and "mask" in str(path.relative_to(tmp_path))
    )
    write_image(changed, np.full((10, 12), 255, np.uint8))
    assert json.dumps(read_root(tmp_path).source()) != before


@pytest.mark.parametrize("value", [255, 7])
def test_pixels_to_ignore_are_ignored_in_files_of_classes_too(tmp_path: Path, value: int) -> None:
    masks = {"crack": np.zeros((8, 9), np.uint8), "spall": np.zeros((8, 9), np.uint8)}
    masks["crack"][1:3, 1:4], masks["spall"][4:6, 2:5] = 1, 1
    masks["crack"][7], masks["spall"][0] = value, value
    expected = np.where(masks["crack"] == 1, 1, np.where(masks["spall"] == 1, 2, 0))
    expected[[0, 7]] = 255
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.png", photo(8, 9))
        for kind, mask in masks.items():
            write_image(tmp_path / "masks" / kind / f"{name}.png", mask)
    assert np.array_equal(load(read_root(tmp_path, ignore_label=value), "a")[1], expected)
    with pytest.raises(InputError, match=r"0, but of masks in several files 0 is what they do not mark"):
        read_root(tmp_path, ignore_label=0)


def test_the_values_of_classes_say_nothing_of_files_of_classes_or_objects(tmp_path: Path) -> None:
    classes, objects = tmp_path / "classes", tmp_path / "objects"
    for name in "ab":
        for root in (classes, objects):
            write_image(root / "images" / f"{name}.png", photo(8, 9))
        for number, kind in enumerate(("crack", "spall")):
            mask = np.zeros((8, 9), np.uint8)
            mask[number : number + 2, :4] = 255
            write_image(classes / "masks" / kind / f"{name}.png", mask)
            write_image(objects / "masks" / f"{name}_{number}.png", mask)
    of_classes = read_root(classes, classes={0: "background", 7: "spall", 300: "crack"})
    assert np.bincount(load(of_classes, "a")[1].ravel()).tolist() == [60, 4, 8]
    of_objects = read_root(objects, classes={0: "background", 255: "crack"})
    assert of_objects.class_names == ("background", "crack")
    assert np.bincount(load(of_objects, "a")[1].ravel()).tolist() == [60, 12]
    with pytest.raises(InputError, match=r"each mask is of one object, so there are two classes, but 3 are named"):
        read_root(objects, classes=["background", "crack", "spall"])
    (objects / "classes.txt").write_text("nucleus\n")
    assert read_root(objects).class_names == ("background", "nucleus")


def test_inverted_masks_of_objects_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.png", photo(8, 9))
        for number in range(2):
            mask = np.full((8, 9), 255, np.uint8)
            mask[2 + 2 * number :][:2, 2:5] = 0
            write_image(tmp_path / "masks" / f"{name}_{number}.png", mask)
    with pytest.raises(InputError, match=r"a_1\.png: its object fills more than half of the image, as that of a_0\.png"):
        load(read_root(tmp_path), "a")


def test_the_first_class_of_a_list_is_not_taken_for_the_background_where_it_has_masks(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.png", photo(8, 9))
        for number, kind in enumerate(("crack", "spall")):
            mask = np.zeros((8, 9), np.uint8)
            mask[number * 3, :4] = 255
            write_image(tmp_path / "masks" / kind / f"{name}.png", mask)
    (tmp_path / "classes.txt").write_text("crack\nspall\n")
    with pytest.raises(InputError, match=r"--set 'data\.classes=\[background, crack, spall\]'"):
        read_root(tmp_path)
    dataset = read_root(tmp_path, classes=["background", "crack", "spall"])
    assert np.bincount(load(dataset, "a")[1].ravel()).tolist() == [64, 4, 4]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"crack\n", r"classes\.txt: names 1 classes; (?s:.*)--set 'data\.classes=\[background, crack\]'"),
        ("Stra\xdfe\nRi\xdf\n".encode("latin-1"), r"classes\.txt: not text in UTF-8; save it in this encoding"),
        ("a\nb\n".encode("utf-16"), r"classes\.txt: not text in UTF-8"),
    ],
)
def test_what_is_wrong_with_a_list_of_classes_is_said_with_its_name(tmp_path: Path, content: bytes, said: str) -> None:
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.png", photo(8, 9))
        write_image(tmp_path / "masks" / f"{name}.png", np.eye(8, 9, dtype=np.uint8))
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_root(tmp_path)


def test_files_of_objects_hold_one_value(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"images/{name}.png", photo())
        for number in (1, 2):
            write_image(tmp_path / f"masks/{name}_{number}.png", numbers([0, 1, 2]))
    with pytest.raises(InputError, match=r"a_1\.png: the values 0, 1, 2; a mask of one class or of one object is 0 and one"):
        load(read_root(tmp_path), "a")


# Class lists


@pytest.mark.parametrize(
    ("where", "content"),
    [
        ("classes.txt", "road\ncar\nsky\n"),
        ("class_names.txt", "__ignore__\nroad\ncar\nsky\n"),
        ("masks/_classes.csv", "Pixel Value, Class\n0, road\n1, car\n2, sky\n"),
        ("dataset_meta.json", '{"label_map": {"0": "road", "1": "car", "2": "sky"}}'),
    ],
)
def test_a_list_of_names_beside_the_masks_names_the_classes(tmp_path: Path, where: str, content: str) -> None:
    written = write_pairs(tmp_path, {f"images/{n}.png": f"masks/{n}.png" for n in "ab"})
    (tmp_path / where).write_text(content)
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("road", "car", "sky")
    assert_all_read(dataset, tmp_path, written)
    assert any(f"The class names are those of {tmp_path / where}." == note for note in dataset.notes)


@pytest.mark.parametrize(
    "where", ["colors.txt", "label_colours.txt", "label_colors.txt", "labelmap.txt", "dataset_meta.json"]
)
@pytest.mark.parametrize("coloured", [True, False])
def test_a_table_of_colours_names_the_classes_of_masks_in_colour_and_of_numbers(
    tmp_path: Path, where: str, coloured: bool
) -> None:
    colours = {"background": (0, 0, 0), "crack": (250, 50, 83), "spall": (50, 183, 250)}
    content = {
        "labelmap.txt": "# label:color_rgb:parts:actions\n"
        + "".join(f"{name}:{r},{g},{b}::\n" for name, (r, g, b) in colours.items()),
        "dataset_meta.json": json.dumps(
            {"label_map": dict(enumerate(colours)), "segmentation_colors": list(colours.values()), "background_label": "0"}
        ),
    }.get(where, "".join(f"{r} {g} {b} {name}\n" for name, (r, g, b) in colours.items()))
    written = write_pairs(tmp_path, {f"images/{n}.png": f"masks/{n}.png" for n in "ab"})
    (tmp_path / where).write_text(content)
    if coloured:
        for image, (_, rows) in written.items():
            write_image(tmp_path / image.replace("images", "masks"), np.array(list(colours.values()), np.uint8)[rows])
    dataset = read_root(tmp_path)
    assert dataset.class_names == tuple(colours)
    assert_all_read(dataset, tmp_path, written)


def test_lists_that_differ_are_refused(tmp_path: Path) -> None:
    write_pairs(tmp_path, {f"{side}/{n}.png": f"{side}/{n}_mask.png" for side in ("train", "valid") for n in "ab"})
    (tmp_path / "train/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, crack\n2, spall\n")
    (tmp_path / "valid/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, crack\n2, spall\n")
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("background", "crack", "spall")
    assert (len(ids(dataset, "train")), len(ids(dataset, "val"))) == (2, 2)
    (tmp_path / "valid/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, spall\n2, crack\n")
    with pytest.raises(
        InputError, match=r"name other classes than each other.*\n  \S*train/_classes\.csv\n  \S*valid/_classes"
    ):
        read_root(tmp_path)


def test_what_is_wrong_with_the_masks_of_several_folders_names_the_folder_of_all(tmp_path: Path) -> None:
    for side in ("train", "val"):
        for name in "ab":
            write_image(tmp_path / f"{side}_images" / f"{name}.png", photo())
            write_image(tmp_path / f"{side}_masks" / f"{name}.png", numbers([0, 64, 128]))
    (tmp_path / "classes.txt").write_text("background\ncrack\nspall\n")
    with pytest.raises(InputError, match=rf"{re.escape(str(tmp_path))}: unknown label values 64 in 4 masks"):
        read_root(tmp_path).find_classes(lambda _: None)
