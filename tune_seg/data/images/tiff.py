"""TIFF files read by tifffile: the pages, channels and depths that Pillow does not read, or not exactly.

What tifffile raises for a damaged file goes through; :mod:`tune_seg.data.images.pictures` says which file it was.
"""

from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tune_seg.data.images.class_numbers import Raw, class_numbers
from tune_seg.errors import InputError

SUFFIXES = (".tif", ".tiff")

_ORIENTATION = 274
_GDAL_NODATA = 42113
_COPY_OR_MASK = 0b101  # of NewSubfileType: a reduced copy, or the transparency, of another page
_MINISWHITE, _MINISBLACK, _RGB, _PALETTE = 0, 1, 2, 3  # of PhotometricInterpretation
_PREMULTIPLIED = 1  # of ExtraSamples
_ALPHA = 2
_LOSSY = (6, 7)  # of Compression: JPEG

MAX_TINT = 32
"""How far compression with loss moves the channels of what was grey apart, at most."""


class Stored(NamedTuple):
    """The pixels of a file.

    Args:
        pixels: (H, W, C), uint8 or uint16; of a TIFF also other numbers.
        alpha: whether the last channel is transparency.
        orientation: the EXIF orientation; 1 is upright.
        nodata: the value of pixels that were not measured, where the file has a tag of it (GDAL's).
    """

    pixels: npt.NDArray[Any]
    alpha: bool
    orientation: object = 1
    nodata: float | None = None


def is_tiff(path: Path) -> bool:
    """Whether the file is a TIFF by its name."""
    return path.suffix.lower() in SUFFIXES


def pages(path: Path) -> tuple[int, ...]:
    """The numbers of the pages that are separate images: neither a reduced copy nor the transparency of another page."""
    with _opened(path) as file:
        return tuple(n for n, page in enumerate(file.pages) if not page.subfiletype & _COPY_OR_MASK)


def bits(path: Path, page: int) -> int:
    """Bits a channel of an image: at least 16 of what is not whole and unsigned."""
    with _opened(path) as file:
        bits, dtype = int(file.pages[page].bitspersample), file.pages[page].dtype
    return bits if dtype is None or dtype.kind in "bu" else max(bits, 16)


def may_lack_values(path: Path, page: int) -> bool:
    """Whether pixels of a page may be unmeasured: its numbers are not whole and unsigned, or it has a tag of nodata."""
    with _opened(path) as file:
        found, dtype = file.pages[page], file.pages[page].dtype
        return dtype is None or dtype.kind not in "bu" or _GDAL_NODATA in found.tags


def shape(path: Path, page: int) -> tuple[int, int]:
    """(H, W) of a page."""
    with _opened(path) as file:
        return int(file.pages[page].imagelength), int(file.pages[page].imagewidth)


def read_page(path: Path, page: int) -> Stored | None:
    """The samples of a page as they are stored; None where it takes Pillow to make colours of them.

    Raises:
        InputError: complex numbers, or deep colours that are neither grey nor RGB.
    """
    with _opened(path) as file:
        return _samples(path, _page(path, file, page))


def read_pages(path: Path) -> Stored | None:
    """The samples of all pages, one after the other along the channels; None as :func:`read_page`.

    Raises:
        InputError: as :func:`read_page`, or pages of different sizes or depths.
    """
    numbers = pages(path)
    with _opened(path) as file:
        found = [_samples(path, _page(path, file, number)) for number in numbers]
    channels = [stored for stored in found if stored is not None]
    if len(channels) < len(found):
        return None
    kinds = {(stored.pixels.shape[:2], stored.pixels.dtype.name) for stored in channels}
    if len(kinds) > 1:
        raise InputError(f"{path}: its pages differ in size or depth, so they cannot be the channels of one image")
    pixels = np.concatenate([stored.pixels for stored in channels], axis=2)
    return Stored(pixels, False, channels[0].orientation, channels[0].nodata)


class LabelPage(NamedTuple):
    """A page of a mask.

    Args:
        values: uint8 or uint16 (H, W); of a palette the indices, not the colours. int32 if some are negative; nan is -1.
        palette: uint8 (256, 3); None where there is none.
        lossy: whether it was compressed with loss, which changes class numbers.
    """

    values: Raw
    palette: npt.NDArray[np.uint8] | None
    lossy: bool


