"""Training killed at random moments and resumed: its network must equal that of an undisturbed run.

    python tests/faults/kill_training.py --kills 20

Every kill follows from its number. The run saves after every iteration, so that many kills hit a save.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from terminal import in_this_process
from tiny_training import equal, painted, save, tiny

from upscale_cli.training.state import open_checkpoint

RECIPE = "compact-real"  # with a discriminator, an average and a pool of pairs
ITERATIONS_PER_KILL = 12
LONGEST_WAIT = 0.6  # seconds from the first iteration of a process to its end


def command(photos: Path, run: Path, iterations: int, minutes: float) -> list[str]:
    own = (*tiny(RECIPE), "start=scratch", "run.log_every=1", f"run.checkpoint_minutes={minutes}")
    options = ["--hr", str(photos), f"--iterations={iterations}", "--threads=1", "--device=cpu", "-o", str(run)]
    return ["train", RECIPE, *options, *(f"--set={setting}" for setting in own)]


def finished(arguments: list[str]) -> None:
    """Run to the end in this process."""
    with redirect_stdout(io.StringIO()):
        assert in_this_process(*arguments) == 0


def killed(arguments: list[str], wait: float) -> None:
    """Start a run and kill it ``wait`` seconds after its first iteration."""
    process = subprocess.Popen(
        [sys.executable, "-m", "upscale_cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(wait)
    process.kill()
    process.communicate()


def differences(kills: int, folder: Path) -> list[str]:
    """Kill and resume a run ``kills`` times; return what is then not as in an undisturbed run."""
    iterations, photos = ITERATIONS_PER_KILL * kills, folder / "photos"
    for number, size in enumerate([(70, 90), (64, 64)]):
        save(painted(number, *size), photos / f"{number}.png")
    whole, parts = folder / "whole", folder / "parts"
    finished(command(photos, whole, iterations, 5))
    for number in range(kills):
        killed(command(photos, parts, iterations, 1e-9), random.Random(number).uniform(0, LONGEST_WAIT))
    finished(command(photos, parts, iterations, 5))
    one, other = (open_checkpoint(run / "last.pt").content for run in (whole, parts))
    found = [key for key in one if key not in ("seconds", "recipe", "facts") and not equal(one[key], other[key])]
    with (parts / "log.csv").open(encoding="utf-8") as file:
        if [row["step"] for row in csv.DictReader(file)] != [str(step + 1) for step in range(iterations)]:
            found.append("log.csv")
    found += [path.name for path in parts.iterdir() if ".tmp" in path.name]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    with tempfile.TemporaryDirectory() as folder:
        found = differences(parser.parse_args().kills, Path(folder))
    sys.stdout.write(f"different: {', '.join(found) or 'nothing'}\n")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
