"""Measuring networks: seconds, megapixels per second, share of the machine's arithmetic peak, memory.

The yardstick is the loop everybody writes first: the whole picture at once, NCHW, fp32.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from upscale_cli import device as devices
from upscale_cli import levels
from upscale_cli.device import Precision
from upscale_cli.images.picture import Pixels
from upscale_cli.metrics import psnr
from upscale_cli.networks import NetworkSpec, build, spec
from upscale_cli.notices import Notify, ignore
from upscale_cli.upscaling.runner import NetworkRunner, TileChoice
from upscale_cli.weights.progress import Progress, silent
from upscale_cli.weights.resolve import resolve

PEAK_MATRIX, PEAK_MATRIX_ON_CUDA = 2048, 8192  # a small product does not fill a GPU
T = TypeVar("T")
Way = Callable[[Pixels], Pixels]
# proc(5): writing 5 sets the peak of the resident memory to what is resident now.
LINUX_RESET, RESETS_PEAK, LINUX_STATUS = Path("/proc/self/clear_refs"), "5", Path("/proc/self/status")


@dataclass(frozen=True)
class Case:
    """A network and the picture (height, width) it shall be measured on."""

    name: str
    spec: NetworkSpec
    module: nn.Module
    height: int
    width: int


@dataclass(frozen=True)
class Machine:
    """A device and its measured matrix-product rate, in FLOP/s, by precision."""

    device: torch.device
    peak: dict[torch.dtype, float]

    def describe(self) -> str:
        """Return the machine and its rates in a line."""
        rates = ", ".join(f"{str(kind)[6:]} {rate / 1e9:.0f} GFLOP/s" for kind, rate in self.peak.items())
        side = _matrix_side(self.device)
        return f"{devices.describe(self.device)}, PyTorch {torch.__version__}; {side}³ matrix product: {rates}"


@dataclass(frozen=True)
class Measurement:
    """One way of running one case.

    ``speed_up`` is over the plain loop; ``peak_memory`` in bytes: on CUDA what this way allocated, on a CPU the most
    the whole process held meanwhile, picture and result included (on systems that do not forget their peak, so far; 0
    where the system does not tell).
    """

    network: str
    size: str
    how: str
    seconds: float
    megapixels_per_second: float
    speed_up: float | None
    share_of_peak: float
    psnr_to_fp32: float | None
    peak_memory: int


def standard_cases() -> list[Case]:
    """Return SRVGGNetCompact 64/32 on 512x512 and RRDBNet 64/23/32 on 128x128, with random weights."""
    compact = spec("compact", 4, {"features": 64, "blocks": 32})
    rrdb = spec("rrdbnet", 4, {"features": 64, "blocks": 23, "growth": 32})
    return [
        Case("compact 64/32", compact, build(compact), 512, 512),
        Case("RRDBNet 64/23/32", rrdb, build(rrdb), 128, 128),
    ]


def named_case(model: str, width: int, height: int, on_download: Progress = silent, notify: Notify = ignore) -> Case:
    """Return a model of the manifest, or a file, with a picture of that size; the callbacks get its download."""
    network = resolve(model, progress=on_download, notify=notify)
    return Case(network.name, network.spec, network.module, height, width)


def measure_machine(device: str, threads: int | None) -> Machine:
    """Return the device, and the speed of its matrix products in the precisions that are used on it."""
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = devices.select(device)
    kinds = {torch.float32, devices.dtype(chosen, "half")}
    return Machine(chosen, {kind: _matrix_rate(chosen, kind) for kind in sorted(kinds, key=str)})


def _matrix_side(device: torch.device) -> int:
    return PEAK_MATRIX_ON_CUDA if device.type == "cuda" else PEAK_MATRIX


def _matrix_rate(device: torch.device, kind: torch.dtype) -> float:
    def finished(product: Callable[[], Tensor]) -> None:
        product()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    side = _matrix_side(device)
    a = torch.randn(side, side, device=device).to(kind)
    # The same product as a 1x1 convolution, which may go through another, faster library.
    picture = a.reshape(1, side, 32, side // 32).contiguous(memory_format=torch.channels_last)
    weights = a.reshape(side, side, 1, 1).contiguous(memory_format=torch.channels_last)
    ways = (lambda: a @ a, lambda: torch.conv2d(picture, weights))
    return 2 * side**3 / min(_fastest(partial(finished, way), 8)[0] for way in ways)


def measure(
    case: Case, machine: Machine, tile: TileChoice, repeat: int, skip_plain: bool = False
) -> Iterator[Measurement]:
    """Yield the plain loop, then this program in fp32 and in half precision, each the fastest of ``repeat`` runs."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (case.height, case.width, case.spec.in_channels), np.uint8)
    flops = flops_per_pixel(case) * case.height * case.width
    plain_seconds: float | None = None
    reference: Pixels | None = None
    for how, function, kind in _ways(case, machine, tile, skip_plain):
        reset_peak_memory(machine.device)
        seconds, result = _fastest(partial(function, image), repeat)
        peak = peak_memory(machine.device)
        if reference is not None and machine.device.type == "cpu":
            peak -= reference.nbytes  # only this comparison needs it
        similarity = None if reference is None else psnr(result / 257, reference / 257)
        reference = result if reference is None else reference
        del result  # the next way needs its memory
        plain_seconds = seconds if how == "plain fp32" else plain_seconds
        yield Measurement(
            network=case.name,
            size=f"{case.width}x{case.height}",
            how=how,
            seconds=seconds,
            megapixels_per_second=case.height * case.width / seconds / 1e6,
            speed_up=plain_seconds / seconds if plain_seconds else None,
            share_of_peak=flops / seconds / machine.peak[kind],
            psnr_to_fp32=similarity,
            peak_memory=max(0, peak),
        )


