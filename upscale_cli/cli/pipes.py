"""Pictures from standard input and to standard output, and inputs from a list."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from upscale_cli.addresses import place
from upscale_cli.cli.console import PIPE
from upscale_cli.errors import InputError, OutputError, UpscaleError, UsageError


def named_in(listing: str) -> tuple[str, ...]:
    """Return the paths that the file ``listing``, - for standard input, names: one a line, or separated by NUL.

    Raises InputError, and UsageError where a store's package is missing.
    """
    try:
        data = sys.stdin.buffer.read() if listing == PIPE else place(listing).read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {listing}: {error.strerror}.", "Check the path and its permissions.") from error
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    paths = tuple(os.fsdecode(line) for line in lines if line.strip())
    if not paths:
        name = "Standard input" if listing == PIPE else listing
        raise InputError(f"{name} names no pictures.", "Write one path on each line.")
    return paths


@dataclass(frozen=True)
class Piped:
    """Inputs and output with files in place of -, which ``names`` calls by sentences' words for them."""

    paths: Sequence[str]
    output: str | None
    own_stdout: bool = True
    names: Mapping[Path, str] = field(default_factory=dict)


@contextmanager
def piped(paths: Sequence[str], output: str | None, extension: str | None) -> Iterator[Piped]:
    """Yield ``paths`` and ``output`` with files in place of -, and whether stdout is free for other text.

    The file in place of ``output`` is written to stdout in the end. ``extension``: of the result, None for the input's.
    Raises UsageError, InputError, OutputError.
    """
    output = PIPE if output is None and PIPE in paths else output
    if PIPE not in paths and output != PIPE:
        yield Piped(paths, output)
        return
    if len(paths) > 1 or place(paths[0]).is_dir():
        pipe = "Standard input (-) is" if PIPE in paths else "Standard output (-o -) takes"
        raise UsageError(f"{pipe} one picture, and there are several.", "Do it alone, or name a folder with -o.")
    if output == PIPE and sys.stdout.isatty():
        raise UsageError("A terminal cannot show the picture.", "Redirect it: upscale photo.jpg -o - > big.png")
    with TemporaryDirectory(prefix="upscale-") as folder:
        source = _received(Path(folder)) if PIPE in paths else place(paths[0])
        result = Path(folder) / f"standard-output{extension or _extension(source)}"
        names = {result: "standard output"} | ({source: "standard input"} if PIPE in paths else {})
        try:
            yield Piped((str(source),), str(result) if output == PIPE else output, output != PIPE, names)
        except UpscaleError as error:
            said = error.message
            for path, words in names.items():
                said = said.replace(str(path), words)
            raise error.saying(said) from error
        if result.exists():
            with result.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _received(folder: Path) -> Path:
    """Return a file in ``folder`` with the picture from standard input, whose extension says its format."""
    from upscale_cli.images import formats

    received = folder / "standard-input"
    try:
        with received.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as error:
        raise OutputError(f"Cannot keep standard input in {folder}: {error.strerror}.", "Set TMPDIR.") from error
    known = formats.of_content(received.read_bytes())
    if known is None:
        raise InputError("Standard input is no picture of a known format.", f"Known are: {formats.READABLE}.")
    return received.rename(received.with_suffix(known.extensions[0]))


def _extension(source: Path) -> str:
    from upscale_cli.images import formats

    return source.suffix if formats.of_path(source) else ".png"
