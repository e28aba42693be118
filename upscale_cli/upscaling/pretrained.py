"""Pretrained networks for pictures: one for all, or, where an exact size is asked for, the one that suits each."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from upscale_cli import device as devices
from upscale_cli.images.picture import Picture
from upscale_cli.notices import Notify, ignore
from upscale_cli.upscaling.job import OnShare, UpscalerFor
from upscale_cli.upscaling.options import DEFAULT_SCALE, UpscaleOptions
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.http import Progress, silent
from upscale_cli.weights.load import is_path, load
from upscale_cli.weights.manifest import load_manifest
from upscale_cli.weights.resolve import LARGEST_SCALE_BY_X2


def with_own_scale(options: UpscaleOptions) -> UpscaleOptions:
    """Return ``options``, where they name a network and no size, with the network's own scale. Raises WeightsError."""
    if options.sized or options.network is None:
        return options
    if is_path(options.network):
        scale: int | None = load(options.network).spec.scale
    else:
        scale = load_manifest().find(str(options.network)).scale
    return replace(options, scale=float(scale)) if scale else options


def pretrained(options: UpscaleOptions, notify: Notify = ignore, on_download: Progress = silent) -> UpscalerFor:
    """Return what gives the upscaler for a picture. Raises what ``Upscaler`` raises."""
    chosen = (options.network, options.alpha, options.denoise)
    if options.size.scale is None and all(choice is None for choice in chosen):
        return _by_factor(options, notify, on_download)
    upscaler = Upscaler.from_options(options, on_download=on_download, notify=notify)
    return lambda picture, on_share: upscaler


def _by_factor(options: UpscaleOptions, notify: Notify, on_download: Progress) -> UpscalerFor:
    """Return what gives the default network for the factor that a picture needs."""
    devices.select_all(options.device)  # a missing device is not each picture's fault

    @cache
    def for_scale(scale: float) -> Upscaler:
        scaled = replace(options, scale=scale, width=None, height=None, fit=None)
        return Upscaler.from_options(scaled, on_download=on_download, notify=notify)

    def upscaler_for(picture: Picture, on_share: OnShare) -> Upscaler:
        factor = options.size.factor(picture.height, picture.width)
        return for_scale(LARGEST_SCALE_BY_X2 if factor <= LARGEST_SCALE_BY_X2 else DEFAULT_SCALE)

    return upscaler_for
