"""Images of 10 and 12 bits, of reflectance, temperatures and floats, against the same worked out by NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecodecs import png_encode

from tests.support.image_files import RNG, load, numbers, photo, read_root, write_image
from tune_seg.data import Dataset, PackedData, pack
from tune_seg.data.packing.write import packed_origin
from tune_seg.errors import InputError

Values = npt.NDArray[Any]
NODATA_TAG = 42113


def write(root: Path, images: dict[str, Values], nodata: str | None = None) -> dict[str, Values]:
    """A folder of TIFF images (H, W, C) and their masks, which are returned."""
    masks = {}
    for name, image in images.items():
        path = root / "images" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tags = [] if nodata is None else [(NODATA_TAG, "s", 0, nodata, True)]
        tifffile.imwrite(path, np.squeeze(image), photometric="minisblack", planarconfig="contig", extratags=tags)
        masks[name] = write_image(root / "masks" / f"{name}.png", numbers([0, 1, 2], *image.shape[:2]))
    return masks


def options(channels: int = 1, **values: object) -> dict[str, Any]:
    return {"options": {"channels": channels, **values}, "split": {"val_fraction": 0.25}}


def training(dataset: Dataset, images: dict[str, Values]) -> Values:
    """All pixels of the training images, (n, C)."""
    names = [sample.id for sample in dataset.samples if sample.split == "train"]
    assert 0 < len(names) < len(images)
    return np.concatenate([images[name].reshape(-1, images[name].shape[2]) for name in names]).astype(np.float64)


def levels(image: Values, low: Values | float, high: Values | float) -> npt.NDArray[np.uint16]:
    scaled = np.clip((image.astype(np.float64) - low) / (np.asarray(high) - low), 0, 1) * 65535
    return np.rint(np.nan_to_num(scaled)).astype(np.uint16)


def said(dataset: Dataset, tmp_path: Path, size: tuple[int, int] = (10, 12)) -> str:
    pack(dataset, tmp_path / "packs", size)
    origin = packed_origin(dataset, tmp_path / "packs", size)
    assert origin is not None
    return "\n".join(origin.notes)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("uint16", 40, 1023), ("uint16", 0, 4095), ("uint16", 29315, 31015), ("int16", -500, 1500), ("float32", 0.01, 0.6)],
)
def test_the_training_images_give_the_range(tmp_path: Path, dtype: str, low: float, high: float) -> None:
    images = {name: (low + (high - low) * RNG.random((10, 12, 1))).astype(dtype) for name in "abcdefgh"}
    masks = write(tmp_path, images)
    dataset = read_root(tmp_path, **options())
    assert dataset.dtype == "uint16"
    ends = np.percentile(training(dataset, images), (0.1, 99.9), axis=0)
    for name, image in images.items():
        found, mask = load(dataset, name)
        np.testing.assert_array_equal(found, levels(image, *ends))
        np.testing.assert_array_equal(mask, masks[name])
        assert np.ptp(found) > 60000  # before: 12 bits were 4095 of 65535, nearly black
    note = said(dataset, tmp_path)
    assert f"Images hold {dtype} numbers: {ends[0, 0]:.6g} to {ends[1, 0]:.6g} (0.1th to 99.9th percentile" in note
    assert "--set 'data.options.range=[" in note


def test_a_validation_image_does_not_move_the_range_and_each_channel_has_its_own(tmp_path: Path) -> None:
    scale = np.array([1.0, 50.0, 0.001])
    images = {name: (RNG.random((10, 12, 3)) * scale).astype(np.float32) for name in "abcdefgh"}
    write(tmp_path, images)
    dataset = read_root(tmp_path, **options(3))
    for sample in (sample for sample in dataset.samples if sample.split == "val"):
        images[sample.id] = images[sample.id] * 1000
    write(tmp_path, images)
    ends = np.percentile(training(dataset, images), (0.1, 99.9), axis=0)
    for name, image in images.items():
        np.testing.assert_array_equal(load(dataset, name)[0], levels(image, *ends))


def test_the_range_may_be_given(tmp_path: Path) -> None:
    images = {name: RNG.integers(0, 4096, (10, 12, 1)).astype(np.uint16) for name in "ab"}
    write(tmp_path, images)
    dataset = read_root(tmp_path, **options(range=[100, 4095]))
    for name, image in images.items():
        np.testing.assert_array_equal(load(dataset, name)[0], levels(image, 100, 4095))
    assert said(dataset, tmp_path) == ""
    other = read_root(tmp_path, **options(range=[0, 4095]))
    assert other.source() != dataset.source()
    with pytest.raises(InputError, match=r"data\.options\.range: black must lie below white"):
        read_root(tmp_path, **options(range=[5, 5]))


def test_a_range_of_8_bits_gives_8_bits(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.png", image := photo(channels=1))
        write_image(tmp_path / "masks" / f"{name}.png", numbers([0, 1]))
    dataset = read_root(tmp_path, options={"channels": 1, "range": [50, 150]})
    found, _ = load(dataset, "b")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.rint(np.clip((image - 50.0) / 100, 0, 1) * 255).astype(np.uint8))


def test_16_bits_that_are_used_stay_as_they_are(tmp_path: Path) -> None:
    images = {name: photo(channels=3, dtype="uint16") for name in "abcd"}
    for name, image in images.items():
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{name}.png").write_bytes(png_encode(image))
        write_image(tmp_path / "masks" / f"{name}.png", numbers([0, 1]))
    dataset = read_root(tmp_path)
    for name, image in images.items():
        np.testing.assert_array_equal(load(dataset, name)[0], image)


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["nan", "inf", "lowest", "-9999", "tag", "option"]),
    channels=st.sampled_from([1, 4]),
    share=st.floats(0.01, 0.6),
)
def test_pixels_without_a_value_are_ignored_and_move_no_range(
    tmp_path_factory: pytest.TempPathFactory, kind: str, channels: int, share: float
) -> None:
    root = tmp_path_factory.mktemp("data")
    value: float = {"nan": np.nan, "inf": np.inf, "lowest": float(np.finfo(np.float32).min), "-9999": -9999.0}.get(
        kind, -1.0
    )
    images, holes = {}, {}
    for name in "abcd":
        images[name] = (1 + RNG.random((10, 12, channels))).astype(np.float32)
        holes[name] = RNG.random((10, 12)) < share
        images[name][holes[name], 0] = value  # one channel is enough
    masks = write(root, images, "-1" if kind == "tag" else None)
    dataset = read_root(root, **options(channels, **({"nodata": -1} if kind == "option" else {})))
    names = [sample.id for sample in dataset.samples if sample.split == "train"]
    ends = np.percentile(np.concatenate([images[n][~holes[n]] for n in names]).astype(np.float64), (0.1, 99.9), axis=0)
    for name, image in images.items():
        found, mask = load(dataset, name)
        np.testing.assert_array_equal(mask, np.where(holes[name], 255, masks[name]))
        np.testing.assert_array_equal(found, np.where(holes[name][..., None], 0, levels(image, *ends)))
    hidden = np.mean([holes[name].mean() for name in names])
    assert hidden == 0 or f"{hidden:.1%} of the pixels of the training images are nodata or nan" in said(dataset, root)


def test_nodata_of_unsigned_numbers_is_that_of_all_channels(tmp_path: Path) -> None:
    images = {name: photo() for name in "ab"}
    for image in images.values():
        image[:2] = 0
        image[5, :, 1] = 0  # a dark green is an ordinary colour
        image[5, :, 0] = 9
    masks = write(tmp_path, images, "0")
    dataset = read_root(tmp_path, **options(3))
    for name, image in images.items():
        found, mask = load(dataset, name)
        np.testing.assert_array_equal(found, image)
        assert (mask[:2] == 255).all()
        np.testing.assert_array_equal(mask[2:], masks[name][2:])


def test_black_and_white_masks_that_were_stored_as_signed_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for number, name in enumerate("abcd"):
        write_image(tmp_path / "images" / f"{name}.png", photo())
        mask = np.zeros((10, 12), np.uint8)
        mask[number : number + 4] = 255
        tifffile.imwrite(tmp_path / "masks" / f"{name}.tif", mask.view(np.int8))
    with pytest.raises(InputError, match=r"a\.tif: values from -1 to 0 of signed 8 bits.*store it as unsigned"):
        load(read_root(tmp_path, classes=["background", "crack"]), "a")


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_negative_codes_of_masks_are_ignored(tmp_path: Path, dtype: str) -> None:
    codes = {}
    for name in "abcd":
        write_image(tmp_path / "images" / f"{name}.png", photo())
        codes[name] = RNG.choice(np.array([-9999, -1, 0, 1, 7], dtype), (10, 12))
        if dtype == "float32":
            codes[name][0] = np.nan
        (tmp_path / "masks").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "masks" / f"{name}.tif", codes[name])
    dataset = read_root(tmp_path)
    assert dataset.class_names == ("class 0", "class 1", "class 7")
    data = PackedData(pack(dataset, tmp_path / "packs", (10, 12)))
    expected = [sum(int((code == value).sum()) for code in codes.values()) for value in (0, 1, 7)]
    assert (data.train_pixels + data.val_pixels).tolist() == expected


@pytest.mark.parametrize("tiles", [{}, {"size": [10, 12]}])
def test_the_rule_is_kept_with_the_pack_so_that_other_images_can_be_treated_alike(
    tmp_path: Path, tiles: dict[str, Any]
) -> None:
    images = {name: RNG.integers((0, 300), (1000, 3000), (10, 12, 2)).astype(np.uint16) for name in "abcd"}
    write(tmp_path, images)
    dataset = read_root(tmp_path, tiles=tiles, **options(2, nodata=77))
    pack(dataset, tmp_path / "packs", (10, 12))
    origin = packed_origin(dataset, tmp_path / "packs", (10, 12))
    assert origin is not None and origin.intensity_rule is not None
    rule = origin.intensity_rule
    assert rule["nodata"] == 77 and len(rule["low"]) == len(rule["high"]) == 2
    for sample in dataset.samples:
        image = images[sample.id.partition("@")[0]]
        expected = np.where((image == 77).all(axis=2)[..., None], 0, levels(image, rule["low"], rule["high"]))
        np.testing.assert_array_equal(dataset.load(sample)[0], expected)


def test_images_of_eight_bits_have_no_rule(tmp_path: Path) -> None:
    for name in "abc":
        write_image(tmp_path / "images" / f"{name}.png", photo())
        write_image(tmp_path / "masks" / f"{name}.png", numbers([0, 1]))
    assert read_root(tmp_path).intensity_rule is None
