"""Tiles in flight: the same pixels as the whole picture, nothing else moved, and no waiting for transfers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_network import FakeLane, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from upscale_cli import pipeline
from upscale_cli.errors import DeviceError
from upscale_cli.tiling import Grid, TileQueue


def whole(lane: FakeLane, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return what the network makes of the picture in one piece."""
    quiet = FakeLane(lane.scale, lane.radius)
    result: NDArray[Any] = quiet.compute(quiet.send(pixels.copy()[None]), pixels.dtype)[0]
    return result


def tiled(
    lanes: FakeLane | Sequence[FakeLane],
    pixels: NDArray[Any],
    side: int,
    halo: int = 0,
    multiple: int = 1,
    batch: int = 1,
    **callbacks: Any,
) -> NDArray[Any]:
    used = [lanes] if isinstance(lanes, FakeLane) else lanes
    queue = TileQueue(Grid(*pixels.shape[:2], halo, multiple), side, batch)  # type: ignore[call-arg]
    return pipeline.run(used, pixels, queue, used[0].scale, pixels.dtype, **callbacks)


@settings(max_examples=25)
@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(8, 40), st.integers(0, 3), st.integers(1, 3), st.integers(1, 5)
)
def test_tiles_with_a_halo_of_the_radius_give_the_whole_picture(
    height: int, width: int, side: int, radius: int, scale: int, batch: int
) -> None:
    pixels, lane = picture(height, width), FakeLane(scale, radius)
    assert np.array_equal(tiled(lane, pixels, side, radius, batch=batch), whole(lane, pixels))


def test_a_result_that_is_the_whole_picture_is_not_copied_again() -> None:
    class Kept(FakeLane):
        def fetch(self, tiles: Any, result: Any, dtype: Any) -> NDArray[Any]:
            fetched.append(super().fetch(tiles, result, dtype))
            return fetched[-1]

    pixels = picture(12, 10)
    for side, copied in ((0, False), (8, True)):
        fetched: list[NDArray[Any]] = []
        result = tiled(Kept(2, 1), pixels, side, 1)
        assert np.array_equal(result, whole(FakeLane(2, 1), pixels))
        assert any(np.shares_memory(result, one) for one in fetched) != copied
    output = np.empty((24, 20, 3), pixels.dtype)  # given: it is where the result belongs
    assert tiled(Kept(2, 1), pixels, 0, 1, output=output) is output
    assert np.array_equal(output, whole(FakeLane(2, 1), pixels))


def test_a_halo_that_is_too_small_shows() -> None:
    pixels, lane = picture(40, 40), FakeLane(1, 3)
    assert not np.array_equal(tiled(lane, pixels, 20, 2), whole(lane, pixels))


@settings(max_examples=15)
@given(st.integers(20, 70), st.integers(20, 70), st.integers(400, 2000), st.sampled_from([1, 2, 4]))
def test_running_out_of_memory_halves_the_tiles_and_changes_nothing(
    height: int, width: int, limit: int, multiple: int
) -> None:
    pixels = picture(height * multiple, width * multiple)
    lane = FakeLane(2, 1, limit * multiple**2)
    sides: list[int] = []
    done: list[tuple[int, int]] = []
    result = tiled(
        lane, pixels, 0, 1, multiple, on_split=sides.append, on_tile=lambda part, total: done.append((part, total))
    )
    assert np.array_equal(result, whole(lane, pixels))
    assert bool(sides) == (height * width > limit)
    assert sides == sorted(set(sides), reverse=True)
    assert [part for part, _ in done] == sorted({part for part, _ in done})
    assert done[-1][0] == done[-1][1] == pixels.shape[0] * pixels.shape[1]


def test_a_batch_that_does_not_fit_runs_one_by_one() -> None:
    pixels, lane = picture(64, 64), FakeLane(1, 0, limit=16 * 16)
    assert np.array_equal(tiled(lane, pixels, 16, batch=8), pixels)


def test_memory_that_suffices_for_nothing_is_an_error() -> None:
    with pytest.raises(DeviceError, match="Memory does not suffice"):
        tiled(FakeLane(limit=0), picture(40, 40), 0, 4)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("method", ["send", "compute", "fetch"])
def test_other_errors_are_not_mistaken_for_memory(method: str, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("shape mismatch")

    used = [FakeLane(seconds=(0.001, 0.001)) for _ in range(lanes)]
    monkeypatch.setattr(used[-1], method, broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        tiled(used, picture(160, 160), 16, 4)
    assert used[0].tiles < 100


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_source_tiles_go_out_and_their_results_come_back_and_nothing_else(dtype: type, channels: int) -> None:
    pixels: NDArray[Any] = picture(50, 70, channels).astype(dtype)
    lane = FakeLane(scale=2)
    tiled(lane, pixels, 32, halo=5)
    sources = [height * width for height, width in (tile.source.size for tile in Grid(50, 70, 5).plan(32))]
    size = channels * np.dtype(dtype).itemsize
    assert lane.sent == [source * size for source in sources]
    assert lane.fetched == [source * 4 * size for source in sources]


@pytest.mark.parametrize("seconds", [(0.03, 0.01), (0.01, 0.03)])
def test_transfers_and_computing_overlap(seconds: tuple[float, float]) -> None:
    pixels, one_tile = picture(16 * 20, 16), 2 * seconds[0] + seconds[1]
    taken = []
    for _ in range(8):  # as other programs may take the processor, one quick run suffices
        lane, start = FakeLane(seconds=seconds), time.perf_counter()
        tiled(lane, pixels, 16)
        taken.append(time.perf_counter() - start)
        assert lane.tiles == 20
        if taken[-1] < 19 * max(seconds) + one_tile + 0.15:  # the sum would be 1.0 to 1.4 s
            return
    pytest.fail(f"no run was as quick as it should be: {taken}")


def test_two_devices_share_the_tiles_of_a_picture_and_make_the_same_pixels() -> None:
    pixels = picture(96, 96)
    slow, fast = FakeLane(2, 1, seconds=(0, 0.03)), FakeLane(2, 1, seconds=(0, 0.003))
    assert np.array_equal(tiled([slow, fast], pixels, 16, 1), whole(fast, pixels))
    assert 0 < slow.tiles < fast.tiles
    assert slow.tiles + fast.tiles == 36


def test_two_devices_short_of_memory_still_make_the_same_pixels() -> None:
    pixels = picture(96, 96)
    lanes = [FakeLane(2, 1, limit=500), FakeLane(2, 1, limit=900)]
    assert np.array_equal(tiled(lanes, pixels, 48, 1), whole(lanes[0], pixels))


def test_a_memory_mapped_picture_is_read_tile_by_tile(tmp_path: Path) -> None:
    pixels = picture(64, 48)
    np.save(tmp_path / "a.npy", pixels)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert np.array_equal(tiled(FakeLane(2, 1), mapped, 16, 1), whole(FakeLane(2, 1), pixels))


def test_an_interruption_ends_the_run_after_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    lane = FakeLane()

    def interrupted(*arguments: object) -> None:
        if lane.tiles == 3:
            raise KeyboardInterrupt
        lane.tiles += 1

    monkeypatch.setattr(lane, "compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiled(lane, picture(160, 160), 16)
    assert lane.tiles == 3
