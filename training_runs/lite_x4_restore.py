"""Fine-tune `lite-x4` for damaged pictures: `lite-x4-restore`, the same shape, so that the two can be mixed.

    python training_runs/lite_x4_restore.py --hr DIR --hr DIR --teacher realesr-general-x4v3.pth --out runs/restore

The LR is blurred, resized, noisy and JPEG-compressed at random; the targets are the HR, sharpened as Real-ESRGAN does
it, and what the teacher makes of the same LR. Randomness depends on (seed, step) alone.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from lite_x4 import Levels, read_rgb
from safetensors.torch import save_file
from torch import Tensor, nn

from upscale_cli.weights.resolve import resolve

SCALE, HR_PATCH, BATCH, SEED = 4, 128, 16, 11
RATE, FINAL_RATE, WARMUP, EMA = 5e-4, 1e-6, 100, 0.999
TEACHERS_SHARE = 0.7
CLEAN = 0.1  # share of samples that are only shrunk, so that good pictures stay good
RESIZERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def sharpened(hr: Levels) -> Levels:
    """Unsharp mask, radius 50, weight 0.5, threshold 10 (Real-ESRGAN), of float (H, W, 3), 0 to 255."""
    residual = hr - cv2.GaussianBlur(hr, (51, 51), 0)
    mask = cv2.GaussianBlur((np.abs(residual) > 10).astype(np.float32), (51, 51), 0)
    target: Levels = mask * np.clip(hr + 0.5 * residual, 0, 255) + (1 - mask) * hr
    return target


def blurred(image: Levels, rng: np.random.Generator) -> Levels:
    """A Gaussian of two random widths at a random angle."""
    sigmas = np.exp(rng.uniform(np.log(0.2), np.log(2.4), 2))
    angle = rng.uniform(0, math.pi)
    offsets = np.arange(-7, 8, dtype=np.float64)
    x, y = np.meshgrid(offsets, offsets)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = np.exp(-0.5 * ((along / sigmas[0]) ** 2 + (across / sigmas[1]) ** 2))
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def noisy(image: Levels, rng: np.random.Generator, strongest: float) -> Levels:
    """Gaussian noise, gray in two of five cases, or Poisson noise."""
    if rng.random() < 0.5:
        shape = image.shape[:2] + ((1,) if rng.random() < 0.4 else (3,))
        return image + rng.normal(0, rng.uniform(0.5, strongest), shape).astype(np.float32)
    photons = 10 ** rng.uniform(1.8, 3.2)
    return (rng.poisson(np.clip(image, 0, 255) / 255 * photons) / photons * 255).astype(np.float32)


def compressed(image: Levels, rng: np.random.Generator) -> Levels:
    levels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR).astype(np.float32)  # type: ignore[union-attr]


def damaged(hr: Levels, rng: np.random.Generator) -> Levels:
    """The LR of float (H, W, 3): blur, resize, noise, JPEG; a second, weaker round; rounded to 8 bits."""
    size = hr.shape[1] // SCALE, hr.shape[0] // SCALE
    if rng.random() < CLEAN:
        return np.clip(np.rint(cv2.resize(hr, size, interpolation=cv2.INTER_AREA)), 0, 255)
    image = blurred(hr, rng) if rng.random() < 0.9 else hr
    factor = rng.uniform(0.25, 1.0)
    middle = max(8, round(hr.shape[1] * factor)), max(8, round(hr.shape[0] * factor))
    image = cv2.resize(image, middle, interpolation=int(rng.choice(RESIZERS)))
    image = noisy(image, rng, 20) if rng.random() < 0.8 else image
    image = compressed(image, rng) if rng.random() < 0.7 else image
    image = cv2.resize(image, size, interpolation=int(rng.choice(RESIZERS)))
    image = noisy(image, rng, 10) if rng.random() < 0.4 else image
    image = compressed(image, rng) if rng.random() < 0.6 else image
    return np.clip(np.rint(image), 0, 255)


def sample(sets: list[list[Levels]], rng: np.random.Generator) -> tuple[Levels, Levels]:
    chosen = sets[rng.integers(len(sets))]
    picture = chosen[rng.integers(len(chosen))]
    y, x = (int(rng.integers(side - HR_PATCH + 1)) for side in picture.shape[:2])
    patch = np.rot90(picture[y : y + HR_PATCH, x : x + HR_PATCH], int(rng.integers(4)))
    hr = np.ascontiguousarray(patch if rng.random() < 0.5 else patch[:, ::-1]).astype(np.float32)
    return damaged(hr, rng), sharpened(hr)


def batch(sets: list[list[Levels]], step: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng([SEED, step])
    lr, hr = zip(*(sample(sets, rng) for _ in range(BATCH)), strict=True)
    return tuple(torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2).float() / 255 for x in (lr, hr))  # type: ignore[return-value]


def rate(step: int, iterations: int) -> float:
    cosine = 0.5 * (1 + math.cos(math.pi * step / iterations))
    return min(1.0, (step + 1) / WARMUP) * (FINAL_RATE + (RATE - FINAL_RATE) * cosine)


def train_step(
    network: nn.Module, teacher: nn.Module, optimizer: torch.optim.Optimizer, lr: Tensor, hr: Tensor
) -> float:
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            taught = teacher(lr)
        sr = network(lr)
    loss = TEACHERS_SHARE * F.l1_loss(sr.float(), taught.float().clamp(0, 1)) + (1 - TEACHERS_SHARE) * F.l1_loss(
        sr.float(), hr
    )
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    return loss.item()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hr", type=Path, action="append", required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--iterations", type=int, default=9000)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    sets = [
        [read_rgb(path) for path in sorted(folder.iterdir()) if path.suffix in {".jpg", ".png"}]
        for folder in options.hr
    ]

    network = resolve("lite-x4").module.requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    teacher = resolve(options.teacher).module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    began, losses = time.monotonic(), []
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(batch, sets, 0)
        for step in range(options.iterations):
            lr, hr = waiting.result()
            waiting = reader.submit(batch, sets, step + 1)
            optimizer.param_groups[0]["lr"] = rate(step, options.iterations)
            losses.append(train_step(network, teacher, optimizer, lr.contiguous(memory_format=torch.channels_last), hr))
            decay = min(EMA, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
            if (step + 1) % 250 == 0:
                line = {
                    "step": step + 1,
                    "loss": round(float(np.mean(losses)), 5),
                    "seconds": round(time.monotonic() - began),
                }
                losses = []
                print(json.dumps(line), flush=True)
                with (options.out / "log.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
    state = {key: tensor.half().contiguous() for key, tensor in average.state_dict().items()}
    save_file(state, options.out / "lite-x4-restore.safetensors")


if __name__ == "__main__":
    main()
