"""Overlapping tiles against the whole canvas in float64, and an evaluation of tiles against one of the whole image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.support.image_files import numbers, photo, write_image
from tune_seg.config import DataConfig, TrialConfig, parse
from tune_seg.data import PackedData, batches, pack, read
from tune_seg.data.tiles import TilePlace, tiles_of
from tune_seg.training.blending import blended
from tune_seg.training.evaluation import evaluate

CPU = torch.device("cpu")


def places(image: str, shape: tuple[int, int], size: tuple[int, int], overlap: int) -> list[TilePlace]:
    return [TilePlace(image, tile.rows[0], tile.columns[0]) for tile in tiles_of(shape, size, overlap)]


def canvas(tiles: list[TilePlace], logits: Tensor) -> npt.NDArray[np.float64]:
    """The weighted mean of the logits (N, C, h, w) of the tiles of one image over its pixels, (C, H, W)."""
    *_, height, width = logits.shape
    shape = max(tile.row for tile in tiles) + height, max(tile.column for tile in tiles) + width
    sums, weights = np.zeros((logits.shape[1], *shape)), np.zeros(shape)
    for tile, values in zip(tiles, logits.double().numpy(), strict=True):
        for row in range(height):
            for column in range(width):
                from_middle = ((row + 0.5) / height - 0.5) ** 2 + ((column + 0.5) / width - 0.5) ** 2
                weight = np.exp(-0.5 * 64 * from_middle)
                sums[:, tile.row + row, tile.column + column] += weight * values[:, row, column]
                weights[tile.row + row, tile.column + column] += weight
    return sums / weights


@given(
    shape=st.tuples(st.integers(3, 20), st.integers(3, 20)),
    overlap=st.integers(0, 4),
    batch_size=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_blended_logits_are_those_of_the_whole_canvas(
    shape: tuple[int, int], overlap: int, batch_size: int, seed: int
) -> None:
    size = (5, 6)
    ours, others = places("a", shape, size, overlap), places("b", (9, 9), size, overlap)
    tiles = [None, *ours, *others, None]
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(tiles), generator=generator).tolist() if seed % 2 else range(len(tiles))
    logits = torch.randn(len(tiles), 2, *size, generator=generator)
    target, groups = torch.arange(len(tiles))[:, None, None].expand(-1, *size), torch.arange(len(tiles))
    indices = torch.tensor(list(order))
    chunks = [(logits[part], target[part], groups[part]) for part in indices.split(batch_size)]
    found = list(blended(chunks, [tiles[index] for index in order], size))
    came = torch.cat([of_batch for _, _, of_batch in found])
    assert came.tolist() == list(order)
    assert torch.equal(torch.cat([of_batch for _, of_batch, _ in found]), target[came])
    got = dict(zip(came.tolist(), torch.cat([of_batch for of_batch, _, _ in found]), strict=True))
    assert torch.equal(got[0], logits[0]) and torch.equal(got[len(tiles) - 1], logits[-1])
    for first, image in ((1, ours), (1 + len(ours), others)):
        expected = canvas(image, logits[first : first + len(image)])
        for number, tile in enumerate(image):
            window = expected[:, tile.row : tile.row + size[0], tile.column : tile.column + size[1]]
            np.testing.assert_allclose(got[first + number].numpy(), window, rtol=1e-4, atol=1e-5)


def test_a_tile_is_given_as_soon_as_all_that_overlap_it_have_come() -> None:
    tiles = places("a", (26, 10), (10, 10), 2)
    assert len(tiles) == 3
    one = torch.zeros(1, 2, 10, 10), torch.zeros(1, 10, 10), torch.zeros(1)
    came: list[int] = []

    def outputs() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for _ in tiles:
            yield one
            came.append(len(ready))

    ready: list[Tensor] = []
    for logits, *_ in blended(outputs(), tiles, (10, 10)):
        ready.extend(logits)
    assert came == [0, 1, 3]


class Edges(nn.Module):
    """Two classes by the two channels around a pixel; at the edge of a tile a part of these pixels is missing."""

    def forward(self, images: Tensor) -> Tensor:
        smooth = nn.functional.avg_pool2d(images[:, :1] - images[:, 1:2], 9, stride=1, padding=4)
        return torch.cat([smooth, -smooth], dim=1)


@pytest.mark.parametrize("size", [(32, 40), (16, 20)])
def test_an_image_of_tiles_is_judged_by_its_blended_outputs(tmp_path: Path, size: tuple[int, int]) -> None:
    shapes = {"a": (70, 100), "b": (64, 64), "c": (60, 90), "d": (90, 61)}
    truth_of = {}
    for name, shape in shapes.items():
        write_image(tmp_path / "data" / "images" / f"{name}.png", photo(*shape))
        truth_of[name] = write_image(tmp_path / "data" / "masks" / f"{name}.png", numbers([0, 1, 255], *shape))
    config = parse(
        DataConfig,
        {
            "root": tmp_path / "data",
            "classes": ["x", "y"],
            "tiles": {"size": [32, 40], "overlap": 4},
            "size": size,
            "split": {"val_fraction": 0.5},
        },
    )
    data = PackedData(pack(read(config), tmp_path / "packs", config.size))
    trial = parse(TrialConfig, {"training": {"batch_size": 3}})
    model = Edges()
    found = evaluate(model, data, trial, device=CPU, autocast=torch.autocast("cpu", enabled=False))

    order: dict[str, Any] = {"epoch": 0, "seed": 0, "batch_size": len(data.val), "augmentation": trial.augmentation}
    ((images, masks),) = batches(data.val, **order, device=CPU, train=False)
    logits = model(images)
    in_tiles = np.array(
        [[((masks == label) & hit).sum() for label in (0, 1)] for hit in (logits.argmax(dim=1) == masks, masks < 2)]
    )
    hits, pixels = in_tiles
    if size == (32, 40):
        tiles = [tile for tile in data.val_tiles if tile is not None]
        hits, pixels = np.zeros(2), np.zeros(2)
        for name in {tile.image for tile in tiles}:
            rows = [number for number, tile in enumerate(data.val_tiles) if tile is not None and tile.image == name]
            prediction, truth = canvas([tiles[row] for row in rows], logits[rows]).argmax(axis=0), truth_of[name]
            hits += [((prediction == label) & (truth == label)).sum() for label in (0, 1)]
            pixels += [(truth == label).sum() for label in (0, 1)]
        assert (hits != in_tiles[0]).all() and (pixels == in_tiles[1]).all()
    else:
        assert data.val_tiles == (None,) * len(data.val)  # they are scaled, so each pixel counts as it is
    assert found.per_class["class_recall"] == pytest.approx(tuple(hits / pixels), rel=1e-6)
