"""The quick way to read a PNG gives what Pillow gives, or leaves the file to it."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tune_seg.data.images.plain_png import plain_png


def drawn(mode: str, height: int = 9, width: int = 13) -> Image.Image:
    rng = np.random.default_rng(height * 100 + width)
    values = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def by_pillow(content: bytes) -> npt.NDArray[np.uint8] | None:
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return np.asarray(image)
    except Exception:
        return None


@pytest.mark.parametrize("mode", ["L", "RGB"])
@given(height=st.integers(1, 20), width=st.integers(1, 20), level=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_pixels_are_those_of_pillow(
    tmp_path_factory: pytest.TempPathFactory, mode: str, height: int, width: int, level: int
) -> None:
    path = tmp_path_factory.mktemp("png") / "a.png"
    image = drawn(mode, height, width)
    image.save(path, compress_level=level)
    found = plain_png(path)
    assert found is not None and found.shape == (height, width, len(image.getbands()))
    assert np.array_equal(found.squeeze(), np.asarray(image).squeeze())


def _with_orientation() -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"exif": exif}


def _with_text() -> dict[str, Any]:
    said = PngImagePlugin.PngInfo()
    said.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    return {"pnginfo": said}


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("P", {}),
        ("1", {}),
        ("LA", {}),
        ("RGBA", {}),
        ("I;16", {}),
        ("L", {"transparency": 3}),
        ("RGB", {"transparency": (1, 2, 3)}),
        ("RGB", _with_orientation()),
        ("RGB", _with_text()),
        ("RGB", {"save_all": True, "append_images": [drawn("RGB", 9, 13)]}),
    ],
)
def test_what_says_more_than_pixels_is_left_to_pillow(tmp_path: Path, mode: str, how: dict[str, Any]) -> None:
    image = drawn("L") if mode == "I;16" else drawn(mode)
    (image.convert("I;16") if mode == "I;16" else image).save(tmp_path / "a.png", **how)
    assert plain_png(tmp_path / "a.png") is None


def test_what_says_nothing_of_the_pixels_is_no_hindrance(tmp_path: Path) -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("Software", "a program")
    said.add(b"niXe", b"tRNS, eXIf, exif and xmp are no chunks here")
    image = drawn("RGB")
    image.save(tmp_path / "a.png", pnginfo=said)
    found = plain_png(tmp_path / "a.png")
    assert found is not None and np.array_equal(found, np.asarray(image))


def test_no_png_and_too_large_a_one_are_left_to_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn("RGB").save(tmp_path / "a.png", "JPEG")
    drawn("RGB").save(tmp_path / "b.png")
    (tmp_path / "c.png").touch()
    assert plain_png(tmp_path / "a.png") is None
    assert plain_png(tmp_path / "b.png") is not None
    assert plain_png(tmp_path / "c.png") is None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert plain_png(tmp_path / "b.png") is None


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_damaged_file_is_read_only_if_pillow_reads_the_same(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    drawn(mode).save(path)
    whole = path.read_bytes()
    cut = [whole[:length] for length in range(len(whole))]
    changed = [whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :] for at in range(len(whole)) for bit in (1, 128)]
    both = 0
    for content in cut + changed:
        path.write_bytes(content)
        found = plain_png(path)
        if found is not None:
            theirs = by_pillow(content)
            assert theirs is not None and np.array_equal(found.squeeze(), theirs)
            both += 1
    assert both  # such as those whose last chunk is damaged
