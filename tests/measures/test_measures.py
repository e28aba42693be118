"""MS-SSIM and NIQE, by what is known of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from upscale_cli.errors import InputError, UsageError
from upscale_cli.evaluation import read_rgb8
from upscale_cli.measures.chart import draw
from upscale_cli.measures.niqe import FEATURES, Pristine, block_features, niqe, read_pristine
from upscale_cli.measures.table import MEASURES, measured
from upscale_cli.metrics import C1, luma, ms_ssim

SAMPLE = Path(__file__).parents[2] / "docs" / "pictures" / "sample.png"


def noise(height: int = 180, width: int = 200, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(20, 200, (height, width))


def test_equal_pictures_have_an_ms_ssim_of_one_and_small_ones_none() -> None:
    assert ms_ssim(noise(), noise()) == pytest.approx(1)
    assert math.isnan(ms_ssim(noise(175), noise(175)))


def test_ms_ssim_of_flat_pictures_is_their_luminance_at_the_smallest_size() -> None:
    """Contrast and structure of what is flat are 1, and the weight of the smallest size is 0.1333."""
    a, b = np.full((200, 200), 100.0), np.full((200, 200), 130.0)
    assert ms_ssim(a, b) == pytest.approx(((2 * 100 * 130 + C1) / (100**2 + 130**2 + C1)) ** 0.1333)


def test_ms_ssim_falls_with_noise_and_forgives_it_more_than_blur_of_all_sizes() -> None:
    picture = noise()
    values = [ms_ssim(picture, picture + strength * noise(seed=1)) for strength in (0, 0.1, 0.5)]
    assert values == sorted(values, reverse=True)
    assert ms_ssim(picture, 255 - picture) < 0.5


@pytest.fixture(scope="module")
def sample() -> NDArray[np.float64]:
    y: NDArray[np.float64] = luma(np.tile(read_rgb8(SAMPLE), (2, 2, 1)))
    return y


@pytest.fixture(scope="module")
def own(sample: NDArray[np.float64]) -> Pristine:
    features = block_features(sample)
    return Pristine(features.mean(0), np.cov(features, rowvar=False))


def test_niqe_is_how_far_the_features_are_from_those_of_the_statistics(
    sample: NDArray[np.float64], own: Pristine
) -> None:
    assert block_features(sample).shape == (3 * 4, FEATURES)
    assert niqe(sample, own) == pytest.approx(0, abs=1e-6)
    noisy = sample + np.random.default_rng(0).normal(0, 10, sample.shape)
    assert niqe(noisy, own) > 1
    assert niqe(noisy, own) == niqe(np.rint(noisy), own)


@pytest.mark.parametrize("shape", [(95, 400), (96, 96)])
def test_niqe_of_less_than_two_blocks_or_of_flat_ones_is_no_number(shape: tuple[int, int], own: Pristine) -> None:
    assert math.isnan(niqe(noise(*shape), own))
    assert math.isnan(niqe(np.full((200, 200), 99.0), own))


def test_statistics_are_read_from_files_of_other_programs(tmp_path: Path, own: Pristine) -> None:
    mean, covariance = own.mean[None], own.covariance
    np.savez(tmp_path / "a.npz", mu_pris_param=mean, cov_pris_param=covariance, gaussian_window=np.ones((7, 7)))
    savemat(tmp_path / "a.mat", {"mu_prisparam": mean, "cov_prisparam": covariance})
    for name in ("a.npz", "a.mat"):
        found = read_pristine(tmp_path / name)
        assert np.array_equal(found.mean, own.mean)
        assert np.array_equal(found.covariance, covariance)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no statistics"),
        (b"PK\x03\x04 and nothing", "holds no statistics"),
        ({"other": np.ones(3)}, "holds no statistics"),
        ({"pop_mu": np.ones(18), "pop_cov": np.eye(18)}, "another number of features"),
        ({"pop_mu": np.full(36, np.nan), "pop_cov": np.eye(36)}, "not finite"),
        ({"pop_mu": np.zeros(400_000), "pop_cov": np.eye(36)}, "holds no statistics"),
        (None, "There is no file"),
    ],
)
@pytest.mark.parametrize("name", ["a.npz", "a.mat"])
def test_other_files_are_refused_in_a_sentence(tmp_path: Path, name: str, content: object, words: str) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        savemat(path, content) if name == "a.mat" else np.savez(path, **content)
    with pytest.raises(InputError, match=words):
        read_pristine(path)


def test_numbers_come_in_the_order_of_the_table_whatever_was_asked_first() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (190, 190, 3), np.uint8)
    numbers = measured(["ms-ssim", "ssim", "psnr", "ssim"])(picture, picture[..., :1], 4)
    assert list(numbers) == [name for name in MEASURES if name in numbers]
    assert set(numbers) == {"psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "ms_ssim"}
    with pytest.raises(UsageError, match="NIQE needs the statistics of undistorted pictures"):
        measured(["niqe"])


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_a_chart_names_every_picture_and_network(tmp_path: Path, suffix: str) -> None:
    numbers = {"psnr_y": 31.5, "ssim_y": 0.9, "seconds": 0.1}
    table = {method: dict.fromkeys(("baby", "bird"), numbers) for method in ("bicubic x4", "lite-x4")}
    draw(table, tmp_path / f"a.{suffix}")
    data = (tmp_path / f"a.{suffix}").read_bytes()
    if suffix == "svg":
        assert all(text in data for text in (b"baby", b"bird", b"bicubic x4", b"PSNR Y (more is better)"))


def test_a_chart_of_equal_pictures_has_no_end(tmp_path: Path) -> None:
    draw({"result": {"a": {"psnr_y": math.inf}}}, tmp_path / "a.svg")
