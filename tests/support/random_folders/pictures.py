"""The photographs: in each format that people have, of which only the shape matters here."""

from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

KINDS = ("png", "jpg", "JPG", "bmp", "tif", "webp", "gif", "png16", "tif16", "grey", "rgba", "la", "palette", "float")


def write_picture(path: Path, kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Path:
    """Write a photograph.

    Args:
        path: without the ending.
        kind: one of :data:`KINDS`.
        shape: (H, W).
        rng: draws it.

    Returns:
        The path with its ending.
    """
    ending = {"png16": "png", "tif16": "tif", "grey": "png", "rgba": "png", "la": "png", "palette": "png", "float": "tif"}
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
