"""Samples per second of the second-order degradation: batched as in training, and one picture at a time.

    python benchmarks/degradation.py [--batch 16] [--side 256] [--rounds 24]

The one at a time is written as data loaders usually are, Real-ESRGAN's above all: OpenCV filters, resizes and
compresses, NumPy makes noise and kernels, padded to 21x21. Both draw from the same settings, where each picture of the
second has its own resizes. Both run on one core, with the allocator settings of training, in alternating rounds, and
seconds are those of the processor's work, so that other programs hardly disturb them.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli.degradation import chains
from upscale_cli.degradation.blur import NO_BLUR, SUPPORT, KernelParameters
from upscale_cli.degradation.noise import NoiseParameters
from upscale_cli.device import keep_freed_memory

SCALE = 4
INTERPOLATION = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
Image = NDArray[np.float32]


def numpy_kernel(drawn: KernelParameters) -> Image:
    line = np.arange(drawn.size) - drawn.size // 2
    x, y = np.meshgrid(line, line)
    if drawn.kind == "sinc":
        return sinc_kernel(np.hypot(x, y), drawn.cutoff)
    turn = np.array([[np.cos(drawn.angle), -np.sin(drawn.angle)], [np.sin(drawn.angle), np.cos(drawn.angle)]])
    inverse = np.linalg.inv(turn @ np.diag([drawn.sigma_x**2, drawn.sigma_y**2]) @ turn.T)
    grid = np.stack([x, y], -1)
    distance = np.sum((grid @ inverse) * grid, 2) ** drawn.beta
    kernel = 1 / (1 + distance) if drawn.kind.startswith("plateau") else np.exp(-0.5 * distance)
    normal: Image = (kernel / kernel.sum()).astype(np.float32)
    return normal


def padded_kernel(drawn: KernelParameters) -> Image:
    return np.pad(numpy_kernel(drawn), (SUPPORT - drawn.size) // 2)


def sinc_kernel(r: NDArray[np.float64], cutoff: float) -> Image:
    bessel = torch.special.bessel_j1(torch.from_numpy(cutoff * r)).numpy()
    middle = cutoff**2 / (4 * math.pi)
    kernel = np.where(r == 0, middle, cutoff * bessel / (2 * math.pi * np.maximum(r, 1e-9)))
    normal: Image = (kernel / kernel.sum()).astype(np.float32)
    return normal


def blur_one(image: Image, drawn: KernelParameters) -> Image:
    if drawn == NO_BLUR:
        return image
    result: Image = cv2.filter2D(image, -1, padded_kernel(drawn), borderType=cv2.BORDER_REFLECT_101)  # type: ignore[assignment]
    return result


def resize_one(image: Image, size: tuple[int, int], mode: str) -> Image:
    result: Image = cv2.resize(image, (size[1], size[0]), interpolation=INTERPOLATION[mode])  # type: ignore[assignment]
    return result


def noise_one(image: Image, drawn: NoiseParameters, rng: np.random.Generator) -> Image:
    shape = (*image.shape[:2], 1 if drawn.gray else 3)
    if drawn.kind == "gaussian":
        noise = rng.normal(0, drawn.strength / 255, shape)
    else:
        source = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] if drawn.gray else image
        source = np.clip((source * 255).round(), 0, 255) / 255
        photons = 2 ** np.ceil(np.log2(len(np.unique(source))))
        noise = (rng.poisson(source * photons) / photons - source) * drawn.strength
    return np.clip(image + noise, 0, 1).astype(np.float32)


def jpeg_one(image: Image, quality: int) -> Image:
    levels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    _, data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded.astype(np.float32) / np.float32(255)


def degrade_one(image: Image, drawn: chains.Parameters) -> Image:
    """As ``chains.apply`` for one picture (H, W, 3)."""
    rng = np.random.default_rng(drawn.noise_seed)
    first, second = drawn.first, drawn.second
    target = image.shape[0] // SCALE, image.shape[1] // SCALE
    out = blur_one(image, first.kernels[0])
    out = resize_one(out, scaled(image.shape, first.factor), first.mode)
    out = jpeg_one(noise_one(out, first.noise[0], rng), first.quality[0])
    out = blur_one(out, second.kernels[0])
    out = noise_one(resize_one(out, scaled(target, second.factor), second.mode), second.noise[0], rng)
    if drawn.sinc_first:
        out = blur_one(resize_one(out, target, drawn.final_mode), drawn.final_kernels[0])
        out = jpeg_one(out, second.quality[0])
    else:
        out = jpeg_one(out, second.quality[0])
        out = blur_one(resize_one(out, target, drawn.final_mode), drawn.final_kernels[0])
    return np.clip((out * 255).round(), 0, 255).astype(np.float32) / np.float32(255)


def scaled(size: tuple[int, ...], factor: float) -> tuple[int, int]:
    return int(size[0] * factor), int(size[1] * factor)


def smooth_pictures(batch: int, side: int) -> Tensor:
    """Something between a photograph and noise, whose brightness takes all levels."""
    coarse = torch.rand(batch, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("batch", 16), ("side", 256), ("rounds", 60)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    settings = chains.SecondOrder()
    hr = smooth_pictures(options.batch, options.side)
    pictures = [np.ascontiguousarray(picture.permute(1, 2, 0).numpy()) for picture in hr]

    def one_by_one(seed: int) -> None:
        for index, picture in enumerate(pictures):
            degrade_one(picture, chains.draw(settings, 1, [seed, index]))

    chains.degrade(hr, SCALE, settings, [0])
    one_by_one(0)
    batched, single = [], []
    for seed in range(options.rounds):
        batched.append(seconds(lambda: chains.degrade(hr, SCALE, settings, [seed])))  # noqa: B023  (called at once)
        single.append(seconds(lambda: one_by_one(seed)))  # noqa: B023  (called at once)
    rates = [options.batch / statistics.mean(times) for times in (batched, single)]
    print(f"batch {options.batch}, HR {options.side}, one core, {options.rounds} rounds")
    print(f"batched      {rates[0]:7.1f} samples/s   {1000 / rates[0]:6.2f} ms each")
    print(f"one by one   {rates[1]:7.1f} samples/s   {1000 / rates[1]:6.2f} ms each")
    print(f"ratio        {rates[0] / rates[1]:7.2f}")


if __name__ == "__main__":
    main()
