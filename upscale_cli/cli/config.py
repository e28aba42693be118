"""Defaults of the user's own: a file, a variable of the environment, and ``upscale config``, which shows them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from upscale_cli.cli.clip_options import NAMES, OF_PICTURES
from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.options import Heading, style_options
from upscale_cli.cli.records import ConfigRecord
from upscale_cli.errors import UsageError
from upscale_cli.video.kinds import is_clip

MODEL = "UPSCALE_MODEL"
# Of each group only one can be meant: what is typed puts defaults of the others aside.
ALTERNATIVES = (
    frozenset({"scale", "width", "height", "fit", "print_size"}),
    frozenset({"model", "restore", "auto", "kernel"}),
    frozenset({"model", "restore", "auto", "denoise", "alpha"}),
    frozenset({"half", "fp32"}),
    frozenset({"overwrite", "skip_existing"}),
    frozenset({"quiet", "json"}),
)


@dataclass(frozen=True)
class Default:
    """The value of an option, by its long name, and the file or variable it is from."""

    option: str
    value: Any
    source: str


def config_path() -> Path:
    """Return the file of defaults, which need not exist: $UPSCALE_CONFIG, or upscale.toml in the user's folder."""
    import platformdirs

    chosen = os.environ.get("UPSCALE_CONFIG")
    return Path(chosen).expanduser() if chosen else platformdirs.user_config_path("upscale") / "upscale.toml"


def defaults(options: Mapping[str, str]) -> dict[str, Default]:
    """Return the user's defaults by name of the parameter; ``options`` are these by long name. Raises UsageError."""
    path = config_path()
    found: dict[str, Default] = {}
    for key, value in _read(path).items():
        option = key.replace("_", "-")
        if option not in options:
            raise UsageError(f"{path}: there is no option {key}.", "Use the long names of `upscale run --help`.")
        if isinstance(value, dict | list):
            raise UsageError(f"{path}: {key} is no single value.", f"Write it as on the command line: {key} = ...")
        found[options[option]] = Default(option, value, str(path))
    if model := os.environ.get(MODEL):
        found["model"] = Default("model", model, f"${MODEL}")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.", "Check its permissions.") from error
    except ValueError as error:
        raise UsageError(f"{path} is no TOML file: {error}.", 'Write lines such as: model = "lite-x4"') from error


class WithDefaults(Heading):
    """A command whose options have the user's defaults, except where something else is typed in their place."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse with the defaults that what is typed leaves in force."""
        found = defaults(_options(self, ctx))
        typed = self.make_parser(ctx).parse_args(list(args))[0] if found else {}
        aside = {name for group in ALTERNATIVES if group & typed.keys() for name in group}
        clips = "fps" in typed or any(is_clip(Path(path)) for path in typed.get("paths") or ())
        aside.update(OF_PICTURES if clips else NAMES)
        ctx.default_map = {name: default.value for name, default in found.items() if name not in aside}
        return super().parse_args(ctx, args)


def _options(command: click.Command, ctx: click.Context) -> dict[str, str]:
    """Return the parameters of ``command`` by the long names of their options, without the dashes."""
    options = (each for each in command.get_params(ctx) if isinstance(each, click.Option))
    long = ((name, option) for option in options for name in option.opts if name.startswith("--"))
    return {name.removeprefix("--"): str(option.name) for name, option in long if option.name != "help"}


@click.command("config")
@style_options(json_help="One JSON object per default on stdout.")
@click.pass_context
def config(ctx: click.Context, style: Style) -> None:
    """Show the defaults of your own, and which file they are from.

    The file holds options of `upscale run` by their long names; what is typed goes before it, and $UPSCALE_MODEL
    before its model. $UPSCALE_CONFIG names another file.

    \b
    model = "realesrgan-x4plus"
    device = "cuda:1"
    quality = 90
    """
    from upscale_cli.cli.run import run

    console, path = Console(style), config_path()
    console.tell(f"{path}{'' if path.exists() else ' (not there)'}")
    for default in defaults(_options(run, ctx)).values():
        line = f"{default.option} = {default.value} ({default.source})"
        console.record(ConfigRecord(default.option, str(default.value), default.source), line)
