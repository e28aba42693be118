"""The network that is trained: fresh, as its paper starts it, or on from weights that exist."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from upscale_cli.errors import UsageError
from upscale_cli.networks import NetworkSpec, build, recognise
from upscale_cli.notices import Notify, note
from upscale_cli.training.recipe import Network
from upscale_cli.weights.download import Progress
from upscale_cli.weights.load import LoadedWeights, load

RESIDUAL_INITIAL_SCALE = 0.1  # of ESRGAN's dense blocks and of MSRResNet, which have no BatchNorm
LEAST_FITTING = 0.5  # share of the tensors that a network of another scale must have in common


def spec_of(network: Network) -> NetworkSpec:
    """The structure that the recipe's ``[network]`` describes. Raises UsageError for scales it cannot have."""
    return NetworkSpec(
        architecture=network.architecture,
        scale=network.scale,
        in_channels=3,
        out_channels=3,
        receptive_radius=0,  # known once it is built and recognised
        hyperparameters=_hyperparameters(network),
    )


def _hyperparameters(network: Network) -> dict[str, int]:
    sizes = {"features": network.features, "blocks": network.blocks}
    if network.architecture == "compact":
        return {"features": network.features, "convolutions": network.blocks}
    if network.architecture == "msrresnet":
        factor = 3 if network.scale == 3 else 2
        steps = 1 if network.scale == 3 else _doublings(network)
        return sizes | {"steps": steps, "factor": factor}
    if network.architecture == "srresnet":
        return sizes | {"doublings": _doublings(network), "slopes": 1, "tanh": 0}
    if network.architecture == "enhancenet":
        return sizes | {"doublings": _doublings(network)}
    return sizes | {"growth": network.growth, "doublings": _doublings(network), "unshuffle": 1}


def _doublings(network: Network) -> int:
    doublings = round(math.log2(network.scale))
    if 2**doublings != network.scale:
        hint = "Use a power of two, or network.architecture=compact, which takes any."
        raise UsageError(f"{network.architecture} cannot enlarge {network.scale} times.", hint)
    return doublings


def fresh(network: Network, seed: int) -> tuple[NetworkSpec, nn.Module]:
    """The recipe's network with drawn weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(spec_of(network))
        if network.architecture == "msrresnet":
            _start_small(module)
        if network.architecture == "rrdbnet":
            _start_small(module.get_submodule("body"))
    spec, _ = recognise(module.state_dict())
    return spec, module.train()


def _start_small(module: nn.Module) -> None:
    """He's initialisation times 0.1 (Wang et al. 2018, section 3.1), biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            with torch.no_grad():
                layer.weight.mul_(RESIDUAL_INITIAL_SCALE)
                if layer.bias is not None:
                    layer.bias.zero_()


def trainable(spec: NetworkSpec, tensors: dict[str, Tensor]) -> nn.Module:
    """The network with copies of ``tensors``, in fp32, ready to be trained."""
    state = {key: t.detach().clone().float() if t.is_floating_point() else t.clone() for key, t in tensors.items()}
    return build(spec, state).requires_grad_(True).train()


def started(
    start: str, network: Network, seed: int, progress: Progress, notify: Notify
) -> tuple[NetworkSpec, nn.Module]:
    """The network of a manifest name or a file, to be trained on. Its structure is the file's, unless that enlarges by
    another scale: then it is the recipe's, with all tensors of the file that fit, and the others drawn by ``seed``
    (as Lim et al. 2017, EDSR, do).

    Raises WeightsError and DownloadError, and UsageError where nearly nothing fits.
    """
    weights = load(Path(start) if Path(start).is_file() else start, progress, notify)
    if weights.spec.in_channels != 3:
        raise UsageError(f"{weights.name} takes {weights.spec.in_channels} channel.", "Start from an RGB network.")
    if weights.spec.scale != network.scale:
        return _of_another_scale(weights, network, seed, notify)
    if _differs(weights.spec, network):
        sizes = ", ".join(f"{key} {value}" for key, value in weights.spec.hyperparameters.items())
        notify(note(f"The network is that of {weights.name}, not the recipe's: {weights.spec.architecture}, {sizes}."))
    return weights.spec, trainable(weights.spec, weights.tensors)


def _of_another_scale(
    weights: LoadedWeights, network: Network, seed: int, notify: Notify
) -> tuple[NetworkSpec, nn.Module]:
    spec, module = fresh(network, seed)
    own = module.state_dict()
    fitting = {k: t.float() for k, t in weights.tensors.items() if k in own and own[k].shape == t.shape}
    if len(fitting) < LEAST_FITTING * len(own):
        raise UsageError(
            f"{weights.name} enlarges {weights.spec.scale} times, the recipe {network.scale} times, and of "
            f"{len(own)} tensors only {len(fitting)} fit.",
            f"Add --set network.scale={weights.spec.scale}, or start from other weights.",
        )
    module.load_state_dict(own | fitting)
    notify(
        note(
            f"{weights.name} enlarges {weights.spec.scale} times, the recipe {network.scale} times: {len(fitting)} of "
            f"{len(own)} tensors come from it, the others are new."
        )
    )
    return spec, module


def _differs(spec: NetworkSpec, network: Network) -> bool:
    if spec.architecture != network.architecture:
        return True
    stated = spec_of(network).hyperparameters
    return any(stated.get(key, value) != value for key, value in spec.hyperparameters.items() if key != "slopes")
