"""Zero-shot super-resolution: the network, its examples, the falling learning rate, back-projection, and learning."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import linregress
from tiny_training import painted
from torch import Tensor, nn

from upscale_cli import metrics
from upscale_cli.errors import InputError
from upscale_cli.images.read import read_picture
from upscale_cli.kernels.blur_kernel import BlurKernel, bicubic, centred
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.kernels.files import read_kernel
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.resolve import ResolvedNetwork
from upscale_cli.zero_shot import zssr
from upscale_cli.zero_shot.network import (
    LARGE,
    ZeroShotNetwork,
    back_projected,
    ensemble,
    initial,
    interpolate,
    symmetries,
)
from upscale_cli.zero_shot.self_examples import Examples, paired
from upscale_cli.zero_shot.zssr import FallingRate, Progress, fit, stagnates


def gaussian(sigma_y: float = 1.5, sigma_x: float = 1.5, angle: float = 0.0, scale: int = 2) -> BlurKernel:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag([sigma_y**2, sigma_x**2]) @ turn.T)
    grid = np.mgrid[:11, :11].transpose(1, 2, 0) - (5 + (scale - 1) / 2)
    return centred(np.exp(-0.5 * np.sum((grid @ inverse) * grid, -1)), scale)


def image(height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.from_numpy(painted(seed, height, width).color[..., :channels] / 255).float().permute(2, 0, 1)[None]


def ramp(height: int, width: int) -> Tensor:
    """A plane, different in all orientations: what bicubic interpolation and centred kernels leave as it is."""
    y, x = np.mgrid[:height, :width]
    return torch.from_numpy((y + 2.5 * x) / 600).float()[None, None]


def patchwork(side: int) -> Tensor:
    """Rectangles of many grays: edges, which blur a lot."""
    rng = np.random.default_rng(0)
    levels = np.full((side, side), 0.5, np.float32)
    for _ in range(side):
        (top, left), (height, width) = rng.integers(0, side, 2), rng.integers(4, side // 3, 2)
        levels[top : top + height, left : left + width] = rng.random()
    return torch.from_numpy(levels)[None, None]


def silent(network: ZeroShotNetwork) -> ZeroShotNetwork:
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    network.back_projections = 0
    return network


def decibels(a: Tensor, b: Tensor) -> float:
    return metrics.psnr(a[..., 4:-4, 4:-4].numpy() * 255, b[..., 4:-4, 4:-4].numpy() * 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_has_eight_layers_of_64(channels: int) -> None:
    network = ZeroShotNetwork(channels, gaussian())
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.weight.shape[:2] for layer in layers] == [(64, channels), *[(64, 64)] * 6, (channels, 64)]
    assert all(layer.kernel_size == (3, 3) and layer.bias is not None for layer in layers)
    assert sum(isinstance(layer, nn.ReLU) for layer in network.modules()) == 7


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_without_weights_it_interpolates_with_pixel_centres_in_place(scale: int) -> None:
    with torch.no_grad():
        sr = silent(ZeroShotNetwork(1, gaussian(scale=scale)))(ramp(20, 24))
    y, x = np.mgrid[: 20 * scale, : 24 * scale]
    wanted = ((y + 0.5) / scale - 0.5 + 2.5 * ((x + 0.5) / scale - 0.5)) / 600
    inner = slice(3 * scale, -3 * scale)
    assert sr.shape == (1, 1, 20 * scale, 24 * scale)
    np.testing.assert_allclose(sr[0, 0, inner, inner], wanted[inner, inner], atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_what_was_downsampled_and_interpolated_lies_where_it_was(scale: int) -> None:
    hr = ramp(60, 71)
    pair = paired(hr, gaussian(2.0, 1.0, 0.4, scale))
    assert pair.interpolated.shape == hr.shape
    inner = (..., slice(20, -20), slice(20, -20))
    np.testing.assert_allclose(pair.interpolated[inner], hr[inner], atol=2e-4)


def test_its_receptive_radius_is_enough() -> None:
    network = initial(1, gaussian(), seed=0)
    network.back_projections = 1
    radius = network.spec.receptive_radius
    lr = torch.rand(1, 1, 2 * radius + 9, 2 * radius + 9, generator=torch.Generator().manual_seed(0))
    middle = radius + 4
    changed = lr.clone()
    distance = (torch.arange(lr.shape[-1]) - middle).abs()
    changed[..., torch.maximum(distance[:, None], distance[None]) > radius] = 0.0
    with torch.no_grad():
        before, after = (
            network(x)[..., 2 * middle : 2 * middle + 2, 2 * middle : 2 * middle + 2] for x in (lr, changed)
        )
    torch.testing.assert_close(before, after, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "count"),
    [
        (bicubic(2), 4),  # of eight: the turns
        (gaussian(1.5, 1.5), 4),
        (gaussian(2.0, 0.8), 4),  # two half turns, two mirrors
        (gaussian(2.0, 0.8, np.pi / 4), 4),
        (gaussian(2.0, 0.8, 0.4), 2),
    ],
)
def test_the_ensemble_takes_the_orientations_that_leave_the_kernel(kernel: BlurKernel, count: int) -> None:
    assert len(symmetries(kernel)) == count


def test_the_ensemble_of_a_symmetric_kernel_turns_with_the_picture() -> None:
    network = initial(1, gaussian(), seed=0)
    network.back_projections = 0
    lr = torch.rand(1, 1, 12, 15, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(lr.rot90(1, (-2, -1))), network(lr).rot90(1, (-2, -1)), rtol=0, atol=1e-5)


def places(crop: Tensor, version: NDArray[np.float32]) -> list[int]:
    """In which of eight orientations of ``version``, whose values all differ, ``crop`` lies; both (H, W)."""
    found = []
    for number in range(8):
        whole = np.rot90(np.fliplr(version) if number > 3 else version, number % 4)
        at = np.argwhere(whole == float(crop[0, 0]))
        if len(at) == 1:
            top, left = at[0]
            side = crop.shape[-1]
            if np.array_equal(whole[top : top + side, left : left + side], crop):
                found.append(number)
    return found


@pytest.mark.parametrize("block", [9, 16, 40])
def test_blocks_of_the_layers_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    network = initial(3, bicubic(2), seed=0)
    lr = torch.rand(1, 3, 19, 26, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = network(lr)
        monkeypatch.setattr("upscale_cli.zero_shot.network.BLOCK", block)
        torch.testing.assert_close(network(lr), whole, rtol=0, atol=1e-5)


def test_large_pictures_take_two_orientations_half_a_turn_apart_and_fast_ones_one() -> None:
    for kernel in (bicubic(2), gaussian(2.0, 0.8), gaussian(2.0, 0.8, np.pi / 4), gaussian(2.0, 0.8, 0.4)):
        every = symmetries(kernel)
        assert ensemble(every, LARGE, fast=False) == every
        assert [tuple(o) for o in ensemble(every, LARGE + 1, fast=False)] == [(0, False), (2, False)]
        assert ensemble(every, 1, fast=True) == every[:1]


def test_half_of_the_examples_are_the_picture_in_all_orientations() -> None:
    picture = torch.rand(1, 1, 50, 60, generator=torch.Generator().manual_seed(1))
    examples = Examples(picture, gaussian(), 16, seed=0)
    drawn = examples.draw(400).hr
    found = [places(crop, picture[0, 0].numpy()) for crop in drawn[:, 0]]
    unresized = [numbers[0] for numbers in found if numbers]
    assert drawn.shape == (400, 1, 16, 16)
    assert all(len(numbers) <= 1 for numbers in found)
    assert 160 < len(unresized) < 240
    assert min(unresized.count(number) for number in range(8)) > 8


def test_the_other_examples_are_smaller_versions() -> None:
    """The ramp is as steep as the picture is large: of the crops' slopes those of every version are found."""
    drawn = Examples(ramp(96, 96), gaussian(), 16, seed=0).draw(200).hr[:, 0]
    steps = torch.stack([drawn.diff(dim=1).abs().mean((1, 2)), drawn.diff(dim=2).abs().mean((1, 2))]).amax(0) * 600
    slopes = {round(float(step) / 2.5, 1) for step in steps}
    assert slopes >= {1.0, 1.2, 1.4, 2.0}


