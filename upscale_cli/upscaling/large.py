"""Pictures that take more than half of the free memory: read, enlarged and written from files beside the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli import __version__
from upscale_cli.errors import InputError, UpscaleError, UsageError
from upscale_cli.images import formats, libvips
from upscale_cli.images.header import Header
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import format_and_header
from upscale_cli.images.storage import FileStorage, Settings
from upscale_cli.notices import Notify, note
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.settings import settings_of

if TYPE_CHECKING:
    from upscale_cli.upscaling.job import Job

SHARE_OF_FREE_MEMORY = 0.5
WRITTEN = ("tiff", "png", "jpeg", "ppm")  # strip by strip
COEFFICIENT = 2  # bytes of a progressive JPEG's, for each channel of a pixel


def read_in_files(job: Job, options: UpscaleOptions, notify: Notify) -> Picture | None:
    """Return the picture of ``job`` in files, None where memory holds it and its result, or its format knows no strips.

    ``notify`` gets a sentence about it. Raises InputError, UsageError or OutputError where memory does not suffice and
    files do not help.
    """
    try:
        known, header = format_and_header(job.source, options.max_megapixels)
        target = options.size.pixels(header.height, header.width)
    except UpscaleError:
        return None  # reading says what is wrong
    job.require_size(*target)
    needed = (header.height * header.width + target[0] * target[1]) * header.pixel_bytes
    free = _free_memory()
    if needed <= SHARE_OF_FREE_MEMORY * free or known.name not in libvips.READ or header.frames is not None:
        return None
    sizes = f"{job.source} and its result take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free"
    try:
        libvips.require_pyvips()
        _require_strips(job, options, header, target)
        _require_readable_in_strips(job, header, free)
    except UpscaleError as error:
        if needed > free:
            raise error.saying(f"{sizes}. {error.message}") from error
        notify(note(f"{sizes}. {error}"))
        return None
    storage = FileStorage(job.target, _settings(job, options, target))
    storage.require_room(needed + target[0] * target[1] * header.pixel_bytes)
    goes_on = f", where an earlier run goes on after {storage.tiles} tiles" if storage.resumed else ""
    notify(note(f"{sizes}: they are kept in files in {storage.folder}{goes_on}."))
    return libvips.read_large(job.source, options.max_megapixels, storage)


def _require_strips(job: Job, options: UpscaleOptions, header: Header, target: tuple[int, int]) -> None:
    """Raise UsageError for what is asked for and needs the whole picture in memory."""
    kind = formats.of_target(job.target)
    if kind.name not in WRITTEN:
        raise UsageError(f"{kind.name} files are not written in strips.", "Choose --format tiff or png.")
    whole = {
        "--zssr": options.zero_shot,
        "--kernel auto": options.kernel == "auto",
        "--compare": job.comparison is not None,
        "--tileable with transparency": header.transparent and any(options.wraps),
    }
    if asked := [option for option, given in whole.items() if given]:
        raise UsageError(f"{asked[0]} needs the whole picture in memory.", "Leave it out, or enlarge parts.")


def _require_readable_in_strips(job: Job, header: Header, free: int) -> None:
    """Raise InputError for a file that is decoded as a whole, or not by libvips."""
    reason = "has several pages" if header.metadata.pages > 1 else ""
    reason = "is stored in the colours of printers or as LAB" if header.profiled else reason
    reason = "holds floating point" if header.floating else reason
    if header.interlaced and header.height * header.width * header.pixel_bytes * COEFFICIENT > free / 2:
        reason = "is interlaced or progressive, which is decoded as a whole"
    if reason:
        hint = "Save it in another program as a TIFF file of one RGB or gray picture."
        raise InputError(f"{job.source} {reason}.", hint)


def _free_memory() -> int:
    import torch

    from upscale_cli import device as devices

    return devices.free_memory(torch.device("cpu"))


def _settings(job: Job, options: UpscaleOptions, target: tuple[int, int]) -> Settings:
    """Return all that the arrays depend on: work that was begun with the same goes on."""
    state, weights = job.source.stat(), options.network
    exact = {name: getattr(options, name) for name in ("tile", "tile_pad", "precision", "device", "seed")}
    known = settings_of(options) | exact | {"result": target, "version": __version__}
    known |= {"source": (str(job.source.resolve()), state.st_size, state.st_mtime_ns)}
    if weights is not None and Path(weights).is_file():
        known["weights"] = Path(weights).stat().st_mtime_ns
    return {name: str(value) for name, value in known.items()}
