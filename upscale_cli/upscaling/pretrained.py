"""Pretrained networks for pictures: one for all, or, where an exact size is asked for, the one that suits each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from upscale_cli import device as devices
from upscale_cli.images.picture import Picture
from upscale_cli.notices import Notify, ignore
from upscale_cli.upscaling.automatic import automatic
from upscale_cli.upscaling.options import DEFAULT_SCALE, UpscaleOptions
from upscale_cli.upscaling.progress import OnShare
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.defaults import LARGEST_SCALE_BY_X2
from upscale_cli.weights.progress import Progress, silent


def pretrained(
    options: UpscaleOptions, notify: Notify = ignore, on_download: Progress = silent
) -> Callable[[Picture, OnShare], Upscaler]:
    """Return what gives the upscaler for a picture. Raises what ``Upscaler`` raises."""
    if options.auto:
        return automatic(options, notify)
    chosen = (options.network, options.alpha, options.denoise)
    if options.size.scale is not None or any(choice is not None for choice in chosen):
        upscaler = Upscaler.from_options(options, on_download=on_download, notify=notify)
        return lambda picture, on_share: upscaler
    devices.select_all(options.device)  # a missing device is not each picture's fault

    @cache
    def for_scale(scale: float) -> Upscaler:
        unsized = replace(options, width=None, height=None, fit=None, print_size=None, dpi=options.resolution)
        scaled = replace(unsized, scale=scale)
        return Upscaler.from_options(scaled, on_download=on_download, notify=notify)

    def by_factor(picture: Picture, on_share: OnShare) -> Upscaler:
        factor = options.size.factor(picture.height, picture.width)
        return for_scale(LARGEST_SCALE_BY_X2 if factor <= LARGEST_SCALE_BY_X2 else DEFAULT_SCALE)

    return by_factor
