"""Tiling: cores cover, sources suffice, and what is pasted together is what the whole would have been."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from upscale_cli import tiling
from upscale_cli.errors import DeviceError

sizes = st.integers(1, 90)
multiples = st.sampled_from([1, 2, 4])


def blurred(radius: int, scale: int) -> tiling.TileFunction:
    """A stand-in for a network: a linear filter of a known radius with zero padding, then enlargement."""
    kernel = torch.linspace(1, 2, (2 * radius + 1) ** 2).reshape(1, 1, 2 * radius + 1, 2 * radius + 1)

    def function(image: Tensor) -> Tensor:
        filtered = F.conv2d(image, kernel / kernel.sum(), padding=radius)
        return F.interpolate(filtered, scale_factor=float(scale), mode="nearest")

    return function


@given(sizes, sizes, st.integers(0, 40), st.integers(0, 20), multiples)
def test_cores_cover_the_picture_exactly_once(height: int, width: int, tile: int, halo: int, multiple: int) -> None:
    covered = torch.zeros(height, width)
    for part in tiling.plan(height, width, tile, halo, multiple):
        covered[part.core.top : part.core.bottom, part.core.left : part.core.right] += 1
    assert covered.eq(1).all()


@given(sizes, sizes, st.integers(1, 40), st.integers(0, 20), multiples)
def test_sources_hold_the_core_and_its_real_neighbours_on_the_grid(
    height: int, width: int, tile: int, halo: int, multiple: int
) -> None:
    for part in tiling.plan(height, width, tile, halo, multiple):
        assert max(part.core.size) <= max(tile, multiple)
        assert part.source.top == max(0, part.core.top - -(-halo // multiple) * multiple)
        assert part.source.right == min(width, part.core.right + -(-halo // multiple) * multiple)
        assert part.source.top % multiple == part.source.left % multiple == 0


@given(sizes, sizes, st.integers(8, 40), st.integers(0, 3), st.integers(1, 4), st.integers(1, 5))
def test_tiles_with_a_halo_of_the_radius_give_the_whole_picture(
    height: int, width: int, tile: int, radius: int, scale: int, batch: int
) -> None:
    image = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(height * 97 + width))
    function = blurred(radius, scale)
    tiles = tiling.plan(height, width, tile, radius)
    result = tiling.run(function, image, tiles, scale, halo=radius, batch=batch)
    assert torch.allclose(result, function(image), atol=1e-6)


def test_a_halo_that_is_too_small_shows() -> None:
    image = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(1))
    function = blurred(3, 1)
    result = tiling.run(function, image, tiling.plan(40, 40, 20, 2), 1, halo=2)
    assert not torch.allclose(result, function(image), atol=1e-6)


@given(st.integers(1, 9), st.integers(1, 9), multiples)
def test_padding_reflects_without_repeating_the_edge(height: int, width: int, multiple: int) -> None:
    image = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    padded = tiling.pad_to_multiple(image, multiple)
    assert padded.shape[2] % multiple == padded.shape[3] % multiple == 0
    assert padded.shape[2] - height < multiple
    assert torch.equal(padded[..., :height, :width], image)
    if height > multiple and width > multiple:
        expected = F.pad(image, (0, padded.shape[3] - width, 0, padded.shape[2] - height), mode="reflect")
        assert torch.equal(padded, expected)


@given(st.integers(20, 70), st.integers(20, 70), st.integers(400, 2000), multiples)
def test_running_out_of_memory_halves_the_tiles_and_changes_nothing(
    height: int, width: int, limit: int, multiple: int
) -> None:
    image = torch.rand(1, 1, height * multiple, width * multiple)
    function = blurred(1, 2)
    sides: list[int] = []

    def short_of_memory(part: Tensor) -> Tensor:
        if part.numel() > limit * multiple**2:
            raise MemoryError
        return function(part)

    tiles = tiling.plan(height * multiple, width * multiple, 0, 1, multiple)
    done: list[tuple[int, int]] = []
    result = tiling.run(
        short_of_memory,
        image,
        tiles,
        2,
        halo=1,
        multiple=multiple,
        on_split=sides.append,
        on_tile=lambda part, total: done.append((part, total)),
    )
    assert torch.allclose(result, function(image), atol=1e-6)
    assert bool(sides) == (image.numel() > limit * multiple**2)
    assert done[-1] == (image.numel(), image.numel())


def test_a_batch_that_does_not_fit_runs_one_by_one() -> None:
    image = torch.rand(1, 1, 64, 64)

    def one_at_a_time(part: Tensor) -> Tensor:
        if part.shape[0] > 1:
            raise MemoryError
        return part

    assert torch.equal(tiling.run(one_at_a_time, image, tiling.plan(64, 64, 16, 0), 1, halo=0, batch=8), image)


def test_memory_that_suffices_for_nothing_is_an_error() -> None:
    def never(part: Tensor) -> Tensor:
        raise MemoryError

    with pytest.raises(DeviceError, match="Memory does not suffice"):
        tiling.run(never, torch.rand(1, 1, 40, 40), tiling.plan(40, 40, 0, 4), 1, halo=4)


def test_other_errors_are_not_mistaken_for_memory() -> None:
    def broken(part: Tensor) -> Tensor:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        tiling.run(broken, torch.rand(1, 1, 40, 40), tiling.plan(40, 40, 0, 4), 1, halo=4)


@pytest.mark.parametrize(("dtype", "top"), [(torch.uint8, 255), (torch.uint16, 65535)])
def test_integers_are_rounded_to_the_nearest_level_and_clamped(dtype: torch.dtype, top: int) -> None:
    values = torch.tensor([-0.5, 0.0, 0.4 / top, 0.6 / top, 1.0, 1.5])
    assert tiling.quantise(values, dtype).to(torch.int64).tolist() == [0, 0, 0, 1, top, top]
