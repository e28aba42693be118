"""``upscale models``: what networks there are, what is known of them, and which of them are on this disk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.options import overwrite_option, path, style_options
from upscale_cli.cli.outputs import ONNX, WEIGHTS, require_weights
from upscale_cli.cli.recommend import recommend
from upscale_cli.cli.records import ModelRecord
from upscale_cli.errors import UpscaleError, WeightsError

if TYPE_CHECKING:
    from upscale_cli.networks import NetworkSpec
    from upscale_cli.weights.load import LoadedWeights
    from upscale_cli.weights.manifest import WeightsRecord

COLUMNS = ("name", "scale", "size", "licence", "purpose")
ORDERS = ("name", "scale", "size", "licence", "architecture")


@click.group("models", no_args_is_help=True)
def models() -> None:
    """List, inspect, convert, download, verify and remove networks.

    \b
    Example:  upscale models download realesrgan-x4plus
    """


models.add_command(recommend)


@models.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those of OpenModelDB, and those that only train others.")
@click.option("--search", "text", metavar="TEXT", help="Those with the text in name, purpose or note, of all.")
@click.option("--architecture", metavar="NAME", help="Those of the architecture, of all.")
@click.option("--scale", type=click.IntRange(min=1), help="Those that enlarge so many times, of all.")
@click.option("--licence", metavar="NAME", help="Those under the licence, of all: MIT, CC-BY-4*, or none.")
@click.option("--tag", help="Those for it, of all: photo, anime, denoise.")
@click.option("--sort", "order", type=click.Choice(ORDERS), help="Order.  [default: as in the manifest]")
@style_options(json_help="One JSON object per network.", quiet_help="No line on how many there are.")
def list_models(
    everything: bool,
    text: str | None,
    architecture: str | None,
    scale: int | None,
    licence: str | None,
    tag: str | None,
    order: str | None,
    style: Style,
) -> None:
    """List networks. * are on this disk.

    \b
    Example:  upscale models list --all
              upscale models list --tag anime --scale 2 --sort size
    """
    from upscale_cli.weights.manifest import load_manifest
    from upscale_cli.weights.search import Query, search, sort

    console, manifest = Console(style), load_manifest()
    query = Query(architecture, scale, licence, tag, text)
    if short := not everything and query == Query():
        shown = [r for r in manifest.embedded + manifest.curated if r.kind == "generator"]
    else:
        shown = search(manifest.records(), query)
    shown = sort(shown, order) if order else shown
    for row in _table(shown) if shown and style != "json" else ():
        console.result(row)
    for record in shown if style == "json" else ():
        console.record(_known(record))
    if short:
        more = len(manifest.records()) - len(shown)
        console.tell(f"* is on this disk. {more} more with --all; `upscale models info NAME` says more.", err=True)
    if not shown:
        console.tell("No network is all of that.", err=True)


def _table(records: Sequence[WeightsRecord]) -> list[str]:
    """Return heading and rows, cut to the terminal's width where there is one."""
    rows = [("", *COLUMNS)]
    for record in records:
        here, scale = "*" if _local(record) else "", f"x{record.scale}" if record.scale else ""
        extra = f" (needs the extra {record.extra})" if record.extra else ""
        rows.append((here, record.name, scale, _size(record), _licence(record), record.purpose + extra))
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    sides = "<<<><"
    lines = []
    for *cells, purpose in rows:
        aligned = [f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=True)]
        lines.append(f"{aligned[0]} {'  '.join([*aligned[1:], purpose])}".rstrip())
    columns = shutil.get_terminal_size().columns
    return [f"{line[: columns - 1]}…" if has_columns() and len(line) > columns else line for line in lines]


def has_columns() -> bool:
    """Return whether stdout has a width."""
    return sys.stdout.isatty()


def _size(record: WeightsRecord) -> str:
    megabytes = (record.bytes or 0) / 1e6
    return f"{megabytes:.{0 if megabytes >= 10 else 1}f} MB" if megabytes else ""


def _licence(record: WeightsRecord) -> str:
    return (record.licence or "none stated") + (" (non-commercial)" if record.non_commercial else "")


def _local(record: WeightsRecord) -> Path | None:
    """Return the record's file, if it is on this disk."""
    from upscale_cli.weights.load import local_path

    file = local_path(record)
    return file if file.is_file() else None


def _known(record: WeightsRecord) -> ModelRecord:
    import msgspec

    file = _local(record)
    known = msgspec.structs.asdict(record) | {"tags": record.labels, "extra": record.extra}
    return ModelRecord(**known, non_commercial=record.non_commercial, path=str(file) if file else None)


