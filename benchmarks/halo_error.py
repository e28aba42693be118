"""How far tiled results are from the whole picture's, by halo.

    python benchmarks/halo_error.py MODEL PICTURE [--tile 64] [--scale 4]

Prints for several halos the largest and the mean difference in levels of 255 (in steps of 1/257, those of 16 bits).
MODEL is a name, a file, or an architecture: then its published size, with the published initialisation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from upscale_cli import networks
from upscale_cli.images.read import read_picture
from upscale_cli.networks import NetworkSpec
from upscale_cli.upscaling.runner import NetworkRunner
from upscale_cli.weights.resolve import resolve

CPU = torch.device("cpu")
HALOS = (0, 4, 8, 16, 24, 32, 48, 64, 96, 128)


def drawn(name: str, scale: int) -> tuple[NetworkSpec, nn.Module]:
    """Return a network of the published size with the published initialisation."""
    torch.manual_seed(0)
    spec = networks.spec(name, scale, {})
    return spec, networks.build(spec, networks.recognise(networks.draw(spec).state_dict())[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--tile", type=int, default=64)
    parser.add_argument("--scale", type=int, default=4, help="of an architecture")
    options = parser.parse_args()
    if options.model in [architecture.name for architecture in networks.ARCHITECTURES]:
        spec, network = drawn(options.model, options.scale)
    else:
        resolved = resolve(options.model)
        spec, network = resolved.spec, resolved.module
    color = read_picture(options.picture).color

    def enlarged(tile: int, halo: int) -> NDArray[np.float64]:
        runner = NetworkRunner(network, spec, devices_used=[CPU], tile=tile, tile_pad=halo)
        return runner.run(color, np.uint16) / 257

    whole = enlarged(0, 0)
    print(f"{options.model}: radius {spec.receptive_radius}, default halo {spec.tile_halo}, tile {options.tile}")
    multiple = spec.size_multiple
    for halo in sorted({-(-h // multiple) * multiple for h in (*HALOS, spec.tile_halo)}):
        difference = np.abs(enlarged(options.tile, halo) - whole)
        print(f"halo {halo:>4}: largest {difference.max():9.5f}  mean {difference.mean():9.6f}")


if __name__ == "__main__":
    main()
