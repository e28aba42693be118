"""Decoding in worker processes: the same pictures, and whatever a decoder does costs only its picture."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from upscale_cli.errors import InputError
from upscale_cli.images.formats import FORMATS, by_name
from upscale_cli.images.isolated import Decoders
from upscale_cli.images.picture import Animation, Image, Metadata, Picture
from upscale_cli.images.read import read_image
from upscale_cli.images.write import WriteOptions, write_image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="time and memory are bounded on Linux only")

# A worker whose decoder does as a picture's width says; the others are read as they are.
DOUBLE = """
import os, time
from upscale_cli import isolation
from upscale_cli.images import isolated, read

isolation.SECONDS, isolation.PIXELS_PER_SECOND = 2, 10**9
decode = read._decode

def double(path, data, known, header):
    if header.width == 11:
        os.abort()
    if header.width == 12:
        time.sleep(60)
    if header.width == 13:
        eaten = bytearray(2**30)
        eaten[::4096] = bytes([1]) * 2**18
    if header.width == 14:
        os.kill(os.getpid(), 9)
    if header.width == 15:
        os.system("echo noise; echo noise >&2")
    return decode(path, data, known, header)

read._decode = double
isolated.main()
"""
FAULTS = {
    11: "crashes its decoder",
    12: "takes too long to decode",
    13: "takes too much memory to decode",
    14: "takes too much memory to decode",
}


@pytest.fixture(scope="module")
def doubles() -> Iterator[Decoders]:
    with Decoders(command=(sys.executable, "-c", DOUBLE)) as decoders:
        yield decoders


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    with Decoders() as decoders:
        yield decoders


def saved(folder: Path, width: int) -> Path:
    write_image(Picture(np.full((3, width, 3), width, np.uint8)), folder / f"{width}.png", WriteOptions(by_name("png")))
    return folder / f"{width}.png"


def same(one: Image, other: Image) -> bool:
    if isinstance(one, Animation) or isinstance(other, Animation):
        assert isinstance(one, Animation)
        assert isinstance(other, Animation)
        timing = (one.durations_ms, one.loop_count) == (other.durations_ms, other.loop_count)
        return timing and all(map(same, one.frames, other.frames))
    assert isinstance(one, Picture)
    assert isinstance(other, Picture)
    alphas = one.alpha is other.alpha or np.array_equal(one.alpha, other.alpha)  # type: ignore[arg-type]
    return alphas and one.metadata == other.metadata and np.array_equal(one.color, other.color)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_pictures_come_as_they_do_without_a_worker(
    tmp_path: Path, decoders: Decoders, known: object, alpha: bool, depth: int
) -> None:
    dtype = np.uint8 if depth == 8 else np.uint16
    levels = np.random.default_rng(0).integers(0, 2**depth, (9, 14, 4)).astype(dtype)
    found = Metadata(xmp=b"<x:xmpmeta/>", text=((b"tEXt", b"a\0b"),), comment=b"c", resolution=(300, 300))
    picture = Picture(np.ascontiguousarray(levels[..., :3]), levels[..., 3].copy() if alpha else None, found)
    write_image(picture, tmp_path / "a", WriteOptions(known))  # type: ignore[arg-type]
    assert same(decoders.read_image(tmp_path / "a"), read_image(tmp_path / "a"))


def test_animations_come_as_they_do_without_a_worker(tmp_path: Path, decoders: Decoders) -> None:
    frames = tuple(Picture(np.full((5, 4, 3), level, np.uint8), np.full((5, 4), level, np.uint8)) for level in (9, 90))
    write_image(Animation(frames, (30, 40), 5), tmp_path / "a.png", WriteOptions(by_name("png")))
    assert same(decoders.read_image(tmp_path / "a.png"), read_image(tmp_path / "a.png"))


def test_refusals_are_those_without_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoders: Decoders
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, 40)
    Path("b\udcff.png").write_bytes(b"no picture")
    for path in (Path("nothing.png"), Path("b\udcff.png"), Path("40.png")):
        with pytest.raises(InputError) as here:
            read_image(path, max_megapixels=0.0001)
        with pytest.raises(InputError) as there:
            decoders.read_image(path, max_megapixels=0.0001)
        assert (there.value.message, there.value.hint) == (here.value.message, here.value.hint)


@pytest.mark.parametrize("width", FAULTS)
def test_what_a_decoder_does_costs_its_picture_alone(tmp_path: Path, doubles: Decoders, width: int) -> None:
    bad, good = saved(tmp_path, width), saved(tmp_path, 20)
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        doubles.read_image(bad)
    assert caught.value.message == f"{bad} {FAULTS[width]}."
    assert time.monotonic() - started < 10
    assert same(doubles.read_image(good), read_image(good))


def test_what_a_decoder_prints_neither_comes_between_nor_reaches_the_terminal(
    tmp_path: Path, doubles: Decoders, capfd: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, 15)
    assert same(doubles.read_image(path), read_image(path))
    assert capfd.readouterr() == ("", "")


def test_a_memory_limit_leaves_room_for_large_pictures(tmp_path: Path, decoders: Decoders) -> None:
    large = Picture(np.zeros((4000, 5000, 3), np.uint16), np.zeros((4000, 5000), np.uint16))
    write_image(large, tmp_path / "a", WriteOptions(by_name("png")))
    assert same(decoders.read_image(tmp_path / "a"), large)


def test_several_threads_share_several_workers(tmp_path: Path) -> None:
    command = (sys.executable, "-c", DOUBLE)
    paths = [saved(tmp_path, width) for width in (30, 11, 31, 14, 32, 11, 33, 34)] * 2
    with Decoders(2, command) as decoders, ThreadPoolExecutor(4) as threads:

        def width(path: Path) -> int | None:
            try:
                image = decoders.read_image(path)
            except InputError:
                return None
            assert isinstance(image, Picture)
            return image.width

        assert list(threads.map(width, paths)) == [30, None, 31, None, 32, None, 33, 34] * 2
    assert threading.active_count() < 10


def test_a_picture_that_is_no_longer_wanted_leaves_no_answer_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted while an answer comes in, the next picture does not begin with the rest of it."""
    first, second = saved(tmp_path, 50), saved(tmp_path, 51)

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with Decoders() as decoders:
        with monkeypatch.context() as patched:
            patched.setattr("upscale_cli.images.isolated._receive_frame", interrupt)
            with pytest.raises(KeyboardInterrupt):
                decoders.read_image(first)
        assert same(decoders.read_image(second), read_image(second))


def test_workers_end_when_their_parent_is_killed() -> None:
    code = """
import time
from upscale_cli.images.isolated import Decoders
decoders = Decoders()
print(decoders._idle.get().pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        if " Z " in Path(f"/proc/{worker}/stat").read_text(encoding="ascii"):  # ended, and nobody collects it here
            return
        time.sleep(0.05)
    pytest.fail("the worker lives on")
