"""Pictures at s3://, with moto's server in the place of Amazon's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal

from upscale_cli.addresses import Address
from upscale_cli.errors import OutputError
from upscale_cli.remote import written

# botocore, aiohttp and moto warn of each other's ways.
pytestmark = pytest.mark.filterwarnings("ignore")
NAMES = ["0.png", "with space.png", "hash#1.png", "what?.png", "per%20cent.png", "[b].png", "漢字.png", "sub/c.png"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server of this process."""
    moto: Any = pytest.importorskip("moto.server", reason="needs s3fs and moto[server], which no extra brings")
    running = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture
def bucket(server: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The store, with a bucket of pictures of all kinds of names, one broken and one hidden."""
    s3fs: Any = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem(use_listings_cache=False)
    store.mkdir("bucket")
    for name in NAMES:
        store.pipe_file(f"bucket/in/{name}", (photos / "0.png").read_bytes())
    store.pipe_file("bucket/in/.hidden.png", (photos / "0.png").read_bytes())
    store.pipe_file("bucket/in/broken.png", b"\x89PNG\r\n\x1a\nno more")
    yield store
    for each in store.ls(""):
        store.rm(each, recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


def made(store: Any, folder: str) -> set[str]:
    return {str(path).removeprefix(f"{folder}/") for path in store.find(folder)} - {".upscale.json"}


def test_a_folder_is_enlarged_and_gone_on_with(terminal: Terminal, bucket: Any, network: str) -> None:
    run = ("s3://bucket/in/", "-r", "-o", "s3://bucket/out", "-m", network)
    said = terminal(*run)
    assert said.code == 1
    assert said.err.startswith("Failed: s3://bucket/in/broken.png is damaged")
    assert made(bucket, "bucket/out") == set(NAMES)
    bucket.rm_file("bucket/out/what?.png")
    assert "1 done" in terminal(*run).out
    assert made(bucket, "bucket/out") == set(NAMES)
    assert "results in s3://bucket/out;" in terminal(*run, "--overwrite").out


def test_patterns_lists_and_stdout_take_addresses(terminal: Terminal, bucket: Any, network: str) -> None:
    bucket.pipe_file("bucket/[2019] a/x.png", bucket.cat_file("bucket/in/0.png"))
    bucket.rm_file("bucket/in/broken.png")
    model = ("-m", network)
    assert terminal("s3://bucket/**/*.png", *model, "-o", "s3://bucket/found").code == 0
    assert made(bucket, "bucket/found") == {Path(name).name for name in NAMES} | {"x.png"}
    assert terminal("s3://bucket/[2019] a/*", *model, "-o", "s3://bucket/year/").code == 0
    bucket.pipe_file("bucket/list.txt", b"s3://bucket/in/0.png\ns3://bucket/in/with space.png\n")
    assert terminal("--files-from", "s3://bucket/list.txt", *model, "-o", "s3://bucket/listed").code == 0
    assert made(bucket, "bucket/listed") == {"0.png", "with space.png"}


def test_what_is_wrong_is_one_sentence_before_any_work(terminal: Terminal, bucket: Any, network: str) -> None:
    said = terminal("s3://bucket/in/0.png", "-m", network, "-o", "s3://no-such/0.png")
    assert (said.code, said.err) == (4, "Error: There is no bucket s3://no-such. Make it, or choose another with -o.\n")
    assert bucket.ls("") == ["bucket"]
    bucket.pipe_file("bucket/none/notes.txt", b"")
    assert "There are no pictures in s3://bucket/none." in terminal("s3://bucket/none", "-m", network).err
    assert "There is no file or folder s3://no-such/a.png." in terminal("s3://no-such/a.png", "-m", network).err


def test_an_object_that_appeared_in_the_meantime_is_kept(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Address("s3://bucket/in/0.png")
    before = bucket.cat_file("bucket/in/0.png")
    monkeypatch.setattr(type(bucket), "exists", lambda *_: False)
    with pytest.raises(OutputError, match="in the meantime, and is kept"), written(target, replaces=False) as copy:
        copy.write_bytes(b"other")
    assert bucket.cat_file("bucket/in/0.png") == before
    with written(target) as copy:
        copy.write_bytes(b"other")
    assert bucket.cat_file("bucket/in/0.png") == b"other"


def test_a_killed_run_leaves_no_object_and_goes_on(terminal: Terminal, bucket: Any, network: str) -> None:
    lines = (
        "import os; from upscale_cli.addresses import Address; from upscale_cli.remote import written",
        "with written(Address('s3://bucket/killed/0.png')) as copy:",
        "    copy.write_bytes(b'half'); os.kill(os.getpid(), 9)",
    )
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], check=False).returncode == -9
    assert made(bucket, "bucket/killed") == set()
    assert terminal("s3://bucket/in/0.png", "-m", network, "-o", "s3://bucket/killed/").code == 0
