"""A trial: 3x3 convolutions of RRDBNet by Winograd's F(4x4, 3x3) in PyTorch, against its own direct ones.

    python benchmarks/winograd.py [--size 128]

Lavin and Gray 2016, "Fast algorithms for convolutional neural networks": 36 products for 16 pixels in place of 144.
Seconds are those of the processor's work in one thread, the best of ``--repeat``; the transform of the input, which a
dense block's convolutions share, is given by itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import process_time

import torch
import torch.nn.functional as F
from torch import Tensor

LAYERS = ((64, 32), (96, 32), (128, 32), (160, 32), (192, 64))
B = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
G = torch.tensor(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
    dtype=torch.float64,
) / torch.tensor([[24.0], [24], [24], [24], [24], [24]], dtype=torch.float64)
A = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)


def transformed_weight(weight: Tensor) -> Tensor:
    """Return (36, in, out) of ``weight`` (out, in, 3, 3)."""
    whole = torch.einsum("ay,oiyx,bx->abio", G, weight.double(), G)
    return whole.flatten(0, 1).to(weight.dtype).contiguous()


def transformed_input(x: Tensor) -> Tensor:
    """Return (36, tiles, C) of ``x`` (1, C, H, W) in channels_last order, H and W multiples of 4."""
    padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)[0]
    tiles = padded.unfold(0, 6, 4).unfold(1, 6, 4)  # rows, columns, C, 6, 6
    gathered = tiles.permute(3, 4, 0, 1, 2).reshape(36, -1)
    return (torch.kron(B, B).float() @ gathered).view(36, -1, x.shape[1])


def multiplied(inside: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """Return (1, out, H, W) of a transformed input and weight."""
    products = torch.bmm(inside, weight)
    pixels = torch.kron(A, A).float() @ products.flatten(1)
    rows = pixels.view(4, 4, height // 4, width // 4, -1).permute(2, 0, 3, 1, 4)
    return rows.reshape(1, height, width, -1).permute(0, 3, 1, 2)


def seconds(work: Callable[[], object], repeat: int) -> float:
    work()
    times = []
    for _ in range(repeat):
        start = process_time()
        work()
        times.append(process_time() - start)
    return min(times)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    side = given.size
    print("| convolution | direct, ms | transform, ms | products and back, ms | largest difference |\n|" + " --- |" * 5)
    for seen, made in LAYERS:
        x = torch.rand(1, seen, side, side).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(made, seen, 3, 3) / (9 * seen) ** 0.5
        ordered, changed = weight.contiguous(memory_format=torch.channels_last), transformed_weight(weight)
        direct = torch.conv2d(x, ordered, padding=1)
        inside = transformed_input(x)
        difference = float((multiplied(inside, changed, side, side) - direct).abs().max())
        costs = (
            seconds(lambda x=x, w=ordered: torch.conv2d(x, w, padding=1), given.repeat),  # type: ignore[misc]
            seconds(lambda x=x: transformed_input(x), given.repeat),  # type: ignore[misc]
            seconds(lambda i=inside, w=changed: multiplied(i, w, side, side), given.repeat),  # type: ignore[misc]
        )
        times = " | ".join(f"{cost * 1e3:.2f}" for cost in costs)
        print(f"| {seen} to {made} | {times} | {difference:.1g} |", flush=True)


if __name__ == "__main__":
    main()
