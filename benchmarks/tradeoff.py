"""Fidelity against looks on the way from a PSNR-trained network to the GAN-trained one.

    python benchmarks/tradeoff.py PSNR.safetensors GAN.safetensors --hr Set5/HR --lr Set5/LR --features vgg19.pth

For every alpha of the mix (1 - alpha)·A + alpha·B the table shows the mean over the pictures of PSNR and SSIM on Y, and
of the distance to HR in features of VGG19: mean |difference| of ``--layers``, each divided by the mean |feature| of HR.
Low distances look like HR, high PSNR is near it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from upscale_cli import Upscaler
from upscale_cli.evaluation import find_cases, load_case
from upscale_cli.images.picture import Pixels
from upscale_cli.metrics import score
from upscale_cli.training.vgg import Features, load_features
from upscale_cli.weights.load import load
from upscale_cli.weights.mixture import mixed
from upscale_cli.weights.resolve import built

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def planes(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@torch.inference_mode()
def feature_distance(features: Features, sr: Pixels, hr: Pixels, layers: list[str]) -> float:
    of_sr, of_hr = (features(planes(pixels), layers) for pixels in (sr, hr))
    return fmean(float((of_sr[key] - of_hr[key]).abs().mean() / of_hr[key].abs().mean()) for key in layers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs=2, help="A and B, names or files")
    parser.add_argument("--hr", type=Path, required=True)
    parser.add_argument("--lr", type=Path)
    parser.add_argument("--features", default="vgg19", help="name or file of VGG19's weights")
    parser.add_argument("--layers", nargs="+", default=["relu1_2", "relu2_2", "conv3_1"])
    given = parser.parse_args()
    first, second = (load(name) for name in given.networks)
    scale = first.spec.scale
    cases = [load_case(hr, lr, scale) for hr, lr in find_cases(given.hr, given.lr)]
    features = load_features(given.features, given.layers, 0, lambda name, done, total: None)
    print("| alpha | PSNR Y | SSIM Y | feature distance |\n| --- | --- | --- | --- |")
    for alpha in ALPHAS:
        mixture = mixed([first, second], [1 - alpha, alpha])
        network = built(mixture)
        upscaler = Upscaler(network=network, precision="fp32")
        results = [upscaler.upscale(c.lr) for c in cases]
        scores = [score(sr, case.hr, scale) for sr, case in zip(results, cases, strict=True)]
        distance = fmean(
            feature_distance(features, sr, c.hr, given.layers) for sr, c in zip(results, cases, strict=True)
        )
        psnr, ssim = fmean(s.psnr_y for s in scores), fmean(s.ssim_y for s in scores)
        print(f"| {alpha:g} | {psnr:.2f} | {ssim:.4f} | {distance:.4f} |", flush=True)


if __name__ == "__main__":
    main()
