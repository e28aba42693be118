"""What a conditioned network is told of a picture: how it was compressed, how noisy it is, and how it was blurred."""

from __future__ import annotations

from upscale_cli.images.picture import Pixels
from upscale_cli.networks.conditioned import conditions
from upscale_cli.noise import removable_noise
from upscale_cli.upscaling.options import InputQuality, Noise, UpscaleOptions


def conditions_of(
    options: UpscaleOptions, pixels: Pixels | None, jpeg_quality: float | None, blur: tuple[float, float, float]
) -> tuple[float, ...]:
    """Return the conditions that ``options`` state, or that ``pixels`` and the file's quality tell."""
    return conditions(_quality(options.input_quality, jpeg_quality), _noise(options.noise, pixels), blur)


def _quality(stated: InputQuality, of_file: float | None) -> int | None:
    """Return the JPEG quality, stated or of the file; whole, so that a folder's pictures share their networks."""
    if stated == "auto":
        return None if of_file is None else round(of_file)
    return None if stated == "none" else stated


def _noise(stated: Noise, pixels: Pixels | None) -> float:
    """Return the noise, stated or of ``pixels``, in whole levels for the same reason; 0 where it may be texture."""
    if stated != "auto":
        return stated
    return 0 if pixels is None else round(removable_noise(pixels))
