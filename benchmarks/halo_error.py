"""How far tiled results are from the whole picture's, by halo.

    python benchmarks/halo_error.py MODEL PICTURE [--tile 64]

Prints, for halos up to the network's receptive radius, the largest and the mean difference in levels of 255. MODEL is
a name or a file, or `rrdbnet-23` for RRDBNet 64/23/32 with ESRGAN's initialisation (weights scaled by 0.1).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from upscale_cli import tiling
from upscale_cli.images.read import read_picture
from upscale_cli.networks import NetworkSpec, build
from upscale_cli.upscaling.runner import default_halo
from upscale_cli.weights.resolve import resolve

HALOS = (0, 4, 8, 16, 24, 32, 48, 64)


def esrgan_initialised() -> tuple[NetworkSpec, nn.Module]:
    torch.manual_seed(0)
    sizes = {"features": 64, "blocks": 23, "growth": 32, "doublings": 2, "unshuffle": 1}
    spec = NetworkSpec("rrdbnet", 4, 3, 3, 349, hyperparameters=sizes)
    network = build(spec)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.data.mul_(0.1)
    return spec, network


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--tile", type=int, default=64)
    options = parser.parse_args()
    if options.model == "rrdbnet-23":
        spec, network = esrgan_initialised()
    else:
        resolved = resolve(options.model)
        spec, network = resolved.spec, resolved.module
    color = torch.from_numpy(read_picture(options.picture).color).permute(2, 0, 1)[None].float() / 255
    image = tiling.pad_to_multiple(color, spec.size_multiple)
    whole: Tensor = network(image)
    print(f"{options.model}: radius {spec.receptive_radius}, default halo {default_halo(spec)}, tile {options.tile}")
    for halo in sorted({h * spec.size_multiple for h in HALOS} | {spec.receptive_radius}):
        tiles = tiling.plan(image.shape[2], image.shape[3], options.tile, halo, spec.size_multiple)
        tiled = tiling.run(network, image, tiles, spec.scale, halo=halo, multiple=spec.size_multiple)
        difference = (tiled.clamp(0, 1) - whole.clamp(0, 1)).abs() * 255
        print(f"halo {halo:>4}: largest {difference.max():9.5f}  mean {difference.mean():9.6f}")


if __name__ == "__main__":
    main()