def test_crops_see_the_picture_beyond_their_border() -> None:
    picture = ramp(120, 120)
    pair = Examples(picture, gaussian(), 32, seed=0).draw(100)
    for interpolated, hr in zip(pair.interpolated, pair.hr, strict=True):
        inner = (..., slice(10, -10), slice(10, -10))
        torch.testing.assert_close(interpolated[inner], hr[inner], rtol=0, atol=1e-3)
    inside = (pair.hr.amin((1, 2, 3)) > 60 / 600) & (pair.hr.amax((1, 2, 3)) < 350 / 600)
    assert inside.sum() > 5
    errors = (pair.interpolated - pair.hr).abs().amax((1, 2, 3))
    assert (errors[inside] < 1e-3).float().mean() > 0.5  # without the surroundings all of them would be wrong


def test_a_seed_decides_the_examples() -> None:
    first, again, other = (Examples(image(40, 40), gaussian(), 16, seed).draw(3).hr for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@given(st.lists(st.floats(0, 1, width=32), min_size=6, max_size=6, unique=True))
def test_the_error_stagnates_where_a_fitted_slope_is_uncertain(errors: list[float]) -> None:
    line = linregress(range(6), errors)
    margin = -1.5 * line.slope - line.stderr
    if abs(margin) > 1e-9:
        assert stagnates(errors) == (margin <= 0)


def test_the_rate_falls_after_six_tests_without_progress_and_not_before() -> None:
    rate = FallingRate()
    for error in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2):
        rate.add_test(error)
    assert rate.value == 1e-3
    values = []
    for _ in range(30):
        rate.add_test(0.2)
        values.append(rate.value)
    falls = [index for index in range(1, 30) if values[index] < values[index - 1]]
    assert np.diff(falls).tolist() == [6] * (len(falls) - 1)
    assert min(values) < 1e-6


