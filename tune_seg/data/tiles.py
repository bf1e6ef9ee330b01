"""The tiles of a large image: where each is cut out, and which pixels are its own."""

from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple


class TilePlace(NamedTuple):
    """Where a tile was cut out: the id of its image, and the row and the column of its first pixel there."""

    image: str
    row: int
    column: int


def tile_id(image: str, number: int, tiles: int) -> str:
    """The name of one of the tiles of an image, in their order where names are sorted.

    Example:
        >>> tile_id("scan", 7, 12)
        'scan@07'
    """
    return f"{image}@{number:0{len(str(tiles - 1))}}"


def image_of(tile: str) -> str:
    """The image of a tile that :func:`tile_id` has named.

    Example:
        >>> image_of("scan@07")
        'scan'
    """
    return tile.rpartition("@")[0]


@dataclass(frozen=True)
class Tile:
    """A part of an image, in pixels of it.

    Attributes:
        rows, columns: (first, one after the last) of what is cut out.
        own_rows, own_columns: the same of its own cell, of which it is the judge.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    own_rows: tuple[int, int]
    own_columns: tuple[int, int]

    @property
    def corner(self) -> tuple[int, int]:
        """The row and the column of its first pixel."""
        return self.rows[0], self.columns[0]

    @property
    def overlaps(self) -> bool:
        """Whether another tile has some of its pixels."""
        return (self.rows, self.columns) != (self.own_rows, self.own_columns)

    @property
    def window(self) -> tuple[slice, slice]:
        """What is cut out, as an index into the image."""
        return slice(*self.rows), slice(*self.columns)

    @property
    def cell(self) -> tuple[slice, slice]:
        """Its own pixels, as an index into what is cut out."""
        (top, _), (left, _) = self.rows, self.columns
        return (
            slice(self.own_rows[0] - top, self.own_rows[1] - top),
            slice(self.own_columns[0] - left, self.own_columns[1] - left),
        )


def tiles_of(shape: tuple[int, int], size: tuple[int, int], overlap: int) -> tuple[Tile, ...]:
    """The tiles that cover an image, row by row.

    They are as few as possible, evenly spread, and none reaches beyond the image; one that is smaller than a tile is a tile
    as it is. The border between the cells of two neighbours is the middle of what they share, so the cells make up the image
    without a gap, and none twice.

    Args:
        shape: (H, W) of the image.
        size: (H, W) of a tile.
        overlap: by how many pixels neighbours overlap at least, less than a tile has.

    Example:
        >>> for tile in tiles_of((4, 10), (4, 6), 1):
        ...     print(tile.columns, tile.own_columns)
        (0, 6) (0, 5)
        (4, 10) (5, 10)
    """
    rows, columns = (_along(length, tile, overlap) for length, tile in zip(shape, size, strict=True))
    return tuple(Tile(row, column, own_row, own_column) for (row, own_row), (column, own_column) in product(rows, columns))


def _along(length: int, tile: int, overlap: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The tiles along one side, each with its own part."""
    steps = -(-max(length - tile, 0) // (tile - overlap))
    starts = [n * (length - tile) // steps for n in range(steps + 1)] if steps else [0]
    tiles = [(start, min(start + tile, length)) for start in starts]
    borders = [0, *((stop + start) // 2 for (_, stop), (start, _) in pairwise(tiles)), length]
    return list(zip(tiles, pairwise(borders), strict=True))
