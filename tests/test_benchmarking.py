"""What `upscale benchmark` says of memory."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from upscale_cli.benchmarking import Case, Machine, measure
from upscale_cli.networks import NetworkSpec, build

MEBIBYTE = 2**20


def resident() -> int:
    held = re.search(r"^VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert held
    return int(held[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_the_peak_is_that_of_the_measured_run_and_counts_its_result() -> None:
    spec = NetworkSpec("compact", 4, 3, 3, 3, hyperparameters={"features": 4, "convolutions": 1})
    machine = Machine(torch.device("cpu"), {torch.float32: 1e9, torch.bfloat16: 1e9})
    before = resident()
    np.ones(600 * MEBIBYTE, np.uint8).sum()
    result = 3 * 4096**2 * 4
    for measurement in measure(Case("tiny", spec, build(spec), 1024, 1024), machine, 256, 1, skip_plain=True):
        assert before + 0.9 * result < measurement.peak_memory < before + 600 * MEBIBYTE
