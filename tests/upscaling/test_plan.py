"""Which file an input becomes: nothing is lost, nothing escapes, nothing is read that was just written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.errors import InputError, OutputError, UpscaleError, UsageError
from upscale_cli.images import formats
from upscale_cli.upscaling.job import Job
from upscale_cli.upscaling.listing import Found, Part
from upscale_cli.upscaling.naming import Naming
from upscale_cli.upscaling.plan import Plan, plan

NAMING = Naming(label="x4")


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def targets(*inputs: str, naming: Naming = NAMING) -> dict[str, str]:
    return {job.source.as_posix(): job.target.as_posix() for job in plan(inputs, naming).jobs}


def age(name: str, seconds: int) -> None:
    os.utime(name, (seconds, seconds))


def test_a_picture_lies_beside_its_input_under_a_name_that_tells_the_size() -> None:
    touch("in/photo.JPG")
    assert targets("in/photo.JPG") == {"in/photo.JPG": "in/photo_x4.JPG"}
    assert targets("in/photo.JPG", naming=Naming("x4", suffix="-big")) == {"in/photo.JPG": "in/photo-big.JPG"}


@pytest.mark.parametrize(
    ("output", "target"),
    [("big.png", "big.png"), ("out/", "out/photo.jpg"), ("out", "out/photo.jpg"), ("there.d", "there.d/photo.jpg")],
)
def test_the_output_of_one_picture_is_a_file_or_a_folder(output: str, target: str) -> None:
    touch("photo.jpg")
    Path("there.d").mkdir()
    assert targets("photo.jpg", naming=Naming("x4", output=output)) == {"photo.jpg": target}


def test_the_format_decides_the_extension_and_an_unknown_one_becomes_png() -> None:
    touch("a.jpeg", "b.png", "c.dat")
    assert targets("a.jpeg", "b.png", "c.dat", naming=Naming("x4", format=formats.by_name("jpeg"))) == {
        "a.jpeg": "a_x4.jpeg",
        "b.png": "b_x4.jpg",
        "c.dat": "c_x4.jpg",
    }
    assert targets("c.dat") == {"c.dat": "c_x4.png"}


def test_only_visible_pictures_of_a_folder_count_and_the_rest_is_counted() -> None:
    touch("d/a.png", "d/.hidden.png", "d/.cache/b.png", "d/notes.txt", "d/sub/c.png")
    flat = plan(["d"], NAMING)
    assert [job.source.as_posix() for job in flat.jobs] == ["d/a.png"]
    assert flat.ignored == 1
    assert targets("d", naming=Naming("x4", recursive=True)) == {
        "d/a.png": "d_x4/a.png",
        "d/sub/c.png": "d_x4/sub/c.png",
    }


@pytest.mark.parametrize("spelling", [".", "../d", "..", "link"])
def test_a_folders_results_lie_beside_it_however_it_is_spelt(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch("d/a.png", "d/sub/b.png")
    Path("d/link").symlink_to(tmp_path / "d")
    monkeypatch.chdir(tmp_path / "d" / "sub" if spelling == ".." else tmp_path / "d")
    (job,) = plan([spelling], NAMING).jobs
    expected = tmp_path / "d" / "link_x4" if spelling == "link" else tmp_path / "d_x4"
    assert Path(os.path.normpath(job.target.absolute())) == expected / "a.png"


def test_the_root_of_the_file_system_has_no_place_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.upscaling.plan.parts", lambda *_: iter([Part([Found(Path("/a.png"), Path("/"))])]))
    with pytest.raises(UsageError, match="Name a folder with -o"):
        plan(["/"], NAMING)


def test_a_pattern_means_what_it_matches() -> None:
    touch("a.png", "b.png", "c.txt", "[1].png")
    assert set(targets("?.png")) == {"a.png", "b.png"}
    assert set(targets("[1].png")) == {"[1].png"}  # a file of that name comes before the pattern


def test_an_input_given_twice_is_done_once() -> None:
    touch("d/a.png")
    assert targets("d/a.png", "./d/a.png", "d/../d/a.png") == {"d/a.png": "d/a_x4.png"}
    assert targets("d", "d/", "d/a.png") == {"d/a.png": "d_x4/a.png"}


def test_results_inside_the_input_folder_are_not_read_again() -> None:
    touch("d/a.png", "d/out/a.png")
    naming = Naming("x4", output="d/out", recursive=True)
    assert [job.source.as_posix() for job in plan(["d"], naming).skipped] == ["d/a.png"]


def test_links_in_circles_end() -> None:
    touch("d/a.png")
    Path("d/round").symlink_to(Path("d").absolute(), target_is_directory=True)
    Path("d/self.png").symlink_to("self.png")
    planned = plan(["d"], Naming("x4", recursive=True))
    assert Job(Path("d/a.png"), Path("d_x4/a.png")) in planned.jobs
    with pytest.raises(InputError, match=r"d/self\.png"):
        plan(["d/self.png"], NAMING)


@pytest.mark.parametrize(
    ("inputs", "naming", "kind", "words"),
    [
        (["gone.png"], NAMING, InputError, "There is no file or folder gone.png"),
        (["gone*.png"], NAMING, InputError, "No file matches"),
        (["x" * 300 + ".png"], NAMING, InputError, "Cannot read"),
        (["a.png/b.png"], NAMING, InputError, "There is no file or folder"),
        (["empty"], NAMING, InputError, "no pictures in empty"),
        (["a.png"], Naming("x4", output="big.xyz"), UsageError, "no extension of a picture format"),
        (["a.png"], Naming("x4", output="b.png", format=formats.by_name("jpeg")), UsageError, "contradict"),
        (["a.png", "a.jpg"], Naming("x4", output="big.png"), UsageError, "one picture, but several"),
        (["d"], Naming("x4", output="big.png"), UsageError, "one picture, but several"),
        (["a.png"], Naming("x4", output="a.png", existing="overwrite"), UsageError, "replace the input"),
        (["a.png"], Naming("x4", output="A.PNG"), UsageError, "replace the input"),
        (["d"], Naming("x4", output="d", existing="overwrite"), UsageError, "replace the input"),
        (["a.png", "a.jpg"], Naming("x4", format=formats.by_name("png")), UsageError, "would both become"),
        (["d"], NAMING, UsageError, "would both become"),
        (["d/B.png", "e/B.png"], Naming("x4", output="out"), UsageError, "would both become"),
        (["a.png"], Naming("x4", output="a.jpg/"), OutputError, "is a file, not a folder"),
        (["a.png"], Naming("x4", output="a.jpg/deeper/x.png"), OutputError, "is a file, not a folder"),
        (["a.png"], Naming("x4", suffix="_dir"), OutputError, "is a folder"),
        (["a.png"], Naming("x4", suffix="_" * 255), OutputError, "Cannot write"),
        (["a.png"], Naming("x4", suffix="_done"), OutputError, "exists already"),
        (["a.png"], Naming("x4", suffix="_half", compare=True), OutputError, "_compare.png exists already"),
    ],
)
def test_what_cannot_end_well_is_refused_in_one_sentence(
    inputs: list[str], naming: Naming, kind: type[UpscaleError], words: str
) -> None:
    touch("a.png", "a.jpg", "d/b.png", "d/B.png", "e/B.png", "a_dir.png/x", "a_done.png", "a_half_compare.png")
    Path("empty").mkdir()
    with pytest.raises(kind) as refusal:
        plan(inputs, naming)
    assert words in refusal.value.message + refusal.value.hint
    assert refusal.value.hint


@pytest.mark.parametrize("suffix", ["../../x", "/x", "_x/", "a\0b"])
def test_a_suffix_that_leaves_the_folder_is_refused(suffix: str) -> None:
    with pytest.raises(UsageError, match="cannot be a part of a file's name"):
        Naming("x4", suffix=suffix)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_places_without_permission_are_refused() -> None:
    touch("d/sub/a.png", "b.png")
    Path("locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        plan(["b.png"], Naming("x4", output="locked/"))
    Path("d/sub").chmod(0)
    with pytest.raises(InputError, match="Cannot read the folder"):
        plan(["d"], Naming("x4", recursive=True))


def test_a_subfolder_that_cannot_be_listed_is_no_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    touch("d/a.png", "d/sub/b.png")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match=r"Cannot read the folder d/sub: Permission denied"):
        plan(["d"], Naming("x4", recursive=True))


def test_a_repeated_run_does_what_is_missing() -> None:
    touch("d/a.png", "d/b.png", "d_x4/a.png")
    planned = plan(["d"], NAMING)
    assert [job.source.name for job in planned.jobs] == ["b.png"]
    assert [job.source.name for job in planned.skipped] == ["a.png"]
    assert not planned.notices
    assert len(plan(["d"], Naming("x4", existing="overwrite")).jobs) == 2


def test_a_result_older_than_its_picture_is_kept_and_said() -> None:
    touch("d/a.png", "d/b.png", "d_x4/a.png", "d_x4/b.png")
    age("d_x4/a.png", 1000)
    planned = plan(["d"], NAMING)
    assert not planned.jobs
    (notice,) = planned.notices
    assert notice.severity == "warning"
    assert notice.text.startswith("d_x4/a.png: kept, though older")


def test_a_comparison_that_a_killed_run_did_not_come_to_is_made_of_the_result() -> None:
    touch("d/a.png", "d/b.png", "d/c.png", "d_x4/a.png", "d_x4/a_compare.png", "d_x4/b.png")
    planned = plan(["d"], Naming("x4", compare=True))
    assert [(job.source.name, job.reuses_result) for job in planned.jobs] == [("b.png", True), ("c.png", False)]
    assert [job.source.name for job in planned.skipped] == ["a.png"]


def test_a_comparison_is_jpeg_beside_jpeg_and_else_png() -> None:
    touch("a.jpg", "b.webp")
    jobs = plan(["a.jpg", "b.webp"], Naming("x4", compare=True)).jobs
    assert [job.comparison for job in jobs] == [Path("a_x4_compare.jpg"), Path("b_x4_compare.png")]


def test_a_comparison_of_somebody_else_is_not_replaced_in_a_folder() -> None:
    touch("d/a.png", "d/b.png", "d_x4/a.png", "d_x4/a_compare.png")
    assert len(plan(["d"], Naming("x4", compare=True)).skipped) == 1
    Path("d_x4/a.png").unlink()
    with pytest.raises(OutputError, match=r"a_compare\.png exists already, without its result"):
        plan(["d"], Naming("x4", compare=True))


names = st.text(st.sampled_from("abcX.é -_%"), min_size=1, max_size=6).filter(lambda name: name.strip(". ") == name)
trees = st.sets(
    st.tuples(st.lists(names.map("d_{}".format), max_size=2), names, st.sampled_from((".png", ".jpg", ".TIFF"))).map(
        lambda parts: "/".join([*parts[0], parts[1] + parts[2]])
    ),
    min_size=1,
    max_size=6,
)


@given(trees, st.sampled_from([None, "out", "in/out"]), st.sampled_from([None, "_x", "é"]), st.booleans())
def test_a_tree_is_mirrored_one_to_one_and_never_left(
    tree: set[str], output: str | None, suffix: str | None, as_png: bool
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "in")
        for name in tree:
            touch(str(folder / name))
        wanted = formats.by_name("png") if as_png else None
        given_output = None if output is None else str(Path(place, output))
        naming = Naming("x4", output=given_output, suffix=suffix, format=wanted, recursive=True)
        try:
            planned: Plan | None = plan([str(folder)], naming)
        except UsageError as error:
            assert "would both become" in error.message  # noqa: PT017  (whether it is right is asserted below)
            planned = None
        results = [expected(name, suffix or "", as_png) for name in sorted(tree)]
        if planned is None:
            assert len({name.casefold() for name in results}) < len(results)
            return
        root = Path(given_output) if given_output else Path(place, "in_x4")
        assert sorted(str(job.target.relative_to(root).as_posix()) for job in planned.jobs) == sorted(results)
        assert all(job.source.relative_to(folder).parent == job.target.relative_to(root).parent for job in planned.jobs)


def expected(name: str, suffix: str, as_png: bool) -> str:
    stem, dot, extension = name.rpartition(".")
    return f"{stem}{suffix}{dot}{'png' if as_png and extension != 'png' else extension}"


def test_own_results_are_left_out_of_patterns_and_folders_but_not_where_they_are_named() -> None:
    results = ("d/a_x8.png", "d/a_x2.5_realesrgan-x4plus.jpg", "d/a_1920x1080_compare.png")
    touch("d/a.png", "d/b_x4.png", "d/a_b.png", *results)
    found = {job.source.name for job in plan(["d/*"], NAMING).jobs}
    assert found == {"a.png", "b_x4.png", "a_b.png"}
    assert {job.source.name for job in plan(["d"], NAMING).jobs} == found
    assert [job.target.name for job in plan(["d/a_x8.png"], NAMING).jobs] == ["a_x8_x4.png"]


@pytest.mark.parametrize("folder", ["my pics [1]", "a*b", "sub/x[y]"])
def test_folders_with_the_characters_of_patterns_are_found(folder: str) -> None:
    touch(f"{folder}/a.jpg", f"{folder}/b.png")
    assert [job.source.name for job in plan([f"{folder}/*.jpg"], NAMING).jobs] == ["a.jpg"]


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_path_is_not_the_current_folder(text: str) -> None:
    touch("a.png")
    with pytest.raises(UsageError, match="An empty path"):
        plan([text], NAMING)
