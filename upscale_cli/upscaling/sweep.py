"""A picture enlarged by networks between two others, as in the figure of the ESRGAN paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from upscale_cli import atomic
from upscale_cli.errors import UsageError
from upscale_cli.images.convert import opaque_rgb8
from upscale_cli.images.picture import Picture
from upscale_cli.images.sheet import contact_sheet
from upscale_cli.metrics import Scores, score
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.load import LoadedWeights
from upscale_cli.weights.mixture import mixed
from upscale_cli.weights.resolve import ResolvedNetwork, built

LARGEST_CELL = 480  # pixels of the sheet that a cell takes in each direction, unless a crop was chosen


@dataclass(frozen=True)
class Crop:
    """A part of a picture, in the picture's own pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Step:
    """The picture enlarged by one network of the sweep; ``scores`` where the ground truth is known."""

    alpha: float
    picture: Picture
    scores: Scores | None = None


def sweep(
    first: LoadedWeights,
    second: LoadedWeights,
    alphas: Iterable[float],
    picture: Picture,
    hr: Picture | None,
    layers: str,
    make: Callable[[ResolvedNetwork], Upscaler],
) -> Iterator[Step]:
    """Yield ``picture`` enlarged by (1 - α)·first + α·second for every α, compared with ``hr`` where given.

    ``make`` turns a network into an Upscaler. Raises WeightsError where the networks differ, UsageError where ``hr``
    is not of the results' size.
    """
    scale = second.spec.scale
    if hr is not None and (hr.height, hr.width) != (picture.height * scale, picture.width * scale):
        sizes = f"{hr.width}x{hr.height}, the results {picture.width * scale}x{picture.height * scale}"
        raise UsageError(f"The HR picture is {sizes}.", "Give the picture that --image was downsampled from.")
    for alpha in alphas:
        mixture = mixed([first, second], [1 - alpha, alpha], layers)
        upscaler = make(built(mixture))
        result = upscaler.upscale_picture(picture, Size(scale=scale))
        yield Step(alpha, result, score(opaque_rgb8(result), opaque_rgb8(hr), scale) if hr else None)


def chosen_crop(picture: Picture, scale: int, crop: Crop | None) -> Crop:
    """Return ``crop``, checked, or the middle of the picture, as much as a cell shows well; in input pixels."""
    if crop is None:
        width, height = (min(side, LARGEST_CELL // scale) for side in (picture.width, picture.height))
        return Crop((picture.width - width) // 2, (picture.height - height) // 2, width, height)
    if min(crop.width, crop.height) < 1 or crop.x + crop.width > picture.width or crop.y + crop.height > picture.height:
        wanted = f"{crop.x},{crop.y},{crop.width},{crop.height}"
        sizes = f"{picture.width}x{picture.height}"
        raise UsageError(f"The crop {wanted} is not inside {sizes} pixels.", "Give X,Y,W,H in pixels of --image.")
    return crop


def sheet(steps: Sequence[Step], crop: Crop, scale: int) -> Picture:
    """Return a contact sheet of the crop of every step, unscaled, with its α and PSNR under it."""
    rows = slice(crop.y * scale, (crop.y + crop.height) * scale)
    columns = slice(crop.x * scale, (crop.x + crop.width) * scale)
    cells = [Picture(opaque_rgb8(step.picture)[rows, columns]) for step in steps]
    figures = [f"   {step.scores.psnr_y:.2f} dB" if step.scores else "" for step in steps]
    return contact_sheet(cells, [f"α = {step.alpha:g}{psnr}" for step, psnr in zip(steps, figures, strict=True)])


def plot(steps: Sequence[Step], path: Path) -> None:
    """Draw PSNR and SSIM on Y over α into the file ``path``."""
    from matplotlib.figure import Figure

    alphas = [step.alpha for step in steps]
    figure = Figure(figsize=(6, 4), layout="constrained")
    left = figure.add_subplot()
    right = left.twinx()
    left.plot(alphas, [step.scores.psnr_y for step in steps if step.scores], "o-", color="tab:blue")
    right.plot(alphas, [step.scores.ssim_y for step in steps if step.scores], "s--", color="tab:orange")
    left.set_xlabel("α")
    left.set_ylabel("PSNR on Y (dB)", color="tab:blue")
    right.set_ylabel("SSIM on Y", color="tab:orange")
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
