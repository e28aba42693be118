"""Tiling: cores cover, sources suffice, and pictures continue beyond their edge by reflection."""

from __future__ import annotations

import numpy as np
import pytest
from fake_network import picture
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.errors import DeviceError
from upscale_cli.tiling import Box, Grid, TileQueue, cut_out

sizes = st.integers(1, 90)
multiples = st.sampled_from([1, 2, 4])


@given(sizes, sizes, st.integers(0, 40), st.integers(0, 20), multiples)
def test_cores_cover_the_picture_exactly_once(height: int, width: int, side: int, halo: int, multiple: int) -> None:
    grid = Grid(height, width, halo, multiple)
    covered = np.zeros(grid.padded, int)
    for tile in grid.plan(side):
        covered[tile.core.top : tile.core.bottom, tile.core.left : tile.core.right] += 1
    assert (covered == 1).all()
    assert all(padded % multiple == 0 for padded in grid.padded)
    assert 0 <= grid.padded[0] - height < multiple


@given(sizes, sizes, st.integers(0, 40), st.integers(0, 20), multiples)
def test_a_network_of_any_size_gets_tiles_on_its_grid_of_the_picture_as_it_is(
    height: int, width: int, side: int, halo: int, multiple: int
) -> None:
    grid = Grid(height, width, halo, multiple, any_size=True)
    covered = np.zeros((height, width), int)
    for tile in grid.plan(side):
        covered[tile.core.top : tile.core.bottom, tile.core.left : tile.core.right] += 1
        assert min(tile.core.size) > 0
        assert tile.source.top % multiple == tile.source.left % multiple == 0
        assert tile.source.bottom <= height
        assert tile.source.right <= width
    assert (covered == 1).all()


@given(sizes, sizes, st.integers(1, 40), st.integers(0, 20), multiples)
def test_sources_are_of_one_size_and_hold_the_core_and_its_real_neighbours_on_the_grid(
    height: int, width: int, side: int, halo: int, multiple: int
) -> None:
    grid = Grid(height, width, halo, multiple)
    around, tiles = -(-halo // multiple) * multiple, grid.plan(side)
    assert len({tile.source.size for tile in tiles}) == 1
    assert max(tiles[0].source.size) <= max(side, multiple) + 2 * around
    for core, source in ((tile.core, tile.source) for tile in tiles):
        assert min(core.size) > 0
        assert 0 <= source.top <= max(0, core.top - around)
        assert 0 <= source.left <= max(0, core.left - around)
        assert grid.padded[0] >= source.bottom >= min(grid.padded[0], core.bottom + around)
        assert grid.padded[1] >= source.right >= min(grid.padded[1], core.right + around)
        assert source.top % multiple == source.left % multiple == source.right % multiple == 0


def test_tiles_of_one_size_are_no_more_work() -> None:
    tiles = Grid(1000, 1300, 12).plan(200)
    assert len(tiles) == 5 * 7
    assert sum(tile.source.area for tile in tiles) <= (1000 + 2 * 12 * 4 + 5) * (1300 + 2 * 12 * 6 + 7)


@given(st.integers(1, 9), st.integers(1, 9), multiples)
def test_pictures_continue_by_reflection_without_repeating_the_edge(height: int, width: int, multiple: int) -> None:
    pixels = picture(height, width)
    padded = Grid(height, width, 0, multiple).padded
    whole = cut_out(pixels, Box(0, 0, *padded))
    assert np.array_equal(whole[:height, :width], pixels)
    missing = padded[0] - height, padded[1] - width
    if height > multiple and width > multiple:
        assert np.array_equal(whole, np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect"))


@given(st.integers(4, 40), st.integers(4, 40), multiples, st.data())
def test_a_part_is_cut_out_of_the_continued_picture(
    height: int, width: int, multiple: int, data: st.DataObject
) -> None:
    pixels = picture(height, width)
    padded = Grid(height, width, 0, multiple).padded
    top, left = data.draw(st.integers(0, padded[0] - 1)), data.draw(st.integers(0, padded[1] - 1))
    box = Box(top, left, data.draw(st.integers(top + 1, padded[0])), data.draw(st.integers(left + 1, padded[1])))
    expected = cut_out(pixels, Box(0, 0, *padded))[box.top : box.bottom, box.left : box.right]
    assert np.array_equal(cut_out(pixels, box), expected)


def test_what_is_cut_out_is_a_copy_that_may_be_written() -> None:
    pixels = picture(8, 8)
    pixels.flags.writeable = False
    part = cut_out(pixels, Box(0, 0, 8, 8))
    part[:] = 0
    assert pixels.any()


@given(st.integers(20, 70), st.integers(20, 70), multiples)
def test_halves_cover_their_tile_and_lie_on_the_grid(height: int, width: int, multiple: int) -> None:
    grid = Grid(height * multiple, width * multiple, 3, multiple)
    (whole,) = grid.plan(0)
    covered = np.zeros(grid.padded, int)
    for tile in grid.halves(whole):
        assert tile.core.top % multiple == tile.core.left % multiple == 0
        covered[tile.core.top : tile.core.bottom, tile.core.left : tile.core.right] += 1
    assert (covered == 1).all()


def test_a_tile_too_small_to_be_halved_is_an_error() -> None:
    grid = Grid(16, 16)
    with pytest.raises(DeviceError, match="tile of 16x16 pixels"):
        grid.halves(grid.plan(0)[0])


def test_only_tiles_of_one_size_are_taken_together() -> None:
    queue = TileQueue(Grid(40, 50), 16, batch=8)
    groups = iter(queue.take, [])
    assert all(len({tile.source.size for tile in group}) == 1 for group in groups)


def test_a_batch_for_which_memory_does_not_suffice_becomes_smaller() -> None:
    queue = TileQueue(Grid(64, 64), 16, batch=4)
    assert queue.split(queue.take()) == 0
    assert len(queue.take()) == 2


def test_a_tile_for_which_memory_does_not_suffice_is_halved_with_all_as_large() -> None:
    queue = TileQueue(Grid(64, 128), 64)
    first, second = queue.take(), queue.take()
    assert queue.split(first) == 32
    assert queue.split(second) == 0  # was on its way when the first failed
    assert [len(group) for group in iter(queue.take, [])] == [1] * 8
