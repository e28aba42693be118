"""The settings of a folder's results, kept beside them, so that a run that continues with others says so."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from upscale_cli import atomic
from upscale_cli.addresses import Address
from upscale_cli.errors import InputError
from upscale_cli.notices import Notice, warning
from upscale_cli.remote import write_bytes
from upscale_cli.upscaling.options import UpscaleOptions

FILE = ".upscale.json"
# The options that change pixels, by their names on the command line.
OPTIONS = {
    "model": "-m",
    "restore": "--restore",
    "auto": "--auto",
    "alpha": "--alpha",
    "denoise": "-dn",
    "tta": "--tta",
    "alpha_upsampler": "--alpha-upsampler",
    "tileable": "--tileable",
    "input_quality": "--input-quality",
    "noise": "--noise",
    "strength": "--strength",
    "keep_colors": "--keep-colors",
    "sharpen": "--sharpen",
    "grain": "--grain",
    "kernel": "--kernel",
    "zssr": "--zssr",
    "fast": "--fast",
    "quality": "--quality",
    "max_bytes": "--max-bytes",
    "depth": "--depth",
    "dpi": "--dpi",
}

Settings = dict[str, str]


def settings_of(options: UpscaleOptions) -> Settings:
    """Return what ``options`` say about pixels, by option; defaults are left out."""
    plain = UpscaleOptions()
    changed = {name: getattr(options, name) for name in OPTIONS if getattr(options, name) != getattr(plain, name)}
    return {"size": options.size.label()} | {OPTIONS[name]: str(value) for name, value in changed.items()}


def difference(folder: Path, settings: Settings) -> tuple[Notice, ...]:
    """Return a warning where results in ``folder`` were made with other settings than ``settings``."""
    before = _read(folder / FILE)
    if before is None or before == settings:
        return ()
    names = sorted(name for name in before | settings if before.get(name) != settings.get(name))
    changes = [
        f"{name} was {before.get(name, 'the default')}, is {settings.get(name, 'the default')}" for name in names
    ]
    text = f"{folder} holds results of other settings ({'; '.join(changes)}). --overwrite does them again."
    return (warning(text),)


def keep(folder: Path, settings: Settings, overwrite: bool) -> None:
    """Write ``settings`` into ``folder``, unless results of earlier settings stay there. Raises OutputError."""
    path = folder / FILE
    if isinstance(path, Address):
        if overwrite or not path.exists():
            write_bytes(path, msgspec.json.encode(settings) + b"\n")
    elif overwrite or not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, msgspec.json.encode(settings) + b"\n")


def _read(path: Path) -> Settings | None:
    with suppress(OSError, InputError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    return None
