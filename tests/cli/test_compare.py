"""``upscale compare``: one page, whole in itself. Its slider was tried in Chromium by hand."""

from __future__ import annotations

import json
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from terminal import Terminal


class Page(HTMLParser):
    """What a page refers to, and what it shows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.links: list[str] = []
        self.images: list[tuple[str, Image.Image]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.tags.append((tag, found))
        self.links += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
        if tag == "img":
            kind, _, content = (found["src"] or "").partition(";base64,")
            assert kind == "data:image/webp"
            self.images.append((found["alt"] or "", Image.open(BytesIO(b64decode(content)))))

    def named(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]


@pytest.fixture(autouse=True)
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """a.png, four times larger as b.png, and once more with transparency as c.png."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    small = Image.fromarray(pixels)
    small.save("a.png")
    small.resize((64, 48)).save("b.png")
    cut = small.resize((64, 48)).convert("RGBA")
    cut.putalpha(100)
    cut.save("c.png")


def test_the_page_holds_all_pictures_and_needs_nothing_else(terminal: Terminal) -> None:
    said = terminal("compare", "a.png", "b.png", "c.png", "-o", "page.html")
    assert said.code == 0, said.err
    page = Page(Path("page.html"))
    assert [(label, image.size, image.mode) for label, image in page.images] == [
        ("a.png", (16, 12), "RGB"),
        ("b.png", (64, 48), "RGB"),
        ("c.png", (64, 48), "RGBA"),
    ]
    assert all(link.startswith("data:") for link in page.links)
    assert "http" not in page.source.replace("http-equiv", "")
    (policy,) = page.named("meta", **{"http-equiv": "Content-Security-Policy"})
    assert (policy["content"] or "").startswith("default-src 'none'; img-src data:;")
    assert "$" not in page.source
    assert said.out == f"page.html: 3 pictures, {Path('page.html').stat().st_size / 1e6:.1f} MB\n"


def test_the_slider_is_one_that_keys_move_and_screen_readers_name(terminal: Terminal) -> None:
    assert terminal("compare", "a.png", "b.png", "-o", "page.html").code == 0
    page = Page(Path("page.html"))
    (slider,) = page.named("input", type="range")
    assert (slider["min"], slider["max"], slider["value"], slider["aria-label"]) == ("0", "100", "50", "a")
    assert [found["class"] for found in page.named("figure")] == ["left", "right"]
    assert len(page.named("select")) == 2
    assert "--width: 64; --height: 48" in page.source


def test_folders_are_paired_by_name_and_labelled(terminal: Terminal) -> None:
    for folder, picture in (("in", "a.png"), ("out", "b.png")):
        Path(folder).mkdir()
        for name in ("x", "y"):
            Path(folder, f"{name}{'_x4' * (folder == 'out')}.png").write_bytes(Path(picture).read_bytes())
    said = terminal("compare", "in", "out", "--label", "before", "--label", "after", "-o", "page.html", "--json")
    size = Path("page.html").stat().st_size
    expected = {"record": "page", "target": "page.html", "comparisons": 2, "pictures": 4, "quality": 90, "bytes": size}
    assert json.loads(said.out) == expected
    page = Page(Path("page.html"))
    assert [label for label, _ in page.images] == ["before", "after"] * 2
    assert [found["aria-label"] for found in page.named("input", type="range")] == ["x", "y"]


def test_names_cannot_break_the_page(terminal: Terminal) -> None:
    name = '"><script>alert(1)</script>.png'
    Path("in&out").mkdir()
    Path("in&out", name.replace("/", "")).write_bytes(Path("a.png").read_bytes())
    picture = str(Path("in&out", name.replace("/", "")))
    assert terminal("compare", picture, "b.png", "-o", "page.html", "--title", "<b>$x</b>").code == 0
    page = Page(Path("page.html"))
    assert len(page.named("script")) == 1
    assert "<b>" not in page.source
    assert page.images[0][0] == name.replace("/", "")


def test_large_pictures_are_shown_smaller_and_the_quality_is_lowered(terminal: Terminal) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 300, 3), np.uint8)
    Image.fromarray(noise).save("d.png")
    said = terminal("compare", "d.png", "d.png", "--max-side", "150", "-o", "page.html")
    assert "d.png is shown with 150 pixels on its long side." in said.err
    assert [image.size for _, image in Page(Path("page.html")).images] == [(150, 50)] * 2
    whole = Path("page.html").stat().st_size
    said = terminal(
        "compare", "d.png", "d.png", "--max-side", "150", "-o", "small.html", "--max-bytes", str(whole - 999)
    )
    assert "small.html: quality 80, to take at most" in said.err
    assert Path("small.html").stat().st_size <= whole - 999


def test_a_page_is_replaced_only_on_request(terminal: Terminal) -> None:
    Path("page.html").write_text("mine")
    assert terminal("compare", "a.png", "b.png", "-o", "page.html").code == 4
    assert Path("page.html").read_text() == "mine"
    assert terminal("compare", "a.png", "b.png", "-o", "page.html", "--overwrite").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a.png"], 2, "A comparison needs at least two pictures"),
        (["a.png", "b.png", "-o", "page.png"], 2, "page.png is no page. Name it .html."),
        (["a.png", "b.png", "--label", "x"], 2, "2 inputs have 1 labels."),
        (["a.png", "none.png"], 3, "There is no file none.png"),
        (["a.png", "wide.png"], 3, "a.png has 16x12 pixels and wide.png 32x12: other proportions."),
        (["a.png", "b.png", "--max-bytes", "3kB"], 4, "Allow more with --max-bytes"),
    ],
)
def test_what_cannot_be_compared_is_refused(terminal: Terminal, arguments: list[str], code: int, words: str) -> None:
    Image.new("RGB", (32, 12)).save("wide.png")
    said = terminal("compare", *arguments)
    assert (said.code, words in said.err) == (code, True), said.err
    assert not list(Path().glob("*.html"))
