"""Small pictures at once: the same results as one by one, in the same order, and none suffers from another."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_network import CPU, SPEC, Enlarge, enlarged, picture
from torch import Tensor

from upscale_cli import device as devices
from upscale_cli import networks
from upscale_cli.errors import DeviceError
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Image, Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.networks import NetworkSpec, build
from upscale_cli.notices import ignore
from upscale_cli.upscaling.engines import read_ahead
from upscale_cli.upscaling.engines.engine import Progress
from upscale_cli.upscaling.engines.local import LocalEngine
from upscale_cli.upscaling.engines.read_ahead import ReadAhead
from upscale_cli.upscaling.job import Job, Outcome, UpscalerFor
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.runner import CUDA_BATCH_PIXELS, MOST_TOGETHER, NetworkRunner
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.state_dict import save_state

TWICE = UpscaleOptions(scale=2)


class Counting(Enlarge):
    """Keeps how many tiles of which size came at once; more pixels than ``limit`` do not fit its memory."""

    def __init__(self, limit: float = float("inf")) -> None:
        super().__init__()
        self.limit, self.seen = limit, list[tuple[int, int, int]]()

    def __deepcopy__(self, memo: dict[int, Any]) -> Counting:
        return self

    def forward(self, lr: Tensor) -> Tensor:
        self.seen.append((lr.shape[0], lr.shape[2], lr.shape[3]))
        if lr.shape[0] * lr.shape[2] * lr.shape[3] > self.limit:
            raise MemoryError
        return super().forward(lr)


def runner(module: Enlarge, multiple: int = 1, **options: Any) -> NetworkRunner:
    spec = NetworkSpec("fake", 2, 3, 3, receptive_radius=1, size_multiple=multiple)
    made = NetworkRunner(module, spec, **{"devices_used": [CPU], **options})
    if isinstance(module, Counting):
        module.seen.clear()
    return made


@pytest.mark.parametrize(("multiple", "tile"), [(1, "auto"), (1, 8), (4, 0), (4, 8)])
def test_pictures_together_are_what_they_are_alone(multiple: int, tile: Any) -> None:
    pictures = [picture(21 + number, 30)[:21] for number in range(5)]
    steps: list[tuple[int, int]] = []
    network = runner(Enlarge(), multiple, tile=tile)
    results = network.run_together(pictures, np.uint8, lambda done, total: steps.append((done, total)), batch=3)
    assert all(np.array_equal(result, enlarged(one)) for result, one in zip(results, pictures, strict=True))
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]


def test_a_network_gets_several_pictures_at_once_and_fewer_where_memory_ends() -> None:
    pictures = [picture(20, 24)] * 7
    module = Counting()
    runner(module, tile=0).run_together(pictures, np.uint8, lambda done, total: None, batch=3)
    assert module.seen == [(3, 20, 24), (3, 20, 24), (1, 20, 24)]
    module = Counting(limit=2 * 20 * 24)
    results = runner(module, tile=0).run_together(pictures, np.uint8, lambda done, total: None, batch=7)
    assert all(np.array_equal(result, enlarged(pictures[0])) for result in results)
    assert {number for number, _, _ in module.seen} == {7, 3, 1}


def test_only_small_pictures_are_taken_together_and_none_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    used = runner(Enlarge())
    assert used.pictures_at_once(8, 8) == 1
    used.lanes[0].device = torch.device("cuda")
    monkeypatch.setattr(devices, "free_memory", lambda device: 10**12)
    assert used.pictures_at_once(8, 8) == MOST_TOGETHER
    assert used.pictures_at_once(320, 480) == 3 * CUDA_BATCH_PIXELS // (320 * 480)
    assert used.pictures_at_once(1080, 1920) == 1
    monkeypatch.setattr(devices, "free_memory", lambda device: 0)
    assert used.pictures_at_once(320, 480) == 1  # which is tiled


def saved(spec: NetworkSpec, folder: Path) -> Path:
    path = folder / f"{spec.architecture}.safetensors"
    torch.manual_seed(3)
    save_state(path, build(spec).state_dict(), {})
    return path


@pytest.mark.parametrize("scale", [1.7, 2, 4, 5])
def test_upscalers_give_each_picture_what_it_gets_alone(tmp_path: Path, scale: float) -> None:
    upscaler = Upscaler(saved(networks.spec("conditioned", 2, {"features": 4, "blocks": 1}), tmp_path), device="cpu")
    rng, size = np.random.default_rng(1), Size(scale=scale)
    colors = [rng.integers(0, 256, (12, 15, 3), np.uint8) for _ in range(4)]
    alphas = [rng.integers(0, 256, (12, 15), np.uint8), np.full((12, 15), 90, np.uint8)] * 2
    pictures = [
        Picture(color, alpha, jpeg_quality=quality)
        for color, alpha, quality in zip(colors, alphas, (40, None, 80, 40), strict=True)
    ]
    shares: list[float] = []
    together = upscaler.upscale_pictures(pictures, size, lambda share, detail: shares.append(share), batch=4)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    for one, result in zip(pictures, together, strict=True):
        alone = upscaler.upscale_picture(one, size)
        assert alone.alpha is not None
        assert result.alpha is not None
        assert np.abs(result.color.astype(int) - alone.color).max() <= 1
        assert np.abs(result.alpha.astype(int) - alone.alpha).max() <= 1


class Listening:
    """Keeps the shares that were reported of each job, by its target's name."""

    def __init__(self) -> None:
        self.shares: dict[str, list[float]] = {}

    def started(self, job: Job) -> None:
        self.shares.setdefault(job.target.name, [])

    def progress(self, progress: Progress) -> None:
        self.shares[progress.job.target.name].append(progress.share)


