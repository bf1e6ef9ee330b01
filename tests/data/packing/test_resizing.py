"""Images of another shape than the pack: stretched, fitted or cut, in one way for image and mask."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.image_files import numbers, photo, write_image
from tune_seg.config import DataConfig, Resize, parse
from tune_seg.data import PackedData, pack, read
from tune_seg.data.packing.resizing import SAME_SHAPE, _better, _used, resized
from tune_seg.data.packing.write import packed_origin

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def folder(root: Path, *shapes: tuple[int, int]) -> Path:
    for number, shape in enumerate(shapes):
        write_image(root / "images" / f"{number}.png", photo(*shape))
        write_image(root / "masks" / f"{number}.png", numbers([0, 1], *shape))
    return root


def packed(root: Path, packs: Path, size: tuple[int, int], **values: object) -> tuple[PackedData, str]:
    """The pack of a folder, and what was said of it."""
    dataset = read(parse(DataConfig, {"root": root, "size": size, **values}))
    data = PackedData(pack(dataset, packs, size))
    origin = packed_origin(dataset, packs, size)
    assert origin is not None
    return data, "\n".join(origin.notes)


def test_a_circle_stays_a_circle_by_default(tmp_path: Path) -> None:
    rows, columns = np.ogrid[:60, :120]
    circle = ((rows - 30) ** 2 + (columns - 60) ** 2 < 20**2).astype(np.uint8)
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.png", np.repeat(circle[..., None] * np.uint8(200), 3, axis=2))
        write_image(tmp_path / "masks" / f"{name}.png", circle)
    data, said = packed(tmp_path, tmp_path / "packs", (64, 64))
    found = np.argwhere(data.mask(0) == 1)
    height, width = np.ptp(found, axis=0) + 1
    assert abs(height - width) <= 1
    assert (data.mask(0) == 255).sum() == 64 * 32  # the image has half of the area
    assert "2 of 2 images have another shape than data.size [64, 64], such as 120 x 60 pixels" in said
    assert "50% of the area is left empty and ignored" in said
    assert "--set 'data.size=[32,64]' uses more" in said
    assert "--set data.resize=stretch" in said


@pytest.mark.parametrize("resize", ["fit", "crop"])
def test_images_of_the_packs_shape_are_as_they_were_when_stretched(tmp_path: Path, resize: str) -> None:
    root = folder(tmp_path / "data", (20, 40), (30, 60))
    data, said = packed(root, tmp_path / "packs", (10, 20), resize=resize)
    stretched, _ = packed(root, tmp_path / "packs", (10, 20), resize="stretch")
    assert said == ""
    assert data.content_id == stretched.content_id


def test_a_shape_that_differs_by_a_little_is_stretched(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", (100, 102), (102, 100), (100, 110))
    data, said = packed(root, tmp_path / "packs", (50, 50), split={"val_fraction": 0.34})
    ignored = sorted(int((data.mask(number) == 255).sum()) for number in range(3))
    assert ignored == [0, 0, 250]
    assert "1 of 3 images have another shape" in said


def test_a_study_of_before_the_key_goes_on_as_it_was(tmp_path: Path) -> None:
    assert parse(DataConfig, {"root": tmp_path, "content": "0f"}).resize == "stretch"
    assert parse(DataConfig, {"root": tmp_path}).resize == "fit"
    # generated images have the size that is asked for: a default study of before must not seem to be another one
    assert parse(DataConfig, {"content": "0f"}).resize == DataConfig().resize
    again = DataConfig.model_validate(DataConfig(root=tmp_path).model_dump(mode="json") | {"content": "0f"})
    assert again.resize == "fit"


@settings(max_examples=200, deadline=None)
@given(shape=SIZES, size=SIZES, how=st.sampled_from(["stretch", "fit", "crop"]))
def test_image_and_mask_are_moved_alike(shape: tuple[int, int], size: tuple[int, int], how: Resize) -> None:
    # the mask's number grows with the row, and so does the image's grey: they must still agree where they are counted
    ramp = np.broadcast_to(np.linspace(0, 250, shape[0], dtype=np.uint8)[:, None], shape)
    image, mask = resized(np.ascontiguousarray(ramp)[..., None], np.ascontiguousarray(ramp), size, how)
    assert image.shape == (*size, 1) and mask.shape == size
    assert image.flags.c_contiguous and mask.flags.c_contiguous
    counted = mask != 255
    assert counted.any()
    # bilinear and nearest differ by at most a step of the source, or what one row of the result covers
    step = 250 / max(shape[0] - 1, 1) * max(1.0, shape[0] / np.flatnonzero(counted.any(1)).size)
    assert np.abs(image[..., 0].astype(int) - mask)[counted].max() <= step + 1
    if how != "fit":
        assert counted.all()
    else:
        height, width = counted.any(1).sum(), counted.any(0).sum()
        assert counted.sum() == height * width  # a rectangle,
        assert height == size[0] or width == size[1]  # as large as goes in,
        assert height + 1 > shape[0] / shape[1] * (width - 1) * (1 - 2 * SAME_SHAPE)  # and of the image's shape
        assert width + 1 > shape[1] / shape[0] * (height - 1) * (1 - 2 * SAME_SHAPE)


def test_what_a_fitted_image_does_not_fill_repeats_its_border(tmp_path: Path) -> None:
    image, mask = resized(photo(4, 8), np.zeros((4, 8), np.uint8), (8, 8), "fit")
    assert (mask[:2] == 255).all() and (mask[6:] == 255).all() and (mask[2:6] == 0).all()
    for row in (0, 1):
        np.testing.assert_array_equal(image[row], image[2])
        np.testing.assert_array_equal(image[7 - row], image[5])


def test_a_crop_is_the_middle(tmp_path: Path) -> None:
    picture, mask = photo(10, 30), numbers([0, 1], 10, 30)
    image, cut = resized(picture, mask, (10, 10), "crop")
    np.testing.assert_array_equal(image, picture[:, 10:20])
    np.testing.assert_array_equal(cut, mask[:, 10:20])
    image, _ = resized(picture, mask, (20, 20), "crop")
    reference = np.asarray(Image.fromarray(picture[:, 10:20]).resize((20, 20), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(image, reference)


@pytest.mark.parametrize(
    ("shape", "size", "better"),
    [((90, 120), (64, 64), (64, 96)), ((512, 1024), (224, 224), (160, 320)), ((30, 40), (32, 32), (32, 32))],
)
def test_another_size_is_named_only_where_it_leaves_less_empty(
    shape: tuple[int, int], size: tuple[int, int], better: tuple[int, int]
) -> None:
    assert _better([shape], size) == better
    assert _used([shape], better) >= _used([shape], size)
