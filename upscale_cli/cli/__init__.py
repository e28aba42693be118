"""The door: parses what was typed, calls one verb, reports. Commands are loaded only when they are used."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, NoReturn

import click

from upscale_cli import __version__
from upscale_cli.errors import UpscaleError

# Command: (module, attribute, one line of help). The line stands here so that the list needs no import.
COMMANDS = {
    "run": ("run", "run", "Enlarge pictures; the command that is meant when none is named."),
    "train": ("train", "train", "Train a network by a paper's recipe."),
    "interp": ("interp", "interp", "Mix networks: a weights file, or a contact sheet over the mix."),
    "models": ("models", "models", "List, inspect, download, verify and remove networks."),
    "eval": ("evaluate", "evaluate", "PSNR and SSIM of results against the truth."),
    "kernel": ("kernel", "kernel", "Estimate the kernel a picture was shrunk with; show and apply kernels."),
    "degrade": ("degrade", "degrade", "A contact sheet of damaged versions: what training shows a network."),
    "benchmark": ("benchmark", "benchmark", "Speed and memory of this machine."),
}
EVERYDAY = ("output", "scale", "model", "tile", "half", "recursive", "overwrite")
OWN_OPTIONS = ("--help", "-h", "--version")
INTERRUPTED, INTERNAL_ERROR = 130, 70


class Commands(click.Group):
    """A group whose commands are imported on demand, and whose first argument may be a picture instead of one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"upscale_cli.cli.{module}"), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in COMMANDS and args[0] not in OWN_OPTIONS:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        run = self.get_command(ctx, "run")
        assert run is not None
        shown = (option for option in run.params if option.name in EVERYDAY)
        with formatter.section("Everyday options of run"):
            formatter.write_dl([record for option in shown if (record := option.get_help_record(ctx)) is not None])
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.command("upscale", cls=Commands, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="upscale")
def commands() -> None:
    """Enlarge pictures with neural networks.

    \b
    upscale photo.jpg                     four times larger: photo_x4.jpg
    upscale photo.jpg -s 2 -o big.png     twice, into a file of your choice
    upscale folder/ -r --half             a tree of pictures, in half precision
    upscale photo.jpg -m realesrgan-x4plus
                                          with a particular network
    upscale run eval                      a picture that is called like a command

    `upscale run --help` explains every option. --debug, anywhere, shows where an error came from.
    """


def main() -> NoReturn:
    """Run the command line: errors become one sentence on stderr and an exit code of their own (see ``errors``)."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        code: Any = commands.main(arguments, prog_name="upscale", standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        code = _report(error)
    except KeyboardInterrupt:
        code = _interrupted()
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception) -> int:
    if isinstance(error, UpscaleError):
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return 0
    if isinstance(error, click.Abort):
        return _interrupted()
    if isinstance(error, click.ClickException):
        hint = "" if error.message.endswith("?") else " See --help."
        click.echo(f"Error: {error.format_message()}{hint}", err=True)
        return error.exit_code
    if isinstance(error, BrokenPipeError):  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    click.echo(f"Internal error: {type(error).__name__}: {error}. Add --debug for details, and report it.", err=True)
    return INTERNAL_ERROR


def _interrupted() -> int:
    click.echo("Interrupted: no file was left half written.", err=True)
    return INTERRUPTED
