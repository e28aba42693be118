"""What training minimises: distances of pixels, features and textures, and the losses of a GAN.

All take (N, C, H, W) tensors of any floating-point type and return a scalar in fp32.
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
    """Return the mean of |sr - hr|."""
    return F.l1_loss(sr.float(), hr.float())


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    """Return the mean of (sr - hr)²."""
    return F.mse_loss(sr.float(), hr.float())


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Return the mean of √((sr - hr)² + ε²) (Lai et al. 2017, LapSRN, eq. 2), ε = 10⁻³."""
    return torch.sqrt((sr.float() - hr.float()).square() + CHARBONNIER_EPSILON**2).mean()


DISTANCES: Mapping[str, Distance] = {"l1": l1, "mse": mse, "charbonnier": charbonnier}


def perceptual(
    sr: Mapping[str, Tensor], hr: Mapping[str, Tensor], layers: Mapping[str, float], distance: Distance
) -> Tensor:
    """Return Σ weight·distance over the features of ``layers`` (Johnson et al. 2016; Wang et al. 2018, section 3.3)."""
    return torch.stack([weight * distance(sr[name], hr[name]) for name, weight in layers.items()]).sum()


def gram_matrices(features: Tensor, patch: int) -> Tensor:
    """Return G = F·Fᵀ, (N·pieces, C, C), of every ``patch``×``patch`` piece of (N, C, H, W) features, F (C, patch²).

    Pixels left over at the right and lower edges belong to no piece. Sajjadi et al. 2017, eq. 5.
    """
    n, channels, height, width = features.shape
    rows, columns = height // patch, width // patch
    cut = features[..., : rows * patch, : columns * patch].reshape(n, channels, rows, patch, columns, patch)
    flat = cut.permute(0, 2, 4, 1, 3, 5).reshape(n * rows * columns, channels, patch * patch)
    return flat @ flat.transpose(1, 2)


def texture(sr: Mapping[str, Tensor], hr: Mapping[str, Tensor], layers: Mapping[str, float], patch: int) -> Tensor:
    """Return Σ weight·mean((G(sr) - G(hr))²) over the Gram matrices of ``layers``."""
    distances = [
        weight * mse(gram_matrices(sr[name].float(), patch), gram_matrices(hr[name].float(), patch))
        for name, weight in layers.items()
    ]
    return torch.stack(distances).sum()


def discriminator_loss(kind: str, real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """Return the discriminator's loss for its logits of HR and of generated pictures.

    ``vanilla``: -E[log D(real)] - E[log(1 - D(fake))], D the sigmoid of the logits (Goodfellow et al. 2014).
    ``relativistic``: -E[log σ(real - E fake)] - E[log(1 - σ(fake - E real))] (Wang et al. 2018, eq. 1).
    ``least-squares``: (E[(real - 1)²] + E[fake²]) / 2 (Mao et al. 2017, eq. 9).
    ``mean`` averages over all processes where there are several.
    """
    real, fake = real.float(), fake.float()
    if kind == "relativistic":
        real, fake = real - mean(fake), fake - mean(real)
    return _classified(kind, real, 1) + _classified(kind, fake, 0)


def generator_loss(kind: str, real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """Return the generator's loss for the discriminator's logits.

    ``vanilla``: -E[log D(fake)], which does not saturate. ``relativistic``: -E[log(1 - σ(real - E fake))]
    - E[log σ(fake - E real)] (Wang et al. 2018, eq. 2); the authors' code halves the sum, as half the weight would.
    ``least-squares``: E[(fake - 1)²] / 2 (Mao et al. 2017, eq. 9).
    """
    real, fake = real.float(), fake.float()
    if kind == "relativistic":
        return _classified(kind, real - mean(fake), 0) + _classified(kind, fake - mean(real), 1)
    return _classified(kind, fake, 1)


def _classified(kind: str, logits: Tensor, label: float) -> Tensor:
    """Return the loss of logits that should all say ``label``: 1 for HR, 0 for generated."""
    if kind == "least-squares":
        return (logits - label).square().mean() / 2
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
