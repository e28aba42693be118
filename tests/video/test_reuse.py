"""What has not changed is not computed, and no byte differs for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from clips import decoded, make, moving
from fake_network import FakeLane
from running import Log, Repeat, network, run

from upscale_cli.networks import NetworkSpec
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.reuse import FrameMemory, LastRun
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.resolve import ResolvedNetwork


def frames(count: int = 12) -> list[Any]:
    """Return frames of which a corner alone moves, and every third one is new."""
    made: list[Any] = []
    for number in range(count):
        frame = moving(0)
        frame[:12, :12] = moving(number // 3)[:12, :12] if number % 3 == 0 else made[-1][:12, :12]
        made.append(frame)
    return made


class Blurring(torch.nn.Module):
    """Enlarges twice through convolutions that see two pixels around each, and counts pixels."""

    seen: ClassVar[list[int]] = [0]  # by all copies, one of which runs

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 12, 3, padding=1))

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        self.seen[0] += lr.shape[2] * lr.shape[3]
        return torch.nn.functional.pixel_shuffle(self.layers(lr), 2) * 0.2 + 0.5


def blurring() -> Upscaler:
    spec = NetworkSpec("blurring", scale=2, in_channels=3, out_channels=3, receptive_radius=2)
    return Upscaler(network=ResolvedNetwork("blurring", spec, Blurring(), {}), device="cpu", tile=16)


def whole(upscaler: Upscaler, target: tuple[int, int], reuse: bool) -> tuple[list[Any], FrameMemory]:
    memory = FrameMemory(reuse)
    results = [upscaler.upscale_frames([frame], target, np.uint8, memory)[0] for frame in frames()]
    return results, memory


@pytest.mark.parametrize("target", [(96, 128), (192, 256), (70, 93), (150, 200)])
def test_no_byte_differs_at_any_scale(target: tuple[int, int]) -> None:
    upscaler = blurring()
    reused, memory = whole(upscaler, target, True)
    computed, _ = whole(upscaler, target, False)
    assert all(np.array_equal(a, b) for a, b in zip(reused, computed, strict=True))
    assert 0.7 < memory.counts[0] / memory.counts[1] < 1


@pytest.mark.parametrize("target", [(96, 128), (70, 93), (192, 256)])
@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("count", [2, 5, 12])
def test_frames_done_together_are_those_done_one_by_one(target: tuple[int, int], reuse: bool, count: int) -> None:
    upscaler = blurring()
    alone, one_by_one = whole(upscaler, target, reuse)
    memory, together = FrameMemory(reuse), []
    for first in range(0, 12, count):
        together += upscaler.upscale_frames(frames()[first : first + count], target, np.uint8, memory)
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
    assert memory.counts == one_by_one.counts


def test_devices_take_a_frame_each(tmp_path: Path) -> None:
    spec = NetworkSpec("repeat", scale=2, in_channels=3, out_channels=3, receptive_radius=1)
    upscaler = Upscaler(network=ResolvedNetwork("repeat", spec, Repeat(2), {}), device="cpu,cpu", tile=0)
    assert upscaler.frames_at_once(48, 64) == 2
    results = upscaler.upscale_frames([moving(0), moving(1)], (96, 128), np.uint8, FrameMemory())
    assert all(np.array_equal(r, moving(n).repeat(2, 0).repeat(2, 1)) for n, r in enumerate(results))


def test_small_frames_are_done_together_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    upscaler = blurring()
    runner = upscaler._clean
    monkeypatch.setattr(type(runner), "tile_side", lambda self, height, width: 0)
    monkeypatch.setattr(runner.lanes[0], "device", torch.device("cuda"))
    assert [runner.frames_at_once(*size) for size in ((90, 160), (360, 640), (1080, 1920))] == [16, 1, 1]


def test_memory_that_does_not_suffice_for_frames_together_is_answered_by_smaller_tiles() -> None:
    lane = FakeLane(scale=2, radius=1, limit=20 * 20)
    upscaler = blurring()
    runner = upscaler._clean
    runner.lanes = [lane]  # type: ignore[list-item]
    runner.tile, runner.halo = 32, 1
    monkey = [moving(0), moving(1), moving(1)]
    results = runner.run_frames(monkey, np.uint8, LastRun(True))
    runner.lanes = [FakeLane(scale=2, radius=1)]  # type: ignore[list-item]
    runner.tile = 48
    alone = [runner.run_frames([frame], np.uint8, LastRun(False))[0] for frame in monkey]
    assert all(np.array_equal(a, b) for a, b in zip(results, alone, strict=True))


def test_only_tiles_whose_source_changed_are_computed() -> None:
    upscaler = blurring()
    counts = [Blurring.seen[0]]
    for reuse in (True, False):
        whole(upscaler, (96, 128), reuse)
        counts.append(Blurring.seen[0])
    assert 0 < counts[1] - counts[0] < (counts[2] - counts[1]) / 4


def test_a_change_in_the_halo_alone_is_seen() -> None:
    upscaler = blurring()
    first, second = moving(0), moving(0)
    second[16, 20] = 255  # in the tile below the first row of tiles, and in the halo of the tile above
    memory = FrameMemory()
    before, after = (upscaler.upscale_frames([frame], (96, 128), np.uint8, memory)[0] for frame in (first, second))
    (alone,) = upscaler.upscale_frames([second], (96, 128), np.uint8, FrameMemory())
    assert np.array_equal(after, alone)
    assert not np.array_equal(after[:32], before[:32])


@pytest.mark.parametrize("scale", [2, 3])
def test_the_files_are_equal_with_and_without_reuse(tmp_path: Path, scale: int) -> None:
    source = make(tmp_path / "clip.mkv", frames=frames(), codec="ffv1", options={}, pix_fmt="yuv444p")
    shares = []
    for name, reuse in (("with", True), ("without", False)):
        options = UpscaleOptions(scale=scale)
        upscaler = blurring()
        outcome = run(source, tmp_path / f"{name}.mkv", upscaler=upscaler, options=options, codec="ffv1", reuse=reuse)
        shares.append(outcome.reused)
    one, other = (
        [frame.to_ndarray().tobytes() for frame in decoded(tmp_path / f"{name}.mkv")] for name in ("with", "without")
    )
    assert one == other
    assert shares[0] > 0.7
    assert shares[1] == 0


def test_the_share_that_was_reused_is_told(tmp_path: Path) -> None:
    log = Log()
    run(make(tmp_path / "clip.mkv", frames=[moving(0)] * 6, codec="ffv1", options={}), tmp_path / "out.mkv", log=log)
    assert [progress.detail.split(", ")[0] for progress in log.progresses] == [f"frame {n}/6" for n in range(1, 7)]
    assert log.progresses[-1].detail.endswith("83% reused")
    assert log.progresses[-1].share == 1


def test_tiles_that_had_to_be_halved_are_not_mixed_with_others() -> None:
    upscaler = network(2)
    memory = FrameMemory()
    upscaler.upscale_frames([moving(0)], (96, 128), np.uint8, memory)
    memory.of_pass(1).forget()
    (result,) = upscaler.upscale_frames([moving(0)], (96, 128), np.uint8, memory)
    assert np.array_equal(result, moving(0).repeat(2, 0).repeat(2, 1))


def test_several_devices_share_a_frame_and_keep_the_order(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mkv", frames=[moving(n) for n in range(8)], codec="ffv1", options={})
    spec = NetworkSpec("repeat", scale=2, in_channels=3, out_channels=3, receptive_radius=1)
    results = []
    for device in ("cpu", "cpu,cpu,cpu"):
        upscaler = Upscaler(network=ResolvedNetwork("repeat", spec, Repeat(2), {}), device=device, tile=16)
        target = tmp_path / f"{len(device)}.mkv"
        run(source, target, upscaler=upscaler, options=UpscaleOptions(scale=2), codec="ffv1")
        results.append([frame.to_ndarray().tobytes() for frame in decoded(target)])
    assert results[0] == results[1]
