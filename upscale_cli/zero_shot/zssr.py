"""Zero-shot super-resolution: a small network trained on the picture itself (Shocher, Cohen and Irani, CVPR 2018).

With the kernel the picture was downsampled with, downsampling the picture once more by the same kernel gives examples
of what is to be undone. No weights and no other pictures are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from upscale_cli import device as devices
from upscale_cli.device import Precision
from upscale_cli.errors import InputError
from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.zero_shot.network import ZeroShotNetwork, initial
from upscale_cli.zero_shot.self_examples import Examples, Pair, paired

ITERATIONS, FAST_ITERATIONS = 3000, 300
CROP, CROPS = 32, 4  # HR pixels; in each step
FIRST_RATE, LAST_RATE, RATE_FALL = 1e-3, 1e-6, 10.0
TEST_EVERY, TESTS_FITTED = 50, 6  # iterations between tests; tests that a line is fitted through
SLOPE_IN_ERRORS = 1.5  # its own standard errors
TESTED_SIDE = 192  # pixels in the middle of the picture whose reconstruction is tested
SMALLEST_SIDE = 8  # LR pixels after downsampling once more
LOSS_SMOOTHING = 0.05  # share of the newest in the running mean


@dataclass(frozen=True)
class Progress:
    """``loss``: running mean of the L1 loss of levels in [0, 1], after ``iteration`` of at most ``limit``."""

    iteration: int
    limit: int
    loss: float
    learning_rate: float


class FallingRate:
    """The learning rate: a tenth of it once the error of the last ``TESTS_FITTED`` tests stagnates."""

    def __init__(self) -> None:
        self.value = FIRST_RATE
        self._errors: list[float] = []

    def add_test(self, error: float) -> None:
        """Take the error of one more test into account."""
        self._errors.append(error)
        if len(self._errors) >= TESTS_FITTED and stagnates(self._errors[-TESTS_FITTED:]):
            self.value /= RATE_FALL
            self._errors.clear()

    @property
    def ended(self) -> bool:
        """Whether the rate has fallen below ``LAST_RATE``."""
        return self.value < LAST_RATE * (1 + 1e-6)


def stagnates(errors: Sequence[float]) -> bool:
    """Return whether a line through ``errors`` falls by less than the uncertainty of its slope (section 3.1).

    The uncertainty is the standard error of the least-squares slope.
    """
    (slope, _), covariance = np.polyfit(range(len(errors)), errors, 1, cov=True)
    return bool(-SLOPE_IN_ERRORS * slope <= np.sqrt(covariance[0, 0]))


def fit(
    image: Tensor,
    kernel: BlurKernel,
    *,
    seed: int = 0,
    iterations: int = ITERATIONS,
    device: torch.device | None = None,
    bf16: bool = False,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> ZeroShotNetwork:
    """Return a network trained for ``image`` (1, C, H, W) in [0, 1], on the CPU in evaluation mode.

    ``kernel`` is what the image was downsampled with. ``iterations``: at most; training ends before when the learning
    rate has fallen to its end. ``device``: where it trains, by default the CPU. Raises InputError for pictures that
    are too small.
    """
    height, width = image.shape[-2:]
    smallest = SMALLEST_SIDE * kernel.scale
    if min(height, width) < smallest:
        raise InputError(
            f"A picture of {width}x{height} pixels is too small to learn from.",
            f"With this kernel it takes {smallest}x{smallest}.",
        )
    device = device or torch.device("cpu")
    image = image.to(device)
    network = initial(image.shape[1], kernel, seed).to(device)
    network.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    side = min(CROP, *(length // kernel.scale * kernel.scale for length in image.shape[-2:]))
    examples = Examples(image, kernel, side, seed)
    tested = paired(_middle(image, kernel.scale), kernel)
    adam = torch.optim.Adam(network.parameters(), FIRST_RATE, fused=device.type != "mps")
    rate = FallingRate()
    mean_loss: float | None = None
    for iteration in range(1, iterations + 1):
        adam.param_groups[0]["lr"] = rate.value
        loss = _step(network, adam, examples.draw(CROPS), bf16)
        mean_loss = loss if mean_loss is None else mean_loss + (loss - mean_loss) * LOSS_SMOOTHING
        on_step(Progress(iteration, iterations, mean_loss, rate.value))
        if iteration % TEST_EVERY == 0:
            with torch.no_grad():
                rate.add_test(float(_errors(network, tested, bf16).square().mean()))
        if rate.ended:
            break
    return network.cpu().eval().requires_grad_(False)


def trains_in_bf16(device: torch.device, precision: Precision) -> bool:
    """Return whether training multiplies in bf16, on CPUs that can: half the time, and no worse (docs/zssr.md)."""
    return device.type == "cpu" and precision != "fp32" and devices.cpu_has_bf16()


def _step(network: ZeroShotNetwork, adam: torch.optim.Optimizer, pair: Pair, bf16: bool) -> float:
    """Take one step of training and return the loss before it."""
    adam.zero_grad(set_to_none=True)
    loss = _errors(network, pair, bf16).abs().mean()
    torch.autograd.backward(loss)
    adam.step()
    return float(loss.detach())


def _errors(network: ZeroShotNetwork, pair: Pair, bf16: bool) -> Tensor:
    """Return the differences between the network's result, without back-projection, and HR."""
    with torch.autocast(pair.hr.device.type, torch.bfloat16, enabled=bf16):
        missing = network.residual(pair.interpolated)
    return pair.interpolated + missing - pair.hr


def _middle(image: Tensor, scale: int) -> Tensor:
    height, width = (min(length, TESTED_SIDE) // scale * scale for length in image.shape[-2:])
    top, left = ((whole - part) // 2 for whole, part in zip(image.shape[-2:], (height, width), strict=True))
    return image[..., top : top + height, left : left + width]
