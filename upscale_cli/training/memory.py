"""How much memory a run will need, estimated before anything is allocated."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from upscale_cli import device as devices
from upscale_cli.errors import UsageError
from upscale_cli.networks import draw
from upscale_cli.training.discriminators import DISCRIMINATORS
from upscale_cli.training.hardware import Hardware
from upscale_cli.training.recipe import Recipe

BYTES_PER_PARAMETER = 16  # fp32 weights, gradients and Adam's two averages
FP32 = 4
VGG_VALUES_PER_PIXEL = 560  # outputs of VGG19's layers up to conv5_4, ReLUs included


def estimate(recipe: Recipe, dtype: torch.dtype) -> int:
    """Return the bytes of networks, optimisers and what backpropagation keeps, without what libraries add."""
    side, batch = recipe.data.hr_patch, recipe.data.batch
    with torch.device("meta"):  # shapes without memory
        generator = draw(recipe.network.spec(), recipe.network.branches)
        parameters, values = _sizes(generator, side // recipe.network.scale)
        if recipe.adversarial is not None:
            make = DISCRIMINATORS[recipe.adversarial.discriminator]
            own, seen = _sizes(make(recipe.adversarial.features, side), side)
            parameters, values = parameters + own, values + 2 * seen
    if recipe.perceptual is not None or recipe.texture is not None:
        values += VGG_VALUES_PER_PIXEL * side**2
    return parameters * BYTES_PER_PARAMETER + values * batch * dtype.itemsize


def _sizes(module: nn.Module, side: int) -> tuple[int, int]:
    """Return the number of parameters, and of values that backpropagation keeps for a picture of ``side``²."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes() // FP32
        return tensor

    own = [tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())]
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        result = module(torch.empty(2, 3, side, side))  # two pictures, as BatchNorm needs more than one value
    values = sum(count for storage, count in kept.items() if storage not in own)
    del result  # until here it held what was kept, so that no storage took another's place
    return sum(parameter.numel() for parameter in module.parameters()), values // 2


def require(recipe: Recipe, hardware: Hardware) -> None:
    """Refuse a run that does not fit. Raises UsageError."""
    needed, free = estimate(recipe, hardware.dtype), devices.free_memory(hardware.device)
    if needed > free:
        sizes = f"about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free on {hardware.device}"
        raise UsageError(
            f"Training {recipe.name} needs {sizes}.",
            f"Lower the batch of {recipe.data.batch} or the patch of {recipe.data.hr_patch}: --set data.batch=4.",
        )
