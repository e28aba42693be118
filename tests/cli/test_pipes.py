"""Pictures from standard input and to standard output, and inputs from a list."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal

from upscale_cli import cli
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    for name in ("a.jpg", "b.png"):
        write_image(Picture(pixels), Path(name), WriteOptions(by_name(name[2:])))
    return Path("a.jpg").read_bytes()


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def in_bytes(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]
) -> tuple[int | str | None, bytes, bytes]:
    """Run the command; return its code, and what it wrote to stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["upscale", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    sys.stdout.flush()
    sys.stderr.flush()
    return (end.value.code, *capture.readouterr())


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (["-", "-o", "-", "--format", "png"], b"\x89PNG"),
        (["-", "-o", "-"], b"\xff\xd8\xff"),
        (["-"], b"\xff\xd8\xff"),
        (["b.png", "-o", "-"], b"\x89PNG"),
        (["b.png", "-o", "-", "-q"], b"\x89PNG"),
    ],
)
def test_a_picture_goes_through_pipes(
    picture: bytes,
    network: str,
    arguments: list[str],
    begins: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    stdin(monkeypatch, picture)
    code, out, err = in_bytes([*arguments, "-m", network], monkeypatch, capfdbinary)
    assert code == 0, err
    assert out.startswith(begins)
    Path("result").write_bytes(out)
    assert read_picture(Path("result")).color.shape == (8, 12, 3)
    assert sorted(path.name for path in Path().iterdir()) == ["a.jpg", "b.png", "result"]


def test_standard_input_goes_into_a_file_too(
    picture: bytes, network: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, picture)
    assert terminal("-", "-o", "c.png", "-m", network).code == 0
    assert read_picture(Path("c.png")).color.shape == (8, 12, 3)


@pytest.mark.parametrize("arguments", [["-", "-o", "c.png"], ["-", "-o", "c.png", "--dry-run"]])
def test_pipes_are_named_as_the_user_named_them(
    picture: bytes, network: str, arguments: list[str], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for style in ([], ["--json"]):
        stdin(monkeypatch, picture)
        said = terminal(*arguments, "-m", network, "--overwrite", *style)
        assert said.code == 0
        assert "standard-" not in said.out + said.err
        assert said.out.startswith("- " if not style else '{"record": "picture", "source": "-", "target": "c.png"')


def test_standard_output_is_named_in_reports_and_notices(
    picture: bytes, network: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    stdin(monkeypatch, picture)
    large = len(in_bytes(["-", "-m", network], monkeypatch, capfdbinary)[1])
    stdin(monkeypatch, picture)
    code, _, err = in_bytes(["-", "--max-bytes", f"{large - 9}", "-m", network], monkeypatch, capfdbinary)
    assert code == 0, err
    assert b"- (6x4) -> - (12x8)" in err
    assert b"Note: standard output was written with quality" in err
    assert b"/standard-" not in err


def test_an_input_that_fails_is_standard_input_in_json(
    picture: bytes, network: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, picture[:-60])
    said = terminal("-", "-o", "c.png", "--json", "-m", network)
    record = json.loads(said.out)
    assert record["source"] == "-"
    assert record["error"].startswith("standard input is cut off")


@pytest.mark.parametrize(
    ("arguments", "data", "words"),
    [
        (["-"], b"", "Standard input is no picture of a known format"),
        (["-"], b"\xff\xd8\xff\xe0", "standard input is damaged"),
        (["-", "b.png"], b"", "Standard input (-) is one picture, and there are several"),
        (["a.jpg", "b.png", "-o", "-"], b"", "Standard output (-o -) takes one picture"),
        ([".", "-o", "-"], b"", "Standard output (-o -) takes one picture"),
        (["*.*", "-o", "-"], b"", "standard output"),
        (["b.png", "-o", "-", "--json"], b"", "--json and -o - exclude each other"),
        (["b.png", "-o", "-", "--compare"], b"", "--compare and -o - exclude each other"),
        (["--files-from", "-"], b"\n\n", "Standard input names no pictures"),
        (["--files-from", "none.txt"], b"", "Cannot read none.txt"),
        (["-s", "2"], b"", "No picture is named"),
    ],
)
def test_what_cannot_go_through_a_pipe_is_refused(
    picture: bytes,
    network: str,
    arguments: list[str],
    data: bytes,
    words: str,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdin(monkeypatch, data)
    said = terminal(*arguments, "-m", network)
    assert said.code in (2, 3)
    assert said.out == ""
    assert words in said.err
    assert said.err.count("\n") == 1


def test_inputs_come_from_a_list(
    picture: bytes, network: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a b.jpg").write_bytes(picture)
    Path("list.txt").write_text("a b.jpg\r\n\nb.png\n", newline="")
    assert terminal("--files-from", "list.txt", "-o", "out/", "-m", network).code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a b.jpg", "b.png"]
    stdin(monkeypatch, b"a b.jpg\0b.png\0")
    said = terminal("a.jpg", "--files-from", "-", "-o", "out/", "-m", network, "--dry-run")
    assert "1 to do, 2 already there" in said.err
