"""The grid of tiles, whatever the image, the tile and the overlap."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_seg.data.tiles import tiles_of

LENGTH = st.integers(1, 60)


@settings(max_examples=300, deadline=None)
@given(shape=st.tuples(LENGTH, LENGTH), size=st.tuples(LENGTH, LENGTH), share=st.floats(0, 1, exclude_max=True))
def test_cells_make_up_the_image_and_lie_in_the_middle_of_their_tiles(
    shape: tuple[int, int], size: tuple[int, int], share: float
) -> None:
    overlap = int(share * min(size))
    counted = np.zeros(shape, int)
    for tile in tiles_of(shape, size, overlap):
        seen = np.zeros(shape, int)[tile.window]
        assert seen.shape == tuple(np.minimum(shape, size))
        own = counted[tile.window][tile.cell]
        assert own.size == np.prod([stop - start for start, stop in (tile.own_rows, tile.own_columns)]) > 0
        own += 1
        for (start, stop), (first, last), length in zip(
            (tile.rows, tile.columns), (tile.own_rows, tile.own_columns), shape, strict=True
        ):
            # what a tile judges it sees with at least half of the overlap around, but at the border of the image
            assert first == 0 or first - start >= overlap // 2
            assert last == length or stop - last >= overlap // 2
    assert (counted == 1).all()


def test_a_tile_is_as_large_as_it_is_and_none_too_many() -> None:
    tiles = tiles_of((100, 250), (100, 100), 20)
    assert [tile.columns for tile in tiles] == [(0, 100), (75, 175), (150, 250)]
    assert [tile.own_columns for tile in tiles] == [(0, 87), (87, 162), (162, 250)]
    assert {tile.rows for tile in tiles} == {(0, 100)}
    assert len(tiles_of((100, 100), (100, 100), 50)) == 1
    assert len(tiles_of((101, 100), (100, 100), 50)) == 2
