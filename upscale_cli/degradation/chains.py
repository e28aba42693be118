"""Degradation of HR batches to LR, as training shows it to a network: bicubic, or second order.

The second-order chain is Real-ESRGAN's (Wang et al. 2021, section 3; the figures of its published options): twice blur,
resize, noise and JPEG, of which the second ends at the target's size together with a last sinc filter.

    drawn for each picture      kernels of both blurs and of the last filter, kind, strength and colour of the noise,
                                JPEG qualities, and whether there is a second blur and a last filter
    drawn once for a batch      factors and modes of the resizes, and the order of the last steps:
                                the pictures of a batch share their sizes

The pair pool (``pool``) then mixes pictures of different batches, so that a batch varies in these too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.borders import pad_mirrored
from upscale_cli.degradation import blur, jpeg, noise
from upscale_cli.degradation.blur import KernelParameters, KernelSettings, Probability, Range, require_range
from upscale_cli.degradation.noise import NoiseParameters
from upscale_cli.resize import matlab_bicubic, matlab_bicubic_inside

Mode = Literal["area", "bilinear", "bicubic"]
MODES: tuple[Mode, ...] = ("area", "bilinear", "bicubic")
Quality = tuple[Annotated[int, msgspec.Meta(ge=1, le=100)], Annotated[int, msgspec.Meta(ge=1, le=100)]]


class Stage(KernelSettings, frozen=True, forbid_unknown_fields=True):
    """One round of blur, resize, noise and JPEG; the defaults are those of the first.

    ``resize_factor`` is drawn uniformly above 1 with probability ``up_probability``, below 1 with
    ``down_probability``, and is 1 else. In the second stage it is relative to the target's size.
    """

    blur_probability: Probability = 1.0
    up_probability: Probability = 0.2
    down_probability: Probability = 0.7
    resize_factor: Range = (0.15, 1.5)
    gaussian_probability: Probability = 0.5
    gaussian_sigma: Range = (1.0, 30.0)
    poisson_scale: Range = (0.05, 3.0)
    gray_probability: Probability = 0.4
    jpeg_quality: Quality = (30, 95)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("resize_factor", "gaussian_sigma", "poisson_scale"):
            require_range(name, getattr(self, name), above=0 if name == "resize_factor" else None)
        require_range("jpeg_quality", self.jpeg_quality, low=1, high=100)
        if self.up_probability + self.down_probability > 1 + 1e-9:
            raise ValueError("up_probability and down_probability are together more than 1")
        if not self.resize_factor[0] <= 1 <= self.resize_factor[1]:
            raise ValueError(f"resize_factor must include 1, which {list(self.resize_factor)} does not")


class SecondStage(Stage, frozen=True, forbid_unknown_fields=True):
    """As ``Stage``, with the defaults of the second round."""

    sigma: Range = (0.2, 1.5)
    blur_probability: Probability = 0.8
    up_probability: Probability = 0.3
    down_probability: Probability = 0.4
    resize_factor: Range = (0.3, 1.2)
    gaussian_sigma: Range = (1.0, 25.0)
    poisson_scale: Range = (0.05, 2.5)


class SecondOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two rounds, and the last filter: with ``sinc_first_probability`` it comes before the second JPEG, else after."""

    first: Stage = Stage()
    second: SecondStage = SecondStage()
    final_sinc_probability: Probability = 0.8
    sinc_first_probability: Probability = 0.5


@dataclass(frozen=True)
class StageParameters:
    """One round, as drawn: tuples have one entry for each picture, the others hold for the batch."""

    kernels: tuple[KernelParameters, ...]
    noise: tuple[NoiseParameters, ...]
    quality: tuple[int, ...]
    factor: float
    mode: Mode


@dataclass(frozen=True)
class Parameters:
    """A batch, as drawn, which determines the result on a given device."""

    first: StageParameters
    second: StageParameters
    final_kernels: tuple[KernelParameters, ...]
    final_mode: Mode
    sinc_first: bool
    noise_seed: int


def draw(settings: SecondOrder, count: int, seed: Sequence[int]) -> Parameters:
    """Return parameters for a batch of ``count`` pictures, determined by the settings and the seed alone."""
    rng = np.random.default_rng(seed)
    first, second = (_draw_stage(rng, stage, count) for stage in (settings.first, settings.second))
    final = (blur.draw_final_sinc(rng, settings.second.sizes, settings.final_sinc_probability) for _ in range(count))
    return Parameters(
        first,
        second,
        tuple(final),
        _draw_mode(rng),
        bool(rng.random() < settings.sinc_first_probability),
        int(rng.integers(2**63)),
    )


def _draw_stage(rng: np.random.Generator, stage: Stage, count: int) -> StageParameters:
    return StageParameters(
        tuple(
            blur.draw_kernel(rng, stage) if rng.random() < stage.blur_probability else blur.NO_BLUR
            for _ in range(count)
        ),
        tuple(_draw_noise(rng, stage) for _ in range(count)),
        tuple(int(rng.integers(*stage.jpeg_quality, endpoint=True)) for _ in range(count)),
        _draw_factor(rng, stage),
        _draw_mode(rng),
    )


def _draw_noise(rng: np.random.Generator, stage: Stage) -> NoiseParameters:
    gray = bool(rng.random() < stage.gray_probability)
    if rng.random() < stage.gaussian_probability:
        return NoiseParameters("gaussian", rng.uniform(*stage.gaussian_sigma), gray)
    return NoiseParameters("poisson", rng.uniform(*stage.poisson_scale), gray)


