"""From the numbers in deep images (12 bits in 16, reflectance, temperatures, floats) to the levels that models see."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tune_seg.config import Number
from tune_seg.data.cores import available_cores
from tune_seg.data.dataset import Image, Sample
from tune_seg.data.images.pictures import Pictures, may_lack_values
from tune_seg.data.images.tiff import is_tiff
from tune_seg.data.options import Options
from tune_seg.errors import InputError

Unmeasured = npt.NDArray[np.bool_]
"""(H, W): the pixels that hold no measured value."""

PERCENTILES: Final = (0.1, 99.9)
"""What becomes black and white, of the training images' pixels. Wide, because the rare class may be the brightest."""

_MAX_IMAGES: Final = 500
_MAX_PIXELS: Final = 2**22
"""Images and pixels that the range is taken from, at most, spread evenly; so it takes the same memory for any set."""
_FULL: Final = 2**15
"""16-bit images whose range is at least this stay as they are: half of what there is."""
_SENTINELS: Final = (-9999.0, -99999.0, -32768.0)
"""Values that mean "nothing measured" by wide custom, in rasters of floats or signed numbers."""
_BEYOND: Final = 1e38  # the lowest float32 is such a custom too


class _Seen(NamedTuple):
    """Some pixels of an image: measured ones (n, C), the share of those that are not, and the type of its numbers."""

    pixels: npt.NDArray[Any]
    unmeasured: float
    dtype: np.dtype[Any]


