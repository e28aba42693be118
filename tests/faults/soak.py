"""Numbered hostile inputs, each used in a process that may die of it, within limits of time and memory."""

from __future__ import annotations

import argparse
import faulthandler
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from upscale_cli.errors import UpscaleError

Use = Callable[[], str]
LONGEST_REFUSAL = 600
PATIENCE = 60  # times the limit by the clock, for what waits for ever


def refused(error: UpscaleError) -> str:
    """Return the outcome of an input that was refused, which is a sentence that can be printed."""
    outcome = f"refused: {error}"
    assert len(outcome) < LONGEST_REFUSAL, outcome
    assert outcome.isprintable(), outcome
    return outcome


class Result(NamedTuple):
    number: int
    kind: str
    outcome: str
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Soak:
    """``make`` puts the input of a number into a folder and returns its kind, and a function that uses it.

    That function returns what came of it in a sentence that begins with one word: "read", "refused: it is damaged".
    ``script``: the file that calls ``main``. ``seconds`` of a processor, ``megabytes``: the limits of one input.
    """

    script: str
    make: Callable[[int, Path], tuple[str, Use]]
    seconds: float
    megabytes: float
    python: tuple[str, ...] = (sys.executable,)

    def results(self, first: int, end: int, seconds: float | None = None) -> Iterator[Result]:
        """The results of a range of inputs, from processes that may die of them."""
        limit = self.seconds if seconds is None else seconds
        while first < end:
            numbers = ("--first", str(first), "--end", str(end), "--seconds", str(limit))
            done = subprocess.run([*self.python, self.script, *numbers], capture_output=True, text=True, check=False)
            for line in done.stdout.splitlines():
                result = Result(*json.loads(line))
                first = result.number + 1
                yield result
            if done.returncode:
                with tempfile.TemporaryDirectory() as folder:
                    kind, _ = self.make(first, Path(folder))
                reason = "\n".join(done.stderr.splitlines()[-12:])
                yield Result(first, kind, f"died with {done.returncode}: {reason}", 0, 0)
                first += 1

    def is_fault(self, result: Result) -> bool:
        too_much = result.seconds > self.seconds or result.megabytes > self.megabytes
        return too_much or result.outcome.startswith("died")

    def _work(self, first: int, end: int, seconds: float) -> None:
        """Print the result of each input as a line of JSON."""
        with tempfile.TemporaryDirectory() as folder:
            for number in range(first, end):
                sys.stdout.write(json.dumps(self._attempt(number, Path(folder), seconds)) + "\n")
                sys.stdout.flush()

    def _attempt(self, number: int, folder: Path, seconds: float) -> Result:
        kind, use = self.make(number, folder)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        started = time.process_time()
        faulthandler.register(signal.SIGPROF, chain=True)  # which then ends the process
        signal.setitimer(signal.ITIMER_PROF, seconds)
        faulthandler.dump_traceback_later(PATIENCE * seconds, exit=True)
        outcome = use()
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        return Result(number, kind, outcome, time.process_time() - started, peak_megabytes())

    def main(self, description: str | None) -> int:
        """Try as many inputs as the command line says, print the faults and a summary, return 1 if there are faults."""
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--soak", type=int, default=300, help="how many inputs to try")
        parser.add_argument("--first", type=int, default=0, help="number of the first input")
        parser.add_argument("--end", type=int, help=argparse.SUPPRESS)
        parser.add_argument("--seconds", type=float, default=self.seconds, help="allowed to each")
        options = parser.parse_args()
        if options.end is not None:
            self._work(options.first, options.end, options.seconds)
            return 0
        tried = list(self.results(options.first, options.first + options.soak, options.seconds))
        wrong = [result for result in tried if self.is_fault(result)]
        for result in wrong:
            sys.stdout.write(f"{result}\n")
        counts = Counter(result.outcome.split(":")[0] for result in tried)
        largest, slowest = max(result.megabytes for result in tried), max(result.seconds for result in tried)
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
        sys.stdout.write(f"{outcomes}, {largest:.0f} MB and {slowest:.1f} s at most\n{len(wrong)} faults\n")
        return bool(wrong)


def peak_megabytes() -> float:
    """The largest memory of this process since it was last reset; ru_maxrss begins with that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000
