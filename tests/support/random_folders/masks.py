"""The masks: the values that stand for the classes, and the files that hold the values."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageFilter

from tests.support.random_folders.scenes import IGNORED, Map, chance, pick

Values = npt.NDArray[np.int32]

COLOURS = ((0, 0, 0), (250, 50, 83), (50, 183, 250), (128, 64, 0), (61, 245, 61), (255, 255, 255))
"""Of the classes; the last is that of ignored pixels."""

LOSSLESS = ("png", "rgb", "rgba", "la", "bmp", "gif", "tif", "tif16", "tiffloat", "webp", "palette", "png16")
_OF_TWO = ("png1", "tifbool")
_ODD = ("palette differs", "palette permuted", "jpg", "was jpg", "smoothed", "in alpha", "colours", "mixed", "tifint")
_ENDINGS = {"jpg": "jpg", "bmp": "bmp", "gif": "gif", "webp": "webp"}
THRESHOLD = 128


@dataclass(frozen=True)
class Encoding:
    """How masks are written.

    Attributes:
        how: the values, in a word.
        values: of each class.
        ignored: of pixels of no class.
        container: how the values are stored.
        threshold: whether the reader is told where to cut.
    """

    how: str
    values: tuple[int, ...]
    ignored: int
    container: str
    threshold: bool

    @property
    def are_colours(self) -> bool:
        return self.container == "colours"

    @property
    def are_numbers(self) -> bool:
        """Whether the numbers that the reader sees are those that were written; palettes may have others."""
        return not self.threshold and self.container not in ("png1", "tifbool", "palette permuted")


def draw_encoding(rng: np.random.Generator, classes: int, ignored: str) -> Encoding:
    """The encoding of the masks of a folder."""
    hows = ["numbers", "numbers", "from one", "greys"] + (["0/255", "0/255", "0/1"] if classes == 2 else ["sparse"])
    how = pick(rng, hows)
    values = {
        "numbers": tuple(range(classes)),
        "0/1": tuple(range(classes)),
        "from one": tuple(range(1, classes + 1)),
        "greys": tuple(round(255 * number / (classes - 1)) for number in range(classes)),
        "0/255": (0, 255),
        "sparse": tuple(3 * number for number in range(classes)),
    }[how]
    kinds = [*LOSSLESS, *_ODD, "png", "png", "png"] + (list(_OF_TWO) * 2 if classes == 2 and ignored == "none" else [])
    container = pick(rng, kinds)
    if container in ("was jpg", "smoothed") and max(values) < 255:
        container = "jpg"  # smeared class numbers are class numbers again, which nobody can see
    white = next(value for value in (255, 200, 254, 9) if value not in values)
    threshold = container in ("jpg", "was jpg", "smoothed") and classes == 2 and 255 in values and chance(rng, 0.5)
    return Encoding(how, values, white, container, threshold and ignored == "none")


def write_mask(path: Path, drawn: Map, encoding: Encoding, rng: np.random.Generator) -> tuple[Path, Map]:
    """Write a mask.

    Args:
        path: without the ending.
        drawn: the classes.
        encoding: of the folder.
        rng: draws what differs from mask to mask.

    Returns:
        The path with its ending, and the classes that the file shows, which are others where they were smeared and cut.
    """
    container = pick(rng, ("png", "rgb", "tif", "palette", "bmp")) if encoding.container == "mixed" else encoding.container
    ending = "tif" if container.startswith("tif") else _ENDINGS.get(container, "png")
    file = path.with_name(f"{path.name}.{ending}")
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.array([*encoding.values, encoding.ignored], np.int32)[drawn]  # the last for -1
    grey = values.astype(np.uint8)
    match container:
        case "jpg" | "was jpg" | "smoothed":
            return file, _smeared(file, Image.fromarray(grey), container, drawn, encoding, rng)
        case "colours":
            Image.fromarray(np.array(COLOURS, np.uint8)[drawn]).save(file)
        case "palette" | "palette differs" | "palette permuted":
            _palette(file, grey, container, rng)
        case "rgb" | "webp":
            Image.fromarray(np.dstack([grey] * 3)).save(file, lossless=True)
        case "rgba" | "la":
            opaque = np.full_like(grey, 255)
            Image.fromarray(np.dstack([grey] * (1 if container == "la" else 3) + [opaque])).save(file)
        case "in alpha":
            white, there = np.full_like(grey, 255), np.where(drawn > 0, 255, 0).astype(np.uint8)
            Image.fromarray(np.dstack([white] * 3 + [there])).save(file)
        case "png1":
            Image.fromarray(drawn > 0).save(file)
        case "png16":
            Image.fromarray(values.astype(np.uint16)).save(file)
        case "tifbool":
            tifffile.imwrite(file, drawn > 0)
        case "tif16" | "tiffloat" | "tifint" | "tif":
            types = {"tif16": np.uint16, "tiffloat": np.float32, "tifint": np.int32, "tif": np.uint8}
            stored = np.where(drawn == IGNORED, -1, values) if container == "tifint" else values
            tifffile.imwrite(file, stored.astype(types[container]))
        case _:
            Image.fromarray(grey).save(file)
    return file, drawn


def _smeared(file: Path, image: Image.Image, how: str, drawn: Map, encoding: Encoding, rng: np.random.Generator) -> Map:
    if how == "jpg":
        image.save(file, quality=85)
    elif how == "was jpg":
        stream = BytesIO()
        image.save(stream, "JPEG", quality=80)
        Image.open(stream).save(file)
    else:
        image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.7, 2.5)))).save(file)
    return (np.asarray(Image.open(file)) >= THRESHOLD).astype(np.int16) if encoding.threshold else drawn


def _palette(file: Path, grey: npt.NDArray[np.uint8], how: str, rng: np.random.Generator) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint8)
    if how == "palette differs":
        colours = rng.integers(0, 256, (256, 3)).astype(np.uint8)
    elif how == "palette permuted":  # the colours are the classes, and their numbers mean nothing
        order = rng.permutation(256)
        grey, colours = np.argsort(order).astype(np.uint8)[grey], colours[order]
    image = Image.fromarray(grey)
    image.putpalette(colours.tobytes())
    image.save(file)