def test_training_ends_when_the_rate_has_fallen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zssr, "TEST_EVERY", 2)
    monkeypatch.setattr(zssr, "stagnates", lambda errors: True)
    steps_seen: list[Progress] = []
    fit(image(20, 20), gaussian(), iterations=99, on_step=steps_seen.append)
    assert [step.iteration for step in steps_seen] == list(range(1, 37))
    assert [step.learning_rate for step in steps_seen] == pytest.approx([1e-3] * 12 + [1e-4] * 12 + [1e-5] * 12)
    assert {step.limit for step in steps_seen} == {99}


def test_the_loss_is_the_mean_distance_from_hr() -> None:
    steps_seen: list[Progress] = []
    picture = image(16, 16)
    network = initial(3, gaussian(), seed=4)
    # One crop as large as the picture, in some orientation: for this kernel and the untrained network nearly the same.
    pair = paired(picture, gaussian())
    with torch.no_grad():
        wanted = (pair.interpolated + network.residual(pair.interpolated) - pair.hr).abs().mean()
    fit(picture, gaussian(), seed=4, iterations=1, on_step=steps_seen.append)
    assert steps_seen[0].loss == pytest.approx(float(wanted), rel=0.2)


def test_back_projection_comes_ever_closer_to_the_picture() -> None:
    kernel, lr = gaussian(1.8, 1.0, 0.5), image(30, 34)
    sr = interpolate(lr, 2)
    errors = [
        float((downsample(back_projected(sr, lr, kernel, times), kernel, 2) - lr).abs().mean()) for times in range(6)
    ]
    assert all(after < before for before, after in pairwise(errors))


