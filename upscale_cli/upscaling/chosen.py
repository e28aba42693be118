"""The network that options mean, and whether it can do what else they ask for."""

from __future__ import annotations

import torch

from upscale_cli.errors import UsageError, WeightsError
from upscale_cli.notices import Notify
from upscale_cli.upscaling.options import DEFAULT_SCALE, UpscaleOptions
from upscale_cli.weights.defaults import CLEAN, blind
from upscale_cli.weights.progress import Progress
from upscale_cli.weights.resolve import ResolvedNetwork, resolve, resolve_default


def resolved(options: UpscaleOptions, device: torch.device, on_download: Progress, notify: Notify) -> ResolvedNetwork:
    """Return the network that ``options`` name, or the default. Raises WeightsError, DownloadError."""
    if options.network is None:
        scale = options.size.scale or DEFAULT_SCALE
        if options.kernel is not None:
            return resolve(blind(scale))
        return resolve_default(device.type, scale, options.alpha, options.denoise, on_download, notify)
    return resolve(options.network, options.alpha, options.denoise, on_download, notify)


def require_suitable(network: ResolvedNetwork, options: UpscaleOptions) -> None:
    """Raise WeightsError where ``network`` makes no pictures, UsageError where it takes no notice of an option."""
    _require_picture_network(network)
    if network.conditioned is None and (said := options.degradation):
        reason = f"{network.name} takes no notice of compression or noise, so {' and '.join(said)} would do nothing."
        raise UsageError(reason, f"Leave it out, or use {' or '.join(CLEAN)}.")
    if options.kernel is not None and not network.takes_blur:
        reason = f"{network.name} takes no notice of a kernel."
        raise UsageError(reason, "Leave out -m or --kernel, or add --zssr in place of -m.")


def _require_picture_network(network: ResolvedNetwork) -> None:
    spec = network.spec
    if (spec.in_channels, spec.out_channels) not in ((1, 1), (3, 3)):
        raise WeightsError(
            f"{network.name} turns {spec.in_channels} channels into {spec.out_channels}, not a picture into a picture.",
            "Use a network for gray (1 to 1) or RGB (3 to 3) pictures.",
        )
