"""``upscale models download``, ``verify``, ``path`` and ``remove``: which networks are on this disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.options import style_options
from upscale_cli.errors import UpscaleError, WeightsError

if TYPE_CHECKING:
    from upscale_cli.weights.manifest import WeightsRecord


def local_file(record: WeightsRecord) -> Path | None:
    """Return the record's file, if it is on this disk."""
    from upscale_cli.weights.load import local_path

    file = local_path(record)
    return file if file.is_file() else None


@click.command("download")
@click.argument("names", nargs=-1, required=True)
@style_options()
def download(names: tuple[str, ...], style: Style) -> None:
    """Download networks, so that they work offline.

    They are verified, and kept in the cache.

    \b
    Example:  upscale models download realesrgan-x4plus realesrnet-x4plus
    """
    from upscale_cli.weights.load import locate, notices_on
    from upscale_cli.weights.manifest import load_manifest

    console, manifest = Console(style), load_manifest()
    for record in [manifest.find(name) for name in names]:
        for notice in notices_on(record):
            console.notify(notice)
        console.result(str(locate(record, console.download, console.notify)))


@click.command("verify")
@click.argument("names", nargs=-1)
@style_options()
def verify_models(names: tuple[str, ...], style: Style) -> None:
    """Hash files again and compare with the manifest.

    Those of NAMES, or all that are in the cache.

    \b
    Example:  upscale models verify
    """
    from upscale_cli.weights.cache import require_hash, verify
    from upscale_cli.weights.manifest import load_manifest

    console, manifest = Console(style), load_manifest()
    cached = (record for record in manifest.records() if not record.embedded and local_file(record))
    records = [manifest.find(name) for name in names] or list(cached)
    failed = 0
    for record in records:
        file = _require_local(record)
        try:
            if record.embedded:
                require_hash(record, file, record.sha256 or "")
            else:
                verify(record, file)
            console.tell(f"{record.name}: verified")
        except WeightsError as error:
            failed += 1
            console.failure(error)
    if failed:
        raise UpscaleError(f"{failed} of {len(records)} files failed verification.")


def _require_local(record: WeightsRecord) -> Path:
    file = local_file(record)
    if file is None:
        raise WeightsError(f"{record.name} is not on this disk.", f"Run `upscale models download {record.name}`.")
    return file


@click.command("path")
@click.argument("name", required=False)
def path_of(name: str | None) -> None:
    """Print where a network, or the cache, is.

    \b
    Example:  upscale models path lite-x4
    """
    from upscale_cli.weights.cache import cache_folder
    from upscale_cli.weights.manifest import load_manifest

    Console().result(str(_require_local(load_manifest().find(name)) if name else cache_folder()))


@click.command("remove")
@click.argument("names", nargs=-1, required=True)
@style_options()
def remove(names: tuple[str, ...], style: Style) -> None:
    """Delete networks from the cache, and their pins.

    \b
    Example:  upscale models remove realesrgan-x4plus
    """
    from upscale_cli.weights import cache
    from upscale_cli.weights.manifest import load_manifest

    console, manifest = Console(style), load_manifest()
    for record in [manifest.find(name) for name in names]:
        if record.embedded:
            raise WeightsError(f"{record.name} is part of the program and stays.", "Name a downloaded network.")
        if not cache.remove(record, cache.cache_folder()):
            raise WeightsError(f"{record.name} is not on this disk.", "See `upscale models list --all`.")
        console.tell(f"Removed {record.name}")
