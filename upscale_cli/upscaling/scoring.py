"""Networks measured on pictures whose ground truth is known: fidelity and time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

import torch

from upscale_cli.errors import DownloadError, UsageError
from upscale_cli.evaluation import Case
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.metrics import score
from upscale_cli.resize import resize_pixels
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.upscaler import Upscaler

Enlarge = Callable[[Picture], Pixels]
Distance = Callable[[Pixels, Pixels], float]


def network(upscaler: Upscaler, scale: int) -> Enlarge:
    """Return the function that enlarges as ``upscale`` does."""
    return lambda picture: upscaler.upscale_picture(picture, Size(scale=scale)).color


def bicubic(scale: int) -> Enlarge:
    """Return MATLAB's bicubic interpolation, which every network must beat."""
    return lambda picture: resize_pixels(
        picture.color, (picture.height * scale, picture.width * scale), "bicubic", picture.color.dtype
    )


def scored(enlarge: Enlarge, case: Case, border: int, lpips: Distance | None) -> dict[str, float]:
    """Enlarge the LR picture of ``case`` and return the measures of the result, by name, and the seconds it took."""
    started = time.perf_counter()
    sr = enlarge(Picture(case.lr, jpeg_quality=case.jpeg_quality))
    seconds = time.perf_counter() - started
    values = asdict(score(sr, case.hr, border)) | {"seconds": seconds}
    if lpips is not None:
        inside = slice(border, -border or None)
        values["lpips"] = lpips(sr[inside, inside], case.hr[inside, inside])
    return values


def lpips_distance() -> Distance:
    """Return LPIPS 0.1 on AlexNet (Zhang et al. 2018, arXiv:1801.03924) for uint8 (H, W, 3), by its authors' library.

    Raises UsageError without the library, DownloadError where AlexNet's weights cannot be had.
    """
    try:
        from lpips import LPIPS
    except ImportError as error:
        raise UsageError("LPIPS is not installed.", "Run: pip install 'upscale-cli[lpips]'") from error
    except RuntimeError as error:
        raise UsageError(f"LPIPS does not load: {error}.", "Install the torchvision that fits your torch.") from error
    try:
        network = LPIPS(net="alex", verbose=False).eval()
    except OSError as error:
        raise DownloadError(f"AlexNet's weights for LPIPS cannot be had: {error}.", "Leave out --lpips.") from error

    @torch.inference_mode()
    def distance(a: Pixels, b: Pixels) -> float:
        planes = (torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in (a, b))
        return float(network(*planes))

    return distance
