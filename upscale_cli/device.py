"""Where networks run: device, precision, free memory, and what an out-of-memory error looks like."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from threading import Event
from typing import Literal

import torch

from upscale_cli.errors import DeviceError

Precision = Literal["auto", "half", "bf16", "fp32"]

TYPES = ("cpu", "cuda", "mps", "xpu")
NAMES = "Use --device cpu, cuda, cuda:1, mps or xpu."

# glibc's numbers of its settings, in malloc.h, and the largest values of the first two.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
MOST_KEPT, LARGEST_IN_HEAP = 2**31 - 1, 32 * 2**20  # bytes
_keeping = Event()


def select(name: str = "auto") -> torch.device:
    """Return the device ``name``: auto, cpu, cuda, cuda:1, mps or xpu. Raises DeviceError.

    auto is the first of CUDA, XPU, MPS and CPU that is there.
    """
    if name == "auto":
        there = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}
        name = next((kind for kind, backend in there.items() if backend.is_available()), "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"There is no device {name!r}.", NAMES) from error
    if device.type not in TYPES:
        raise DeviceError(f"The device {name!r} is not supported.", NAMES)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"This machine's PyTorch sees no device {name!r}.", "Use --device cpu, or install PyTorch for CUDA."
        )
    if device.type == "xpu" and (device.index or 0) >= torch.xpu.device_count():
        raise DeviceError(
            f"This machine's PyTorch sees no device {name!r}.", "Use --device cpu, or install PyTorch for XPU."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("This machine's PyTorch sees no MPS device.", "Use --device cpu.")
    return device


def select_all(names: str = "auto") -> tuple[torch.device, ...]:
    """Return the devices that ``names``, joined by commas, name. Raises DeviceError where one is absent."""
    return tuple(select(name.strip()) for name in names.split(","))


@cache
def cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies bf16 in hardware; without, bf16 is slower than fp32."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def has_bf16(device: torch.device) -> bool:
    """Return whether ``device`` multiplies bf16 in hardware, as CUDA devices do from compute capability 8 on."""
    if device.type == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "xpu" or (device.type == "cpu" and cpu_has_bf16())


def dtype(device: torch.device, precision: Precision) -> torch.dtype:
    """Return fp16 on CUDA by default; with ``half`` fp16 on GPUs and bf16 on CPUs that have it, with ``bf16`` that.

    Otherwise, and where a device lacks it, fp32.
    """
    if precision == "bf16" or (precision == "half" and device.type == "cpu"):
        return torch.bfloat16 if has_bf16(device) else torch.float32
    if device.type == "cuda" and precision != "fp32":
        return torch.float16
    return torch.float16 if precision == "half" else torch.float32


def free_memory(device: torch.device) -> int:
    """Return the free memory of ``device`` in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "xpu":
        return int(torch.xpu.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return _free_main_memory()


def _free_main_memory() -> int:
    limits = [_available_memory()]
    try:  # a container may allow less than the machine has
        with open("/sys/fs/cgroup/memory.max") as limit, open("/sys/fs/cgroup/memory.current") as current:  # noqa: PTH123
            limits.append(int(limit.read()) - int(current.read()))
    except (OSError, ValueError):
        pass
    return max(0, min(limits))


def _available_memory() -> int:
    try:
        with open("/proc/meminfo") as file:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return 4 * 2**30  # Windows has no sysconf: a size that any machine of today has


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that the memory of a device, or of the machine, does not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    phrases = (
        "out of memory",
        "can't allocate memory",
        "could not allocate",
        "not enough memory",
        "cudnn_status_alloc_failed",
    )
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in phrases)


def release_memory(device: torch.device) -> None:
    """Release cached blocks of ``device``, so that smaller requests can succeed."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "xpu":
        torch.xpu.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def describe(device: torch.device) -> str:
    """Return the device's name, for messages."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "xpu":
        return f"{device} ({torch.xpu.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def keep_freed_memory() -> None:
    """Make glibc's allocator reuse large blocks instead of returning their pages after every use.

    For work that allocates the same sizes again and again on a CPU: its pages are then cleared once by the system
    and not in every iteration. Blocks above ``LARGEST_IN_HEAP`` are still returned, but see ``keep_larger_blocks``.
    Other systems' allocators are left alone.
    """
    if _set_malloc(M_MMAP_THRESHOLD, LARGEST_IN_HEAP):
        _set_malloc(M_TRIM_THRESHOLD, MOST_KEPT)
        _keeping.set()


def keep_larger_blocks() -> None:
    """Make glibc's allocator reuse blocks of any size, where ``keep_freed_memory`` was called before.

    Only for networks that need them: among blocks as large as pictures some memory stays unused.
    """
    if _keeping.is_set():
        _set_malloc(M_MMAP_MAX, 0)


def _set_malloc(setting: int, value: int) -> bool:
    """Change a setting of glibc's allocator; return whether there is one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and bool(mallopt(setting, value))
