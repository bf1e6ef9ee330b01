"""Blending: where tiles of an image overlap, each pixel gets the weighted mean of their logits."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from tune_seg.data.tiles import TilePlace

Output = tuple[Tensor, Tensor, Tensor]
"""Logits (N, C, h, w), their target (N, h, w), and the number of the group of each image, (N,)."""

_SIGMAS_IN_A_SIDE: Final = 8


def blended(outputs: Iterable[Output], tiles: Sequence[TilePlace | None], size: tuple[int, int]) -> Iterator[Output]:
    """The outputs of a model, those of overlapping tiles as the weighted mean of all that have the pixel.

    A model knows least of what is at the edge of a tile. So the logits of a tile weigh as a Gaussian around its middle,
    whose standard deviation is an eighth of the side (Isensee et al. 2021, nnU-Net). A tile waits until all that overlap it
    have come: no more than some rows of tiles of an image are held. Samples that are no tiles stay as they are.

    Args:
        outputs: batches, the samples in the order of `tiles`.
        tiles: of each sample, where it lies in its image; None of one that is no tile.
        size: (h, w) of a tile.

    Yields:
        the same samples in the same order, in batches of other sizes.
    """
    if not any(tiles):
        yield from outputs
        return
    last = _last_overlapping(tiles, size)
    weights = torch.outer(_gaussian(size[0]), _gaussian(size[1]))
    waiting: deque[_Tile] = deque()
    number = 0
    for logits, target, groups in outputs:
        weights = weights.to(logits.device)
        for one in zip(logits.float(), target, groups, strict=True):
            new = _Tile(*one, tiles[number], last[number])
            for other in waiting:
                _exchange(new, other, weights)
            waiting.append(new)
            number += 1
        ready = []
        while waiting and waiting[0].last < number:
            ready.append(waiting.popleft())
        if ready:
            yield (
                torch.stack([tile.mean() for tile in ready]),
                torch.stack([tile.target for tile in ready]),
                torch.stack([tile.group for tile in ready]),
            )


@dataclass
class _Tile:
    """A tile that waits for its neighbours.

    Attributes:
        logits: its own, (C, h, w).
        target: (h, w).
        group: ().
        place: where it lies; None of what is no tile.
        last: the number of the last tile that overlaps it.
        total: the weighted logits so far, (C, h, w), and their weight, (h, w); None while no other overlaps it.
    """

    logits: Tensor
    target: Tensor
    group: Tensor
    place: TilePlace | None
    last: int
    total: tuple[Tensor, Tensor] | None = field(default=None, init=False)

    def add(self, other: "_Tile", here: tuple[slice, slice], there: tuple[slice, slice], weights: Tensor) -> None:
        """Add what another tile knows of the pixels `here`, which are `there` in it."""
        if self.total is None:
            self.total = self.logits * weights, weights.clone()
        sums, weight = self.total
        sums[:, *here] += other.logits[:, *there] * weights[there]
        weight[here] += weights[there]

    def mean(self) -> Tensor:
        """The weighted mean of all that was added."""
        if self.total is None:
            return self.logits
        sums, weight = self.total
        return sums / weight


def _exchange(first: _Tile, second: _Tile, weights: Tensor) -> None:
    """Let each of two tiles know what the other knows of the pixels that both have."""
    a, b = first.place, second.place
    if a is None or b is None or a.image != b.image:
        return
    height, width = weights.shape
    if abs(a.row - b.row) >= height or abs(a.column - b.column) >= width:
        return
    here = _shared(b.row - a.row, height), _shared(b.column - a.column, width)
    there = _shared(a.row - b.row, height), _shared(a.column - b.column, width)
    first.add(second, here, there, weights)
    second.add(first, there, here, weights)


def _shared(shift: int, length: int) -> slice:
    """The part of a side that another one has, which begins `shift` pixels later."""
    return slice(max(shift, 0), min(length + shift, length))


def _gaussian(length: int) -> Tensor:
    """The weights along a side, (length,), the same from both ends."""
    positions = torch.arange(length, dtype=torch.float64) - (length - 1) / 2
    return torch.exp(-0.5 * (positions * _SIGMAS_IN_A_SIDE / length) ** 2).float()


def _last_overlapping(tiles: Sequence[TilePlace | None], size: tuple[int, int]) -> list[int]:
    """Of each tile the number of the last one that overlaps it, which may be itself."""
    height, width = size
    images: dict[str, list[tuple[int, TilePlace]]] = {}
    for number, tile in enumerate(tiles):
        if tile is not None:
            images.setdefault(tile.image, []).append((number, tile))
    last = list(range(len(tiles)))
    for members in images.values():
        numbers = {(tile.row, tile.column): number for number, tile in members}
        rows, columns = ({corner[axis] for corner in numbers} for axis in (0, 1))
        below = {row: [other for other in rows if abs(other - row) < height] for row in rows}
        beside = {column: [other for other in columns if abs(other - column) < width] for column in columns}
        for number, tile in members:
            near = (numbers.get((row, column), 0) for row in below[tile.row] for column in beside[tile.column])
            last[number] = max(near)
    return last
