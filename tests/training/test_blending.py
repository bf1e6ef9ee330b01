"""Overlapping tiles against the whole canvas in float64, and an evaluation of tiles against one of the whole image."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.support.image_files import Array, numbers, photo, write_image
from tune_seg.config import DataConfig, TrialConfig, parse
from tune_seg.data import PackedData, PackedTest, batches, pack, read, read_test
from tune_seg.data.tiles import TilePlace, tiles_of
from tune_seg.training.blending import blended
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.evaluation import evaluate
from tune_seg.training.held_out import score_on_test, trained_model
from tune_seg.training.resume import StoredTraining

CPU = torch.device("cpu")


def places(image: str, shape: tuple[int, int], size: tuple[int, int], overlap: int) -> list[TilePlace]:
    return [TilePlace(image, *tile.corner) for tile in tiles_of(shape, size, overlap)]


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
    assert max(len(of_batch) for _, _, of_batch in found) <= batch_size
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


SHAPES = {"a": (70, 100), "b": (64, 64), "c": (60, 90), "d": (90, 61)}


@dataclass(frozen=True)
class Images:
    """Images that are cut into tiles of 32 x 40, and the masks of the whole ones."""

    root: Path
    masks: dict[str, Array]

    def config(self, **values: Any) -> DataConfig:
        given = {"root": self.root, "classes": ["x", "y"], "tiles": {"size": [32, 40], "overlap": 4}}
        return parse(DataConfig, given | {"split": {"val_fraction": 0.5}} | values)


@pytest.fixture
def drawn(tmp_path: Path) -> Images:
    masks = {}
    for name, shape in SHAPES.items():
        write_image(tmp_path / "data" / "images" / f"{name}.png", photo(*shape))
        masks[name] = write_image(tmp_path / "data" / "masks" / f"{name}.png", numbers([0, 1, 255], *shape))
    return Images(tmp_path / "data", masks)


def computed(model: nn.Module, data: PackedData, trial: TrialConfig) -> tuple[Tensor, Tensor]:
    """The logits and masks of all validation images, as they are."""
    order: dict[str, Any] = {"epoch": 0, "seed": 0, "batch_size": len(data.val), "augmentation": trial.augmentation}
    ((images, masks),) = batches(data.val, **order, device=CPU, train=False)
    with torch.no_grad():
        return model(images), masks


def recalls_of_tiles(logits: Tensor, masks: Tensor) -> tuple[float, ...]:
    """Of each class, where each pixel is judged by one tile."""
    hits = logits.argmax(dim=1) == masks
    return tuple(float(((masks == label) & hits).sum() / (masks == label).sum()) for label in (0, 1))


def recalls_of_canvases(logits: Tensor, data: PackedData, truth: dict[str, Array]) -> tuple[float, ...]:
    """Of each class, of the blended logits of whole images."""
    hits, pixels = np.zeros(2), np.zeros(2)
    tiles = [tile for tile in data.val_tiles if tile is not None]
    for name in {tile.image for tile in tiles}:
        rows = [number for number, tile in enumerate(tiles) if tile.image == name]
        prediction = canvas([tiles[row] for row in rows], logits[rows]).argmax(axis=0)
        hits += [((prediction == label) & (truth[name] == label)).sum() for label in (0, 1)]
        pixels += [(truth[name] == label).sum() for label in (0, 1)]
    return tuple(hits / pixels)


NO_AUTOCAST = torch.autocast("cpu", enabled=False)


@pytest.mark.parametrize("values", [{}, {"max_val": 1}, {"split": {"folds": 2}}])
def test_an_image_of_tiles_is_judged_by_its_blended_outputs(drawn: Images, tmp_path: Path, values: dict[str, Any]) -> None:
    config = drawn.config(**values)
    data = pickle.loads(pickle.dumps(PackedData(pack(read(config), tmp_path / "packs", config.size))))
    trial = parse(TrialConfig, {"training": {"batch_size": 3}})
    found = evaluate(Edges(), data, trial, device=CPU, autocast=NO_AUTOCAST, final=True)
    logits, masks = computed(Edges(), data, trial)
    expected = recalls_of_canvases(logits, data, drawn.masks)
    assert expected != recalls_of_tiles(logits, masks)
    assert found.per_class["class_recall"] == pytest.approx(expected, rel=1e-6)
    assert found.images is not None
    assert tuple(found.images.hits.sum(axis=0) / found.images.truths.sum(axis=0)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("size", "packed"), [([16, 20], (16, 20)), ([32, 40], (16, 20))])
def test_tiles_that_are_scaled_are_judged_as_they_are(
    drawn: Images, tmp_path: Path, size: list[int], packed: tuple[int, int]
) -> None:
    data = PackedData(pack(read(drawn.config(size=size)), tmp_path / "packs", packed))
    assert data.val_tiles == (None,) * len(data.val)
    trial = parse(TrialConfig, {"training": {"batch_size": 3}})
    found = evaluate(Edges(), data, trial, device=CPU, autocast=NO_AUTOCAST)
    assert found.per_class["class_recall"] == pytest.approx(recalls_of_tiles(*computed(Edges(), data, trial)), rel=1e-6)


def test_held_out_images_of_tiles_are_blended_too(drawn: Images, tmp_path: Path) -> None:
    tiles = {"size": [32, 32], "overlap": 4}
    config = drawn.config(tiles=tiles, size=[32, 32], split={"val_fraction": 0.34, "test": 0.25})
    held_out = read_test(config)
    assert held_out is not None
    data, test = PackedData(pack(read(config), tmp_path, (32, 32))), PackedTest(pack(held_out, tmp_path, (32, 32)))
    trial = parse(TrialConfig, {"training": {"epochs": 1, "batch_size": 4, "device": "cpu", "precision": "float32"}})
    training = StoredTraining(trial, data, CPU, CheckpointStore(str(tmp_path / "store")))
    _, progress = training.advance()
    assert progress.checkpoint is not None
    found = score_on_test(trial, progress.checkpoint, test, CPU, temperature=1.0)
    logits, masks = computed(trained_model(trial, progress.checkpoint, test).eval(), test, trial)
    expected = recalls_of_canvases(logits, test, drawn.masks)
    assert expected != recalls_of_tiles(logits, masks)
    assert found.per_class["class_recall"] == pytest.approx(expected, rel=1e-3)
