"""What training minimises: distances of pixels, features and textures, and the games with a discriminator.

All take (N, C, H, W) tensors in any floating-point type and give a scalar in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

CHARBONNIER_EPSILON = 1e-3

Mean = Callable[[Tensor], Tensor]
Distance = Callable[[Tensor, Tensor], Tensor]


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of |sr - hr|."""
    return F.l1_loss(sr.float(), hr.float())


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of (sr - hr)²."""
    return F.mse_loss(sr.float(), hr.float())


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of √((sr - hr)² + ε²) (Lai et al. 2017, LapSRN, eq. 2), ε = 10⁻³."""
    return torch.sqrt((sr.float() - hr.float()).square() + CHARBONNIER_EPSILON**2).mean()


DISTANCES: Mapping[str, Distance] = {"l1": l1, "mse": mse, "charbonnier": charbonnier}


def perceptual(
    sr: Mapping[str, Tensor], hr: Mapping[str, Tensor], layers: Mapping[str, float], distance: Distance
) -> Tensor:
    """Σ weight·distance of the features of each of ``layers`` (Johnson et al. 2016; Wang et al. 2018, section 3.3)."""
    return torch.stack([weight * distance(sr[name], hr[name]) for name, weight in layers.items()]).sum()


def gram_matrices(features: Tensor, patch: int) -> Tensor:
    """G = F·Fᵀ of every ``patch``×``patch`` piece of (N, C, H, W) features, F being (C, patch²): (N·pieces, C, C).

    What is left over at the right and lower edges belongs to no piece. Sajjadi et al. 2017, eq. 5.
    """
    n, channels, height, width = features.shape
    rows, columns = height // patch, width // patch
    cut = features[..., : rows * patch, : columns * patch].reshape(n, channels, rows, patch, columns, patch)
    flat = cut.permute(0, 2, 4, 1, 3, 5).reshape(n * rows * columns, channels, patch * patch)
    return flat @ flat.transpose(1, 2)


def texture(sr: Mapping[str, Tensor], hr: Mapping[str, Tensor], layers: Mapping[str, float], patch: int) -> Tensor:
    """Σ weight·mean((G(sr) - G(hr))²) over the Gram matrices of each of ``layers``."""
    distances = [
        weight * mse(gram_matrices(sr[name].float(), patch), gram_matrices(hr[name].float(), patch))
        for name, weight in layers.items()
    ]
    return torch.stack(distances).sum()


def _is(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of "all of these are real", or not."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def vanilla_discriminator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """-E[log D(real)] - E[log(1 - D(fake))], D the sigmoid of the logits (Goodfellow et al. 2014)."""
    return _is(real.float(), True) + _is(fake.float(), False)


def vanilla_generator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """-E[log D(fake)], the form that does not saturate."""
    return _is(fake.float(), True)


def relativistic_discriminator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """-E[log σ(real - E fake)] - E[log(1 - σ(fake - E real))] (Wang et al. 2018, eq. 1).

    ``mean`` averages over all processes where there are several.
    """
    real, fake = real.float(), fake.float()
    return _is(real - mean(fake), True) + _is(fake - mean(real), False)


def relativistic_generator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """-E[log(1 - σ(real - E fake))] - E[log σ(fake - E real)] (Wang et al. 2018, eq. 2).

    The authors' code halves the sum; an ``adversarial.weight`` of half the size gives the same.
    """
    real, fake = real.float(), fake.float()
    return _is(real - mean(fake), False) + _is(fake - mean(real), True)


def least_squares_discriminator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """(E[(real - 1)²] + E[fake²]) / 2 (Mao et al. 2017, eq. 9)."""
    return ((real.float() - 1).square().mean() + fake.float().square().mean()) / 2


def least_squares_generator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """E[(fake - 1)²] / 2 (Mao et al. 2017, eq. 9)."""
    return (fake.float() - 1).square().mean() / 2


Game = Callable[[Tensor, Tensor, Mean], Tensor]

# Name: (the discriminator's loss, the generator's), of the logits for real and for generated pictures.
GAMES: Mapping[str, tuple[Game, Game]] = {
    "vanilla": (vanilla_discriminator, vanilla_generator),
    "relativistic": (relativistic_discriminator, relativistic_generator),
    "least-squares": (least_squares_discriminator, least_squares_generator),
}
