"""Folder runs on a cluster that are killed at random moments, and what must hold at the end (see ``folder_run``).

    python tests/faults/ray_runs.py --soak 9

By hand: the command, which starts a cluster of its own, is killed by SIGKILL, SIGTERM and SIGINT in turn, and goes on.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from fake_network import save_tiny_network
from folder_run import Folder, faults_of_kills, finished


@dataclass(frozen=True)
class OnCluster(Folder):
    """The folder, enlarged by two workers."""

    def arguments(self, *more: str) -> list[str]:
        return super().arguments("--ray=local", "--ray-actors", "2", "--ray-cpus", "1", *more)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=int, default=9, metavar="KILLS")
    kills, found = parser.parse_args().soak, list[str]()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background, children would ignore it
    with tempfile.TemporaryDirectory() as name:
        network = save_tiny_network(Path(name) / "tiny-x2.safetensors")
        whole = Folder(Path(name) / "whole", network)
        whole.paint()
        finished(whole)
        for first in range(0, kills, 3):
            folder = OnCluster(Path(name) / str(first), network)
            folder.paint()
            found += faults_of_kills(folder, whole.results(), range(first, min(first + 3, kills)), 0.3)
            sys.stdout.write(f"{min(first + 3, kills)} kills, {len(found)} faults\n")
    sys.stdout.write("\n".join(found or ["no faults"]) + "\n")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
