"""The Upscaler of the Python API: what the command ``upscale`` takes, it takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from upscale_cli.images.picture import Picture
from upscale_cli.kernels.files import read_kernel
from upscale_cli.notices import Notify, ignore
from upscale_cli.upscalers import zero_shot
from upscale_cli.upscaling import upscaler
from upscale_cli.upscaling.options import OptionFields, UpscaleOptions
from upscale_cli.upscaling.pretrained import pretrained
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.upscaler import OnShare
from upscale_cli.weights.defaults import ZERO_SHOT
from upscale_cli.weights.http import Progress, silent
from upscale_cli.weights.resolve import ResolvedNetwork


class Upscaler(upscaler.Upscaler):
    """A network, ready to enlarge pictures; with ``kernel`` one that is trained on each picture itself (ZSSR).

    With ``auto`` it is an embedded one that suits each picture, and there is no ``spec`` either.

    The parameters are those of ``upscaling.upscaler.Upscaler``. With ``kernel`` the size is by default the kernel's own
    scale, and there is no ``spec``. Raises what the base class raises, and InputError for a kernel's file.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        network: ResolvedNetwork | None = None,
        on_download: Progress = silent,
        notify: Notify = ignore,
        **options: Unpack[OptionFields],
    ) -> None:
        asked = UpscaleOptions(model, **options)
        if asked.kernel is None and not asked.auto:
            super().__init__(model, network=network, on_download=on_download, notify=notify, **options)
            return
        if asked.kernel is None:
            self.name, self.options, self._made_for = "automatic", asked, pretrained(asked, notify)
            return
        self.name = ZERO_SHOT
        self.options = asked if asked.sized else replace(asked, scale=float(read_kernel(asked.kernel).scale))
        self._made_for = zero_shot(self.options, notify)

    def upscale_picture(
        self, picture: Picture, size: Size | None = None, on_share: OnShare = lambda share, detail: None
    ) -> Picture:
        """Return ``picture`` at ``size`` (that of the options if None), of the same depth and channels."""
        if self.options.kernel is None and not self.options.auto:
            return super().upscale_picture(picture, size, on_share)
        made = self._made_for(picture, on_share)
        return made.upscale_picture(picture, size or self.options.size, on_share)
