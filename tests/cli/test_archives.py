"""Comics and ZIP files: pages are enlarged, all else is kept, and hostile archives are refused."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.upscaling import archive as archives

NAMES = ["b/02.png", "ComicInfo.xml", "a/01.jpg", "b/.hidden.png", "cover.tga"]


def page(kind: str, side: int = 5) -> bytes:
    path = Path("drawn")
    write_image(Picture(np.full((4, side, 3), 90, np.uint8)), path, WriteOptions(by_name(kind)))
    data = path.read_bytes()
    path.unlink()
    return data


@pytest.fixture
def comic(terminal: Terminal) -> Path:
    from PIL import Image

    texture = io.BytesIO()
    Image.new("RGB", (3, 2)).save(texture, "TGA")
    contents = [page("png"), b"<ComicInfo/>", page("jpeg", 7), b"no picture", texture.getvalue()]
    with zipfile.ZipFile("comic.cbz", "w") as made:
        for name, content in zip(NAMES, contents, strict=True):
            made.writestr(zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 6)), content)
    return Path("comic.cbz")


def packed(contents: dict[str, bytes]) -> None:
    with zipfile.ZipFile("evil.zip", "w") as made:
        for inside, content in contents.items():
            made.writestr(inside, content)


def test_pages_are_enlarged_and_all_else_is_kept(comic: Path, network: str, terminal: Terminal) -> None:
    said = terminal("comic.cbz", "-s", "2", "-m", network)
    assert said.code == 0, said.err
    assert "comic.cbz -> comic_x2_tiny-x2.cbz, 3 pages" in said.out
    assert sorted(path.name for path in Path().iterdir()) == ["comic.cbz", "comic_x2_tiny-x2.cbz"]
    with zipfile.ZipFile("comic_x2_tiny-x2.cbz") as made:
        assert made.namelist() == [*NAMES[:-1], "cover.png"]
        assert {entry.date_time for entry in made.infolist()} == {(2001, 2, 3, 4, 5, 6)}
        assert made.read("ComicInfo.xml") == b"<ComicInfo/>"
        assert made.read("b/.hidden.png") == b"no picture"
        made.extractall("out")
    sizes = {name: read_picture(Path("out", name)).color.shape[:2] for name in ("b/02.png", "a/01.jpg", "cover.png")}
    assert sizes == {"b/02.png": (8, 10), "a/01.jpg": (8, 14), "cover.png": (4, 6)}


def test_options_place_and_formats_work_as_for_pictures(comic: Path, network: str, terminal: Terminal) -> None:
    assert terminal("comic.cbz", "-m", network, "--dry-run").out == "comic.cbz -> comic_x2_tiny-x2.cbz, 3 pages\n"
    record = json.loads(terminal("comic.cbz", "-m", network, "--format", "webp", "-o", "big.zip", "--json").out)
    assert (record["status"], record["pages"], record["model"]) == ("done", 3, "tiny-x2")
    with zipfile.ZipFile("big.zip") as made:
        assert made.namelist() == ["b/02.webp", "ComicInfo.xml", "a/01.webp", "b/.hidden.png", "cover.webp"]
    assert terminal("comic.cbz", "-m", network, "-o", "big.zip").code == 4
    assert terminal("comic.cbz", "-m", network, "-o", "big.zip", "--overwrite").code == 0
    said = terminal("comic.cbz", "big.zip", "-m", network, "-o", "deep/", "--json")
    assert [json.loads(line)["target"] for line in said.out.splitlines()] == ["deep/comic.cbz", "deep/big.zip"]


def test_a_page_that_fails_is_kept_as_it_was(comic: Path, network: str, terminal: Terminal) -> None:
    with zipfile.ZipFile("comic.cbz", "a") as made:
        made.writestr("broken.png", b"\x89PNG\r\n\x1a\n")
    said = terminal("comic.cbz", "-m", network, "-o", "big.cbz", "-q")
    assert said.code == 3
    assert "comic.cbz: broken.png is damaged" in said.err
    with zipfile.ZipFile("big.cbz") as result:
        assert result.read("broken.png") == b"\x89PNG\r\n\x1a\n"
        assert len(result.read("b/02.png")) != len(zipfile.ZipFile("comic.cbz").read("b/02.png"))


def test_a_stopped_run_goes_on_after_the_pages_that_are_done(
    comic: Path, network: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archives.Archive, "rebuild", stopped)
        assert terminal("comic.cbz", "-m", network, "-o", "big.cbz").code == 130
    done = sorted(Path(".big.cbz.pages/done").iterdir())
    assert len(done) == 3
    before = done[0].stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(archives.Archive, "extract", lambda *_: pytest.fail("nothing is left to do"))
        assert terminal("comic.cbz", "-m", network, "-o", "big.cbz").code == 0
    assert before
    assert not Path(".big.cbz.pages").exists()


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "a/../../b.png", "C:/a.png", "..\\a.png"])
def test_paths_that_lead_out_are_refused(name: str, network: str, terminal: Terminal) -> None:
    packed({"a.png": page("png"), name: page("png")})
    said = terminal("evil.zip", "-m", network)
    assert said.code == 3
    assert "which leads out of it" in said.err
    assert [path.name for path in Path().iterdir()] == ["evil.zip"]


def test_links_are_refused(network: str, terminal: Terminal) -> None:
    link = zipfile.ZipInfo("a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile("evil.zip", "w") as made:
        made.writestr(link, "/etc/passwd")
    assert "which leads out of it" in terminal("evil.zip", "-m", network).err


def test_bombs_are_refused_before_anything_is_unpacked(network: str, terminal: Terminal) -> None:
    with zipfile.ZipFile("evil.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.png", bytes(30_000_000))
    said = terminal("evil.zip", "-m", network)
    assert said.code == 3
    assert "claims 30000000 bytes, more than it can honestly hold" in said.err


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no archive", "is no ZIP file, or damaged"),
        (b"PK\x03\x04" + bytes(40), "is no ZIP file, or damaged"),
        (b"PK\x05\x06" + bytes(18), "There are no pictures in evil.zip"),
    ],
)
def test_what_is_no_archive_of_pictures_is_refused(data: bytes, words: str, network: str, terminal: Terminal) -> None:
    Path("evil.zip").write_bytes(data)
    said = terminal("evil.zip", "-m", network)
    assert (said.code, said.err.count("\n")) == (3, 1)
    assert words in said.err


def test_damaged_contents_are_said(network: str, terminal: Terminal) -> None:
    packed({"a.png": page("png")})
    data = bytearray(Path("evil.zip").read_bytes())
    data[60:64] = bytes(4)
    Path("evil.zip").write_bytes(data)
    said = terminal("evil.zip", "-m", network)
    assert said.code == 3
    assert "evil.zip is damaged at 'a.png'" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["comic.cbz", "a.png"], "comic.cbz is an archive, and a.png is not"),
        (["comic.cbz", "--compare"], "--compare is for pictures and clips"),
        (["comic.cbz", "-o", "a.png"], "a.png is no name of an archive"),
        (["comic.cbz", "none.zip"], "There is no file none.zip"),
        (["comic.cbz", "./comic.cbz", "-o", "deep/"], "would both become deep/comic.cbz"),
        (["comic.cbz", "comic.cbz", "-o", "b.zip"], "b.zip is one archive"),
        (["comic.cbz", "-o", "comic.cbz"], "would be replaced by the result"),
        (["comic.cbz", "--suffix", ""], "would be replaced by the result"),
        (["comic.cbz", "--format", "png", "--quality", "3"], "takes no --quality"),
    ],
)
def test_what_makes_no_sense_is_refused(
    comic: Path, network: str, arguments: list[str], words: str, terminal: Terminal
) -> None:
    said = terminal(*arguments, "-m", network)
    assert said.code in (2, 3)
    assert words in said.err
