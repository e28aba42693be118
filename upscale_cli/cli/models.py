"""``upscale models``: what networks there are, what is known of them, and which of them are on this disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.cli.report import DownloadBar, in_words
from upscale_cli.errors import OutputError, UpscaleError, UsageError, WeightsError

if TYPE_CHECKING:
    from upscale_cli.weights.manifest import WeightsRecord

HELP = {"help_option_names": ["-h", "--help"]}


@click.group("models", no_args_is_help=True, context_settings=HELP)
def models() -> None:
    """List, inspect, convert, download, verify and remove networks.

    \b
    Example:  upscale models list --search anime
    """


@models.command("list")
@click.option("--all", "everything", is_flag=True, help="Also the networks of OpenModelDB.")
@click.option("--search", metavar="TEXT", help="Those with the text in name or purpose, of all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per network.")
def list_models(everything: bool, search: str | None, as_json: bool) -> None:
    """Table of networks: name, scale, architecture, size, licence, purpose; * are on this disk.

    \b
    Example:  upscale models list --all
    """
    from upscale_cli.weights.manifest import load_manifest

    manifest = load_manifest()
    records = manifest.records() if everything or search else manifest.embedded + manifest.curated
    wanted = (search or "").lower()
    for record in records:
        if wanted in f"{record.name} {record.purpose} {record.note}".lower():
            click.echo(json.dumps(_as_json(record)) if as_json else _row(record))
    if not as_json and not everything and not search:
        click.echo(f"{len(manifest.openmodeldb)} more with --all. * is on this disk.", err=True)


def _row(record: WeightsRecord) -> str:
    here = "*" if _local(record) else " "
    megabytes = (record.bytes or 0) / 1e6
    size = f"{megabytes:.{0 if megabytes >= 10 else 1}f} MB" if megabytes else ""
    scale = f"x{record.scale}" if record.scale is not None else ""
    licence = (record.licence or "none stated") + (" (non-commercial)" if record.non_commercial else "")
    what = f"{record.name:<34} {scale:<4} {record.architecture:<10} {size:>7}"
    return f"{here} {what}  {licence:<34} {record.purpose}".rstrip()


def _local(record: WeightsRecord) -> Path | None:
    """The record's file, if it is on this disk."""
    from upscale_cli.weights.load import local_path

    path = local_path(record)
    return path if path.is_file() else None


def _as_json(record: WeightsRecord) -> dict[str, object]:
    import msgspec

    path = _local(record)
    known: dict[str, object] = msgspec.to_builtins(record)
    return known | {"path": str(path) if path else None, "non_commercial": record.non_commercial}


@models.command("info")
@click.argument("model")
@click.option("--full", is_flag=True, help="Long facts too: the whole recipe it was trained by.")
def info(model: str, full: bool) -> None:
    """What is known of a network: its record, and, if its file is here, what the file itself says.

    \b
    Example:  upscale models info realesrgan-x4plus
              upscale models info my.safetensors
    """
    from upscale_cli.weights.load import is_path
    from upscale_cli.weights.manifest import load_manifest

    path: Path | None = Path(model)
    if not is_path(model):
        record = load_manifest().find(model)
        for name, value in _as_json(record).items():
            _tell(name, value)
        path = _local(record) if record.kind == "generator" else None
    if path is not None:
        _tell_file(path, full)


def _tell(name: str, value: object) -> None:
    if value not in (None, "", [], ()):
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        click.echo(f"{name.replace('_', ' '):<18} {text}")


def _tell_file(path: Path, full: bool) -> None:
    from upscale_cli.weights.cache import sha256_of
    from upscale_cli.weights.load import load

    weights = load(path)
    spec = weights.spec
    _tell("file", path)
    _tell("file sha256", sha256_of(path))
    _tell("network", f"{spec.architecture}, x{spec.scale}, {spec.in_channels} to {spec.out_channels} channels")
    _tell("hyper-parameters", [f"{name} {value}" for name, value in spec.hyperparameters.items()])
    _tell("parameters", f"{sum(tensor.numel() for tensor in weights.tensors.values()):,}")
    _tell("receptive radius", f"{spec.receptive_radius} input pixels")
    for name, value in sorted(weights.facts.items()):
        lines = value.count("\n")
        _tell(name, value if full or not lines else f"{lines} lines, shown with --full")


