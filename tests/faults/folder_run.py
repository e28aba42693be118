"""A folder of pictures, some of them bad, that is enlarged under faults; and what must hold at the end.

    python tests/faults/folder_run.py --soak 50

By hand: kills runs at so many random moments, by SIGKILL, SIGTERM and SIGINT in turn, and continues each. Every moment
follows from its number.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from fake_network import save_tiny_network
from tiny_training import painted, save

from upscale_cli.upscaling.settings import FILE

PICTURES = 30
BAD = ("07.png", "19.png")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT) if os.name != "nt" else ()
INTERRUPTED = 130


@dataclass(frozen=True)
class Folder:
    """Thirty pictures in ``place``/in, two of them bad, to be enlarged into ``place``/out by ``network``."""

    place: Path
    network: str

    @property
    def source(self) -> Path:
        return self.place / "in"

    @property
    def target(self) -> Path:
        return self.place / "out"

    def paint(self) -> None:
        for number in range(PICTURES):
            save(painted(number, 40 + number, 90 - number), self.source / f"{number:02}.png")
        whole = (self.source / BAD[0]).read_bytes()
        (self.source / BAD[0]).write_bytes(whole[: len(whole) // 2])
        (self.source / BAD[1]).write_bytes(b"nothing of the kind")

    def arguments(self, *more: str) -> list[str]:
        return [str(self.source), "-o", str(self.target), "-m", self.network, "--threads", "1", *more]

    def command(self, *more: str) -> list[str]:
        return [sys.executable, "-m", "upscale_cli", *self.arguments(*more)]

    def results(self) -> dict[str, bytes]:
        """Return the content of every file in the target folder, but that of the run's settings."""
        return {path.name: path.read_bytes() for path in self.target.iterdir() if path.name != FILE}


def faults_of(
    folder: Folder, expected: Mapping[str, bytes], code: int, said: str, bad: Iterable[str] = BAD
) -> list[str]:
    """Return what is wrong after a run that came to its end: nothing, if all promises were kept."""
    found, results, bad = [], folder.results(), set(bad)
    if code != bool(bad):
        found.append(f"exit code {code}")
    if "Internal error" in said or "Traceback" in said:
        found.append("an internal error")
    found += [
        f"{name} was not named" for name in bad if not re.search(rf"^Failed: .*{folder.source / name}", said, re.M)
    ]
    found += [f"{name} is left" for name in results.keys() - (expected.keys() - bad)]
    found += [f"{name} is missing" for name in expected.keys() - bad - results.keys()]
    found += [f"{name} differs" for name in results.keys() & expected.keys() if results[name] != expected[name]]
    return found


def torn(folder: Folder, expected: Mapping[str, bytes]) -> list[str]:
    """Return the results, temporary files aside, that are not whole."""
    if not folder.target.is_dir():
        return []
    return [name for name, data in folder.results().items() if not name.startswith(".") and data != expected.get(name)]


def killed(command: list[str], wait: float, by: signal.Signals) -> tuple[int, str]:
    """Start ``command``, send it the signal ``by`` after its first result and ``wait`` seconds; return how it ended."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(wait)
    process.send_signal(by)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def finished(folder: Folder) -> tuple[int, str]:
    done = subprocess.run(folder.command(), capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stderr


def faults_of_kills(folder: Folder, expected: Mapping[str, bytes], numbers: Iterable[int], longest: float) -> list[str]:
    """Kill runs in the folder, one after another, then let one end; return what is wrong."""
    found = []
    for number in numbers:
        by, wait = SIGNALS[number % len(SIGNALS)], random.Random(number).uniform(0, longest)
        code, said = killed(folder.command(), wait, by)
        at_its_end = folder.results().keys() == expected.keys()
        allowed = {1, -by, INTERRUPTED} if at_its_end else {-by} if by is signal.SIGKILL else {INTERRUPTED}
        if code not in allowed:
            found.append(f"kill {number} by {by.name}: exit code {code}: {said}")
        found += [f"kill {number} by {by.name}: {name} is torn" for name in torn(folder, expected)]
    return found + faults_of(folder, expected, *finished(folder))


def soak(
    kills: int, say: Callable[[str], object], kind: Callable[[Path, str], Folder] = Folder, seconds: float = 0.15
) -> list[str]:
    """Kill ``kills`` runs of folders of a ``kind``, three in each; return what is wrong. ``seconds``: see above."""
    found = []
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background, children would ignore it
    with tempfile.TemporaryDirectory() as name:
        network = save_tiny_network(Path(name) / "tiny-x2.safetensors")
        whole = Folder(Path(name) / "whole", network)
        whole.paint()
        finished(whole)
        expected = whole.results()
        for first in range(0, kills, 3):
            folder = kind(Path(name) / str(first), network)
            folder.paint()
            found += faults_of_kills(folder, expected, range(first, min(first + 3, kills)), seconds)
            say(f"{min(first + 3, kills)} kills, {len(found)} faults\n")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=int, default=50, metavar="KILLS")
    found = soak(parser.parse_args().soak, sys.stdout.write)
    sys.stdout.write("\n".join(found or ["no faults"]) + "\n")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
