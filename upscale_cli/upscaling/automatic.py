"""With --auto each picture gets the embedded network that suits it, and a line says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from upscale_cli import device as devices
from upscale_cli.images.picture import Picture
from upscale_cli.notices import Notify, note
from upscale_cli.upscaling.choice import choice
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.progress import OnShare
from upscale_cli.upscaling.upscaler import Upscaler


def automatic(options: UpscaleOptions, notify: Notify) -> Callable[[Picture, OnShare], Upscaler]:
    """Return what measures each picture, tells what it is, and gives the network that suits it."""
    devices.select_all(options.device)  # a missing device is not each picture's fault

    @cache
    def named(model: str) -> Upscaler:
        return Upscaler.from_options(replace(options, auto=False, model=model), notify=notify)

    def upscaler_for(picture: Picture, on_share: OnShare) -> Upscaler:
        model, sentence = choice(picture, options.size)
        notify(note(sentence))
        return named(model)

    return upscaler_for
