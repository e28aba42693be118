"""The network of zero-shot super-resolution (Shocher, Cohen and Irani, CVPR 2018), for one kernel."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.networks.architecture import NetworkSpec
from upscale_cli.orientation import ORIENTATIONS, Orientation, orient, restore
from upscale_cli.resize import resize

LAYERS, FEATURES = 8, 64
BLOCK = 256  # HR pixels: 64 features of a block take 9 MB in bf16
BACK_PROJECTIONS = 10
PROJECTIONS_SEEN = 2  # by tiles: what the others bring from further away is less than a level (docs/zssr.md)
INTERPOLATION_REACH = 2  # LR pixels that a bicubically interpolated pixel sees on each side
MOST_ORIENTATIONS = 4  # of eight: the other four gain 0.03 dB at most, for twice the time (docs/zssr.md)
LARGE = 1_000_000  # LR pixels; above, two orientations: 0.01 dB less, for half the time (docs/zssr.md)
SAME_KERNEL = 0.99  # cross-correlation
MIDDLE_GRAY = 0.5  # taken from the input: without, training starts several times slower


class ZeroShotNetwork(nn.Module):
    """From LR (N, C, H, W) in [0, 1] to float32 (N, C, scale·H, scale·W), about in [0, 1], for one kernel."""

    def __init__(self, channels: int, kernel: BlurKernel) -> None:
        super().__init__()
        widths = [channels, *[FEATURES] * (LAYERS - 1)]
        inner = [layer for w in widths[:-1] for layer in (nn.Conv2d(w, FEATURES, 3, padding=1), nn.ReLU(inplace=True))]
        self.layers = nn.Sequential(*inner, nn.Conv2d(FEATURES, channels, 3, padding=1))
        self.kernel = kernel
        self._channels = channels
        self.orientations = symmetries(kernel)
        self.back_projections = BACK_PROJECTIONS

    @property
    def spec(self) -> NetworkSpec:
        """``receptive_radius`` counts interpolation, layers, all back-projections; ``halo`` is enough in practice."""
        radius, halo = (self._radius(min(most, self.back_projections)) for most in (BACK_PROJECTIONS, PROJECTIONS_SEEN))
        return NetworkSpec("zssr", self.kernel.scale, self._channels, self._channels, radius, halo=halo)

    def _radius(self, projections: int) -> int:
        scale = self.kernel.scale
        layers = INTERPOLATION_REACH + -(-LAYERS // scale)
        return layers + projections * (2 * INTERPOLATION_REACH + -(-self.kernel.size // 2 // scale))

    def residual(self, interpolated: Tensor) -> Tensor:
        """Return what is missing in ``interpolated`` (N, C, H, W): of the same shape, float32."""
        middle = (interpolated - MIDDLE_GRAY).to(next(self.parameters()).dtype)
        missing: Tensor = self.layers(middle.contiguous(memory_format=torch.channels_last))
        return missing.float()

    def _in_blocks(self, interpolated: Tensor) -> Tensor:
        """Return the same as ``residual``, on a CPU in blocks whose layers stay in its caches."""
        if interpolated.device.type != "cpu":
            return self.residual(interpolated)
        missing = torch.empty_like(interpolated)
        for rows, rows_seen in _blocks(interpolated.shape[-2]):
            for columns, columns_seen in _blocks(interpolated.shape[-1]):
                block = self.residual(interpolated[..., rows_seen, columns_seen])
                top, left = rows.start - rows_seen.start, columns.start - columns_seen.start
                height, width = rows.stop - rows.start, columns.stop - columns.start
                missing[..., rows, columns] = block[..., top : top + height, left : left + width]
        return missing

    def forward(self, lr: Tensor) -> Tensor:
        """Average over the kernel's symmetries (geometric self-ensemble), then back-project."""
        interpolated = interpolate(lr, self.kernel.scale)
        results = [restore(self._in_blocks(orient(interpolated, o)), o) for o in self.orientations]
        sr = interpolated + torch.stack(results).mean(0)
        return back_projected(sr, lr.float(), self.kernel, self.back_projections)


def _blocks(length: int) -> Iterator[tuple[slice, slice]]:
    """Yield the spans that divide ``length`` pixels evenly, each alone and with what the layers see around it."""
    count = -(-length // BLOCK)
    for number in range(count):
        start, stop = number * length // count, (number + 1) * length // count
        yield slice(start, stop), slice(max(0, start - LAYERS), min(length, stop + LAYERS))


def initial(channels: int, kernel: BlurKernel, seed: int) -> ZeroShotNetwork:
    """Return an untrained network, initialised after He et al. (2015)."""
    rng = torch.Generator().manual_seed(seed)
    network = ZeroShotNetwork(channels, kernel)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
        else:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=rng)
    return network


def symmetries(kernel: BlurKernel) -> tuple[Orientation, ...]:
    """Return orientations that leave ``kernel`` nearly as it is, and so the task that a network learnt for it.

    The paper takes all eight always; where the kernel turns into another one, that costs more than it gains.
    """
    surplus = kernel.scale - 1  # with so much more behind it the kernel has its centre in the middle
    values = F.pad(torch.from_numpy(kernel.values), (0, surplus, 0, surplus))
    length = values.square().sum()
    same = [o for o in ORIENTATIONS if (values * orient(values, o)).sum() >= SAME_KERNEL * length]
    return tuple(same[:MOST_ORIENTATIONS])


def ensemble(orientations: tuple[Orientation, ...], pixels: int, fast: bool) -> tuple[Orientation, ...]:
    """Return those of ``orientations`` that a picture of ``pixels`` is averaged over."""
    if fast:
        return orientations[:1]
    if pixels <= LARGE or len(orientations) <= 2:
        return orientations
    return tuple(o for o in orientations if o in (Orientation(0, False), Orientation(2, False)))


def interpolate(lr: Tensor, scale: int) -> Tensor:
    """Return ``lr`` (N, C, H, W) at ``scale`` times its size, bicubically, in float32."""
    return resize(lr.float(), (lr.shape[-2] * scale, lr.shape[-1] * scale), "bicubic")


def back_projected(sr: Tensor, lr: Tensor, kernel: BlurKernel, times: int) -> Tensor:
    """Return ``sr`` (N, C, scale·H, scale·W) brought closer to what downsamples to ``lr`` (Irani and Peleg 1991)."""
    for _ in range(times):
        sr = sr + interpolate(lr - downsample(sr, kernel, kernel.scale), kernel.scale)
    return sr
