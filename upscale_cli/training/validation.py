"""PSNR and SSIM during a run, on pictures the network is not trained on, and some of the results as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import nn

from upscale_cli import metrics, pipeline
from upscale_cli.evaluation import Case, find_cases
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.sheet import contact_sheet
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.inference import DeviceNetwork
from upscale_cli.networks import NetworkSpec
from upscale_cli.resize import resize_pixels
from upscale_cli.tiling import Grid, TileQueue
from upscale_cli.training.recipe import Validation

TILE = 512  # LR pixels
SAMPLE_SIDE = 320  # most pixels of a sample's crop


@dataclass(frozen=True)
class Figures:
    """PSNR and SSIM on Y, means over the validation pictures."""

    psnr_y: float
    ssim_y: float


def find(validation: Validation) -> list[tuple[Path, Path | None]]:
    """Return the files of (HR, LR or None) that the recipe names. Raises InputError where they are missing."""
    if not validation.hr:
        return []
    return find_cases(Path(validation.hr), Path(validation.lr) if validation.lr else None)


def enlarge(module: nn.Module, spec: NetworkSpec, lr: Pixels, device: torch.device) -> Pixels:
    """Return uint8 ``lr`` (H, W, 3) enlarged, as ``upscale`` would make it in fp32."""
    queue = TileQueue(Grid(lr.shape[0], lr.shape[1], spec.tile_halo, spec.size_multiple, spec.any_size), TILE)
    return pipeline.run([DeviceNetwork(module, spec, device)], lr, queue, spec.scale, lr.dtype)


def validate(
    module: nn.Module, spec: NetworkSpec, cases: list[Case], device: torch.device, samples: Path | None, count: int
) -> Figures:
    """Measure the network on all cases; write bicubic, SR and HR of the first ``count`` to the picture ``samples``."""
    training = module.training
    module.eval()
    scores, cells, labels = [], [], []
    for case in cases:
        sr = enlarge(module, spec, case.lr, device)
        score = metrics.score(sr, case.hr, border=spec.scale)
        scores.append(score)
        if len(scores) <= count:
            cells += _cells(case, sr)
            labels += [f"{case.name}: bicubic", f"{score.psnr_y:.2f} dB", "HR"]
    module.train(training)
    if samples is not None and cells:
        samples.parent.mkdir(parents=True, exist_ok=True)
        write_image(contact_sheet(cells, labels), samples, WriteOptions(by_name("png")))
    return Figures(fmean(s.psnr_y for s in scores), fmean(s.ssim_y for s in scores))


def _cells(case: Case, sr: Pixels) -> list[Picture]:
    """Return the middle of the bicubic enlargement, of the result and of HR."""
    height, width = case.hr.shape[:2]
    bicubic = resize_pixels(case.lr, (height, width), "bicubic", np.uint8)
    top, left = max(0, height - SAMPLE_SIDE) // 2, max(0, width - SAMPLE_SIDE) // 2
    return [Picture(p[top : top + SAMPLE_SIDE, left : left + SAMPLE_SIDE]) for p in (bicubic, sr, case.hr)]
