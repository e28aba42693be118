"""What a pickle would import and build, found by reading its opcodes without running them.

PyTorch with ``weights_only=True`` runs no foreign code, but a few hundred bytes can make it hash without end, fill the
memory or overflow the stack. So files are inspected first.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from upscale_cli.errors import WeightsError

SLACK = 2**26  # bytes that a file may unpack to beyond its own size
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PICKLES = 5  # in files of PyTorch before 1.6: magic number, version, system, content, storage keys
HEAVIEST_TUPLE = 1000  # objects in a tuple and the tuples in it; a state of Python's random numbers has 630
LONGEST_INTEGER = 64  # bits; longer ones can be made to collide in dictionaries
ALLOWED = re.compile(
    r"collections (OrderedDict|Counter)|torch (\w+Storage|Size|device|bool|b?float\d+|u?int\d+)"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter|meta_tensor_no_storage)|torch\.nn\.parameter Parameter"
)
IMPORTING = ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4")
UNPARSABLE = (ValueError, LookupError, EOFError, RuntimeError, OSError, MemoryError, zipfile.BadZipFile, zlib.error)
PUTS, GETS = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")


def inspect(file: IO[bytes], path: Path) -> None:
    """Refuse a pickled weights file, opened from ``path``, that is damaged, code, or a bomb. Raises WeightsError."""
    try:
        is_archive = file.read(4) == b"PK\x03\x04"  # as PyTorch tells its two formats apart
        file.seek(0)
        if is_archive:
            with zipfile.ZipFile(file) as archive:
                _inspect_archive(archive, path)
        else:
            for _ in range(LEGACY_PICKLES):
                _inspect_pickle(file, path)
        file.seek(0)
    except UNPARSABLE as error:
        raise damaged(path) from error


def damaged(path: Path) -> WeightsError:
    """Return the error for a file that cannot be parsed."""
    return WeightsError(f"The weights {path} are damaged or no weights at all.", "Get the file again.")


def _bomb(path: Path) -> WeightsError:
    return WeightsError(f"The weights {path} are built to exhaust memory or time and were not opened.", "Delete them.")


def _inspect_archive(archive: zipfile.ZipFile, path: Path) -> None:
    members = archive.infolist()
    names = [member.filename.casefold() for member in members]
    if sum(member.file_size for member in members) > path.stat().st_size + SLACK or len(set(names)) < len(names):
        raise _bomb(path)
    if any(name.endswith("/constants.pkl") for name in names):
        raise WeightsError(f"{path} is a TorchScript program, not weights.", "Ask for its state dict.")
    for member in members:
        if member.filename.casefold().endswith(".pkl"):
            _inspect_pickle(io.BytesIO(archive.read(member)), path)


def _inspect_pickle(stream: IO[bytes], path: Path) -> None:
    """Follow the stack of one pickle; an object is represented by its weight: 1, plus all that a tuple contains."""
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    for opcode, argument in _operations(stream, path):
        if opcode.name == "MARK":
            marks.append(len(stack))
        elif opcode.name in PUTS:
            memo[argument] = stack[-1]
        elif opcode.name in GETS:
            stack.append(memo[argument])
        else:
            taken = _take(opcode, stack, marks)
            weight = 1 + sum(taken) if opcode.name.startswith("TUPLE") else 1
            if weight > HEAVIEST_TUPLE:
                raise _bomb(path)
            stack.extend([weight] * len(opcode.stack_after))


def _operations(stream: IO[bytes], path: Path) -> Iterator[tuple[pickletools.OpcodeInfo, int]]:
    """Yield opcodes with their arguments. Raises WeightsError where one imports what tensors do not need."""
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in IMPORTING or (opcode.name == "GLOBAL" and not ALLOWED.fullmatch(str(argument))):
            raise WeightsError(
                f"The weights {path} contain more than tensors, possibly code, and were not opened.",
                "Ask for a .safetensors file.",
            )
        number = argument if isinstance(argument, int) else 0
        if number.bit_length() > LONGEST_INTEGER and number != LEGACY_MAGIC:
            raise _bomb(path)
        yield opcode, number


def _take(opcode: pickletools.OpcodeInfo, stack: list[int], marks: list[int]) -> list[int]:
    """Remove from ``stack`` what the opcode consumes, and return it."""
    consumed = opcode.stack_before
    if pickletools.markobject in consumed:
        start = marks.pop() - consumed.index(pickletools.markobject)
    else:
        start = len(stack) - len(consumed)
    taken = stack[start:]
    del stack[start:]
    return taken