@models.command("info")
@click.argument("model")
@click.option("--full", is_flag=True, help="Long facts too: the whole recipe it was trained by.")
def info(model: str, full: bool) -> None:
    """Print what is known of a network.

    Its record and, if its file is on this disk, what the file itself says.

    \b
    Example:  upscale models info realesrgan-x4plus
              upscale models info my.safetensors
    """
    from upscale_cli.weights.load import is_path
    from upscale_cli.weights.manifest import load_manifest

    console = Console()
    file: Path | None = Path(model)
    if not is_path(model):
        record = load_manifest().find(model)
        known = _known(record)
        for field in fields(known):
            _print_fact(console, field.name, getattr(known, field.name))
        file = _local(record) if record.kind == "generator" else None
    if file is not None:
        _print_file(console, file, full)


def _print_fact(console: Console, name: str, value: object) -> None:
    if value not in (None, "", [], ()):
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for line in text.splitlines():
            console.result(f"{name.replace('_', ' '):<18} {line}")
            name = ""


def _print_file(console: Console, path: Path, full: bool) -> None:
    from upscale_cli.weights.cache import sha256_of
    from upscale_cli.weights.load import load

    weights = load(path)
    spec = weights.spec
    own = {
        "file": path,
        "file sha256": sha256_of(path),
        "network": f"{spec.architecture}, x{spec.scale}, {spec.in_channels} to {spec.out_channels} channels"
        + (f", opened by {spec.library}" if spec.library else ""),
        "hyper-parameters": [f"{name} {value}" for name, value in spec.hyperparameters.items()],
        "parameters": f"{sum(tensor.numel() for tensor in weights.tensors.values()):,}",
        "receptive radius": _radius(spec),
        "half precision": " and ".join(spec.half_types) or "not supported: runs in fp32",
    }
    for name, fact in own.items():
        _print_fact(console, name, fact)
    for name, text in sorted(weights.facts.items()):
        _print_fact(
            console, name, text if full or "\n" not in text else f"{text.count(chr(10))} lines, shown with --full"
        )


def _radius(spec: NetworkSpec) -> str:
    """Return how far the network sees, and what tiles see of it where that is less."""
    from upscale_cli.networks.architecture import UNBOUNDED

    radius = "the whole picture" if spec.receptive_radius == UNBOUNDED else f"{spec.receptive_radius} input pixels"
    return radius if spec.tile_halo >= spec.receptive_radius else f"{radius}; tiles overlap by {spec.tile_halo}"


@models.command("convert")
@click.argument("model")
@click.option("-o", "--output", required=True, type=path(), help=".safetensors, .pth or .onnx.")
@click.option("--half", is_flag=True, help="In fp16: half the size.")
@overwrite_option
@style_options()
def convert(model: str, output: Path, half: bool, overwrite: bool, style: Style) -> None:
    """Write a network to another kind of file.

    Its tensors get the names that most tools know, and a .pth file all that other programs ask for. An .onnx file takes
    pictures of any size (needs the extra onnx).

    \b
    Example:  upscale models convert runs/small/best.safetensors --half -o small.safetensors
              upscale models convert old_layout.pth -o network.pth
              upscale models convert lite-x4 -o lite-x4.onnx
    """
    from upscale_cli.networks import published
    from upscale_cli.weights.load import load
    from upscale_cli.weights.onnx_export import require_onnx
    from upscale_cli.weights.state_dict import in_half, save_state

    require_weights(output, overwrite, (*WEIGHTS, ONNX))
    if output.suffix == ONNX:
        require_onnx()
    console = Console(style)
    weights = load(model, console.download, console.notify)
    if output.suffix == ONNX:
        _convert_to_onnx(console, weights, output, half)
        return
    tensors = published(weights.spec, weights.tensors) if output.suffix == ".pth" else weights.tensors
    tensors = in_half(tensors, weights.name) if half else tensors
    save_state(output, tensors, weights.facts)
    console.tell(f"{weights.name} -> {output}")


def _convert_to_onnx(console: Console, weights: LoadedWeights, output: Path, half: bool) -> None:
    from upscale_cli.weights.onnx_export import save_onnx, smallest_side

    save_onnx(output, weights, half)
    console.tell(f"{weights.name} -> {output}")
    if (multiple := weights.spec.size_multiple) > 1:
        least = smallest_side(weights.spec)
        console.tell(f"It takes pictures whose height and width are multiples of {multiple}, and at least {least}.")


@models.command("download")
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


@models.command("verify")
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
    records = [manifest.find(name) for name in names] or [r for r in manifest.records() if not r.embedded and _local(r)]
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
    file = _local(record)
    if file is None:
        raise WeightsError(f"{record.name} is not on this disk.", f"Run `upscale models download {record.name}`.")
    return file


@models.command("path")
@click.argument("name", required=False)
def path_of(name: str | None) -> None:
    """Print where a network, or the cache, is.

    \b
    Example:  upscale models path lite-x4
    """
    from upscale_cli.weights.cache import cache_folder
    from upscale_cli.weights.manifest import load_manifest

    Console().result(str(_require_local(load_manifest().find(name)) if name else cache_folder()))


@models.command("remove")
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