class IntensityOptions(Options):
    """The keys of `data.options` that say how the numbers in images become levels."""

    range: tuple[Annotated[Number, Field(description="black")], Annotated[Number, Field(description="white")]] | None = None
    """The numbers in the images that become black and white, such as [0, 4095] for 12 bits or [0, 0.5] for reflectance.
    null: of images of more than 8 bits, the 0.1th and the 99.9th percentile of the training images, a channel at a time; 16
    bits of which half or more is used stay as they are."""

    nodata: Number | None = None
    """The number of pixels in which nothing was measured, which are ignored. null: what a GeoTIFF says; -9999, -99999 and
    -32768 in signed and floating-point numbers. Pixels that are nan always are."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"data.options.range: black must lie below white, got {list(self.range)}")
        return self


def intensities_of(samples: Sequence[Sample], pictures: Pictures, options: IntensityOptions) -> "Intensities | None":
    """How numbers become levels; None where the files have levels of 8 bits and no way to say that nothing was measured."""
    asked = options.range is not None or options.nodata is not None
    if pictures.dtype == "uint8" and not asked and not any(sample.image and is_tiff(sample.image) for sample in samples):
        return None
    return Intensities(pictures, training_images(samples), options.range, options.nodata)


def training_images(samples: Iterable[Sample]) -> list[tuple[Path, int | None]]:
    """The images that train, each with its page: of a fold that validates, they train in the others."""
    trains = (sample for sample in samples if sample.fold is not None or sample.split == "train")
    return [(sample.image, sample.part) for sample in trains if sample.image is not None]


class Intensities:
    """Reads images of any numbers as levels: low is 0, high is 255 or 65535, in between to the nearest level.

    Low and high are those that are given; else, of images of more than 8 bits, two percentiles of the training images, a
    channel at a time. Unsigned numbers that use at least half of their 16 bits stay as they are.

    A pixel is unmeasured where a channel is nan or infinite, or where it is nodata: in any channel, and in all channels of
    unsigned numbers, because 0 and 255 are also ordinary values of one. Nodata is what is given, or what the file says, or,
    in floats and signed numbers, what it is by custom (-9999, -99999, -32768). Unmeasured pixels become 0, the low end.

    Args:
        pictures: reads the files.
        training: the training images, each with its page.
        given: low and high; None: found.
        nodata: the value of unmeasured pixels; None: that of the file.
    """

    def __init__(
        self,
        pictures: Pictures,
        training: Sequence[tuple[Path, int | None]],
        given: tuple[float, float] | None = None,
        nodata: float | None = None,
    ) -> None:
        self.training, self.given, self.nodata = tuple(training), given, nodata
        self._pictures = pictures
        self._lock = Lock()
        self._found: _Levels | None = None

    @classmethod
    def by_rule(cls, pictures: Pictures, rule: Mapping[str, Any]) -> Self:
        """What makes of other images what was made of those whose :attr:`rule` is given; no image is looked at."""
        found = cls(pictures, (), nodata=rule["nodata"])
        low, high = (None if rule[end] is None else np.array(rule[end], np.float64) for end in ("low", "high"))
        found._found = _Levels(low, high, ())
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found, once it was."""
        return () if self._found is None else self._found.notes

    @property
    def rule(self) -> dict[str, Any]:
        """Low and high of each channel, or one for all, null where numbers are levels as they are; and nodata, if given."""
        levels = self.find()
        ends = {"low": levels.low, "high": levels.high}
        return {**{name: None if end is None else end.tolist() for name, end in ends.items()}, "nodata": self.nodata}

    def find(self) -> "_Levels":
        """The levels, from the training images the first time."""
        with self._lock:
            if self._found is None:
                self._found = self._find()
            return self._found

    def of_other(self, training: Sequence[tuple[Path, int | None]]) -> "Intensities":
        """The same for other training images."""
        return Intensities(self._pictures, training, self.given, self.nodata)

    def read(self, path: Path, part: int | None = None) -> tuple[Image, Unmeasured | None]:
        """The levels of an image file, or of the page `part` of it, (H, W, C), and which pixels are unmeasured, if any.

        Raises:
            InputError: as :meth:`~tune_seg.data.images.pictures.Pictures.values`.
        """
        levels = self.find()
        pixels, _, _, nodata = self._pictures.values(path, part)
        unmeasured = _unmeasured(pixels, nodata if self.nodata is None else self.nodata)
        image = levels.of(pixels, self._pictures.dtype)
        if unmeasured is None:
            return image, None
        image = np.where(unmeasured[..., None], image.dtype.type(0), image)
        return image, unmeasured

    def _find(self) -> "_Levels":
        known = self.given is not None or self._pictures.dtype == "uint8"
        count = min(len(self.training), _MAX_IMAGES)
        chosen = [self.training[n * len(self.training) // count] for n in range(count)]
        each = max(_MAX_PIXELS // max(len(chosen), 1), 256)

        def look(image: tuple[Path, int | None]) -> _Seen | None:
            try:
                if known and self.nodata is None and not may_lack_values(*image):
                    return _Seen(np.empty((0, 1)), 0.0, np.dtype(self._pictures.dtype))
                return self._look(*image, each)
            except InputError:  # loading it says what is wrong with it
                return None

        with ThreadPoolExecutor(available_cores()) as pool:
            seen = [answer for answer in pool.map(look, chosen) if answer is not None]
        if not known:
            return _levels(seen)
        low, high = (None, None) if self.given is None else (np.array([end], np.float64) for end in self.given)
        return _Levels(low, high, _unmeasured_note(seen))

    def _look(self, path: Path, part: int | None, most: int) -> _Seen:
        pixels, _, _, nodata = self._pictures.values(path, part)
        unmeasured = _unmeasured(pixels, nodata if self.nodata is None else self.nodata)
        flat = pixels.reshape(-1, pixels.shape[2])
        share = 0.0
        if unmeasured is not None:
            share, flat = float(unmeasured.mean()), flat[~unmeasured.ravel()]
        if len(flat) > most:  # at random: even steps would meet the same columns again and again
            flat = flat[np.random.default_rng(0).integers(0, len(flat), most)]
        return _Seen(flat, share, pixels.dtype)


class _Levels(NamedTuple):
    """Low and high, float64 (C,) or (1,); None: the numbers are levels as they are. And what to say of it."""

    low: npt.NDArray[np.float64] | None
    high: npt.NDArray[np.float64] | None
    notes: tuple[str, ...]

    def of(self, pixels: npt.NDArray[Any], dtype: str) -> Image:
        top = np.iinfo(dtype).max
        if self.low is None or self.high is None:
            return np.clip(pixels, 0, top).astype(dtype, copy=False)
        image: Image = np.empty(pixels.shape, dtype)
        for row, values in enumerate(pixels):  # row by row, so that a large image needs no copy in floats
            scaled = (values.astype(np.float64) - self.low) / (self.high - self.low)
            image[row] = np.rint(np.nan_to_num(np.clip(scaled, 0.0, 1.0)) * top)
        return image


def _levels(seen: Sequence[_Seen]) -> _Levels:
    """Those that the training images give."""
    said = _unmeasured_note(seen)
    pixels = np.concatenate([image.pixels for image in seen]) if seen else np.empty((0, 1))
    if not len(pixels):
        return _Levels(None, None, said)
    low, high = np.percentile(pixels.astype(np.float64), PERCENTILES, axis=0)
    if all(image.dtype == np.uint16 for image in seen) and (high - low).max() >= _FULL:
        return _Levels(None, None, said)
    high = np.where(high > low, high, low + 1.0)
    return _Levels(low, high, (*said, _range_note(sorted({str(image.dtype) for image in seen}), low, high)))


def _unmeasured_note(seen: Sequence[_Seen]) -> tuple[str, ...]:
    share = float(np.mean([image.unmeasured for image in seen])) if seen else 0.0
    if not share:
        return ()
    return (
        f"{share:.1%} of the pixels of the training images are nodata or nan: they are "
        "ignored and shown as black (data.options.nodata names another value)",
    )


def _range_note(kinds: Sequence[str], low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> str:
    ranges = [f"{first:.6g} to {last:.6g}" for first, last in zip(low.tolist(), high.tolist(), strict=True)]
    distinct = list(dict.fromkeys(ranges))
    shown = ", ".join(distinct[:4]) + ", ..." * (len(distinct) > 4)
    each = " in each channel" if len(distinct) > 1 else ""
    return (
        f"Images hold {' and '.join(kinds)} numbers: {shown}{each} ({PERCENTILES[0]}th to {PERCENTILES[1]}th percentile of "
        f"the training images) become black to white; --set 'data.options.range=[{low.min():.6g},{high.max():.6g}]' sets a "
        "range"
    )


def _unmeasured(pixels: npt.NDArray[Any], nodata: float | None) -> Unmeasured | None:
    """Which pixels (H, W) hold no measured value; None: all do."""
    unsigned = pixels.dtype.kind in "bu"
    missing = np.zeros(pixels.shape, np.bool_)
    if pixels.dtype.kind == "f":
        missing |= ~(np.abs(pixels) < _BEYOND)  # also nan
    values = [nodata] if nodata is not None else [] if unsigned else list(_SENTINELS)
    with np.errstate(over="ignore"):  # of float16
        for value in values:
            missing |= pixels == (pixels.dtype.type(value) if pixels.dtype.kind == "f" else value)
    found: Unmeasured = np.all(missing, axis=2) if unsigned else np.any(missing, axis=2)
    return found if found.any() else None
