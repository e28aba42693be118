"""Folder runs on a cluster that are killed at random moments, and what must hold at the end (see ``folder_run``).

    python tests/faults/ray_runs.py --soak 9

By hand: the command, which starts a cluster of its own, is killed by SIGKILL, SIGTERM and SIGINT in turn, and goes on.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from folder_run import Folder, soak


@dataclass(frozen=True)
class OnCluster(Folder):
    """The folder, enlarged by two workers."""

    def arguments(self, *more: str) -> list[str]:
        return super().arguments("--ray=local", "--ray-actors", "2", "--ray-cpus", "1", *more)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=int, default=9, metavar="KILLS")
    found = soak(parser.parse_args().soak, sys.stdout.write, OnCluster, 0.3)
    sys.stdout.write("\n".join(found or ["no faults"]) + "\n")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