def _ways(case: Case, machine: Machine, tile: TileChoice, skip_plain: bool) -> Iterator[tuple[str, Way, torch.dtype]]:
    if not skip_plain:
        module = case.module.to(machine.device)

        def plain(image: Pixels) -> Pixels:
            planes = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().float() / 255
            with torch.no_grad():
                result: Tensor = module(planes.to(machine.device)).cpu()
            return levels.to_pixels(result, np.uint16)

        yield "plain fp32", plain, torch.float32
        module.cpu()
    precisions: dict[str, Precision] = {"fp32": "fp32", "--half": "half"}
    for how, precision in precisions.items():
        runner = NetworkRunner(case.module, case.spec, devices_used=[machine.device], precision=precision, tile=tile)
        yield how, partial(runner.run, dtype=np.uint16), runner.dtype


def flops_per_pixel(case: Case) -> float:
    """Return the floating-point operations that one input pixel costs."""
    side = 8 * case.spec.size_multiple
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        case.module(torch.zeros(1, case.spec.in_channels, side, side))
    return float(counter.get_total_flops()) / side**2


def _fastest(function: Callable[[], T], repeat: int) -> tuple[float, T]:
    """Return the seconds of the fastest of ``repeat`` calls after one to warm up, and the result of the last."""
    times = []
    result = function()
    for _ in range(repeat):
        del result  # one at a time is held
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def reset_peak_memory(device: torch.device) -> None:
    """Make ``peak_memory`` count from now on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif LINUX_RESET.exists():
        with contextlib.suppress(OSError):  # containers may forbid it: the peak is then that of the run so far
            LINUX_RESET.write_text(RESETS_PEAK)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes allocated on a CUDA device, or held by this process; 0 where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if LINUX_STATUS.exists():
        held = re.search(r"^VmHWM:\s*(\d+) kB", LINUX_STATUS.read_text(), re.MULTILINE)
        return int(held[1]) * 1024 if held else 0
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
