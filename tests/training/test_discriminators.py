"""Discriminators against their layers computed one by one in NumPy, from the tables of their papers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from upscale_cli.training.discriminators import DISCRIMINATORS, MULTIPLE

Array = NDArray[Any]
FEATURES = 4


def conv(x: Array, weight: Array, bias: Array | None, stride: int) -> Array:
    """Zero padding of 1, as everywhere here."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    result: Array = np.einsum("nchwij,ocij->nohw", windows, weight)
    return result if bias is None else result + bias[:, None, None]


def normalised(x: Array, weight: Array, bias: Array) -> Array:
    """BatchNorm by the batch's own statistics."""
    mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    result: Array = (x - mean) / np.sqrt(variance + 1e-5) * weight[:, None, None] + bias[:, None, None]
    return result


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x)


# (stride, width in features, with a bias, with BatchNorm) of every convolution.
TABLES: dict[str, list[tuple[int, int, bool, bool]]] = {
    "vgg": [
        (stride, width, width == 1 and stride == 1 and first, not (first and stride == 1))
        for width, first in ((1, True), (2, False), (4, False), (8, False), (8, False))
        for stride in (1, 2)
    ],
    "srgan": [(stride, width, True, not (width == 1 and stride == 1)) for width in (1, 2, 4, 8) for stride in (1, 2)],
    "enhancenet": [(stride, width, True, False) for width in (1, 2, 4, 8, 16) for stride in (1, 2)],
}


def tensors_of(module: torch.nn.Module) -> Iterator[Array]:
    return (parameter.detach().numpy() for parameter in module.parameters())


def scrambled(kind: str, crop: int) -> torch.nn.Module:
    """A discriminator whose every parameter matters."""
    torch.manual_seed(5)
    module = DISCRIMINATORS[kind](FEATURES, crop).double().train()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


@pytest.mark.parametrize("kind", TABLES)
def test_discriminators_are_their_papers_layers(kind: str) -> None:
    module = scrambled(kind, 32)
    x = image = np.random.default_rng(1).random((2, 3, 32, 32))
    values = tensors_of(module)
    for stride, width, biased, batchnorm in TABLES[kind]:
        weight = next(values)
        assert (len(weight), weight.shape[-1]) == (width * FEATURES, 4 if kind == "vgg" and stride == 2 else 3)
        x = conv(x, weight, next(values) if biased else None, stride)
        x = leaky(normalised(x, next(values), next(values)) if batchnorm else x)
    dense, dense_bias, last, last_bias = values
    logits = leaky(x.reshape(2, -1) @ dense.T + dense_bias) @ last.T + last_bias
    assert module(torch.from_numpy(image)).detach().numpy() == pytest.approx(logits, rel=1e-9)


def doubled(x: Array) -> Array:
    """Bilinear, twice as large: each new sample lies a quarter pixel off an old one; edges repeat."""
    for axis in (2, 3):
        x = np.moveaxis(x, axis, -1)
        padded = np.concatenate([x[..., :1], x, x[..., -1:]], -1)
        lower, upper = 0.75 * x + 0.25 * padded[..., :-2], 0.75 * x + 0.25 * padded[..., 2:]
        x = np.moveaxis(np.stack([lower, upper], -1).reshape(*x.shape[:-1], -1), -1, axis)
    return x


def test_the_unet_is_its_papers_layers() -> None:
    module = scrambled("unet", 16).eval()  # in evaluation the stored singular vectors are used as they are
    state = {key: tensor.numpy() for key, tensor in module.state_dict().items()}

    def layer(number: int, x: Array, stride: int = 1) -> Array:
        name = f"conv{number}"
        weight = state.get(f"{name}.weight")
        if weight is None:
            original = state[f"{name}.weight_orig"]
            sigma = state[f"{name}.weight_u"] @ original.reshape(len(original), -1) @ state[f"{name}.weight_v"]
            weight = original / sigma
        return conv(x, weight, state.get(f"{name}.bias"), stride)

    image = np.random.default_rng(1).random((2, 3, 16, 24))
    full = leaky(layer(0, image))
    half = leaky(layer(1, full, 2))
    quarter = leaky(layer(2, half, 2))
    x = leaky(layer(3, quarter, 2))
    for number, skip in ((4, quarter), (5, half), (6, full)):
        x = leaky(layer(number, doubled(x))) + skip
    logits = layer(9, leaky(layer(8, leaky(layer(7, x)))))
    assert module(torch.from_numpy(image)).detach().numpy() == pytest.approx(logits, rel=1e-9)


def test_spectral_normalisation_bounds_what_a_layer_can_stretch() -> None:
    module = scrambled("unet", 16)
    for _ in range(50):
        module(torch.rand(1, 3, 16, 16, dtype=torch.float64))
    weight = module.get_submodule("conv3").weight
    assert isinstance(weight, torch.Tensor)
    assert float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", DISCRIMINATORS)
@pytest.mark.parametrize("crop", [32, 40, 96, 100, 101, 128])
def test_any_crop_will_do(kind: str, crop: int) -> None:
    if crop % MULTIPLE[kind]:
        pytest.skip(f"{kind} takes multiples of {MULTIPLE[kind]} (refused by name)")
    logits = DISCRIMINATORS[kind](2, crop)(torch.rand(2, 3, crop, crop))
    assert logits.shape == ((2, 1, crop, crop) if kind == "unet" else (2, 1))


def test_the_full_sizes_are_the_published_ones() -> None:
    sizes = {kind: sum(p.numel() for p in DISCRIMINATORS[kind](64, 128).parameters()) for kind in ("vgg", "unet")}
    assert sizes["unet"] == 4376897  # as in the published discriminator's file
    assert sizes["vgg"] == 14499401  # VGG-style at 128 without biases before BatchNorm
