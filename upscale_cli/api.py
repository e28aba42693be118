"""The Upscaler of the Python API: what the command ``upscale`` takes, it takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from upscale_cli.images.picture import Picture
from upscale_cli.kernels.files import read_kernel
from upscale_cli.notices import Notify, ignore
from upscale_cli.upscalers import upscalers
from upscale_cli.upscaling import upscaler
from upscale_cli.upscaling.options import DEFAULT_SCALE, OptionFields, UpscaleOptions
from upscale_cli.upscaling.progress import OnShare
from upscale_cli.upscaling.size import Size
from upscale_cli.weights.defaults import ZERO_SHOT, blind
from upscale_cli.weights.progress import Progress, silent
from upscale_cli.weights.resolve import ResolvedNetwork


class Upscaler(upscaler.Upscaler):
    """A network, ready to enlarge pictures; with ``kernel`` given it, or trained on each picture (``zssr``).

    With ``auto`` it is an embedded one that suits each picture. The parameters are those of
    ``upscaling.upscaler.Upscaler``. With ``auto`` or ``kernel`` there is no ``spec``; with a kernel's file the size is
    by default the kernel's own scale. Raises what the base class raises, and InputError for a kernel's file.
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
        self.options = asked
        if isinstance(asked.kernel, Path) and not asked.sized:
            self.options = replace(asked, scale=float(read_kernel(asked.kernel).scale))
        pretrained_name = "automatic" if asked.auto else blind(self.options.size.scale or DEFAULT_SCALE)
        self.name = ZERO_SHOT if asked.zero_shot else pretrained_name
        self._upscaler_for = upscalers(self.options, notify, on_download)

    def upscale_picture(
        self, picture: Picture, size: Size | None = None, on_share: OnShare = lambda share, detail: None
    ) -> Picture:
        """Return ``picture`` at ``size`` (that of the options if None), of the same depth and channels."""
        if self.options.kernel is None and not self.options.auto:
            return super().upscale_picture(picture, size, on_share)
        chosen = self._upscaler_for(picture, on_share)
        return chosen.upscale_picture(picture, size or self.options.size, on_share)
