"""Zero-shot super-resolution: a small network trained on the picture itself (Shocher, Cohen, Irani, CVPR 2018).

With the kernel the picture was shrunk with, shrinking the picture once more by the same kernel gives examples of what
is to be undone. No weights and no other pictures are needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli import device as devices
from upscale_cli.device import Precision
from upscale_cli.errors import InputError
from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.networks.architecture import NetworkSpec
from upscale_cli.orientation import ORIENTATIONS, Orientation, orient, restore
from upscale_cli.zero_shot.self_examples import INTERPOLATION_REACH, Examples, Pair, interpolate, paired

LAYERS, FEATURES = 8, 64
ITERATIONS = 3000
CROP, CROPS = 32, 4  # HR pixels; in each step
FIRST_RATE, LAST_RATE, RATE_FALL = 1e-3, 1e-6, 10.0
TEST_EVERY, TESTS_FITTED = 50, 6  # iterations between tests; tests that a line is fitted through
SLOPE_IN_DEVIATIONS = 1.5
TESTED_SIDE = 192  # pixels in the middle of the picture whose reconstruction is tested
BACK_PROJECTIONS = 10
SAME_KERNEL = 0.99  # cross-correlation
SMALLEST_SIDE = 8  # LR pixels after shrinking once more
LOSS_SMOOTHING = 0.05  # share of the newest in the running mean
TILE = 256  # LR pixels
PROJECTIONS_SEEN = 2  # by tiles: what the others bring from further away is less than a level (docs/zssr.md)
CPU = torch.device("cpu")
MIDDLE_GRAY = 0.5  # taken from the input: without, training starts several times slower


@dataclass(frozen=True)
class Progress:
    """``loss``: running mean of the L1 loss of levels in [0, 1], after ``iteration`` of at most ``limit``."""

    iteration: int
    limit: int
    loss: float
    learning_rate: float


OnStep = Callable[[Progress], None]


def unheard(progress: Progress) -> None:
    """Nobody listens."""


class ZeroShotNetwork(nn.Module):
    """From LR (N, C, H, W) in [0, 1] to float32 (N, C, scale·H, scale·W), about in [0, 1], for one kernel."""

    def __init__(self, channels: int, kernel: BlurKernel) -> None:
        super().__init__()
        inputs = [channels, *[FEATURES] * (LAYERS - 2)]
        inner = [layer for count in inputs for layer in (_convolution(count, FEATURES), nn.ReLU(inplace=True))]
        self.layers = nn.Sequential(*inner, _convolution(FEATURES, channels))
        self.kernel = kernel
        self._channels = channels
        self.orientations = symmetries(kernel)
        self.back_projections = BACK_PROJECTIONS

    @property
    def spec(self) -> NetworkSpec:
        """``receptive_radius`` counts interpolation, layers, all back-projections; ``halo`` is enough in practice."""
        radius = self._radius(self.back_projections)
        return NetworkSpec("zssr", self.kernel.scale, self._channels, self._channels, radius)

    @property
    def halo(self) -> int:
        """LR pixels that a tile should see around it."""
        return self._radius(min(PROJECTIONS_SEEN, self.back_projections))

    def _radius(self, projections: int) -> int:
        scale = self.kernel.scale
        layers = INTERPOLATION_REACH + -(-LAYERS // scale)
        return layers + projections * (2 * INTERPOLATION_REACH + -(-self.kernel.size // 2 // scale))

    def residual(self, interpolated: Tensor) -> Tensor:
        """What is missing in ``interpolated`` (N, C, H, W): as large, in float32."""
        centred = (interpolated - MIDDLE_GRAY).to(next(self.parameters()).dtype)
        missing: Tensor = self.layers(centred.contiguous(memory_format=torch.channels_last))
        return missing.float()

    def forward(self, lr: Tensor) -> Tensor:
        """Geometric self-ensemble, then back-projection."""
        interpolated = interpolate(lr, self.kernel.scale)
        results = [restore(self.residual(orient(interpolated, o)), o) for o in self.orientations]
        sr = interpolated + torch.stack(results).mean(0)
        return back_projected(sr, lr.float(), self.kernel, self.back_projections)


def symmetries(kernel: BlurKernel) -> tuple[Orientation, ...]:
    """The orientations that leave ``kernel`` nearly as it is, and so the task that a network learnt for it.

    The paper takes all eight always; where the kernel turns into another one, that costs more than it gains.
    """
    surplus = kernel.scale - 1  # with so much more behind it the kernel has its centre in the middle
    values = F.pad(torch.from_numpy(kernel.values), (0, surplus, 0, surplus))
    length = values.square().sum()
    return tuple(o for o in ORIENTATIONS if (values * orient(values, o)).sum() >= SAME_KERNEL * length)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def back_projected(sr: Tensor, lr: Tensor, kernel: BlurKernel, times: int) -> Tensor:
    """``sr`` (N, C, scale·H, scale·W), brought closer to what shrinks to ``lr`` (Irani and Peleg 1991)."""
    for _ in range(times):
        sr = sr + interpolate(lr - downsample(sr, kernel, kernel.scale), kernel.scale)
    return sr


def stagnates(errors: Sequence[float]) -> bool:
    """Whether a line through ``errors`` falls by less than the uncertainty of its slope (Shocher et al., section 3.1).

    The uncertainty is the standard error of the least-squares slope.
    """
    x = np.arange(len(errors)) - (len(errors) - 1) / 2
    y = np.asarray(errors) - np.mean(errors)
    slope = x @ y / (x @ x)
    deviation = math.sqrt(np.sum((y - slope * x) ** 2) / (len(errors) - 2) / (x @ x))
    return bool(-SLOPE_IN_DEVIATIONS * slope <= deviation)


class FallingRate:
    """The learning rate: a tenth of it once the error of the last ``TESTS_FITTED`` tests stagnates."""

    def __init__(self) -> None:
        self.value = FIRST_RATE
        self._errors: list[float] = []

    def hear(self, error: float) -> None:
        self._errors.append(error)
        if len(self._errors) >= TESTS_FITTED and stagnates(self._errors[-TESTS_FITTED:]):
            self.value /= RATE_FALL
            self._errors.clear()

    @property
    def ended(self) -> bool:
        return self.value < LAST_RATE * (1 + 1e-6)


def fit(
    image: Tensor,
    kernel: BlurKernel,
    *,
    seed: int = 0,
    iterations: int = ITERATIONS,
    device: torch.device = CPU,
    bf16: bool = False,
    on_step: OnStep = unheard,
) -> ZeroShotNetwork:
    """A network for ``image`` (1, C, H, W) in [0, 1], which was shrunk by ``kernel``, on the CPU in evaluation mode.

    ``iterations``: at most; training ends before when the learning rate has fallen to its end. Raises InputError for
    pictures that are too small.
    """
    require_large_enough(image.shape[-2], image.shape[-1], kernel.scale)
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
            rate.hear(_error(network, tested, bf16))
        if rate.ended:
            break
    network.to(CPU).eval().requires_grad_(False)
    return network


def trains_in_bf16(device: torch.device, precision: Precision) -> bool:
    """Whether training multiplies in bf16, on CPUs that can: half the time, and no worse (docs/zssr.md)."""
    return device.type == "cpu" and precision != "fp32" and devices.cpu_has_bf16()


def require_large_enough(height: int, width: int, scale: int) -> None:
    """Raises InputError for pictures that hold no examples."""
    smallest = SMALLEST_SIDE * scale
    if min(height, width) < smallest:
        raise InputError(
            f"A picture of {width}x{height} pixels is too small to learn from.",
            f"With this kernel it takes {smallest}x{smallest}.",
        )


def initial(channels: int, kernel: BlurKernel, seed: int) -> ZeroShotNetwork:
    """He's initialisation (2015)."""
    rng = torch.Generator().manual_seed(seed)
    network = ZeroShotNetwork(channels, kernel)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
        else:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=rng)
    return network


def _step(network: ZeroShotNetwork, adam: torch.optim.Optimizer, pair: Pair, bf16: bool) -> float:
    adam.zero_grad(set_to_none=True)
    with torch.autocast(pair.hr.device.type, torch.bfloat16, enabled=bf16):
        missing = network.residual(pair.interpolated)
    loss = (pair.interpolated + missing - pair.hr).abs().mean()
    torch.autograd.backward(loss)
    adam.step()
    return float(loss.detach())


@torch.no_grad()
def _error(network: ZeroShotNetwork, pair: Pair, bf16: bool) -> float:
    """Mean squared error of the picture, shrunk once more, against itself."""
    with torch.autocast(pair.hr.device.type, torch.bfloat16, enabled=bf16):
        missing = network.residual(pair.interpolated)
    return float((pair.interpolated + missing - pair.hr).square().mean())


def _middle(image: Tensor, scale: int) -> Tensor:
    height, width = (min(length, TESTED_SIDE) // scale * scale for length in image.shape[-2:])
    top, left = ((whole - part) // 2 for whole, part in zip(image.shape[-2:], (height, width), strict=True))
    return image[..., top : top + height, left : left + width]
