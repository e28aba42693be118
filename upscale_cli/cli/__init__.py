"""The door: parses what was typed, calls one verb, reports. Commands are loaded only when they are used."""

from __future__ import annotations

import atexit
import gc
import importlib
import signal
import sys
from typing import Any, NoReturn

import click

from upscale_cli import __version__
from upscale_cli.cli.default_group import DefaultGroup
from upscale_cli.errors import UpscaleError

# Command: (module, attribute, one line of help). The line stands here so that the list needs no import.
COMMANDS = {
    "run": ("run", "run", "Enlarge pictures; the command that is meant where none is named."),
    "train": ("train", "train", "Train a network by a paper's recipe."),
    "interp": ("interp", "interp", "Mix networks: a weights file, or a contact sheet over the mix."),
    "models": ("models", "models", "List, inspect, download, verify and remove networks."),
    "eval": ("evaluate", "evaluate", "PSNR, SSIM and other measures of results against HR."),
    "compare": ("compare", "compare", "Pictures under a slider, in one page of HTML."),
    "kernel": ("kernel", "kernel", "Estimate a picture's blur kernel; draw and apply kernels."),
    "degrade": ("degrade", "degrade", "Contact sheet of degraded versions, as training shows them."),
    "config": ("config", "config", "Show the defaults of your own."),
    "completion": ("completion", "completion", "Make a shell complete what you type."),
    "benchmark": ("benchmark", "benchmark", "Speed and memory of this machine."),
}
EXIT_CODES = {
    0: "all done",
    1: "some pictures of several failed, or another error",
    2: "options that are wrong or contradict each other",
    3: "an input that cannot be read",
    4: "an output that cannot be written, or exists already",
    5: "an unknown network, or a weights file that cannot be used",
    6: "a download that failed",
    7: "a device that is missing or too small",
    70: "a mistake in the program",
    130: "interrupted by Ctrl-C or SIGTERM",
    141: "the program that read the output ended first",
}
INTERRUPTED, INTERNAL_ERROR, UNREAD = 130, 70, 141


class Commands(DefaultGroup):
    """All commands, imported on demand."""

    default = "run"
    shown = ("output", "scale", "model", "tile", "half", "recursive", "overwrite")
    heading = "Everyday options of run"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; refuse addresses in stores where a command, or an option of ``run``, takes files."""
        if any("://" in argument for argument in args):
            from upscale_cli.cli.outputs import refuse_addresses_in

            refuse_addresses_in(args, self.list_commands(ctx))
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of that name, if there is one."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"upscale_cli.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, and what exit codes mean."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


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
    upscale clip.mp4 -s 2                 a clip, with its sound and subtitles
    upscale run eval                      a picture named like a command

    `upscale run --help` explains every option. --debug, anywhere, shows where an error came from.
    """


def main() -> NoReturn:
    """Run the command line: errors become one sentence on stderr and an exit code of their own (see ``errors``).

    SIGTERM ends a command as Ctrl-C does; so does a reader of stdout that has seen enough, with SIGPIPE's exit code.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    atexit.register(gc.freeze)  # else the interpreter looks through all of PyTorch for cycles before it ends
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        code: Any = commands.main(arguments, prog_name="upscale", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        code = _said("Interrupted: no file was left half written.", INTERRUPTED)
    except SystemExit:  # click's answer to a closed stdout
        code = UNREAD
    except Exception as error:
        if debug:
            raise
        code = _report(error)
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception) -> int:
    """Print ``error`` in one line, and return the exit code."""
    if isinstance(error, UpscaleError):
        return _said(f"Error: {error}", error.exit_code)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return 0
    if isinstance(error, click.ClickException):
        hint = "" if error.message.endswith("?") else " See --help."
        return _said(f"Error: {error.format_message()}{hint}", error.exit_code)
    words = f"Internal error: {type(error).__name__}: {error}. Add --debug for details, and report it."
    return _said(words, INTERNAL_ERROR)


def _said(line: str, code: int) -> int:
    """Print ``line`` below what is shown, and return ``code``."""
    from upscale_cli.cli.bar import close_all
    from upscale_cli.cli.console import printable

    close_all()
    click.echo(printable(line), err=True)
    return code
