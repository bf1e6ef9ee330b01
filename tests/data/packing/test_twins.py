"""Images that two packs have in common, under whatever name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_seg.data import Dataset, PackedData, PackedTest, Sample, pack
from tune_seg.data.dataset import Image, Mask

SIZE = (6, 8)


@dataclass(frozen=True)
class Drawn(Dataset):
    """Images by the id of their sample."""

    images: dict[str, Image]

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("a", "b")

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        return self.images[sample.id], np.eye(*SIZE, dtype=np.uint8)

    def source(self) -> dict[str, Any]:
        return {"ids": sorted(self.images), "bytes": [self.images[id].tobytes().hex() for id in sorted(self.images)]}


def common(directory: Path, used: dict[str, Image], held_out: dict[str, Image]) -> list[tuple[str, str]]:
    first, *rest = used
    samples = (Sample(first, "val"), *(Sample(id, "train") for id in rest))
    test = tuple(Sample(id, "test") for id in held_out)
    data = PackedData(pack(Drawn(samples, used), directory, SIZE))
    return data.twins(PackedTest(pack(Drawn(test, held_out), directory, SIZE)))


@pytest.fixture
def images() -> list[Image]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (6, *SIZE, 3), dtype=np.uint8))


def test_equal_images_are_found_by_their_content(tmp_path: Path, images: list[Image]) -> None:
    used = {"a": images[0], "b": images[1], "c": images[2]}
    held_out = {"b": images[3], "x": images[2], "y": images[0], "z": images[4]}  # "b" is another image of that name
    assert common(tmp_path, used, held_out) == [("train/c", "test/x"), ("val/a", "test/y")]
    assert common(tmp_path, used, {"x": images[3], "y": images[4]}) == []


def test_one_pixel_makes_another_image_and_one_colour_none(tmp_path: Path, images: list[Image]) -> None:
    near, empty = images[0].copy(), np.zeros_like(images[0])
    near[0, 0, 0] ^= 1  # the middle row is the same
    bright = np.zeros_like(empty)
    bright[0, 0] = 9  # so is that of an empty one
    used = {"a": images[0], "b": empty, "c": images[1]}
    assert common(tmp_path, used, {"x": near, "y": empty, "z": bright}) == []
    used["d"] = bright
    assert common(tmp_path, used, {"x": near, "y": empty, "z": bright}) == [("train/d", "test/z")]
