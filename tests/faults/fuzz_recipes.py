"""Hostile recipe files and settings, read and checked as `upscale train --check` does.

    python tests/faults/fuzz_recipes.py --soak 20000

Every input follows from its number. Each must be a recipe that can run, or be refused in a sentence, in little time.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

import torch
from tiny_training import painted, save

from upscale_cli.errors import UpscaleError
from upscale_cli.training import setup
from upscale_cli.training.recipe_file import FOLDER, load_recipe, names

SECONDS = 5.0  # of a processor, for one input
LONGEST = 10_000  # characters of a refusal, which may quote a value
HOSTILE = (
    *("0", "-1", "1", "2", "3", "16", "1000000", "9223372036854775807", "1" + "0" * 30, "1" * 5000, "0.5", "-0.0"),
    *("1e-320", "1e308", "1e400", "nan", "inf", "-inf", "true", "false", '""', '"x"', '"scratch"', '"lite-x4"'),
    *('"/"', '"."', '"../../x"', '"\\u0000"', '"\\u001b[31m"', '"' + "n" * 300 + '"', '"/dev/zero"', '"rrdbnet"'),
    *("1979-05-27T07:32:00Z", "[]", "[1]", "[[[]]]", "[0, 1]", "[1, 0]", "[nan, 1]", '["", ""]', '["/dev/null"]'),
    *("{}", "{ a = 1 }", "{ conv1_1 = 1 }", "{ conv9_9 = 1 }", "[" + "7, " * 5000 + "7]", "'''\nx\n'''"),
)
FRAGMENTS = (b"[", b"]", b"=", b"\x00", b"\xff\xfe", b'"', b"'''", b"[[data]]", b"\r", b"\xe2\x80\xae", b"base=3\n")

Mutation = Callable[[random.Random, bytes], bytes]


def flip_bytes(draw: random.Random, text: bytes) -> bytes:
    content = bytearray(text)
    for _ in range(draw.randint(1, 8)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def truncate(draw: random.Random, text: bytes) -> bytes:
    return text[: draw.randrange(len(text))]


def insert_fragment(draw: random.Random, text: bytes) -> bytes:
    at = draw.randrange(len(text))
    return text[:at] + draw.choice(FRAGMENTS) * draw.choice((1, 1, 3)) + text[at:]


def replace_values(draw: random.Random, text: bytes) -> bytes:
    lines = text.decode().splitlines()
    for _ in range(draw.randint(1, 3)):
        at = draw.choice([number for number, line in enumerate(lines) if "=" in line])
        lines[at] = f"{lines[at].partition('=')[0]}= {draw.choice(HOSTILE)}"
    return "\n".join(lines).encode()


def shuffle_lines(draw: random.Random, text: bytes) -> bytes:
    lines = text.splitlines()
    draw.shuffle(lines)
    return b"\n".join(lines[: draw.randint(1, len(lines))])


def nest(draw: random.Random, text: bytes) -> bytes:
    depth = draw.choice((200, 5000, 50_000))
    nested = (b"[" * depth + b"]" * depth, b"{a=" * depth + b"1" + b"}" * depth, b"[" * depth)
    return draw.choice(
        (
            b"about = " + draw.choice(nested) + b"\n" + text,
            text + b"\n[data." + b".".join([b"a"] * depth) + b"]",
            b".".join([b"a"] * depth) + b" = 1\n" + text,
        )
    )


def encode_otherwise(draw: random.Random, text: bytes) -> bytes:
    return draw.choice(
        (
            b"\xef\xbb\xbf" + text,
            text.decode().encode("utf-16"),
            text.replace(b"\n", b"\r\n"),
            text + b"# \xfc",
            b"",
            b"# " + b"x" * 2**21 + b"\n" + text,
        )
    )


def rebase(draw: random.Random, text: bytes) -> bytes:
    bases = ('"other.toml"', '"mine.toml"', '"../d/mine.toml"', '"mine"', '"/"', '".toml"', *HOSTILE)
    return f"base = {draw.choice(bases)}\n".encode() + re.sub(rb"base = .*\n", b"", text)


MUTATIONS: tuple[Mutation, ...] = (
    *(flip_bytes, truncate, insert_fragment, replace_values, replace_values, shuffle_lines),
    *(nest, encode_otherwise, rebase),
)


def settings(draw: random.Random, recipe: str) -> Iterator[str]:
    """Values of the whole recipe, defaults included, changed as by ``--set``."""
    from upscale_cli.training.recipe_file import to_table

    for _ in range(draw.choice((0, 0, 1, 2))):
        table, values = draw.choice([(k, v) for k, v in to_table(load_recipe(recipe)).items() if isinstance(v, dict)])
        yield f"{table}.{draw.choice(list(values))}={draw.choice(HOSTILE)}"


def outcome(number: int, folder: Path, photos: Path) -> str:
    """Return what came of the input ``number``: a recipe, a refusal, or, beginning with "fault", what must not be."""
    draw = random.Random(number)
    name = draw.choice(names())
    mutate = MUTATIONS[number % len(MUTATIONS)]
    content = mutate(draw, (FOLDER / f"{name}.toml").read_bytes())
    (folder / "mine.toml").write_bytes(content)
    (folder / "other.toml").write_bytes(b'base = "mine.toml"\n' if draw.random() < 0.5 else content)
    began = time.process_time()
    try:
        recipe = load_recipe(folder / "mine.toml", [f'data.hr=["{photos}"]', *settings(draw, name)])
        setup.check_all(recipe, torch.device("cpu"))
        result = "recipe"
    except UpscaleError as error:
        result = str(error)
        if len(result) > LONGEST or not result.isprintable():
            result = f"fault: {result[:LONGEST]!r}"
    except Exception:  # noqa: BLE001  (any other error is the fault that is looked for)
        result = f"fault: {traceback.format_exc()[-1500:]}"
    seconds = time.process_time() - began
    return result if seconds < SECONDS else f"fault: {seconds:.1f} seconds, then {result}"


def faults(first: int, end: int) -> list[str]:
    """Return the faults that a range of inputs brings to light."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, photos = Path(temporary) / "d", Path(temporary) / "photos"
        folder.mkdir()
        save(painted(0, 64, 64), photos / "0.png")
        results = {number: outcome(number, folder, photos) for number in range(first, end)}
    assert len(set(results.values())) > (end - first) // 10, "the inputs are hardly different"
    return [f"{number}: {result}" for number, result in results.items() if result.startswith("fault")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", type=int, default=200, help="how many inputs to try")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    options = parser.parse_args()
    found = faults(options.first, options.first + options.soak)
    sys.stdout.writelines(f"{fault}\n" for fault in found)
    sys.stdout.write(f"{len(found)} faults\n")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