def test_a_seed_decides_the_network() -> None:
    networks = [fit(image(20, 22), gaussian(), seed=seed, iterations=3).state_dict() for seed in (1, 1, 2)]
    first, again, other = (torch.cat([tensor.flatten() for tensor in state.values()]) for state in networks)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_upscaler_runs_it_to_powers_of_its_scale(channels: int, scale: int) -> None:
    picture = painted(0, 18, 21).color[..., :channels]
    network = fit(image(18, 21, channels), gaussian(), iterations=1)
    resolved = ResolvedNetwork("zssr", network.spec, network, {})
    sr = Upscaler(network=resolved, scale=scale).upscale(picture)
    assert sr.shape == (18 * scale, 21 * scale, channels)
    assert sr.min() < sr.max()


def test_it_learns_what_its_kernel_did() -> None:
    hr, kernel = patchwork(128), gaussian(1.6, 1.1, 0.3)
    lr = downsample(hr, kernel, 2)
    network = fit(lr, kernel, iterations=40)
    network.back_projections = 0  # they need no learning
    assert decibels(network(lr), hr) > decibels(interpolate(lr, 2), hr) + 2.5


@pytest.mark.parametrize("kernel", [gaussian(), centred(np.outer(*[np.hanning(43)] * 2), 2)])
def test_tiles_leave_no_seams(kernel: BlurKernel) -> None:
    network = initial(3, kernel, seed=0).requires_grad_(False)
    network.orientations = network.orientations[:1]
    resolved = ResolvedNetwork("zssr", network.spec, network, {})
    tiled, whole = (
        Upscaler(network=resolved, scale=2, tile=tile).upscale(painted(0, 70, 60).color) for tile in (24, 0)
    )
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_a_flat_picture_stays_flat() -> None:
    flat = torch.full((1, 3, 20, 20), 0.25)
    assert (fit(flat, gaussian(), iterations=30)(flat) - 0.25).abs().max() < 0.05


def test_pictures_too_small_to_learn_from_are_refused() -> None:
    with pytest.raises(InputError, match="32x32"):
        fit(image(31, 90), gaussian(scale=4))
    fit(image(32, 32), gaussian(scale=4), iterations=1)


def test_full_precision_is_kept_where_it_is_asked_for() -> None:
    assert not zssr.trains_in_bf16(torch.device("cpu"), "fp32")
    assert not zssr.trains_in_bf16(torch.device("cuda"), "half")


def test_small_pictures_have_no_smaller_versions() -> None:
    """Seen from outside: every crop of a picture as large as a crop is the picture, in some orientation."""
    picture = torch.rand(1, 1, 30, 30, generator=torch.Generator().manual_seed(0))
    crops = Examples(picture, gaussian(), 30, seed=0).draw(40).hr[:, 0]
    assert all(places(crop, picture[0, 0].numpy()) for crop in crops)


@pytest.mark.shared
def test_the_true_kernel_teaches_more_than_the_bicubic_one(shared: Path) -> None:
    folder = shared / "data" / "DIV2KRK_10"
    lr, hr = (
        torch.from_numpy(read_picture(folder / part / "im_14.png").color.copy()).permute(2, 0, 1)[None] / 255
        for part in ("lr_x2", "gt")
    )
    top, left = lr.shape[-2] // 2 - 32, lr.shape[-1] // 2 - 32
    lr, hr = (x[..., s * top : s * (top + 64), s * left : s * (left + 64)] for x, s in ((lr, 1), (hr, 2)))
    true = read_kernel(folder / "gt_k_x2" / "kernel_14.mat")
    by_true, by_bicubic = (decibels(fit(lr, kernel, iterations=20)(lr), hr) for kernel in (true, bicubic(2)))
    assert by_true > by_bicubic + 0.5
