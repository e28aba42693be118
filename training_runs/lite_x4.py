"""Train the embedded network `lite-x4`: SRVGGNetCompact 64/8, ×4, L1 on MATLAB-bicubic pairs.

    python training_runs/lite_x4.py --hr DIR --hr DIR --iterations 15000 --out runs/lite_x4 [--validate DIR]

Each `--hr` folder is drawn from equally often. A run that was stopped goes on from `OUT/last.pt`; randomness depends
on (seed, step) alone. `OUT/lite-x4.safetensors` is the EMA network in fp16, with its record beside it.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from upscale_cli.images.read import read_picture
from upscale_cli.metrics import score
from upscale_cli.networks.compact import Compact
from upscale_cli.resize import matlab_bicubic

SCALE, FEATURES, CONVOLUTIONS = 4, 64, 8
HR_PATCH, BATCH, SEED = 128, 16, 7
RATE, FINAL_RATE, WARMUP, EMA = 1e-3, 1e-6, 200, 0.999
Levels = NDArray[Any]  # (H, W, 3), uint8
Pair = tuple[Levels, Levels]


def read_rgb(path: Path) -> Levels:
    color = read_picture(path).color
    return np.array(np.broadcast_to(color, (*color.shape[:2], 3)))


def shrink(hr: Levels) -> Levels:
    tensor = torch.from_numpy(hr).permute(2, 0, 1).float()
    return matlab_bicubic(tensor, 1 / SCALE).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


def load_pairs(folder: Path) -> list[Pair]:
    pairs = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp"}):
        hr = read_rgb(path)
        hr = hr[: hr.shape[0] // SCALE * SCALE, : hr.shape[1] // SCALE * SCALE]
        pairs.append((hr, shrink(hr)))
    return pairs


def crop(sets: list[list[Pair]], rng: np.random.Generator) -> Pair:
    """One aligned pair of patches, in one of the eight orientations."""
    chosen = sets[rng.integers(len(sets))]
    hr, lr = chosen[rng.integers(len(chosen))]
    size = HR_PATCH // SCALE
    y, x = rng.integers(lr.shape[0] - size + 1), rng.integers(lr.shape[1] - size + 1)
    patches = lr[y : y + size, x : x + size], hr[y * SCALE :, x * SCALE :][:HR_PATCH, :HR_PATCH]
    turn, flip = int(rng.integers(4)), rng.integers(2)
    turned = [np.rot90(p, turn) for p in patches]
    lr_patch, hr_patch = (p[:, ::-1] if flip else p for p in turned)
    return hr_patch, lr_patch


def batch(sets: list[list[Pair]], step: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng([SEED, step])
    hr, lr = zip(*(crop(sets, rng) for _ in range(BATCH)), strict=True)
    return tuple(torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2).float() / 255 for x in (lr, hr))  # type: ignore[return-value]


def rate(step: int, iterations: int) -> float:
    cosine = 0.5 * (1 + math.cos(math.pi * step / iterations))
    return min(1.0, (step + 1) / WARMUP) * (FINAL_RATE + (RATE - FINAL_RATE) * cosine)


@torch.inference_mode()
def validate(network: nn.Module, folder: Path) -> float:
    """Mean PSNR on Y, border of SCALE pixels cropped, over FOLDER/LR against FOLDER/HR."""
    values = []
    for hr_path, lr_path in zip(sorted((folder / "HR").iterdir()), sorted((folder / "LR").iterdir()), strict=True):
        lr = torch.from_numpy(read_rgb(lr_path)).permute(2, 0, 1)[None].float() / 255
        sr = (network(lr)[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        values.append(score(sr, read_rgb(hr_path), border=SCALE).psnr_y)
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hr", type=Path, action="append", required=True)
    parser.add_argument("--iterations", type=int, default=15000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--validate", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sets = [load_pairs(folder) for folder in options.hr]

    torch.manual_seed(SEED)
    network = Compact(3, 3, FEATURES, CONVOLUTIONS, SCALE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    start, seconds = 0, 0.0
    last = options.out / "last.pt"
    if last.exists():
        state = torch.load(last, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        start, seconds = state["step"], state["seconds"]

    began, losses = time.monotonic() - seconds, []
    for step in range(start, options.iterations):
        optimizer.param_groups[0]["lr"] = rate(step, options.iterations)
        lr, hr = batch(sets, step)
        with torch.autocast("cpu", torch.bfloat16):
            sr = network(lr.contiguous(memory_format=torch.channels_last))
        loss = F.l1_loss(sr.float(), hr)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        torch._foreach_lerp_(
            list(average.parameters()), list(network.parameters()), 1 - min(EMA, (step + 1) / (step + 10))
        )
        losses.append(loss.item())
        if (step + 1) % 500 == 0:
            seconds = time.monotonic() - began
            figure = validate(average, options.validate) if options.validate else float("nan")
            line = {
                "step": step + 1,
                "loss": round(float(np.mean(losses)), 5),
                "psnr": round(figure, 3),
                "seconds": round(seconds),
            }
            losses = []
            print(json.dumps(line), flush=True)
            with (options.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            state = {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
            torch.save(state | {"step": step + 1, "seconds": seconds}, last.with_suffix(".tmp"))
            last.with_suffix(".tmp").replace(last)
    save_file({k: v.half().contiguous() for k, v in average.state_dict().items()}, options.out / "lite-x4.safetensors")


if __name__ == "__main__":
    main()