@models.command("convert")
@click.argument("model")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help=".safetensors or .pth."
)
@click.option("--half", is_flag=True, help="In fp16: half the size.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def convert(model: str, output: Path, half: bool, overwrite: bool) -> None:
    """Write a network's weights to another kind of file, under the keys that most tools know.

    \b
    Example:  upscale models convert runs/small/best.safetensors --half -o small.safetensors
              upscale models convert old_layout.pth -o network.pth
    """
    from upscale_cli.weights.load import load
    from upscale_cli.weights.state_dict import in_half, save_state

    if output.suffix not in (".safetensors", ".pth"):
        raise UsageError(f"{output} is no weights file.", "Call it .safetensors or .pth.")
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists already.", "Add --overwrite, or choose another name with -o.")
    weights = load(model, DownloadBar())
    tensors = in_half(weights.tensors, weights.name) if half else weights.tensors
    save_state(output, tensors, weights.facts)
    click.echo(f"{weights.name} -> {output}")


@models.command("download")
@click.argument("names", nargs=-1, required=True)
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def download(names: tuple[str, ...], quiet: bool) -> None:
    """Fetch networks into the cache, verified, so that they work without network later.

    \b
    Example:  upscale models download realesrgan-x4plus realesrnet-x4plus
    """
    from upscale_cli.weights.load import locate, notices_on
    from upscale_cli.weights.manifest import load_manifest

    manifest = load_manifest()
    for record in [manifest.find(name) for name in names]:
        for notice in notices_on(record):
            click.echo(in_words(notice), err=True)
        click.echo(locate(record, DownloadBar(quiet), lambda notice: click.echo(in_words(notice), err=True)))


@models.command("verify")
@click.argument("names", nargs=-1)
def verify_models(names: tuple[str, ...]) -> None:
    """Hash the files in the cache again (all of them, or NAMES) and compare with the manifest.

    \b
    Example:  upscale models verify
    """
    from upscale_cli.weights.cache import require_hash, verify
    from upscale_cli.weights.manifest import load_manifest

    manifest = load_manifest()
    records = [manifest.find(name) for name in names] or [r for r in manifest.records() if not r.embedded and _local(r)]
    failed = 0
    for record in records:
        path = _require_local(record)
        try:
            if record.embedded:
                require_hash(record, path, record.sha256 or "")
            else:
                verify(record, path)
            click.echo(f"{record.name}: right")
        except WeightsError as error:
            failed += 1
            click.echo(f"Error: {error}", err=True)
    if failed:
        raise UpscaleError(f"{failed} of {len(records)} files are not what they should be.")


def _require_local(record: WeightsRecord) -> Path:
    path = _local(record)
    if path is None:
        raise WeightsError(f"{record.name} is not on this disk.", f"Run `upscale models download {record.name}`.")
    return path


@models.command("path")
@click.argument("name", required=False)
def path_of(name: str | None) -> None:
    """Where a network's file is; without NAME, where the cache is.

    \b
    Example:  upscale models path lite-x4
    """
    from upscale_cli.weights.cache import cache_folder
    from upscale_cli.weights.manifest import load_manifest

    click.echo(_require_local(load_manifest().find(name)) if name else cache_folder())


@models.command("remove")
@click.argument("names", nargs=-1, required=True)
def remove(names: tuple[str, ...]) -> None:
    """Delete networks from the cache, and forget what was pinned of them.

    \b
    Example:  upscale models remove realesrgan-x4plus
    """
    from upscale_cli.weights import cache
    from upscale_cli.weights.manifest import load_manifest

    manifest = load_manifest()
    for record in [manifest.find(name) for name in names]:
        if record.embedded:
            raise WeightsError(f"{record.name} is part of the program and stays.", "Name a downloaded network.")
        if not cache.remove(record, cache.cache_folder()):
            raise WeightsError(f"{record.name} is not on this disk.", "See `upscale models list --all`.")
        click.echo(f"Removed {record.name}")
