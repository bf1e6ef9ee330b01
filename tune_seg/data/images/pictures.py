"""Image and mask files as arrays, without loss, or an error that says what to do."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow
from PIL import UnidentifiedImageError

from tune_seg.data.dataset import Image, ImageType
from tune_seg.data.images import tiff
from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.images.plain_png import plain_png
from tune_seg.data.images.tiff import MAX_TINT, Stored, one_channel
from tune_seg.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_ORIENTATION = 0x0112
_TURNED = range(2, 9)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_BIT_DEPTH = 24  # the byte of the file, in the header chunk, which comes first
_WITH_ALPHA = ("LA", "RGBA")
_JPEG = ("JPEG", "MPO")
_BLACK_AND_WHITE = np.repeat(np.array([0, *[255] * 255], np.uint8)[:, None], 3, axis=1)
_GIT_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Pictures:
    """Reads image files as arrays of one number of channels and one depth.

    Attributes:
        channels: 3 also takes grey images and palettes; 1 also takes colour images whose channels are equal; both drop
            transparency. Any other number is that of the files.
        dtype: that of the files.
        pages_as_channels: whether the pages of a TIFF are its channels.
    """

    channels: int = 3
    dtype: ImageType = "uint8"
    pages_as_channels: bool = False

    def read(self, path: Path, part: int | None = None) -> Image:
        """An image file, or the page `part` of it, as (H, W, channels).

        Raises:
            InputError: it cannot be decoded, it is stored turned or mirrored, or it has another depth or other channels.
        """
        pixels = self.values(path, part).pixels
        if pixels.dtype != self.dtype:
            raise InputError(f"{path}: an image of {pixels.dtype} values; convert it to whole numbers of 8 or 16 bits")
        return pixels

    def values(self, path: Path, part: int | None = None) -> Stored:
        """As :meth:`read`, but with the numbers that are in the file, of whatever type where the data set has 16 bits.

        Raises:
            InputError: as :meth:`read`.
        """
        stored = self._stored(path, part or 0)
        here, there = (8 if deep == "uint8" else 16 for deep in (_depth_of(stored.pixels), self.dtype))
        if here != there:
            raise InputError(
                f"{path}: an image of {here} bits a channel, where the data set has {there}; convert it to {there} bits"
            )
        return stored._replace(pixels=self._fit(path, stored))

    def _stored(self, path: Path, page: int) -> Stored:
        stored = None
        if tiff.is_tiff(path):
            with _reading(path):
                stored = tiff.read_pages(path) if self.pages_as_channels else tiff.read_page(path, page)
        if stored is None:
            pixels = plain_png(path)
            return _by_pillow(path, _decode(path, page)) if pixels is None else Stored(pixels, False)
        _reject_turned(path, stored.orientation)
        return stored

    def _fit(self, path: Path, stored: Stored) -> npt.NDArray[Any]:
        pixels = stored.pixels
        colours = pixels[..., :-1] if stored.alpha else pixels
        if pixels.shape[2] == self.channels:
            return pixels
        if colours.shape[2] == self.channels:
            return np.ascontiguousarray(colours)
        if self.channels == 3 and colours.shape[2] == 1:
            return np.repeat(colours, 3, axis=2)
        if self.channels == 1 and colours.shape[2] == 3 and (colours == colours[..., :1]).all():
            return np.ascontiguousarray(colours[..., :1])
        count = pixels.shape[2]
        raise InputError(
            f"{path}: {count} channel{'s' * (count > 1)}{', the last is transparency' * stored.alpha}, where "
            f"{self.channels} are asked for; say how many all images have with data.options.channels"
        )


RGB = Pictures()


class MaskFiles(Protocol):
    """Reads the masks of a data set."""

    def read(self, path: Path, part: int | None = None) -> Raw:
        """The raw values of a mask file, or of the page `part` of it, uint8 or uint16 (H, W), or int32 if some are negative.

        Raises:
            InputError: it cannot be decoded, or it is not of this kind.
        """


@dataclass(frozen=True)
class ClassNumbers:
    """Masks with a class number in each pixel: PNG or TIFF, grey or palette."""

    def read(self, path: Path, part: int | None = None) -> Raw:
        """As :func:`read_mask`."""
        return read_mask(path, part)


CLASS_NUMBERS = ClassNumbers()


class MaskPixels(NamedTuple):
    """A mask as it is stored.

    Args:
        values: uint8 or uint16 (H, W), or int32 if some are negative; of a palette image the indices, not the colours.
        palette: uint8 (256, 3), the colours of the indices; None where there is no palette.
        lossy: whether it was compressed with loss, which changes class numbers.
    """

    values: Raw
    palette: npt.NDArray[np.uint8] | None = None
    lossy: bool = False


class LossyMask(InputError):
    """A mask was compressed with loss, which changes class numbers."""


def read_mask(path: Path, part: int | None = None) -> Raw:
    """A mask, or the page `part` of a TIFF one, as its raw values: of a palette image the indices, not the colours.

    Raises:
        InputError: it cannot be decoded, or it holds colours or an object in its transparency.
        LossyMask: it was compressed with loss.
    """
    mask = mask_pixels(path, part)
    if mask.lossy:
        raise LossyMask(
            f"{path}: a mask compressed as JPEG, which changes class numbers; store it without loss (PNG), or say where to "
            "cut its grey values with data.options.threshold (data.format: folder)"
        )
    return mask.values


def mask_pixels(path: Path, part: int | None = None) -> MaskPixels:
    """A mask, or the page `part` of a TIFF one, also one that was compressed with loss.

    Raises:
        InputError: it cannot be decoded, or it holds colours or an object in its transparency.
    """
    if tiff.is_tiff(path):
        with _reading(path):
            return MaskPixels(*tiff.read_labels(path, part or 0))
    pixels = plain_png(path)
    if pixels is not None:
        return MaskPixels(_grey(path, Stored(pixels, False), "RGB", 0))
    image = _decode(path)
    lossy = image.format in _JPEG or (image.format == "WEBP" and not _is_lossless_webp(path))
    pictures: int = getattr(image, "n_frames", 1)
    if pictures > 1:
        raise InputError(f"{path}: {pictures} pictures in one file; a mask is one, so store each in a file")
    if image.mode == "1":
        return MaskPixels(np.asarray(image, np.uint8), _BLACK_AND_WHITE, lossy)
    if image.mode == "P":
        values, palette = np.asarray(image), _palette(image)
        if image.format == "GIF" and _are_greys(palette[np.unique(values)]):  # which GIF stores as a palette, in any order
            return MaskPixels(palette[:, 0][values], None, lossy)
        return MaskPixels(values, palette, lossy)
    if image.mode == "L":
        grey = np.asarray(image)
        largest = 2 ** _png_bits(path) - 1  # what Pillow stretches to 255
        return MaskPixels(grey if largest == 255 else grey // np.uint8(255 // largest), None, lossy)
    if image.mode.startswith("I"):
        return MaskPixels(np.asarray(image).astype(np.uint16), None, lossy)
    return MaskPixels(_grey(path, _by_pillow(path, image), image.mode, MAX_TINT if lossy else 0), None, lossy)


def _grey(path: Path, stored: Stored, mode: str, tolerance: int) -> Raw:
    if stored.alpha and (stored.pixels[..., -1] != np.iinfo(stored.pixels.dtype).max).any():
        raise InputError(
            f"{path}: a mask with transparency (mode {mode}), so it is not clear what is the object. If the "
            "transparency is, make it the mask (for instance with ImageMagick: mogrify -alpha extract); else take it away "
            "(mogrify -alpha off)"
        )
    grey = one_channel(stored.pixels, alpha=stored.alpha, tolerance=tolerance)
    if grey is None:
        raise InputError(
            f"{path}: a mask in colour (mode {mode}); a mask has one channel with a class number in each pixel "
            "(grey or palette): convert the colours to class numbers, or declare them with data.options.colours "
            "(data.format: folder)"
        )
    return grey


def _are_greys(colours: npt.NDArray[np.uint8]) -> bool:
    return bool((colours == colours[:, :1]).all())


def _palette(image: pillow.Image) -> npt.NDArray[np.uint8]:
    colours = np.zeros((256, 3), np.uint8)
    flat = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:256]
    colours[: len(flat)] = flat
    return colours


def page_numbers(path: Path) -> tuple[int, ...]:
    """The numbers of a file's pages that are separate images; only 0 for anything but a TIFF.

    Raises:
        InputError: it cannot be read.
    """
    if not tiff.is_tiff(path):
        return (0,)
    with _reading(path):
        return tiff.pages(path)


def depth(path: Path, part: int | None = None) -> ImageType:
    """The depth of an image file, by its header alone.

    Raises:
        InputError: it cannot be read.
    """
    with _reading(path):
        bits = tiff.bits(path, part or 0) if tiff.is_tiff(path) else _png_bits(path)
    return "uint16" if bits > 8 else "uint8"


def may_lack_values(path: Path, part: int | None = None) -> bool:
    """Whether pixels of an image file may be unmeasured, by its header alone.

    Raises:
        InputError: it cannot be read.
    """
    with _reading(path):
        return tiff.is_tiff(path) and tiff.may_lack_values(path, part or 0)


def shape_of(path: Path, part: int | None = None) -> tuple[int, int] | None:
    """(H, W) of an image file, or of its page `part`, by its header alone; None where that cannot be read."""
    try:
        with _reading(path):
            if tiff.is_tiff(path):
                return tiff.shape(path, part or 0)
            with pillow.open(path) as image:
                return image.height, image.width
    except InputError:
        return None


def _depth_of(pixels: npt.NDArray[Any]) -> ImageType:
    return "uint8" if pixels.dtype in (np.uint8, np.bool_) else "uint16"


def _by_pillow(path: Path, image: pillow.Image) -> Stored:
    deep_png = _png_bits(path) == 16
    if image.mode.startswith("I;") or (image.mode == "I" and deep_png):
        return Stored(np.asarray(image).astype(np.uint16)[..., None], False)
    if image.mode in ("I", "F"):
        raise InputError(f"{path}: an image of more than 16 bits a channel (mode {image.mode}); convert it to 8 or 16 bits")
    if deep_png:
        from imagecodecs import png_decode

        with _reading(path):
            deep = png_decode(path.read_bytes())  # of which Pillow would keep 8 bits
        return Stored(deep, deep.shape[2] in (2, 4))
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return Stored(pixels if pixels.ndim == 3 else pixels[..., None], image.mode in _WITH_ALPHA)


def _decode(path: Path, page: int = 0) -> pillow.Image:
    with _reading(path):
        image: pillow.Image = pillow.open(path)
        if page:
            image.seek(page)
        image.load()
    _reject_turned(path, _orientation(image))
    return image


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    reject_no_file(path)
    try:
        yield
    except (MemoryError, InputError):
        raise
    except pillow.DecompressionBombError as error:
        raise InputError(
            f"{path}: more than {2 * (pillow.MAX_IMAGE_PIXELS or 0):,} pixels: damaged, or too large to decode whole; "
            "cut it into tiles"
        ) from error
    except Exception as error:  # decoders raise whatever they met in the damaged bytes, not only OSError
        if _begins(path, _GIT_LFS):
            raise InputError(
                f"{path}: a pointer of git-LFS in place of the image; fetch the images themselves with git lfs pull"
            ) from error
        raise InputError(
            f"{path}: cannot be read as an image ({_reason(path, error)}); is it damaged or truncated?"
        ) from error


def _reason(path: Path, error: Exception) -> str:
    try:
        if path.stat().st_size == 0:
            return "the file is empty"
    except OSError:  # it is not there, which the decoder says
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "it does not begin like an image of any format that is read"
    if isinstance(error, (struct.error, LookupError, TypeError, AttributeError)):  # of what reads a TIFF
        return "what it says of its content does not fit it"
    return str(error) or type(error).__name__


def reject_no_file(path: Path) -> None:
    """Raises an InputError for a folder and for a pipe, whose opening waits for whoever writes to it."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not a file but a {'folder' if path.is_dir() else 'pipe, socket or device'}; take it away")


