"""Blending: where tiles of an image overlap, each pixel gets the weighted mean of their logits."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tune_seg.data.loading.transfer import send
from tune_seg.data.tiles import TilePlace

Output = tuple[Tensor, Tensor, Tensor]
"""Logits (N, C, h, w), their target (N, h, w), and the number of the group of each image, (N,)."""

_SIGMAS_IN_A_SIDE: Final = 8


def blended(outputs: Iterable[Output], tiles: Sequence[TilePlace | None], size: tuple[int, int]) -> Iterator[Output]:
    """The outputs of a model, those of overlapping tiles as the weighted mean of all that have the pixel.

    A model knows least of what is at the edge of a tile. So the logits of a tile weigh as a Gaussian around its middle,
    whose standard deviation is an eighth of the side (Isensee et al. 2021, nnU-Net). A tile waits until all that overlap it
    have come; of an image no more rows of pixels are held than those of the tiles that wait.

    Args:
        outputs: batches, the samples in the order of `tiles`.
        tiles: of each sample, where it lies in its image; None of one that is no tile, and stays as it is.
        size: (h, w) of a tile.

    Yields:
        the same samples in the same order, in batches that are no larger.
    """
    if not any(tiles):
        yield from outputs
        return
    plan = _planned(tiles, size)
    canvases: dict[str, _Canvas] = {}
    waiting: deque[_Waiting] = deque()
    weights: Tensor | None = None
    number = 0
    for logits, target, groups in outputs:
        if weights is None:
            weights = send(torch.outer(_gaussian(size[0]), _gaussian(size[1])), logits.device)
        for of_sample, labels, group in zip(logits.float(), target, groups, strict=True):
            place = plan[number]
            if place.tile is not None and not place.alone:
                canvas = canvases.get(place.tile.image)
                if canvas is None:
                    canvas = canvases[place.tile.image] = _Canvas(place.top, place.width)
                canvas.add(of_sample, weights, place.tile)
                waiting.append(_Waiting(number, None, labels, group))
            else:
                waiting.append(_Waiting(number, of_sample, labels, group))
            number += 1
        while waiting and plan[waiting[0].number].last < number:
            ready: list[Output] = []
            while waiting and plan[waiting[0].number].last < number and len(ready) < len(target):
                ready.append(_finished(waiting.popleft(), plan, canvases, size))
            means, targets, numbers = zip(*ready, strict=True)
            yield torch.stack(means), torch.stack(targets), torch.stack(numbers)


class _Place(NamedTuple):
    """What is known of a sample before the first one comes.

    Attributes:
        tile: where it lies; None of what is no tile.
        last: the number of the last sample that overlaps it, itself at least.
        alone: whether no other one does.
        top: the first row of its image's tiles.
        width: of its image.
        needed: the first row of those of its image's tiles that come later; None: it is the last.
    """

    tile: TilePlace | None
    last: int
    alone: bool = True
    top: int = 0
    width: int = 0
    needed: int | None = None


@dataclass(frozen=True)
class _Waiting:
    """A sample that waits for those that overlap it, or for one before it.

    Attributes:
        number: of the sample.
        logits: its own, (C, h, w), where nothing overlaps it; None: they are in the canvas of its image.
        target: (h, w).
        group: ().
    """

    number: int
    logits: Tensor | None
    target: Tensor
    group: Tensor


class _Canvas:
    """The weighted sum of the logits of the tiles of an image, over the rows of pixels that are still needed.

    Args:
        top: the first of these rows.
        width: of the image.
    """

    def __init__(self, top: int, width: int) -> None:
        self._top, self._width = top, width
        self._sums: Tensor | None = None  # (C, rows, width)
        self._weights: Tensor | None = None  # (rows, width)

    def add(self, logits: Tensor, weights: Tensor, tile: TilePlace) -> None:
        """Add a tile."""
        height, width = weights.shape
        if self._sums is None or self._weights is None:
            self._sums, self._weights = logits.new_zeros((len(logits), 0, self._width)), weights.new_zeros((0, self._width))
        missing = tile.row + height - self._top - len(self._weights)
        if missing > 0:
            self._sums = functional.pad(self._sums, (0, 0, 0, missing))
            self._weights = functional.pad(self._weights, (0, 0, 0, missing))
        rows, columns = slice(tile.row - self._top, tile.row - self._top + height), slice(tile.column, tile.column + width)
        self._sums[:, rows, columns] += logits * weights
        self._weights[rows, columns] += weights

    def mean(self, tile: TilePlace, size: tuple[int, int]) -> Tensor:
        """The weighted mean of all that was added, where a tile lies."""
        assert self._sums is not None and self._weights is not None
        rows = slice(tile.row - self._top, tile.row - self._top + size[0])
        columns = slice(tile.column, tile.column + size[1])
        return self._sums[:, rows, columns] / self._weights[rows, columns]

    def drop_above(self, row: int) -> None:
        """Forget the rows of pixels above one."""
        if self._sums is not None and self._weights is not None and row > self._top:
            self._sums, self._weights = self._sums[:, row - self._top :].clone(), self._weights[row - self._top :].clone()
            self._top = row


def _finished(
    sample: _Waiting, plan: Sequence[_Place], canvases: dict[str, _Canvas], size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """A sample that all others that overlap it have come for."""
    place = plan[sample.number]
    if sample.logits is not None or place.tile is None:
        assert sample.logits is not None
        return sample.logits, sample.target, sample.group
    canvas = canvases[place.tile.image]
    mean = canvas.mean(place.tile, size)
    if place.needed is None:
        del canvases[place.tile.image]
    else:
        canvas.drop_above(place.needed)
    return mean, sample.target, sample.group


def _planned(tiles: Sequence[TilePlace | None], size: tuple[int, int]) -> list[_Place]:
    """Each sample's place."""
    height, width = size
    images: dict[str, list[tuple[int, TilePlace]]] = {}
    for number, tile in enumerate(tiles):
        if tile is not None:
            images.setdefault(tile.image, []).append((number, tile))
    plan = [_Place(None, number) for number in range(len(tiles))]
    for members in images.values():
        numbers = {(tile.row, tile.column): number for number, tile in members}
        rows, columns = ({corner[axis] for corner in numbers} for axis in (0, 1))
        below = {row: [other for other in rows if abs(other - row) < height] for row in rows}
        beside = {column: [other for other in columns if abs(other - column) < width] for column in columns}
        needed: int | None = None
        for number, tile in reversed(members):
            corners = ((row, column) for row in below[tile.row] for column in beside[tile.column])
            near = [numbers[corner] for corner in corners if corner in numbers]
            plan[number] = _Place(tile, max(near), len(near) == 1, min(rows), max(columns) + width, needed)
            needed = tile.row if needed is None else min(needed, tile.row)
    return plan


def _gaussian(length: int) -> Tensor:
    """The weights along a side, (length,), the same from both ends."""
    positions = torch.arange(length, dtype=torch.float64) - (length - 1) / 2
    return torch.exp(-0.5 * (positions * _SIGMAS_IN_A_SIDE / length) ** 2).float()
