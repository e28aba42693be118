"""A trial: RRDBNet's dense block in three ways, the same in exact arithmetic.

    python benchmarks/dense_blocks.py [--device cuda] [--size 1080x1920] [--blocks 69]

joined: before each convolution all features so far are copied into one tensor, as networks/rrdbnet.py does. partly:
what all five convolutions make of the block's input is computed at once, and only new features are joined. sums: each
new feature is convolved at once for all convolutions to come, and nothing is joined. Milliseconds for ``--blocks``
blocks of 64 features and growth 32, the best of ``--repeat``, and the largest difference to the first way as a share
of the largest value.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import pairwise
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli import device as devices
from upscale_cli.networks.rrdbnet import RESIDUAL_SCALE, SLOPE, DenseBlock

FEATURES, GROWTH = 64, 32
STARTS = (0, *range(FEATURES, FEATURES + 5 * GROWTH, GROWTH))  # of the input and of what follows it, in channels
Way = Callable[[Tensor], Tensor]


def ways(block: DenseBlock) -> dict[str, Way]:
    """Return the three ways."""
    convolutions = [block.conv1, block.conv2, block.conv3, block.conv4, block.conv5]
    bias = torch.cat([one.bias for one in convolutions if one.bias is not None])
    heights = [one.out_channels for one in convolutions]
    # Of each source the weights of all convolutions that see it; of each convolution those of what is new.
    by_source = [
        torch.cat([one.weight[:, start:end] for one in convolutions[number:]]).to(memory_format=torch.channels_last)
        for number, (start, end) in enumerate(pairwise(STARTS))
    ]
    of_new = [one.weight[:, FEATURES:].to(memory_format=torch.channels_last) for one in convolutions[1:]]

    def partly(x: Tensor) -> Tensor:
        first, *rest = torch.split(F.conv2d(x, by_source[0], bias, padding=1), heights, 1)
        known = F.leaky_relu(first, SLOPE).contiguous(memory_format=torch.channels_last)
        for weight, part in zip(of_new[:-1], rest[:-1], strict=True):
            new = F.leaky_relu(F.conv2d(known, weight, padding=1).add_(part), SLOPE, inplace=True)
            known = torch.cat((known, new), 1)
        residual = F.conv2d(known, of_new[-1], padding=1).add_(rest[-1])
        return torch.add(x, residual, alpha=RESIDUAL_SCALE)

    def sums(x: Tensor) -> Tensor:
        coming = F.conv2d(x, by_source[0], bias, padding=1)
        for weight in by_source[1:]:
            new = F.leaky_relu(coming[:, :GROWTH], SLOPE).contiguous(memory_format=torch.channels_last)
            coming = F.conv2d(new, weight, padding=1).add_(coming[:, GROWTH:])
        return torch.add(x, coming, alpha=RESIDUAL_SCALE)

    return {"joined": block, "partly": partly, "sums": sums}


def fastest(way: Way, x: Tensor, blocks: int, repeat: int) -> float:
    """Return milliseconds of ``blocks`` calls."""

    def run() -> float:
        start, features = perf_counter(), x
        for _ in range(blocks):
            features = way(features)
        features.flatten()[0].item()  # a GPU has then done all
        return 1000 * (perf_counter() - start)

    run()
    return min(run() for _ in range(repeat))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", default="128x128", help="WIDTHxHEIGHT")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    device = devices.select(options.device)
    kind = devices.dtype(device, "auto")
    width, height = map(int, options.size.split("x"))
    torch.manual_seed(0)
    block = DenseBlock(FEATURES, GROWTH).to(device, kind).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(1, FEATURES, height, width, device=device, dtype=kind).to(memory_format=torch.channels_last)
    print(f"{devices.describe(device)}, {kind}\n\n| way | ms | difference |\n| --- | --- | --- |")
    expected = block(x).float()
    for name, way in ways(block).items():
        difference = float((way(x).float() - expected).abs().max() / expected.abs().max())
        print(f"| {name} | {fastest(way, x, options.blocks, options.repeat):.1f} | {difference:.0e} |", flush=True)


if __name__ == "__main__":
    main()
