"""How far tiled results are from the whole picture's, by halo.

    python benchmarks/halo_error.py MODEL PICTURE [--tile 64]

Prints, for halos up to the network's receptive radius, the largest and the mean difference in levels of 255 (in steps
of 1/257, those of 16 bits). MODEL is
a name or a file, or `rrdbnet-23` for RRDBNet 64/23/32 with ESRGAN's initialisation (weights scaled by 0.1).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from upscale_cli.images.read import read_picture
from upscale_cli.networks import NetworkSpec, build
from upscale_cli.upscaling.runner import NetworkRunner
from upscale_cli.weights.resolve import resolve

CPU = torch.device("cpu")
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
    color = read_picture(options.picture).color

    def enlarged(tile: int, halo: int) -> NDArray[np.float64]:
        runner = NetworkRunner(network, spec, devices_used=[CPU], tile=tile, tile_pad=halo)
        return runner.run(color, np.uint16) / 257

    whole = enlarged(0, 0)
    print(f"{options.model}: radius {spec.receptive_radius}, default halo {spec.tile_halo}, tile {options.tile}")
    for halo in sorted({h * spec.size_multiple for h in HALOS} | {spec.receptive_radius}):
        difference = np.abs(enlarged(options.tile, halo) - whole)
        print(f"halo {halo:>4}: largest {difference.max():9.5f}  mean {difference.mean():9.6f}")


if __name__ == "__main__":
    main()
