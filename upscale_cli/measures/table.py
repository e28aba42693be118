"""Which measures there are, and the pictures of a result put through those that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from upscale_cli.errors import UsageError
from upscale_cli.images.picture import Pixels
from upscale_cli.measures.niqe import niqe, read_pristine
from upscale_cli.metrics import Levels, inside, luma, ms_ssim, psnr, ssim, with_channels

DEFAULT = ("psnr", "ssim")


@dataclass(frozen=True)
class Measure:
    """One number of a result: its heading, how it is written, and whether more is better."""

    heading: str
    form: str
    more_is_better: bool


MEASURES: Mapping[str, Measure] = {
    "psnr_y": Measure("PSNR Y", ".2f", True),
    "ssim_y": Measure("SSIM Y", ".4f", True),
    "psnr_rgb": Measure("PSNR RGB", ".2f", True),
    "ssim_rgb": Measure("SSIM RGB", ".4f", True),
    "ms_ssim": Measure("MS-SSIM", ".4f", True),
    "lpips": Measure("LPIPS", ".4f", False),
    "dists": Measure("DISTS", ".4f", False),
    "niqe": Measure("NIQE", ".3f", False),
    "seconds": Measure("s/picture", ".2f", False),
}
# Gives numbers by name for a result and HR, uint8 (H, W, 3) of one size.
Function = Callable[[Levels, Levels], dict[str, float]]
NAMES = ("psnr", "ssim", "ms-ssim", "lpips", "dists", "niqe")


def measured(names: Sequence[str], pristine: Path | None = None) -> Callable[[Pixels, Pixels, int], dict[str, float]]:
    """Return the function that gives a result's numbers by name: of (result, HR, border), uint8 (H, W, 1 or 3).

    ``pristine``: the file that NIQE needs. Raises UsageError, DownloadError or InputError where something is missing.
    """
    functions = [_function(name, pristine) for name in dict.fromkeys(names)]

    def numbers(sr: Pixels, hr: Pixels, border: int) -> dict[str, float]:
        pair = inside(sr, hr, border)
        found: dict[str, float] = {}
        for function in functions:
            found |= function(*pair)
        return {name: found[name] for name in MEASURES if name in found}

    return numbers


def _function(name: str, pristine: Path | None) -> Function:
    if name in ("psnr", "ssim"):
        return partial(_on_y_and_rgb, name)
    if name == "ms-ssim":
        return lambda sr, hr: {"ms_ssim": ms_ssim(luma(sr), luma(hr))}
    if name in ("lpips", "dists"):
        return _learned(name)
    if name == "niqe":
        if pristine is None:
            reason = "NIQE needs the statistics of undistorted pictures, which are not part of this program."
            hint = "Give their file with --niqe-model: niqe_pris_params.npz of BasicSR, or modelparameters.mat."
            raise UsageError(reason, hint)
        statistics = read_pristine(pristine)
        return lambda sr, hr: {"niqe": niqe(luma(sr), statistics)}
    raise UsageError(f"There is no measure {name!r}.", f"Known are: {', '.join(NAMES)}.")


def _on_y_and_rgb(name: str, sr: Levels, hr: Levels) -> dict[str, float]:
    of = {"psnr": psnr, "ssim": ssim}[name]
    return {f"{name}_y": of(luma(sr), luma(hr)), f"{name}_rgb": of(sr, hr)}


def _learned(name: str) -> Function:
    from upscale_cli.measures import perceptual

    distance = {"lpips": perceptual.lpips_distance, "dists": perceptual.dists_distance}[name]()
    return lambda sr, hr: {name: distance(*(with_channels(picture, 3).astype("uint8") for picture in (sr, hr)))}
