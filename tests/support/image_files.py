"""What the tests of the readers share: files to write, and what was read of them."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tune_seg.config import DataConfig, parse
from tune_seg.data import Dataset, read, read_test
from tune_seg.data.dataset import Sample

RNG = np.random.default_rng(0)

Array = npt.NDArray[np.uint8 | np.uint16]


def photo(height: int = 10, width: int = 12, channels: int = 3, dtype: str = "uint8") -> Array:
    values = RNG.integers(0, np.iinfo(dtype).max, (height, width, channels), endpoint=True)
    return values.astype(dtype)


def numbers(values: list[int], height: int = 10, width: int = 12) -> npt.NDArray[np.uint8]:
    return RNG.choice(np.array(values, np.uint8), (height, width))


def write_image(path: Path, array: Array) -> Array:
    """Write by Pillow what it writes without loss; JPEG at one colour, which the decoder may miss by a little."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array if array.ndim == 2 or array.shape[2] > 1 else array[..., 0]).save(path)
    return array


def write_jpeg(path: Path, height: int = 10, width: int = 12) -> Array:
    """Write a JPEG, and return what it decodes to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo(height, width)).save(path)
    return np.asarray(Image.open(path))


def write_palette(path: Path, array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Write a PNG of palette indices, as VOC's labels are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    image.putpalette(list(RNG.integers(0, 256, 768)))
    assert image.mode == "P"
    image.save(path)
    return array


def read_root(root: Path, **values: object) -> Dataset:
    return read(parse(DataConfig, {"root": root, "size": (10, 12), **values}))


def held_out_root(root: Path, **values: object) -> Dataset:
    """What is held out."""
    test = read_test(parse(DataConfig, {"root": root, "size": (10, 12), **values}))
    assert test is not None
    return test


def ids(dataset: Dataset, split: str) -> list[str]:
    return [sample.id for sample in dataset.samples if sample.split == split]


def load(dataset: Dataset, id: str) -> tuple[Array, npt.NDArray[np.uint8]]:
    return dataset.load(next(sample for sample in dataset.samples if sample.id == id))


def assert_holds(dataset: Dataset, id: str, image: Array, mask: Array) -> None:
    """The sample is exactly this image and this mask."""
    loaded_image, loaded_mask = load(dataset, id)
    assert loaded_image.dtype == dataset.dtype and loaded_image.shape[2] == dataset.channels
    assert loaded_mask.dtype == np.uint8
    np.testing.assert_array_equal(loaded_image, image)
    np.testing.assert_array_equal(loaded_mask, mask)


class Killed(Dataset):
    """A data set whose decoding is killed."""

    holds_lock = True
    class_names = ("a", "b")

    def load(self, sample: Sample) -> tuple[Array, npt.NDArray[np.uint8]]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def source(self) -> dict[str, Any]:
        return {}
