"""Pictures in stores: the same results, resumed, whole or not at all, and never outside the output folder."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import Mock

import numpy as np
import pytest
from terminal import Terminal

from upscale_cli.addresses import Address, Entry, place, shared_place
from upscale_cli.atomic import HOST
from upscale_cli.errors import InputError, OutputError, UsageError
from upscale_cli.images.picture import Picture
from upscale_cli.notices import ignore
from upscale_cli.remote import _remove_those_of_killed, existing, fetched, written
from upscale_cli.upscaling.engines.engine import Progress
from upscale_cli.upscaling.engines.local import LocalEngine
from upscale_cli.upscaling.job import Enlarged, Job, Outcome, Upscalers
from upscale_cli.upscaling.naming import Naming
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.plan import plan
from upscale_cli.upscaling.progress import OnShare


@pytest.fixture
def store() -> Iterator[Any]:
    """A store in memory, empty before and after."""
    memory = pytest.importorskip("fsspec").filesystem("memory", use_listings_cache=False)
    yield memory
    for path in list(memory.store):
        memory.rm_file(path)
    memory.pseudo_dirs[:] = [""]


@pytest.fixture
def stored(store: Any, photos: Path) -> Any:
    """The store with photos in memory://in and memory://in/sub."""
    for path in photos.iterdir():
        store.pipe_file(f"/in/{path.name}", path.read_bytes())
        store.pipe_file(f"/in/sub/{path.name}", path.read_bytes())
    store.pipe_file("/in/notes.txt", b"no picture")
    store.pipe_file("/in/texts/notes.txt", b"no picture")
    return store


def pictures(store: Any, folder: str) -> dict[str, bytes]:
    return {path: store.cat_file(path) for path in store.find(folder) if not path.endswith(".upscale.json")}


@pytest.mark.parametrize("text", ["s3://bucket/a/b.png", "memory://x", "sftp://me@host/a", "file:///tmp/a b.png"])
def test_an_address_is_a_path_of_its_own_spelling(text: str) -> None:
    address = Address(text)
    assert str(address) == text
    assert pickle.loads(pickle.dumps(address)) == address
    assert str(pickle.loads(pickle.dumps(address)) / "c.png") == f"{text}/c.png"
    assert str((address / "c.png").with_name("d_x4.png")) == f"{text}/d_x4.png"
    assert str((address / "c.png").parent) == text


@pytest.mark.parametrize("text", ["a.png", "/a/b.png", "c:/a.png", "c:\\a.png", "a//b://c", "://a"])
def test_a_path_is_no_address(text: str) -> None:
    assert type(place(text)) is type(Path(text))


def test_a_folder_in_a_store_is_enlarged_into_another_and_gone_on_with(
    terminal: Terminal, stored: Any, photos: Path, network: str
) -> None:
    run = ("memory://in", "-r", "-m", network, "--json")
    said = terminal(*run, "-o", "memory://out")
    records = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == 0
    assert [record["target"] for record in records[:2]] == ["memory://out/0.png", "memory://out/1.png"]
    assert terminal(str(photos), "-o", "local", "-m", network).code == 0
    expected = {path.name: path.read_bytes() for path in Path("local").glob("*.png")}
    made = pictures(stored, "/out")
    assert {name: made[f"/out/{name}"] for name in expected} == expected
    assert {name: made[f"/out/sub/{name}"] for name in expected} == expected
    assert len(made) == 8
    stored.rm_file("/out/sub/2.png")
    again = [json.loads(line) for line in terminal(*run, "-o", "memory://out").out.splitlines()]
    assert [record["target"] for record in again if record["status"] == "done"] == ["memory://out/sub/2.png"]
    assert pictures(stored, "/out") == made
    assert "holds results of other settings (--tta was the default" in terminal(*run, "-o", "memory://out", "--tta").err


def test_one_picture_goes_from_a_store_and_into_one(
    terminal: Terminal, stored: Any, photos: Path, network: str
) -> None:
    model = ("-m", network)
    assert terminal("memory://in/1.png", *model).code == 0
    assert terminal("memory://in/1.png", *model, "-o", "one.png").code == 0
    assert terminal(str(photos / "1.png"), *model, "-o", "memory://new/two.png", "--compare").code == 0
    assert stored.cat_file("/in/1_x2_tiny-x2.png") == stored.cat_file("/new/two.png") == Path("one.png").read_bytes()
    assert stored.exists("/new/two_compare.png")
    said = terminal("memory://in/1.png", *model)
    assert said.code == 4
    assert "memory://in/1_x2_tiny-x2.png exists already." in said.err
    assert "4 done" in terminal("memory://in/?.png", *model, "-o", "memory://matched/").out
    assert "would be" not in terminal("memory://in", *model, "--dry-run").err