def _draw_factor(rng: np.random.Generator, stage: Stage) -> float:
    choice = rng.random()
    if choice < stage.up_probability:
        return rng.uniform(1, stage.resize_factor[1])
    return rng.uniform(stage.resize_factor[0], 1) if choice < stage.up_probability + stage.down_probability else 1.0


def _draw_mode(rng: np.random.Generator) -> Mode:
    return MODES[rng.integers(len(MODES))]


def degrade(hr: Tensor, scale: int, settings: SecondOrder, seed: Sequence[int]) -> Tensor:
    """Return LR (N, 3, H // scale, W // scale) of ``hr`` (N, 3, H, W) in [0, 1], in whole levels of 255.

    Runs batched on the device of ``hr``. The same seed draws the same parameters everywhere, and the same noise on
    the same kind of device.
    """
    return apply(hr, scale, draw(settings, hr.shape[0], seed))


@torch.no_grad()
def apply(hr: Tensor, scale: int, parameters: Parameters) -> Tensor:
    """Return ``hr`` after the second-order chain with the given parameters; see ``degrade``."""
    generator = torch.Generator(hr.device).manual_seed(parameters.noise_seed)
    size = hr.shape[-2] // scale, hr.shape[-1] // scale
    first, second = parameters.first, parameters.second
    out = blurred(hr, first.kernels)
    out = resized(out, _scaled(hr.shape[-2:], first.factor), first.mode)
    out = noise.apply(out, first.noise, generator)
    out = jpeg.apply(out, torch.tensor(first.quality))
    out = blurred(out, second.kernels)
    out = resized(out, _scaled(size, second.factor), second.mode)
    out = noise.apply(out, second.noise, generator)
    if parameters.sinc_first:
        out = blurred(resized(out, size, parameters.final_mode), parameters.final_kernels)
        out = jpeg.apply(out, torch.tensor(second.quality))
    else:
        out = jpeg.apply(out, torch.tensor(second.quality))
        out = blurred(resized(out, size, parameters.final_mode), parameters.final_kernels)
    return in_levels(out)


def _scaled(size: Sequence[int], factor: float) -> tuple[int, int]:
    return max(1, int(size[0] * factor)), max(1, int(size[1] * factor))


def blurred(images: Tensor, parameters: Sequence[KernelParameters]) -> Tensor:
    """Return each picture of (N, C, H, W) under its own kernel; those without blur unchanged."""
    if all(one == blur.NO_BLUR for one in parameters):
        return images
    return blur.apply(images, blur.kernels(parameters))


def resized(images: Tensor, size: tuple[int, int], mode: Mode) -> Tensor:
    """Return ``images`` resized by PyTorch, not antialiased: as in the reference, aliasing is part of it."""
    if size == tuple(images.shape[-2:]):
        return images
    planes = images.flatten(0, 1)[None]  # as channels of one picture it is twice as fast on the CPU
    return F.interpolate(planes, size, mode=mode).view(*images.shape[:2], *size)


def in_levels(images: Tensor) -> Tensor:
    """Return ``images`` clamped to [0, 1] and rounded to multiples of 1/255."""
    return images.mul(255).round_().clamp_(0, 255).div_(255)


def bicubic(hr: Tensor, scale: int) -> Tensor:
    """Return the LR of the benchmarks, MATLAB's ``imresize(hr, 1/scale)`` of (N, 3, H, W): both in whole levels."""
    return in_levels(matlab_bicubic(hr, 1 / scale))


def bicubic_inside(hr: Tensor, scale: int) -> Tensor:
    """Return the same without the LR pixels that depend on the border of ``hr``: ``BICUBIC_REACH`` at each side."""
    return in_levels(matlab_bicubic_inside(hr, scale))


USM_SIZE, USM_WEIGHT, USM_THRESHOLD = 51, 0.5, 10.0
USM_SIGMA = 0.3 * ((USM_SIZE - 1) * 0.5 - 1) + 0.8  # as cv2.getGaussianKernel(51, 0) has it


@torch.no_grad()
def unsharp(hr: Tensor) -> Tensor:
    """Return the sharpened target (N, C, H, W) in [0, 1] of Real-ESRGAN's second stages.

    Where a picture differs from its blurred form by more than 10 levels, half of the difference is added; the mask of
    these places is blurred likewise. The blur is a Gaussian of radius 50 in the sense of the source: 51x51 pixels,
    with the standard deviation that OpenCV derives from this size.
    """
    residual = hr - _smooth(hr)
    mask = _smooth((residual.abs() * 255 > USM_THRESHOLD).to(hr.dtype))
    sharp = (hr + USM_WEIGHT * residual).clamp_(0, 1)
    return torch.lerp(hr, sharp, mask)


def with_colors_of(images: Tensor, hr: Tensor) -> Tensor:
    """Return ``images`` (N, C, H, W) with the low frequencies of ``hr``: what passes the Gaussian of ``unsharp``."""
    return images + _smooth(hr - images)


def _smooth(images: Tensor) -> Tensor:
    """Return ``images`` under the Gaussian of ``unsharp``, by columns and by rows."""
    planes = pad_mirrored(images, USM_SIZE // 2, edge_twice=False).flatten(0, 1)[None]
    count = planes.shape[1]
    line = torch.exp(-0.5 * (torch.arange(USM_SIZE) - USM_SIZE // 2) ** 2 / USM_SIGMA**2)
    line = (line / line.sum()).to(images).expand(count, 1, USM_SIZE)
    planes = F.conv2d(planes, line[..., None], groups=count)
    return F.conv2d(planes, line[:, :, None], groups=count).view_as(images)
