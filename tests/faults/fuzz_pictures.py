"""Hostile pictures, put through what a run does with them: their size told, read, and written again.

    python tests/faults/fuzz_pictures.py --soak 50000

Every input follows from its number. None may crash, end in a traceback, or take too long or too much memory.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hostile_pictures import made

from upscale_cli.errors import OutputError, UpscaleError
from upscale_cli.images.formats import FORMATS, by_name
from upscale_cli.images.picture import Animation
from upscale_cli.images.read import picture_size, read_image
from upscale_cli.images.write import WriteOptions, write_image

SECONDS, MEGABYTES = 5.0, 1000  # the limits of one input


class Result(NamedTuple):
    number: int
    kind: str
    outcome: str
    seconds: float
    megabytes: float


def use(path: Path, draw: random.Random) -> str:
    """Read the picture, and write it in some format."""
    try:
        image = read_image(path)
    except UpscaleError as error:
        refusal = str(error)
        assert len(refusal) < 600, refusal
        assert refusal.isprintable(), refusal
        return f"refused: {error.message.replace(str(path), '')}"
    first = image.frames[0] if isinstance(image, Animation) else image
    assert picture_size(path) == (first.height, first.width)
    try:
        write_image(
            image, path.with_suffix(".out"), WriteOptions(by_name(draw.choice([known.name for known in FORMATS])))
        )
    except OutputError as error:
        return f"not written: {error.message.replace(str(path), '')}"
    return "read"


def peak() -> float:
    """The largest memory of this process, in megabytes, since it was last reset."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def attempt(number: int, folder: Path, seconds: float) -> Result:
    """Make the input of that number, and use it."""
    kind, data = made(number)
    path = folder / "a"
    path.write_bytes(data)
    del data
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    started = time.monotonic()
    faulthandler.dump_traceback_later(seconds, exit=True)
    outcome = use(path, random.Random(number))
    faulthandler.cancel_dump_traceback_later()
    return Result(number, kind, outcome, time.monotonic() - started, peak())


def work(first: int, end: int, seconds: float) -> None:
    """Print the result of each input as a line of JSON."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, end):
            sys.stdout.write(json.dumps(attempt(number, Path(folder), seconds)) + "\n")
            sys.stdout.flush()


def results(first: int, end: int, seconds: float = SECONDS) -> Iterator[Result]:
    """The results of a range of inputs, from processes that may die of them."""
    while first < end:
        numbers = ("--first", str(first), "--end", str(end), "--seconds", str(seconds))
        command = [sys.executable, "-W", "error", str(Path(__file__)), *numbers]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            result = Result(*json.loads(line))
            first = result.number + 1
            yield result
        if done.returncode:
            reason = "\n".join(done.stderr.splitlines()[-12:])
            yield Result(first, made(first)[0], f"died with {done.returncode}: {reason}", 0, 0)
            first += 1


def is_fault(result: Result) -> bool:
    return result.outcome.startswith("died") or result.seconds > SECONDS or result.megabytes > MEGABYTES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", type=int, default=300, help="how many inputs to try")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--end", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="allowed to each")
    options = parser.parse_args()
    if options.end is not None:
        work(options.first, options.end, options.seconds)
        return 0
    tried = list(results(options.first, options.first + options.soak))
    wrong = [result for result in tried if is_fault(result)]
    for result in wrong:
        sys.stdout.write(f"{result}\n")
    largest, slowest = max(result.megabytes for result in tried), max(result.seconds for result in tried)
    counts = [sum(result.outcome.startswith(word) for result in tried) for word in ("read", "refused")]
    sys.stdout.write(f"{counts[0]} read, {counts[1]} refused, {largest:.0f} MB and {slowest:.1f} s at most\n")
    sys.stdout.write(f"{len(wrong)} faults\n")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
