"""Running networks: halo, tile size, memory, precision, black pictures, several devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fake_network import CPU, SPEC, Enlarge, enlarged, picture
from numpy.typing import NDArray
from torch import Tensor, nn

from upscale_cli import device as devices
from upscale_cli.errors import WeightsError
from upscale_cli.inference import DeviceNetwork
from upscale_cli.networks.architecture import NetworkSpec
from upscale_cli.notices import Notice, note
from upscale_cli.upscaling.footprint import bytes_per_pixel
from upscale_cli.upscaling.runner import NetworkRunner


def runner(module: nn.Module | None = None, spec: NetworkSpec = SPEC, **options: Any) -> NetworkRunner:
    return NetworkRunner(module or Enlarge(), spec, **{"devices_used": [CPU], **options})


def difference(a: NDArray[Any], b: NDArray[Any]) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize("tile", [0, 16, "auto"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_runs_on_any_size(tile: int, dtype: type, channels: int) -> None:
    for height, width in [(1, 1), (1, 30), (17, 5)]:
        pixels: NDArray[Any] = picture(height, width, channels).astype(dtype)
        result = runner(tile=tile).run(pixels)
        assert result.dtype == dtype
        assert np.array_equal(result, enlarged(pixels))


def test_sixteen_bits_come_of_eight_where_they_are_asked_for() -> None:
    assert np.array_equal(runner().run(picture(9, 7), np.uint16), enlarged(picture(9, 7)) * np.uint16(257))


def test_sizes_are_padded_as_the_network_needs_and_cropped_back() -> None:
    seen: list[tuple[int, int]] = []

    class Demanding(Enlarge):
        def forward(self, lr: Tensor) -> Tensor:
            seen.append((lr.shape[2], lr.shape[3]))
            return super().forward(lr)

    spec = NetworkSpec("fake", 2, 3, 3, receptive_radius=1, size_multiple=4)
    result = runner(Demanding(), spec, tile=16).run(picture(5, 23))
    assert np.array_equal(result, enlarged(picture(5, 23)))
    assert all(height % 4 == width % 4 == 0 for height, width in seen)


def test_the_automatic_tile_is_the_largest_that_fits_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    used = runner()
    used.lanes[0].device = torch.device("cuda")
    needed = bytes_per_pixel(Enlarge(), SPEC, torch.float32)
    monkeypatch.setattr(devices, "free_memory", lambda device: int(needed * 1000 * 1000))
    assert 700 < used.tile_side(4000, 4000) < 800  # sqrt of the share of memory that is used, less the halo
    assert used.tile_side(500, 500) == 0
    monkeypatch.setattr(devices, "free_memory", lambda device: 0)
    assert used.tile_side(4000, 4000) == 64


def test_on_a_cpu_the_automatic_tile_stays_near_the_caches_and_within_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_memory", lambda device: 10**12)
    within_caches = runner().tile_side(40000, 40000)
    assert within_caches**2 * bytes_per_pixel(Enlarge(), SPEC, torch.float32) < 100 * 2**20
    monkeypatch.setattr(devices, "free_memory", lambda device: 4 * 2**20)
    assert runner().tile_side(40000, 40000) < within_caches


def test_several_devices_each_get_some_tiles_of_a_picture() -> None:
    side = runner(devices_used=[CPU, CPU]).tile_side(600, 800)
    assert (600 // side) * (800 // side) >= 6


def test_several_devices_make_the_same_bytes() -> None:
    module = nn.Sequential(Enlarge(), nn.Conv2d(3, 3, 3, padding=1)).requires_grad_(False)
    one, two = (runner(module, devices_used=[CPU] * count, tile=16) for count in (1, 2))
    assert np.array_equal(one.run(picture(70, 90)), two.run(picture(70, 90)))


def test_a_tile_that_overflows_in_half_precision_is_done_again_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "dtype", lambda device, precision: torch.float16)
    notices: list[Notice] = []
    result = runner(Enlarge(gain=1e30), notify=notices.append).run(picture(9, 9))
    assert np.array_equal(result, enlarged(picture(9, 9)))
    assert notices == [note("A tile came out non-finite in fp16 and was done again in fp32.")]


def test_a_network_that_is_never_finite_is_an_error_not_a_black_picture() -> None:
    broken = Enlarge()
    broken.conv.weight.data.fill_(float("nan"))
    with pytest.raises(WeightsError, match="not finite"):
        runner(broken).run(picture(9, 9))


def test_running_out_of_memory_is_told_and_remembered() -> None:
    tried: list[int] = []

    class Hungry(Enlarge):
        def forward(self, lr: Tensor) -> Tensor:
            tried.append(lr.shape[2])
            if lr.shape[2] > 40:
                raise torch.OutOfMemoryError
            return super().forward(lr)

    notices: list[Notice] = []
    hungry = runner(Hungry(), tile=0, notify=notices.append)
    assert np.array_equal(hungry.run(picture(64, 64)), enlarged(picture(64, 64)))
    tried.clear()
    assert np.array_equal(hungry.run(picture(64, 64)), enlarged(picture(64, 64)))
    assert max(tried) <= 34
    assert notices == [note("Memory did not suffice: going on with tiles of 32 pixels (--tile 32 starts so).")]


@pytest.mark.skipif(not devices.cpu_has_bf16(), reason="this CPU has no bf16 arithmetic")
def test_half_precision_on_this_cpu_is_bf16_and_close() -> None:
    half = runner(precision="half")
    assert half.precision == "bf16"
    assert difference(half.run(picture(20, 20)), enlarged(picture(20, 20))) <= 1


def test_half_precision_without_bf16_runs_in_fp32_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: False)
    notices: list[Notice] = []
    assert runner(precision="half", notify=notices.append).precision == "fp32"
    assert "no bf16" in notices[0].text


def test_the_self_ensemble_is_the_mean_over_eight_orientations() -> None:
    kernel = torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(3)) / 9
    symmetric = torch.stack([torch.rot90(k, t, (-2, -1)) for k in (kernel, kernel.flip(-1)) for t in range(4)]).mean(0)
    spec = NetworkSpec("fake", 1, 1, 1, receptive_radius=1)
    ensemble, expected = (nn.Conv2d(1, 1, 3, padding=1, bias=False).requires_grad_(False) for _ in range(2))
    ensemble.weight.copy_(kernel)
    expected.weight.copy_(symmetric)
    pixels = picture(9, 12, 1)
    assert difference(runner(ensemble, spec, tta=True).run(pixels), runner(expected, spec).run(pixels)) <= 1
    assert difference(runner(ensemble, spec).run(pixels), runner(expected, spec).run(pixels)) > 1


def test_sixteen_bit_pictures_move_as_sixteen_bits() -> None:
    lane = DeviceNetwork(Enlarge(), SPEC, CPU)
    tiles = lane.send(picture(4, 4)[None].astype(np.uint16))
    assert tiles.dtype == torch.uint16
    assert lane.compute(tiles, np.uint16).pixels.dtype == torch.uint16
    assert lane.compute(tiles, np.uint8).pixels.dtype == torch.uint8


def test_a_gray_network_does_each_channel() -> None:
    spec = NetworkSpec("fake", 2, 1, 1, receptive_radius=0)

    class Gray(Enlarge):
        def forward(self, lr: Tensor) -> Tensor:
            assert lr.shape[1] == 1
            return F.interpolate(lr + 0 * self.conv.weight.sum(), scale_factor=2.0, mode="nearest")

    assert np.array_equal(
        DeviceNetwork(Gray(), spec, CPU).compute(torch.from_numpy(picture(5, 6)[None]), np.uint8).pixels[0].numpy(),
        enlarged(picture(5, 6)),
    )


@pytest.mark.cuda
@pytest.mark.parametrize("tile", [0, 16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cuda_agrees_with_the_cpu_within_a_level(tile: int, dtype: type) -> None:
    pixels: NDArray[Any] = picture(70, 90).astype(dtype)
    cuda = runner(devices_used=[torch.device("cuda")], tile=tile, precision="fp32")
    assert difference(cuda.run(pixels), runner().run(pixels)) <= 1


@pytest.mark.cuda
def test_cuda_twice_makes_the_same_bytes_as_once() -> None:
    once, twice = (runner(devices_used=[torch.device("cuda")] * count, tile=16) for count in (1, 2))
    assert np.array_equal(once.run(picture(150, 90)), twice.run(picture(150, 90)))


@pytest.mark.parametrize("needed", [100, 10**6])
def test_the_allocator_is_to_keep_what_it_would_return(needed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    monkeypatch.setattr(devices, "keep_larger_blocks", lambda: calls.append(None))
    used = runner()
    used._bytes_per_pixel = needed
    used.run(picture(20, 20))
    assert bool(calls) == (needed * 20 * 20 / 4 > devices.LARGEST_IN_HEAP)
