"""May this file be written? One answer for all commands, asked before anything is downloaded or computed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli import atomic
from upscale_cli.addresses import is_address
from upscale_cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from upscale_cli.images.formats import Format

FILES_OF_RUN = ("-m", "--model", "--kernel")
WEIGHTS = (".safetensors", ".pth")
ONNX = ".onnx"


def refuse_addresses(addresses: Sequence[str], what: str) -> None:
    """Raise UsageError where there are ``addresses``: ``what`` is worked on is read and written on this machine."""
    for address in addresses:
        raise UsageError(f"{address}: {what} is worked on as a file of this machine.", "Copy it here.")


def refuse_addresses_in(arguments: Sequence[str], commands: Sequence[str]) -> None:
    """Raise UsageError where ``arguments`` hold an address for what is read and written as a file.

    That is all that commands but ``run`` take, and the weights and kernels of ``run``.
    """
    command = arguments[0] if arguments[0] in commands else "run"
    for before, argument in pairwise(("", *arguments)):
        option, _, value = argument.partition("=") if argument.startswith("--") else (before, "", argument)
        if is_address(value) and (command != "run" or option in FILES_OF_RUN):
            what = f"what upscale {command} takes" if command != "run" else f"what {option} takes"
            raise UsageError(f"{value}: {what} is a file of this machine.", "Copy it, and name the copy.")


def require_file(path: Path, overwrite: bool, makes_folder: bool = False) -> None:
    """Raise OutputError where ``path`` cannot become a new file, or exists and ``overwrite`` is not set.

    Its folder must exist, unless the command ``makes_folder``.
    """
    atomic.require_possible(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already.", "Add --overwrite, or choose another name with -o.")
    if not makes_folder and not path.parent.exists():
        raise OutputError(f"There is no folder {path.parent}.", "Create it, or choose another place with -o.")


def require_picture(path: Path, overwrite: bool) -> Format:
    """Return the format that the name of ``path`` asks for. Raises UsageError, and what ``require_file`` raises."""
    from upscale_cli.images import formats

    kind = formats.of_target(path)
    require_file(path, overwrite)
    return kind


def require_weights(path: Path, overwrite: bool, suffixes: tuple[str, ...] = WEIGHTS) -> None:
    """Raise UsageError where ``path`` has none of the ``suffixes``, and what ``require_file`` raises."""
    if path.suffix not in suffixes:
        names = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
        raise UsageError(f"{path} has no extension of a weights file.", f"Name it {names}.")
    require_file(path, overwrite)
