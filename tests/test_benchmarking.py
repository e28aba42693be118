"""What `upscale benchmark` says of memory."""

from __future__ import annotations

import multiprocessing
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from upscale_cli.benchmarking import Case, Machine, measure
from upscale_cli.networks import NetworkSpec, build

MEBIBYTE = 2**20
SIDE = 1024
PASSING = 600 * MEBIBYTE


def resident() -> int:
    held = re.search(r"^VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert held
    return int(held[1]) * 1024


def peaks_above_what_was_resident() -> list[int]:
    """The peak of each way of running a tiny network, after the process has once held much more, and given it back."""
    spec = NetworkSpec("compact", 4, 3, 3, 3, hyperparameters={"features": 4, "convolutions": 1})
    machine = Machine(torch.device("cpu"), {torch.float32: 1e9, torch.bfloat16: 1e9})
    before = resident()
    np.ones(PASSING, np.uint8).sum()
    case = Case("tiny", spec, build(spec), SIDE, SIDE)
    return [measurement.peak_memory - before for measurement in measure(case, machine, 256, 1, skip_plain=True)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_the_peak_is_that_of_the_measured_run_and_counts_its_result() -> None:
    # In a process of its own: one in which other tests have run holds freed memory, which these runs would only reuse.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        peaks = fresh.submit(peaks_above_what_was_resident).result()
    result = 3 * (4 * SIDE) ** 2 * torch.float32.itemsize
    assert len(peaks) == 2
    for peak in peaks:
        assert 0.9 * result < peak < PASSING
