"""What is counted of masks while they are packed, against a count by hand, and over an interruption."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.image_files import photo, read_root, write_image
from tune_seg.data import Dataset, pack
from tune_seg.data.packing.counts import Counts, counted, restored
from tune_seg.data.packing.write import packed_origin

Masks = npt.NDArray[np.uint8]


def by_hand(mask: Masks, resized: Masks) -> dict[int, tuple[int, int]]:
    """Pixel for pixel: of each value how many there are, and how many lie where the small mask has it as well."""
    found: dict[int, tuple[int, int]] = {}
    for y, x in np.ndindex(*mask.shape):
        row, column = (
            (2 * i + 1) * small // (2 * large) for i, small, large in zip((y, x), resized.shape, mask.shape, strict=True)
        )
        full, kept = found.get(int(mask[y, x]), (0, 0))
        found[int(mask[y, x])] = (full + 1, kept + int(resized[row, column] == mask[y, x]))
    return found


@settings(deadline=None, max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    seed=st.integers(0, 9),
)
def test_what_is_left_of_a_class_is_counted_pixel_for_pixel(
    shape: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    mask = np.random.default_rng(seed).choice(np.array([0, 1, 7, 255], np.uint8), shape)
    resized = np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
    counts = restored(counted(mask, resized))
    assert counts is not None
    assert {int(value): tuple(counts[value].tolist()) for value in np.flatnonzero(counts[:, 0])} == by_hand(mask, resized)


def test_a_damaged_count_is_noticed() -> None:
    cell = counted(np.zeros((4, 4), np.uint8), np.zeros((2, 2), np.uint8))
    assert restored(cell) is not None
    assert restored(cell[:-1]) is None and restored(b"") is None
    assert restored(bytes([cell[0] ^ 1]) + cell[1:]) is None


def counts_of(dataset: Dataset, packs: Path) -> Mapping[str, Counts]:
    origin = packed_origin(dataset, packs, (8, 8))
    assert origin is not None
    return origin.counts


@pytest.mark.parametrize("split", [{"val_fraction": 0.25}, {"folds": 2}])
def test_an_interrupted_packing_goes_on_with_what_it_counted(tmp_path: Path, split: dict[str, float]) -> None:
    masks = [np.random.default_rng(n).choice(np.array([0, 1, 255], np.uint8), (20, 24)) for n in range(8)]
    for number, mask in enumerate(masks):
        write_image(tmp_path / "images" / f"{number}.png", photo(20, 24))
        write_image(tmp_path / "masks" / f"{number}.png", mask)
    dataset = read_root(tmp_path, classes=["a", "b"], split=split)
    pack(dataset, tmp_path / "whole", (8, 8))

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(dataset, tmp_path / "packs", (8, 8), stop)
    done: list[int] = []
    pack(dataset, tmp_path / "packs", (8, 8), lambda number, total: done.append(number))
    counts = counts_of(dataset, tmp_path / "packs")
    assert counts == counts_of(dataset, tmp_path / "whole")
    of_subset = {
        sample.subset: [int(s.id) for s in dataset.samples if s.subset == sample.subset] for sample in dataset.samples
    }
    for subset, numbers in of_subset.items():
        values = np.bincount(np.concatenate([masks[n].ravel() for n in numbers]), minlength=256)
        assert (counts[subset].full, counts[subset].ignored) == (tuple(values[:2]), values[255])


@pytest.mark.parametrize(("how", "kept"), [("stretch", (96, 96)), ("fit", (96, 96)), ("crop", (32, 32))])
def test_what_does_not_go_in_is_lost_and_what_is_empty_is_none_of_the_file(
    tmp_path: Path, how: str, kept: tuple[int, int]
) -> None:
    mask = np.repeat(np.array([[0, 0, 0, 1, 1, 1]], np.uint8), 8, axis=0).repeat(4, axis=1)
    for name in "abcde":
        write_image(tmp_path / "images" / f"{name}.png", photo(8, 24))
        write_image(tmp_path / "masks" / f"{name}.png", mask)
    dataset = read_root(tmp_path, classes=["a", "b"], resize=how)
    pack(dataset, tmp_path / "packs", (8, 8))
    assert counts_of(dataset, tmp_path / "packs")["val"] == Counts((96, 96), kept, 0)
