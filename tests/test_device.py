"""Devices that this machine lacks, as far as their names and precisions go."""

from __future__ import annotations

from threading import Event

import pytest
import torch
from fake_network import CPU, SPEC, Enlarge

from upscale_cli import device as devices
from upscale_cli.errors import DeviceError
from upscale_cli.notices import Notice
from upscale_cli.upscaling.runner import NetworkRunner

XPU, MPS = torch.device("xpu"), torch.device("mps")


def test_xpu_is_taken_where_pytorch_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="sees no device 'xpu'"):
        devices.select("xpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 1)
    assert devices.select("xpu") == devices.select("auto") == XPU
    with pytest.raises(DeviceError, match="sees no device 'xpu:1'"):
        devices.select("xpu:1")


@pytest.mark.parametrize("name", ["tpu", "meta", "nonsense"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="Use --device cpu, cuda, cuda:1, mps or xpu"):
        devices.select(name)


def test_precisions_are_those_that_a_device_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for there in (True, False):
        monkeypatch.setattr(devices, "cpu_has_bf16", lambda there=there: there)
        expected = torch.bfloat16 if there else torch.float32
        assert devices.dtype(CPU, "bf16") == devices.dtype(CPU, "half") == expected
    assert devices.dtype(CPU, "auto") == devices.dtype(XPU, "auto") == devices.dtype(MPS, "auto") == torch.float32
    assert devices.dtype(XPU, "half") == devices.dtype(MPS, "half") == torch.float16
    assert devices.dtype(XPU, "bf16") == torch.bfloat16


def test_a_device_without_bf16_runs_in_fp32_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: False)
    told: list[Notice] = []
    made = NetworkRunner(Enlarge(), SPEC, devices_used=[CPU], precision="bf16", notify=told.append)
    assert made.precision == "fp32"
    assert "has no bf16 arithmetic, so --bf16 would only be slower" in told[0].text


def test_blocks_of_any_size_are_kept_only_where_freed_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: list[int] = []

    def set_malloc(setting: int, value: int) -> bool:
        settings.append(setting)
        return True

    monkeypatch.setattr(devices, "_set_malloc", set_malloc)
    monkeypatch.setattr(devices, "_keeping", Event())
    devices.keep_larger_blocks()
    assert settings == []
    devices.keep_freed_memory()
    devices.keep_larger_blocks()
    assert settings == [devices.M_MMAP_THRESHOLD, devices.M_TRIM_THRESHOLD, devices.M_MMAP_MAX]
