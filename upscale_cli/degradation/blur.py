"""Blur kernels by their formulas, their random choice, and convolution with one kernel per picture.

Kinds and probabilities are those of Real-ESRGAN (Wang et al. 2021, section 3.1 and the published options). The
generalised and plateau-shaped Gaussians follow Liu et al. (2020), the circular low-pass the text books.

Every kernel has a support of 21x21 pixels. Its ``size`` (odd, at most 21) says which middle part is used; the rest is
zero, and the whole sums to 1. The functions take numbers, or tensors (N,) for N kernels at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Annotated, Literal, get_args

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.borders import pad_mirrored

SUPPORT = 21
RADIUS = SUPPORT // 2
BLOCK = 16  # channels of one convolution: what the CPU's vector units take at once
NEGLIGIBLE = 1e-6

Kind = Literal["none", "sinc", "iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Number = float | Tensor
Range = tuple[float, float]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Shares(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often each Gaussian-like kind is drawn, in relation to the others."""

    iso: Annotated[float, msgspec.Meta(ge=0)] = 0.45
    aniso: Annotated[float, msgspec.Meta(ge=0)] = 0.25
    generalized_iso: Annotated[float, msgspec.Meta(ge=0)] = 0.12
    generalized_aniso: Annotated[float, msgspec.Meta(ge=0)] = 0.03
    plateau_iso: Annotated[float, msgspec.Meta(ge=0)] = 0.12
    plateau_aniso: Annotated[float, msgspec.Meta(ge=0)] = 0.03

    def __post_init__(self) -> None:
        if sum(msgspec.structs.astuple(self)) <= 0:
            raise ValueError("at least one kind of kernel needs a share above 0")


class KernelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ranges that kernels are drawn from; the defaults are those of Real-ESRGAN's first blur.

    Sizes are odd numbers of pixels, drawn uniformly; ``sigma`` is in pixels, angles are uniform in [-pi, pi]. The
    exponents ``beta`` are drawn below and above 1 equally often, and uniformly on either side.
    """

    sizes: tuple[int, ...] = tuple(range(7, SUPPORT + 1, 2))
    sinc_probability: Probability = 0.1
    shares: Shares = Shares()
    sigma: Range = (0.2, 3.0)
    beta_generalized: Range = (0.5, 4.0)
    beta_plateau: Range = (1.0, 2.0)

    def __post_init__(self) -> None:
        if not self.sizes or not all(size % 2 and 1 <= size <= SUPPORT for size in self.sizes):
            raise ValueError(f"sizes are odd numbers from 1 to {SUPPORT}, not {self.sizes}")
        for name in ("sigma", "beta_generalized", "beta_plateau"):
            require_range(name, getattr(self, name), above=0)
        for name in ("beta_generalized", "beta_plateau"):
            low, high = getattr(self, name)
            if not low <= 1 <= high:
                raise ValueError(f"{name} must include 1, which {[low, high]} does not")


def require_range(name: str, bounds: Range, above: float | None = None, low: float = 0, high: float = math.inf) -> None:
    """Raise ValueError for ``bounds`` that are not ordered, not between ``low`` and ``high``, or not over ``above``."""
    if not low <= bounds[0] <= bounds[1] <= high or (above is not None and bounds[0] <= above):
        limits = f"above {above:g}" if above is not None else f"between {low:g} and {high:g}"
        raise ValueError(f"{name} must be [lowest, highest], {limits}, not {list(bounds)}")


@dataclass(frozen=True)
class KernelParameters:
    """One drawn kernel. ``cutoff`` (radians per pixel) belongs to sinc, ``beta`` to generalised and plateau kinds."""

    kind: Kind
    size: int = SUPPORT
    sigma_x: float = 1.0
    sigma_y: float = 1.0
    angle: float = 0.0
    beta: float = 1.0
    cutoff: float = math.pi


NO_BLUR = KernelParameters("none", 1)


def draw_kernel(rng: np.random.Generator, settings: KernelSettings) -> KernelParameters:
    """Return the parameters of a random kernel of the first or second blur."""
    size = int(rng.choice(settings.sizes))
    if rng.random() < settings.sinc_probability:
        lowest = math.pi / 3 if size < 13 else math.pi / 5
        return KernelParameters("sinc", size, cutoff=rng.uniform(lowest, math.pi))
    shares = np.array(msgspec.structs.astuple(settings.shares))
    kind: Kind = settings.shares.__struct_fields__[rng.choice(len(shares), p=shares / shares.sum())]  # type: ignore[assignment]
    sigma_x, sigma_y, angle = rng.uniform(*settings.sigma), rng.uniform(*settings.sigma), rng.uniform(-math.pi, math.pi)
    if kind.endswith("_iso") or kind == "iso":
        sigma_y, angle = sigma_x, 0.0
    beta = 1.0
    if kind.startswith("generalized"):
        beta = _draw_beta(rng, settings.beta_generalized)
    elif kind.startswith("plateau"):
        beta = _draw_beta(rng, settings.beta_plateau)
    return KernelParameters(kind, size, sigma_x, sigma_y, angle, beta)


def _draw_beta(rng: np.random.Generator, bounds: Range) -> float:
    return rng.uniform(bounds[0], 1) if rng.random() < 0.5 else rng.uniform(1, bounds[1])


def draw_final_sinc(rng: np.random.Generator, sizes: Sequence[int], probability: float) -> KernelParameters:
    """Return the last filter of the second-order chain: sinc with ``probability``, its cutoff uniform in [pi/3, pi]."""
    size, cutoff = int(rng.choice(sizes)), rng.uniform(math.pi / 3, math.pi)
    return KernelParameters("sinc", size, cutoff=cutoff) if rng.random() < probability else NO_BLUR


def generalized_gaussian(size: Number, sigma_x: Number, sigma_y: Number, angle: Number, beta: Number) -> Tensor:
    """Return exp(-d^β / 2), for β = 1 a Gaussian, with d = xᵀ Σ⁻¹ x.

    Σ has the standard deviations σ along its main axes, the first turned by ``angle`` (radians).
    """
    return _normalised(torch.exp(-0.5 * _distance(sigma_x, sigma_y, angle) ** _column(beta)), size)


def plateau(size: Number, sigma_x: Number, sigma_y: Number, angle: Number, beta: Number) -> Tensor:
    """Return 1 / (1 + d^β), with d as in ``generalized_gaussian``."""
    return _normalised(1 / (1 + _distance(sigma_x, sigma_y, angle) ** _column(beta)), size)


def sinc(size: Number, cutoff: Number) -> Tensor:
    """Return the circular ideal low-pass: ω J₁(ωr) / 2πr, ω²/4π in the middle; ω in (0, π] radians per pixel."""
    x, y = _grid()
    r, omega = torch.hypot(x, y), _column(cutoff)
    ring = omega * torch.special.bessel_j1(omega * r) / (2 * math.pi * r.clamp_min(1e-9))
    return _normalised(torch.where(r == 0, omega**2 / (4 * math.pi), ring), size)


def _grid() -> tuple[Tensor, Tensor]:
    """Return x, to the right, as (1, 21) and y, downwards, as (21, 1)."""
    line = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    return line[None, :], line[:, None]


def _column(value: Number) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)[..., None, None]


def _distance(sigma_x: Number, sigma_y: Number, angle: Number) -> Tensor:
    """Return xᵀ Σ⁻¹ x on the grid: the squared distance from the middle in standard deviations."""
    x, y = _grid()
    cosine, sine = torch.cos(_column(angle)), torch.sin(_column(angle))
    along, across = (x * cosine + y * sine) / _column(sigma_x), (y * cosine - x * sine) / _column(sigma_y)
    return along**2 + across**2


def _normalised(values: Tensor, size: Number) -> Tensor:
    """Return ``values``, zero outside the middle size × size, summing to 1, in float32."""
    x, y = _grid()
    values = torch.where(torch.maximum(x.abs(), y.abs()) <= (_column(size) - 1) / 2, values, 0.0)
    return (values / values.sum((-2, -1), keepdim=True)).float()


# Kinds, and their kernels from (size, sigma_x, sigma_y, angle, beta, cutoff), each (N,).
_SHAPES: tuple[tuple[tuple[Kind, ...], Callable[..., Tensor]], ...] = (
    (("none",), lambda size, *_: _normalised(torch.ones(SUPPORT, SUPPORT), torch.ones_like(size))),
    (("sinc",), lambda *values: sinc(values[0], values[-1])),
    (("iso", "aniso", "generalized_iso", "generalized_aniso"), lambda *values: generalized_gaussian(*values[:-1])),
    (("plateau_iso", "plateau_aniso"), lambda *values: plateau(*values[:-1])),
)


def kernels(parameters: Sequence[KernelParameters]) -> Tensor:
    """Return the kernels (N, 21, 21) that the parameters describe."""
    result = torch.zeros(len(parameters), SUPPORT, SUPPORT)
    for kinds, shape in _SHAPES:
        chosen = [i for i, one in enumerate(parameters) if one.kind in kinds]
        if chosen:
            values = torch.tensor([astuple(parameters[i])[1:] for i in chosen], dtype=torch.float64)
            result[chosen] = shape(*values.unbind(1))
    return result


def apply(images: Tensor, kernels: Tensor) -> Tensor:
    """Return each picture of (N, C, H, W) under its kernel of (N, 21, 21), mirrored at the border without its edge.

    Channels of all pictures are sorted by the extent of their kernels and go through grouped convolutions in blocks,
    each of the smallest square that holds its kernels. As everywhere in the field, the kernel is not flipped.
    """
    count, channels, height, width = images.shape
    radii = extents(kernels).repeat_interleave(channels)
    order = radii.argsort(stable=True)
    planes = images.reshape(count * channels, height, width)
    result = torch.empty_like(planes)
    for block in torch.split(order, BLOCK):
        radius = int(radii[block[-1]])
        used = slice(RADIUS - radius, RADIUS + radius + 1)
        weight = kernels[block // channels][:, None, used, used].to(images)
        block = block.to(images.device)
        padded = pad_mirrored(planes.index_select(0, block)[None], radius, edge_twice=False)
        result.index_copy_(0, block, F.conv2d(padded, weight, groups=len(block))[0])
    return result.view_as(images)


def extents(kernels: Tensor) -> Tensor:
    """Return the radii (N,) of the squares that hold each kernel of (N, 21, 21) up to a millionth of its mass."""
    x, y = _grid()
    ring = torch.maximum(x.abs(), y.abs()).long().flatten()
    mass = torch.zeros(kernels.shape[0], RADIUS + 1).index_add_(
        1, ring, kernels.detach().cpu().abs().flatten(1).float()
    )
    outside = mass.flip(1).cumsum(1).flip(1)  # from each ring outwards
    return (outside > NEGLIGIBLE * outside[:, :1]).sum(1) - 1