def _begins(path: Path, start: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def _is_lossless_webp(path: Path) -> bool:
    """Whether the first picture of a WebP is coded without loss (a chunk VP8L)."""
    with path.open("rb") as file:
        head = file.read(12)
        while len(chunk := file.read(8)) == 8:
            if chunk[:4] in (b"VP8L", b"VP8 "):
                return chunk[:4] == b"VP8L"
            length = int.from_bytes(chunk[4:], "little")
            file.seek(length + length % 2, 1)
    return not head


def _reject_turned(path: Path, orientation: object) -> None:
    if orientation in _TURNED:
        # a mask drawn on what a viewer shows would not lie on the pixels as they are stored
        raise InputError(
            f"{path}: stored turned or mirrored, with an EXIF orientation that viewers undo; store it upright "
            "(for instance with ImageMagick: mogrify -auto-orient)"
        )


def _orientation(image: pillow.Image) -> object:
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # a damaged EXIF block, which viewers pass over too
        return None


def _png_bits(path: Path) -> int:
    """Bits a channel of a PNG; of any other file, 8."""
    with path.open("rb") as file:
        head = file.read(_PNG_BIT_DEPTH + 1)
    return head[_PNG_BIT_DEPTH] if head.startswith(_PNG_SIGNATURE) else 8
