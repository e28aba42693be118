"""The network that is trained: with new weights, drawn as in its paper, or with existing ones."""

from __future__ import annotations

import torch
from torch import nn

from upscale_cli import networks
from upscale_cli.errors import UsageError
from upscale_cli.networks import NetworkSpec
from upscale_cli.notices import Notify, note
from upscale_cli.training.recipe import Network
from upscale_cli.weights.load import LoadedWeights, for_clean, load
from upscale_cli.weights.progress import Progress

LEAST_FITTING = 0.5  # share of the tensors that a network of another scale must have in common


def fresh(network: Network, seed: int) -> tuple[NetworkSpec, nn.Module]:
    """Return the recipe's network with drawn weights."""
    spec = network.spec()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return spec, networks.draw(spec, network.branches)


def started(
    start: str, network: Network, seed: int, progress: Progress, notify: Notify
) -> tuple[NetworkSpec, nn.Module]:
    """Return the network of a manifest name or a file, ready to be trained further.

    Its structure is the file's, unless the recipe's network grows from the file's (``Architecture.expanded``), or the
    file enlarges by another scale: then it is the recipe's, with all tensors of the file that fit, and the others drawn
    by ``seed`` (as in EDSR, Lim et al. 2017). Raises WeightsError, DownloadError,
    and UsageError where hardly anything fits.
    """
    weights = load(start, progress, notify)
    if weights.spec.in_channels != 3:
        raise UsageError(f"{weights.name} takes {weights.spec.in_channels} channel.", "Start from an RGB network.")
    if weights.spec.scale != network.scale:
        return _of_another_scale(weights, network, seed, notify)
    if library := weights.spec.library:
        raise UsageError(f"{weights.name} is opened by {library}, which only runs it.", "Start from another network.")
    weights = weights if network.spec().conditions else for_clean(weights)
    if weights.spec != (wanted := network.spec()):
        grown = networks.named(wanted.architecture).expanded(wanted, weights.tensors)
        if networks.recognise(grown)[0] == wanted:
            _tell_of_depth(weights, wanted, notify)
            return wanted, networks.build_trainable(wanted, grown, network.branches)
        sizes = ", ".join(f"{key} {value}" for key, value in weights.spec.hyperparameters.items())
        notify(note(f"The network is that of {weights.name}, not the recipe's: {weights.spec.architecture}, {sizes}."))
    return weights.spec, networks.build_trainable(weights.spec, weights.tensors, network.branches)


def _tell_of_depth(weights: LoadedWeights, wanted: NetworkSpec, notify: Notify) -> None:
    had, has = (spec.hyperparameters.get("convolutions", 0) for spec in (weights.spec, wanted))
    if has > had:
        notify(note(f"{weights.name} has {had} convolutions and gets {has - had} more, which change nothing at first."))


def _of_another_scale(
    weights: LoadedWeights, network: Network, seed: int, notify: Notify
) -> tuple[NetworkSpec, nn.Module]:
    spec, module = fresh(network, seed)
    own = module.state_dict()
    given = networks.trainable_tensors(spec, weights.tensors, network.branches)
    fitting = {k: t.float() for k, t in given.items() if k in own and own[k].shape == t.shape}
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
