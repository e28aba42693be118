"""JPEG on tensors against libjpeg, as OpenCV ships it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.degradation import jpeg


def through_libjpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    """(3, H, W) in [0, 1], there and back."""
    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
    subsampled = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, *subsampled])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return torch.from_numpy(decoded[..., ::-1].copy()).permute(2, 0, 1).float() / 255


def scene(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Like a photograph: smooth colours, not too strong, an edge, and a little texture."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 12 + 2, width // 12 + 2, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]
    smooth = smooth.mean(0) + 0.5 * (smooth - smooth.mean(0))
    smooth[:, height // 3 :, width // 2 :] *= 0.5
    return (smooth + 0.03 * torch.randn(1, height, width, generator=generator)).clamp(0, 1)


def level_differences(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    return (ours - theirs).abs() * 255


@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 95, 100])
def test_the_result_is_libjpegs(quality: int) -> None:
    image = scene(96, 128)
    difference = level_differences(jpeg.apply(image[None], torch.tensor([quality]))[0], through_libjpeg(image, quality))
    assert difference.mean() < 0.6
    assert 10 * np.log10(255**2 / (difference**2).mean().item()) > 45


@pytest.mark.parametrize(("height", "width"), [(17, 17), (33, 47), (48, 31), (9, 64), (64, 13), (63, 5)])
def test_odd_sizes_are_as_in_libjpeg(height: int, width: int) -> None:
    image = scene(height, width)
    result = jpeg.apply(image[None], torch.tensor([75]))
    assert level_differences(result[0], through_libjpeg(image, 75)).mean() < 1


@given(st.integers(1, 40), st.integers(1, 40))
def test_any_size_is_the_corner_of_its_padded_picture(height: int, width: int) -> None:
    image = scene(height, width)[None]
    result = jpeg.apply(image, torch.tensor([90]))
    padded = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 0), (0, -height % 16), (0, -width % 16)), mode="edge"))
    whole = jpeg.apply(padded, torch.tensor([90]))[..., :height, :width]
    inside = slice(0, max(height - 2, 0)), slice(0, max(width - 2, 0))  # colour at the edge has other neighbours
    assert result.shape == image.shape
    assert torch.allclose(result[..., *inside], whole[..., *inside], atol=1e-6)


@pytest.mark.shared
def test_photographs_come_back_as_from_libjpeg(shared: Path) -> None:
    for path in sorted((shared / "data" / "Set5" / "x4" / "HR").iterdir())[:3]:
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert pixels is not None
        image = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1).float() / 255
        for quality in (30, 60, 95):
            ours = jpeg.apply(image[None], torch.tensor([quality]))[0]
            assert level_differences(ours, through_libjpeg(image, quality)).mean() < 0.6


def test_each_picture_has_its_own_quality() -> None:
    images = torch.stack([scene(33, 50)] * 3)
    result = jpeg.apply(images, torch.tensor([20, 60, 95]))
    for one, quality in zip(result, (20, 60, 95), strict=True):
        assert torch.equal(one, jpeg.apply(images[:1], torch.tensor([quality]))[0])
    errors = (result - images).abs().mean((1, 2, 3))
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("quality", [1, 25, 49, 50, 51, 90, 100])
def test_the_tables_are_those_in_libjpegs_files(quality: int) -> None:
    data = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    # Segments DQT: marker, two bytes of length, one of identity, then 64 entries along the zigzag.
    starts = [i + 5 for i in range(len(data) - 1) if data[i : i + 2] == b"\xff\xdb"]
    zigzag = sorted(np.ndindex(8, 8), key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]))
    tables = jpeg.quantisation(torch.tensor([quality]))[0]
    assert len(starts) == 2
    for start, table in zip(starts, tables, strict=True):
        assert [int(table[at]) for at in zigzag] == list(data[start : start + 64])


def test_the_transform_is_orthonormal_and_finds_a_cosine() -> None:
    matrix = jpeg.block_transform()
    assert torch.allclose(matrix @ matrix.T, torch.eye(64), atol=1e-6)
    place = np.arange(8)
    wave = np.outer(np.cos((2 * place + 1) * 3 * np.pi / 16), np.cos((2 * place + 1) * 5 * np.pi / 16))
    assert np.allclose(matrix.numpy() @ wave.ravel(), np.eye(64)[3 * 8 + 5] * 4, atol=1e-5)


def test_flat_gray_pictures_pass_unchanged_at_full_quality() -> None:
    levels = torch.arange(0, 256, 5).float().view(-1, 1, 1, 1).expand(-1, 3, 16, 16) / 255
    assert torch.allclose(jpeg.apply(levels, torch.full((len(levels),), 100)), levels, atol=1e-6)


def test_the_input_is_clamped_and_left_alone() -> None:
    images = scene(16, 16)[None] * 3 - 1
    before = images.clone()
    result = jpeg.apply(images, torch.tensor([80]))
    assert torch.equal(images, before)
    assert torch.equal(result, jpeg.apply(images.clamp(0, 1), torch.tensor([80])))
    assert 0 <= result.min() <= result.max() <= 1
    assert torch.allclose(result * 255, (result * 255).round(), atol=1e-4)