def jobs(folder: Path, *widths: int) -> list[Job]:
    made = []
    for number, width in enumerate(widths):
        source = folder / f"{number}.png"
        write_image(Picture(picture(20 + number, width)[:20]), source, WriteOptions(by_name("png")))
        made.append(Job(source, folder / "out" / f"{number}.png"))
    return made


class Taking(Upscaler):
    """Keeps how many pictures came together; ``fault`` is raised where more than one do, or one that is blue."""

    def __init__(self, network: str, fault: Exception | None = None) -> None:
        super().__init__(network, device="cpu")
        self.fault, self.taken = fault, list[int]()

    def upscale_pictures(self, pictures: Sequence[Picture], *arguments: Any, **options: Any) -> list[Picture]:
        self.taken.append(len(pictures))
        results = super().upscale_pictures(pictures, *arguments, **options)
        if self.fault and (len(pictures) > 1 or pictures[0].width == 11):
            raise self.fault
        return results


def run(work: Sequence[Job], upscaler: Upscaler, together: int | None, listener: Listening) -> list[Outcome]:
    making: UpscalerFor = lambda first, on_share: upscaler  # noqa: E731
    engine = LocalEngine(ignore, together=together)
    return list(engine.run(work, TWICE, lambda options, notify: making, listener))


def test_pictures_of_one_shape_that_follow_each_other_are_computed_together(tmp_path: Path, network: str) -> None:
    work, listener, upscaler = jobs(tmp_path, 9, 9, 9, 9, 11, 9, 9), Listening(), Taking(network)
    work[5].source.write_bytes(b"no picture")
    outcomes = run(work, upscaler, 3, listener)
    assert upscaler.taken == [3, 1, 1, 1]
    assert [outcome.job for outcome in outcomes] == work
    assert [outcome.error is None for outcome in outcomes] == [True] * 5 + [False, True]
    assert all(shares == sorted(shares) and shares[-1] == 1 for shares in listener.shares.values())
    together = [read_picture(job.target).color for job in work if job.target.exists()]
    assert {outcome.model for outcome in outcomes if outcome.error is None} == {"tiny-x2"}
    for job in work:
        job.target.unlink(missing_ok=True)
    run(work, Taking(network), None, Listening())
    alone = [read_picture(job.target).color for job in work if job.target.exists()]
    assert len(together) == len(alone) == 6
    assert max(np.abs(one.astype(int) - other).max() for one, other in zip(together, alone, strict=True)) <= 1


@pytest.mark.parametrize("fault", [MemoryError(), DeviceError("It is too large.", "Shrink it."), ValueError("odd")])
def test_where_pictures_fail_together_each_is_done_alone(tmp_path: Path, network: str, fault: Exception) -> None:
    work, listener, upscaler = jobs(tmp_path, 9, 9, 9, 11, 9), Listening(), Taking(network, fault)
    outcomes = run(work, upscaler, 3, listener)
    assert upscaler.taken == [3, 1, 1, 1, 1, 1]
    assert [outcome.error is None for outcome in outcomes] == [True, True, True, False, True]
    assert all(shares == sorted(shares) for shares in listener.shares.values())


def test_on_a_cpu_pictures_are_computed_one_by_one(tmp_path: Path, network: str) -> None:
    upscaler = Taking(network)
    run(jobs(tmp_path, 9, 9, 9), upscaler, None, Listening())
    assert upscaler.taken == [1, 1, 1]


@pytest.mark.parametrize(("pixels", "read"), [(9, 6), (100, 2)])
def test_many_pictures_are_read_ahead_only_while_they_are_small(
    pixels: int, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "MOST_PIXELS", 90)
    begun, reached = list[Job](), threading.Semaphore(0)

    def reading(job: Job) -> Image:
        begun.append(job)
        reached.release()
        return Picture(np.zeros((1, pixels, 3), np.uint8))

    def named() -> Iterator[Job]:
        yield from (Job(Path(f"{number}.png"), Path("out.png")) for number in range(9))

    with ThreadPoolExecutor(1) as pool:
        ahead = ReadAhead(named(), reading, lambda job: pool, 2)
        ahead.expect(6)
        for _ in range(read):
            assert reached.acquire(timeout=5)
        ahead.first()
        ahead.take()
        assert [job.source.name for job in begun[:read]] == [f"{number}.png" for number in range(read)]
        assert len(begun) <= read + 1
        ahead.close()


@pytest.mark.cuda
def test_cuda_together_agrees_with_one_by_one_within_a_level() -> None:
    pictures = [picture(70 + number, 90)[:70] for number in range(9)]
    cuda = NetworkRunner(Enlarge(), SPEC, devices_used=[torch.device("cuda")])
    results = cuda.run_together(pictures, np.uint8, lambda done, total: None)
    for result, one in zip(results, pictures, strict=True):
        assert np.abs(result.astype(int) - cuda.run(one)).max() <= 1
