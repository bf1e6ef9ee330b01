"""The photographs: in each format that people have, of which only the shape matters here."""

from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from tests.support.random_folders.scenes import Hole

WITH_HOLES = ("float nan", "tif nodata", "int16 nodata")
KINDS = (
    "png",
    "jpg",
    "JPG",
    "bmp",
    "tif",
    "webp",
    "gif",
    "png16",
    "tif16",
    "grey",
    "rgba",
    "la",
    "palette",
    "float",
    *WITH_HOLES,
)


def write_picture(path: Path, kind: str, hole: Hole, rng: np.random.Generator) -> Path:
    """Write a photograph.

    Args:
        path: without the ending.
        kind: one of :data:`KINDS`.
        hole: where nothing was measured, if the format can say it.
        rng: draws it.

    Returns:
        The path with its ending.
    """
    ending = {"png16": "png", "tif16": "tif", "grey": "png", "rgba": "png", "la": "png", "palette": "png", "float": "tif"}
    ending |= dict.fromkeys(WITH_HOLES, "tif")
    shape = hole.shape
    file = path.with_name(f"{path.name}.{ending.get(kind, kind)}")
    file.parent.mkdir(parents=True, exist_ok=True)
    colours = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    deep = rng.integers(0, 4096, (*shape, 3)).astype(np.uint16)
    if kind == "png16":
        file.write_bytes(imagecodecs.png_encode(deep))
    elif kind == "tif16":
        tifffile.imwrite(file, deep, photometric="rgb")
    elif kind == "float":
        tifffile.imwrite(file, (deep[..., 0] / 4096).astype(np.float32))
    elif kind == "float nan":
        tifffile.imwrite(file, np.where(hole, np.nan, deep[..., 0] / 4096).astype(np.float32))
    elif kind == "int16 nodata":
        tifffile.imwrite(file, np.where(hole, -9999, deep[..., 0]).astype(np.int16))
    elif kind == "tif nodata":
        colours = np.where(hole[..., None], 0, np.maximum(colours, 1)).astype(np.uint8)
        tifffile.imwrite(file, colours, photometric="rgb", extratags=[(42113, "s", 0, "0", True)])
    elif kind == "grey":
        Image.fromarray(colours[..., 0]).save(file)
    elif kind == "rgba":
        Image.fromarray(np.dstack([colours, colours[..., :1]])).save(file)
    elif kind == "la":
        Image.fromarray(colours[..., :2], "LA").save(file)
    elif kind == "palette":
        Image.fromarray(colours).quantize(16).save(file)
    else:
        Image.fromarray(colours).save(file)
    return file
