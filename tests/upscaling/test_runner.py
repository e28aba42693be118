"""Running networks over tiles: seams, memory, precision, black pictures."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli import device as devices
from upscale_cli.errors import WeightsError
from upscale_cli.networks.architecture import NetworkSpec
from upscale_cli.notices import Notice, note
from upscale_cli.upscaling.ensemble import eightfold
from upscale_cli.upscaling.runner import SHORT_HALO, NetworkRunner, bytes_per_pixel, default_halo

CPU = torch.device("cpu")
SPEC = NetworkSpec("fake", scale=2, in_channels=3, out_channels=3, receptive_radius=1)


class Enlarge(nn.Module):
    """Nearest enlargement by two through one convolution of known weights; above 1, half precision overflows."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        nn.init.dirac_(self.conv.weight)
        self.gain = gain

    def forward(self, lr: Tensor) -> Tensor:
        scaled: Tensor = self.conv(lr) * self.gain / self.gain
        return F.interpolate(scaled, scale_factor=2.0, mode="nearest")


def picture(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))


@pytest.mark.parametrize("tile", [0, 7, "auto"])
def test_a_network_runs_on_any_size(tile: int) -> None:
    runner = NetworkRunner(Enlarge(), SPEC, device=CPU, tile=tile)
    for size in [(1, 1), (1, 30), (17, 5)]:
        image = picture(*size)
        assert torch.allclose(runner.run(image), F.interpolate(image, scale_factor=2.0, mode="nearest"), atol=1e-6)


def test_sizes_are_padded_as_the_network_needs_and_cropped_back() -> None:
    seen: list[tuple[int, int]] = []

    class Demanding(Enlarge):
        def forward(self, lr: Tensor) -> Tensor:
            seen.append((lr.shape[2], lr.shape[3]))
            return super().forward(lr)

    spec = NetworkSpec("fake", 2, 3, 3, receptive_radius=1, size_multiple=4)
    result = NetworkRunner(Demanding(), spec, device=CPU, tile=8).run(picture(5, 13))
    assert result.shape == (1, 3, 10, 26)
    assert all(height % 4 == width % 4 == 0 for height, width in seen)


def test_the_automatic_tile_is_the_largest_that_fits_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = NetworkRunner(Enlarge(), SPEC, device=CPU)
    runner.device = torch.device("cuda")
    needed = bytes_per_pixel(Enlarge(), SPEC, torch.float32)
    monkeypatch.setattr(devices, "free_memory", lambda device: int(needed * 1000 * 1000))
    assert 700 < runner.tile_side(4000, 4000) < 800  # sqrt of the share of memory that is used, less the halo
    assert runner.tile_side(500, 500) == 0
    monkeypatch.setattr(devices, "free_memory", lambda device: 0)
    assert runner.tile_side(4000, 4000) == 64


def test_on_a_cpu_the_automatic_tile_stays_near_the_caches_and_within_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = NetworkRunner(Enlarge(), SPEC, device=CPU)
    monkeypatch.setattr(devices, "free_memory", lambda device: 10**12)
    within_caches = runner.tile_side(40000, 40000)
    assert within_caches**2 * bytes_per_pixel(Enlarge(), SPEC, torch.float32) < 100 * 2**20
    monkeypatch.setattr(devices, "free_memory", lambda device: 4 * 2**20)
    assert runner.tile_side(40000, 40000) < within_caches


def test_networks_that_see_far_get_a_short_halo_on_their_own_grid() -> None:
    assert default_halo(NetworkSpec("near", 4, 3, 3, receptive_radius=34)) == 34
    assert default_halo(NetworkSpec("far", 4, 3, 3, receptive_radius=349)) == SHORT_HALO
    assert default_halo(NetworkSpec("far", 2, 3, 3, receptive_radius=698, size_multiple=2)) == 2 * SHORT_HALO


def test_a_tile_that_overflows_in_half_precision_is_done_again_in_fp32() -> None:
    notices: list[Notice] = []
    runner = NetworkRunner(Enlarge(gain=1e30), SPEC, device=CPU, notify=notices.append)
    runner._module = Enlarge(gain=1e30).to(torch.float16)
    runner.dtype = torch.float16
    result = runner.run(picture(9, 9))
    assert torch.allclose(result, F.interpolate(picture(9, 9), scale_factor=2.0, mode="nearest"), atol=1e-5)
    assert notices == [note("A tile came out non-finite in fp16 and was done again in fp32.")]


def test_a_network_that_is_never_finite_is_an_error_not_a_black_picture() -> None:
    broken = Enlarge()
    broken.conv.weight.data.fill_(float("nan"))
    with pytest.raises(WeightsError, match="not finite"):
        NetworkRunner(broken, SPEC, device=CPU).run(picture(9, 9))


def test_running_out_of_memory_is_told_and_remembered() -> None:
    class Hungry(Enlarge):
        def forward(self, lr: Tensor) -> Tensor:
            if lr.shape[2] > 40:
                raise torch.OutOfMemoryError
            return super().forward(lr)

    notices: list[Notice] = []
    runner = NetworkRunner(Hungry(), SPEC, device=CPU, tile=0, notify=notices.append)
    assert runner.run(picture(64, 64)).shape == (1, 3, 128, 128)
    assert runner.run(picture(64, 64)).shape == (1, 3, 128, 128)
    assert notices == [note("Memory did not suffice: going on with tiles of 32 pixels (--tile 32 starts so).")]


@pytest.mark.skipif(not devices.cpu_has_bf16(), reason="this CPU has no bf16 arithmetic")
def test_half_precision_on_this_cpu_is_bf16_and_close() -> None:
    runner = NetworkRunner(Enlarge(), SPEC, device=CPU, precision="half")
    assert runner.precision == "bf16"
    image = picture(20, 20)
    assert (runner.run(image) - F.interpolate(image, scale_factor=2.0, mode="nearest")).abs().max() < 0.01


def test_half_precision_without_bf16_runs_in_fp32_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: False)
    notices: list[Notice] = []
    assert NetworkRunner(Enlarge(), SPEC, device=CPU, precision="half", notify=notices.append).precision == "fp32"
    assert "no bf16" in notices[0].text


def test_the_self_ensemble_is_the_mean_over_eight_orientations() -> None:
    kernel = torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(3))
    symmetric = torch.stack([torch.rot90(k, t, (-2, -1)) for k in (kernel, kernel.flip(-1)) for t in range(4)]).mean(0)
    image = torch.rand(1, 1, 9, 12)
    averaged = eightfold(lambda x: F.conv2d(x, kernel, padding=1))(image)
    assert torch.allclose(averaged, F.conv2d(image, symmetric, padding=1), atol=1e-6)


@pytest.mark.cuda
def test_cuda_agrees_with_the_cpu_within_a_level() -> None:
    image = picture(70, 90)
    gpu = NetworkRunner(Enlarge(), SPEC, device=torch.device("cuda"), tile=16).run(image)
    assert (gpu - NetworkRunner(Enlarge(), SPEC, device=CPU).run(image)).abs().max() < 1 / 255