def read_labels(path: Path, page: int) -> LabelPage:
    """A page as class numbers. Three equal channels are one, and transparency that hides nothing is left out.

    Raises:
        InputError: it holds colours, or its numbers are not whole, above 65535, or negative in 8 bits.
    """
    with _opened(path) as file:
        found = _page(path, file, page)
        lossy = found.compression in _LOSSY
        values = found.asarray(maxworkers=1)
        if found.axes == "SYX":
            values = np.moveaxis(values, 0, 2)
        if found.axes in ("YXS", "SYX") and found.photometric in (_MINISBLACK, _RGB) and values.dtype.kind in "bu":
            values = one_channel(values, alpha=bool(found.extrasamples), tolerance=MAX_TINT if lossy else 0)
        elif found.axes == "YX" and found.photometric == _MINISWHITE and found.bitspersample == 1:
            # a viewer shows 1 as black; who stores an array of True and False means it as it is
            values = values if found.software.startswith("tifffile") else ~values.astype(np.bool_)
        elif found.axes != "YX" or found.photometric not in (_MINISBLACK, _PALETTE):
            values = None
        palette = None if found.photometric != _PALETTE else (np.asarray(found.colormap).T >> 8).astype(np.uint8)
    if values is None:
        raise InputError(
            f"{path}: not a mask of one channel with a class number in each pixel (grey, black as 0, or palette); "
            "convert its colours to class numbers, or declare them with data.options.colours"
        )
    return LabelPage(class_numbers(values, path), palette, lossy)


def one_channel(pixels: npt.NDArray[Any], *, alpha: bool, tolerance: int = 0) -> npt.NDArray[Any] | None:
    """The one channel that equal ones are, (H, W); None where they differ, or where transparency hides something.

    Args:
        pixels: unsigned (H, W, C).
        alpha: whether the last channel is transparency.
        tolerance: how far the channels may differ.
    """
    if alpha and (pixels[..., -1] != np.iinfo(pixels.dtype).max).any():
        return None
    colours = pixels[..., :-1] if alpha else pixels
    grey = np.ascontiguousarray(colours[..., colours.shape[2] // 2])
    for channel in range(colours.shape[2]):
        other = colours[..., channel]
        if tolerance == 0:
            equal = np.array_equal(other, grey)
        else:
            equal = bool((np.maximum(other, grey) - np.minimum(other, grey) <= tolerance).all())
        if not equal:
            return None
    return grey


def _opened(path: Path) -> Any:
    from tifffile import TiffFile

    return TiffFile(path)


def _page(path: Path, file: Any, number: int) -> Any:
    page = file.pages[number]
    if len(file.pages) == 1 and (file.is_imagej or file.is_shaped) and prod(file.series[0].shape) != prod(page.shape):
        raise InputError(
            f"{path}: a stack of {file.series[0].shape} under the header of one page, as ImageJ writes what is large; store "
            "it with a header for each page"
        )
    return page


def _samples(path: Path, page: Any) -> Stored | None:
    if page.dtype is None or page.dtype.kind not in "buif":
        raise InputError(
            f"{path}: {page.bitspersample} bits a channel ({page.dtype}); convert it to whole or floating-point numbers"
        )
    extra = tuple(int(sample) for sample in page.extrasamples)
    if page.bitspersample < 8 or page.photometric not in (_MINISBLACK, _RGB) or _PREMULTIPLIED in extra:
        if page.bitspersample > 8:  # of which Pillow would keep 8
            raise InputError(
                f"{path}: {page.bitspersample} bits a channel, but neither grey nor RGB; convert it to one of them"
            )
        return None
    pixels = page.asarray(maxworkers=1)
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, 2)
    elif page.axes == "YX":
        pixels = pixels[..., None]
    elif page.axes != "YXS":
        raise InputError(f"{path}: a page of more than rows, columns and channels ({page.axes}); store one image a page")
    tag = page.tags.get(_ORIENTATION)
    upright = 1 if tag is None else tag.value
    return Stored(np.ascontiguousarray(pixels), extra[-1:] == (_ALPHA,), upright, _nodata(page))


def _nodata(page: Any) -> float | None:
    tag = page.tags.get(_GDAL_NODATA)
    try:
        return None if tag is None else float(str(tag.value).strip("\0 "))
    except ValueError:  # GDAL itself writes numbers only
        return None