def test_a_dry_run_looks_at_several_pictures_of_a_store_at_once(
    terminal: Terminal, stored: Any, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, get_file = threading.Barrier(2, timeout=60), type(stored).get_file

    def waiting(itself: Any, *arguments: Any, **options: Any) -> None:
        together.wait()
        get_file(itself, *arguments, **options)

    monkeypatch.setattr(type(stored), "get_file", waiting)
    said = terminal("memory://in", "-r", "-m", network, "-o", "out/", "--dry-run")
    lines = said.out.splitlines()
    assert lines == sorted(lines)
    assert len(lines) % 2 == 0  # as many as the barrier lets through
    assert "would fail" not in said.out


def test_patterns_lists_and_stdout_take_addresses(terminal: Terminal, stored: Any, network: str) -> None:
    stored.pipe_file("/in/[2019] a/x.png", stored.cat_file("/in/0.png"))
    stored.pipe_file("/in/.hidden.png", stored.cat_file("/in/0.png"))
    stored.pipe_file("/list.txt", b"memory://in/0.png\nmemory://in/1.png\n")
    model = ("-m", network)
    assert "1 to do" in terminal("memory://in/[2019] a/*.png", *model, "-o", "out/", "--dry-run").err
    assert "5 to do" in terminal("memory://in/*.png", "memory://in/[[]*/*", *model, "-o", "out/", "--dry-run").err
    assert "memory://in/.hidden.png ->" in terminal("memory://in/.h*", *model, "-o", "out/", "--dry-run").out
    assert terminal("--files-from", "memory://list.txt", *model, "-o", "memory://listed").code == 0
    assert set(pictures(stored, "/listed")) == {"/listed/0.png", "/listed/1.png"}
    assert "memory://gone.txt: there is no such file." in terminal("--files-from", "memory://gone.txt").err
    assert terminal("memory://in/0.png", *model, "-o", "-").code == 0


def test_a_store_that_takes_nothing_any_more_ends_the_run(
    terminal: Terminal, store: Any, photos: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        store.pipe_file(f"/in/{number}.png", next(photos.glob("*.png")).read_bytes())
    monkeypatch.setattr("upscale_cli.cli.pictures.PATIENCE_REMOTE", 3)
    store.pipe_file("/out/.upscale.json", b"{}")
    with monkeypatch.context() as disturbed:
        disturbed.setattr(type(store), "put_file", Mock(side_effect=ConnectionError("no answer")))
        said = terminal("memory://in", "-o", "memory://out", "-m", network)
    assert said.code == 1
    assert said.err.count("Cannot write memory://out/") == 3
    assert "0 of 8 pictures are done. The same command goes on from there." in said.err
    assert terminal("memory://in", "-o", "memory://out", "-m", network).code == 0


def test_a_bad_picture_is_named_by_its_address(terminal: Terminal, store: Any, network: str) -> None:
    store.pipe_file("/in/bad.png", b"nothing of the kind")
    said = terminal("memory://in/bad.png", "-m", network)
    assert said.code == 3
    assert said.err.startswith("Error: memory://in/bad.png is no picture of a known format.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["memory://gone.png"], "There is no file or folder memory://gone.png."),
        (["memory://clip.mp4"], "memory://clip.mp4: a clip is worked on as a file of this machine. Copy it here."),
        (["memory://comic.cbz"], "memory://comic.cbz: an archive is worked on"),
        (
            ["degrade", "memory://a.png"],
            "memory://a.png: what upscale degrade takes is a file of this machine. Copy it",
        ),
        (["train", "lite-x2", "-o", "memory://run"], "memory://run: what upscale train takes is a file"),
        (["compare", "a.png", "b.png", "--output=memory://a"], "memory://a: what upscale compare takes is a file"),
        (["memory://in", "--model", "memory://n.pth"], "memory://n.pth: what --model takes is a file of this machine."),
        (["run", "memory://in", "--kernel=memory://k.mat"], "memory://k.mat: what --kernel takes is a file"),
        (["nothing://a/b.png"], "nothing://a/b.png is of no kind that fsspec knows."),
        (["memory://in/texts", "-o", "out"], "There are no pictures in memory://in/texts. Add -r"),
        (["memory://in"], "memory://in has no place beside it for results. Name a folder with -o."),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    arguments: list[str], words: str, terminal: Terminal, stored: Any, network: str
) -> None:
    said = terminal(*arguments, "-m", network)
    assert said.code in (2, 3)
    assert words in said.err
    assert said.err.count("\n") == 1


def test_the_missing_extra_and_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(UsageError, match="s3://bucket/a needs a package: Install s3fs"):
            place("s3://bucket/a")
    monkeypatch.setattr("upscale_cli.addresses.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'upscale-cli\[remote\]'"):
        place("memory://a")


def test_a_store_that_does_not_answer_is_named() -> None:
    pytest.importorskip("fsspec")
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(InputError, match=r"Cannot reach ftp://127\.0\.0\.1:\d+/a\.png: "):
            place(f"ftp://127.0.0.1:{taken.getsockname()[1]}/a.png")


def test_copies_of_a_killed_run_go_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.remote.gettempdir", lambda: str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    for process in (ended.pid, os.getpid()):
        (tmp_path / f"upscale-{HOST}-{process}-x").mkdir()
        (tmp_path / f"upscale-{HOST}-{process}-x" / "a.png").touch()
    _remove_those_of_killed.cache_clear()
    _remove_those_of_killed()
    assert [folder.name for folder in tmp_path.iterdir()] == [f"upscale-{HOST}-{os.getpid()}-x"]


def test_a_file_on_a_store_that_cannot_put_whole_ones_is_moved_into_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.local import LocalFileSystem

    target = Address(f"file://{tmp_path}/out/a.png")
    with written(target) as copy:
        copy.write_bytes(b"first")
    moved = LocalFileSystem.mv

    def failing(store: Any, source: str, *more: Any, **options: Any) -> None:
        assert Path(source).read_bytes() == b"second"
        assert (tmp_path / "out" / "a.png").read_bytes() == b"first"
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(LocalFileSystem, "mv", failing)
    with pytest.raises(OutputError, match=r"Cannot write file:///.*Input/output error"), written(target) as copy:
        copy.write_bytes(b"second")
    monkeypatch.setattr(LocalFileSystem, "mv", moved)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    with pytest.raises(OutputError, match="is kept"), written(target, replaces=False) as copy:
        copy.write_bytes(b"third")
    with fetched(target) as copy:
        assert copy.read_bytes() == b"first"
    assert existing([target, target.with_name("b.png"), tmp_path / "out" / "a.png"]) == {
        target,
        Path(f"{tmp_path}/out/a.png"),
    }


def test_folders_of_a_store_share_a_folder_of_it() -> None:
    assert str(shared_place([Address("s3://b/out/x"), Address("s3://b/out/y")])) == "s3://b/out"
    for others in ([Address("s3://c/out")], [Path("s3:/b")]):
        with pytest.raises(ValueError, match="several stores"):
            shared_place([Address("s3://b/out"), *others])


def test_a_store_that_refuses_no_objects_is_asked(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put = type(store).put_file

    def unable(itself: Any, source: str, path: str, *more: Any, mode: str = "overwrite", **options: Any) -> None:
        if mode == "create":
            raise OSError(errno.ENOSYS, "A header you provided implies functionality that is not implemented")
        put(itself, source, path, *more, **options)

    monkeypatch.setattr(type(store), "put_file", unable)
    monkeypatch.setattr("upscale_cli.remote.CREATES", {"memory"})
    target = Address("memory://out/a.png")
    with written(target, replaces=False) as copy:
        copy.write_bytes(b"first")
    with pytest.raises(OutputError, match="in the meantime, and is kept"), written(target, replaces=False) as copy:
        copy.write_bytes(b"second")
    assert store.cat_file("/out/a.png") == b"first"


def test_several_pictures_come_from_a_store_and_go_to_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = threading.Barrier(2), threading.Barrier(2)

    def read(*_: Any) -> Picture:
        reading.wait(10)
        return Picture(np.zeros((4, 4, 3), np.uint8))

    def write(enlarged: Enlarged, options: UpscaleOptions) -> Outcome:
        writing.wait(10)
        return enlarged.outcome

    def enlarge(job: Job, image: Picture, *_: Any) -> Enlarged:
        return Enlarged(image, image, Outcome(job))

    for name, step in {"read": read, "enlarge": enlarge, "write": write}.items():
        monkeypatch.setattr(f"upscale_cli.upscaling.job.{name}", step)
    jobs = [Job(Address(f"memory://in/{number}.png"), Address(f"memory://out/{number}.png")) for number in range(6)]
    making: Upscalers = lambda options, notify: never  # noqa: E731
    outcomes = LocalEngine(ignore).run(jobs, UpscaleOptions(scale=2), making, Unheard())
    assert [outcome.job for outcome in outcomes] == jobs


def never(first: Picture, on_share: OnShare) -> NoReturn:
    raise MemoryError


class Unheard:
    """Hears of jobs."""

    def started(self, job: Job) -> None: ...

    def progress(self, progress: Progress) -> None: ...


def test_names_in_a_store_never_lead_out_of_the_output_folder(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = ["..", "../../x.png", "a/../../x.png", ".png", "ok.png", "..\\x.png"]
    monkeypatch.setattr(Address, "is_dir", lambda address: True)
    monkeypatch.setattr(Address, "exists", lambda address: True)
    entries = {"memory://in": [Entry(name, name == "..") for name in hostile]}
    monkeypatch.setattr(Address, "entries", lambda address: entries.get(str(address), []))
    store.pipe_file("/in/a/../../up.png", b"")
    found = plan(["memory://in"], Naming("x2", output="out", recursive=True))
    for job in found.jobs:
        assert ".." not in job.target.parts
        assert job.target.parent == Path("out")
    assert Path("out/ok.png") in [job.target for job in found.jobs]
