"""``upscale models info`` and ``convert``: one network, and its file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.models_cache import local_file
from upscale_cli.cli.options import overwrite_option, path, style_options
from upscale_cli.cli.outputs import ONNX, WEIGHTS, require_weights
from upscale_cli.cli.records import ModelRecord

if TYPE_CHECKING:
    from upscale_cli.weights.manifest import WeightsRecord


FULL_NAMES = {"jpeg": "JPEG compression", "noise": "noise"}


@click.command("info")
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
        found = known(record)
        for field in fields(found):
            _print_fact(console, field.name, getattr(found, field.name))
        file = local_file(record) if record.kind == "generator" else None
    if file is not None:
        _print_file(console, file, full)


def _print_fact(console: Console, name: str, value: object) -> None:
    if value not in (None, "", [], ()):
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for line in text.splitlines():
            console.result(f"{name.replace('_', ' '):<18} {line}")
            name = ""


def _print_file(console: Console, path: Path, full: bool) -> None:
    from upscale_cli.networks.architecture import UNBOUNDED
    from upscale_cli.weights.cache import sha256_of
    from upscale_cli.weights.load import load

    weights = load(path)
    spec = weights.spec
    radius = "the whole picture" if spec.receptive_radius == UNBOUNDED else f"{spec.receptive_radius} input pixels"
    overlap = f"; tiles overlap by {spec.tile_halo}"
    own = {
        "file": path,
        "file sha256": sha256_of(path),
        "network": f"{spec.architecture}, x{spec.scale}, {spec.in_channels} to {spec.out_channels} channels"
        + (f", opened by {spec.library}" if spec.library else ""),
        "hyper-parameters": [f"{name} {value}" for name, value in spec.hyperparameters.items()],
        "conditions": [FULL_NAMES[name] for name in spec.conditions],
        "parameters": f"{sum(tensor.numel() for tensor in weights.tensors.values()):,}",
        "receptive radius": radius + ("" if spec.tile_halo >= spec.receptive_radius else overlap),
        "half precision": " and ".join(spec.half_types) or "not supported: runs in fp32",
    }
    for name, fact in own.items():
        _print_fact(console, name, fact)
    for name, text in sorted(weights.facts.items()):
        lines = text.splitlines()
        _print_fact(console, name, text if full or len(lines) < 2 else f"{len(lines)} lines, shown with --full")


def known(record: WeightsRecord) -> ModelRecord:
    """Return all that is known of a network but its file's own facts."""
    import msgspec

    file = local_file(record)
    facts = msgspec.structs.asdict(record) | {"tags": record.labels, "extra": record.extra}
    return ModelRecord(**facts, non_commercial=record.non_commercial, path=str(file) if file else None)


@click.command("convert")
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
    from upscale_cli.weights.load import for_clean, load
    from upscale_cli.weights.onnx_export import require_onnx, save_onnx, smallest_side
    from upscale_cli.weights.state_dict import in_half, save_state

    require_weights(output, overwrite, (*WEIGHTS, ONNX))
    if output.suffix == ONNX:
        require_onnx()
    console = Console(style)
    weights = load(model, console.download, console.notify)
    weights = for_clean(weights) if output.suffix != ".safetensors" else weights
    if output.suffix == ONNX:
        save_onnx(output, weights, half)
    else:
        tensors = published(weights.spec, weights.tensors) if output.suffix == ".pth" else weights.tensors
        save_state(output, in_half(tensors, weights.name) if half else tensors, weights.facts)
    console.tell(f"{weights.name} -> {output}")
    if output.suffix == ONNX and (multiple := weights.spec.size_multiple) > 1:
        least = smallest_side(weights.spec)
        console.tell(f"It takes pictures whose height and width are multiples of {multiple}, and at least {least}.")
