"""Degradation of known strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from upscale_cli.degradation import jpeg, known
from upscale_cli.degradation.chains import with_colors_of
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.kernels.values import covariance
from upscale_cli.resize import matlab_bicubic


def test_without_noise_and_jpeg_nothing_changes() -> None:
    rng = np.random.default_rng(1)
    drawn = known.draw(rng, 4, 4, (30, 98), noise=20, clean=1, blur=(0, 0))
    images = torch.randint(0, 256, (4, 3, 16, 16)) / 255
    torch.testing.assert_close(known.apply(images, drawn, rng), images)


def test_each_picture_gets_the_quality_and_the_noise_it_is_said_to_have() -> None:
    rng = np.random.default_rng(2)
    gray = torch.full((3, 3, 64, 64), 0.5)
    noisy = known.apply(gray, (known.Known(0, None), known.Known(5, None), known.Known(15, None)), rng)
    assert (noisy * 255).std((1, 2, 3)).tolist() == pytest.approx([0, 5, 15], rel=0.05)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).mul(255).round() / 255
    compressed = known.apply(images, (known.Known(0, 40), known.Known(0, 90)), rng)
    torch.testing.assert_close(compressed, jpeg.apply(images, torch.tensor([40, 90])))


def test_qualities_and_noise_stay_in_their_ranges_and_reach_their_ends() -> None:
    drawn = known.draw(np.random.default_rng(3), 2000, 4, (30, 98), noise=20, clean=0.5, blur=(0, 0))
    qualities = [one.jpeg_quality for one in drawn if one.jpeg_quality is not None]
    noise = [one.noise for one in drawn if one.noise]
    assert (min(qualities), max(qualities)) == (30, 98)
    assert 0 < min(noise) < 1
    assert 19 < max(noise) <= 20
    assert len(qualities) == pytest.approx(1000, abs=100)
    assert len(noise) == pytest.approx(1000, abs=100)


def test_blurred_pictures_are_downsampled_with_the_kernel_whose_covariance_is_given() -> None:
    rng = np.random.default_rng(4)
    drawn = known.draw(rng, 300, 2, (70, 98), noise=0, clean=1, blur=(0.1, 1.25))
    blurred = [one for one in drawn if one.kernel is not None]
    assert len(blurred) == pytest.approx(300 * (1 - known.BICUBIC_SHARE), abs=25)
    ratios = []
    for one in blurred:
        assert one.kernel is not None
        true = covariance(one.kernel.values) / 4
        assert 0.05 < np.linalg.eigvalsh(true)[0] <= np.linalg.eigvalsh(true)[1] < 1.35
        ratios.append(np.log(one.blur[0] / true[0, 0]))
    assert np.mean(ratios) == pytest.approx(0, abs=0.03)
    assert np.std(ratios) == pytest.approx(known.ESTIMATES_VARY, rel=0.2)
    hr = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    lr = known.downsampled(hr, (known.Known(0, None), blurred[0]), 2, margin=8)
    assert blurred[0].kernel is not None
    whole = [matlab_bicubic(hr[:1], 0.5), downsample(hr[1:], blurred[0].kernel, 2)]
    torch.testing.assert_close(lr, torch.cat(whole)[..., 4:-4, 4:-4], atol=0.5 / 255 + 1e-6, rtol=0)


def test_a_teacher_gets_the_low_frequencies_of_hr() -> None:
    hr = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 0.5 + 0.2
    darker = hr * 0.8
    torch.testing.assert_close(with_colors_of(darker, hr).mean(), hr.mean(), atol=1e-3, rtol=0)
    details = hr + 0.1 * (torch.arange(64) % 2 - 0.5)
    torch.testing.assert_close(with_colors_of(details, hr), details, atol=1e-3, rtol=0)
