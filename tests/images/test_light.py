"""Light in floating point: kept above 1 from file to file, shown as displays do in formats that hold no such light."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import rare
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from upscale_cli.errors import InputError, UsageError
from upscale_cli.evaluation import read_rgb8
from upscale_cli.images.convert import StoredPixels
from upscale_cli.images.encode import encode_tiff
from upscale_cli.images.formats import by_name
from upscale_cli.images.isolated import Decoders
from upscale_cli.images.light import MOST, as_levels, displayed, values_of
from upscale_cli.images.picture import Light, Metadata, Pages, Picture
from upscale_cli.images.read import picture_header, read_image, read_picture
from upscale_cli.images.write import WriteOptions, write_image

WINDOWS = (("dataWindow", (5, 7), (34, 30)), ("displayWindow", (0, 0), (99, 99)))
EXR, TIFF, PNG = (WriteOptions(by_name(name)) for name in ("exr", "tiff", "png"))


def scene(peak: float = 40.0, channels: int = 3) -> rare.Floats:
    """Light from almost nothing to ``peak``, in equal steps of exposure."""
    values = np.geomspace(1e-3, peak, 24 * 30 * channels, dtype=np.float32)
    return np.random.default_rng(0).permutation(values).reshape(24, 30, channels)


def linear(path: Path) -> rare.Floats:
    picture = read_picture(path)
    assert picture.light is not None
    return values_of(picture.light)[picture.color]


@given(st.floats(1, MOST))
def test_levels_keep_light_within_a_thousandth(peak: float) -> None:
    """Of each value from 0.01 to the peak; what is darker, within 5 millionths."""
    values = np.geomspace(1e-4, peak, 3000).reshape(100, 10, 3)
    levels, light, lost = as_levels(values, 32)
    errors = np.abs(values_of(light)[levels] - values)
    assert light.peak == pytest.approx(peak)
    assert (errors <= np.maximum(1e-3 * values, 5e-6)).all()
    assert lost == ()


def test_light_up_to_1_has_the_levels_of_srgb() -> None:
    shown = np.arange(65536) / 65535
    values = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    levels, light, _ = as_levels(values.reshape(256, 256, 1), 32)
    assert light == Light(1.0, 32)
    assert np.array_equal(levels.ravel(), np.arange(65536))
    assert np.array_equal(displayed(light), np.arange(65536))


def test_levels_rise_with_light() -> None:
    values = values_of(Light(100.0))
    assert (np.diff(values) > 0).all()
    assert values[-1] == 100
    assert (np.diff(displayed(Light(100.0)).astype(int)) >= 0).all()


@pytest.mark.parametrize("value", [-1.0, np.nan, -np.inf])
def test_what_is_no_light_becomes_0_and_is_told(value: float) -> None:
    values = np.full((2, 2, 3), 0.5, np.float32)
    values[0, 1, 2] = value
    levels, _, lost = as_levels(values, 32)
    assert levels[0, 1].tolist() == [levels[0, 0, 0], levels[0, 0, 0], 0]
    assert lost == ("Values below 0, or that are no numbers, became 0, in 1 pixel.",)


def test_endless_light_becomes_the_most() -> None:
    levels, light, lost = as_levels(np.array([[[np.inf], [1e30], [1.0]]]), 32)
    assert values_of(light)[levels].ravel() == pytest.approx([MOST, MOST, 1], rel=1e-3)
    assert lost == ("Values above 65504 became that, in 2 pixels.",)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_exr_is_kept_with_its_alpha_and_its_length_of_numbers(tmp_path: Path, dtype: type, channels: int) -> None:
    values = scene(channels=max(channels, 3))
    if channels == 4:
        values[..., 3] = np.linspace(0.2, 1, 30)
        values[..., :3] *= values[..., 3:]
    planes = {"Y": values[..., 0].astype(dtype)} if channels == 1 else rare.rgb(values, dtype)
    (tmp_path / "a.exr").write_bytes(rare.exr(planes))
    picture = read_image(tmp_path / "a.exr")
    assert isinstance(picture, Picture)
    assert picture.light is not None
    assert picture.light.bits == np.dtype(dtype).itemsize * 8
    assert write_image(picture, tmp_path / "b.exr", EXR) == []
    first, second = (read_back(tmp_path / name) for name in ("a.exr", "b.exr"))
    assert first.keys() == second.keys()
    for name, plane in first.items():
        assert second[name].dtype == dtype
        assert second[name] == pytest.approx(plane, rel=3e-3, abs=2e-5)


def read_back(path: Path) -> dict[str, rare.Floats]:
    import OpenEXR

    channels = OpenEXR.File(str(path), separate_channels=True).channels()
    return {name: channel.pixels for name, channel in channels.items()}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiff_of_floats_is_kept(tmp_path: Path, dtype: type, channels: int) -> None:
    values = scene(channels=channels)
    values[..., 3:] = np.linspace(0, 1, 30)[:, None]
    import cv2

    bgr = values[..., [2, 1, 0, 3][:channels]] if channels > 1 else values[..., 0]
    cv2.imwrite(str(tmp_path / "a.tif"), bgr.astype(dtype))
    picture = read_picture(tmp_path / "a.tif")
    assert write_image(picture, tmp_path / "b.tif", TIFF) == []
    again = read_picture(tmp_path / "b.tif")
    assert again.light == picture.light
    assert linear(tmp_path / "b.tif") == pytest.approx(values[..., :3], rel=1e-3, abs=5e-6)
    assert (again.alpha is not None) == (channels == 4)
    stored = cv2.imread(str(tmp_path / "b.tif"), cv2.IMREAD_UNCHANGED)  # another program's reader agrees
    assert stored is not None
    assert stored.dtype == np.float32
    assert stored == pytest.approx(bgr, rel=1e-3, abs=1e-4)


def test_tiff_of_floats_keeps_orientation_and_pages(tmp_path: Path) -> None:
    values = scene(channels=1)[..., 0]
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(values).save(
        tmp_path / "a.tif", exif=exif, save_all=True, append_images=[Image.fromarray(2 * values)]
    )
    pages = read_image(tmp_path / "a.tif")
    assert isinstance(pages, Pages)
    assert [page.light.peak for page in pages.frames if page.light] == pytest.approx([40, 80])
    assert write_image(pages, tmp_path / "b.tif", TIFF) == []
    assert linear(tmp_path / "b.tif")[..., 0] == pytest.approx(np.rot90(values, -1), rel=1e-3, abs=5e-6)


def test_a_display_shows_what_it_can(tmp_path: Path) -> None:
    values = np.full((8, 8, 3), 0.5, np.float32)
    values[:4] = 7
    (tmp_path / "a.exr").write_bytes(rare.exr(rare.rgb(values)))
    notices = write_image(read_picture(tmp_path / "a.exr"), tmp_path / "a.png", PNG)
    assert [notice.text for notice in notices] == [
        "png holds no light above 1: it became white (tiff of 32 bits and exr hold it)."
    ]
    shown = read_picture(tmp_path / "a.png")
    assert shown.light is None
    assert shown.color[0, 0].tolist() == [65535] * 3
    assert np.abs(shown.color[7, 7] / 65535 - 0.7354).max() < 2e-4  # sRGB of one half


@pytest.mark.parametrize(("name", "depth", "bits"), [("exr", None, 16), ("exr", 32, 32), ("tiff", 32, 32)])
def test_other_pictures_can_be_written_as_light(tmp_path: Path, name: str, depth: int | None, bits: int) -> None:
    color = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    write_image(Picture(color), tmp_path / "a", WriteOptions(by_name(name), depth=depth))
    copy = read_picture(tmp_path / "a")
    assert copy.light == Light(1.0, bits)
    assert np.abs(copy.color / 257 - color).max() < 0.2


def test_metadata_of_exr_are_kept_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    wide = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    planes = {**rare.rgb(scene()), "Z": scene()[..., 0]}
    about = {"chromaticities": wide, "comments": "lit from above", "xDensity": 300.0}
    (tmp_path / "a.exr").write_bytes(rare.exr(planes, **about))
    notices = write_image(read_picture(tmp_path / "a.exr"), tmp_path / "b.exr", EXR)
    assert [notice.text for notice in notices] == ["The channels Z were not read."]
    copy = read_picture(tmp_path / "b.exr").metadata
    assert copy.chromaticities == pytest.approx(wide)
    assert copy.comment == b"lit from above"
    assert copy.resolution == (300, 300)
    notices = write_image(read_picture(tmp_path / "b.exr"), tmp_path / "b.png", PNG)
    assert "png does not hold this picture's chromaticities: dropped." in [notice.text for notice in notices]


def test_the_first_layer_with_colours_is_the_picture(tmp_path: Path) -> None:
    values = scene()
    layers = {f"Main.Combined.{name}": plane for name, plane in rare.rgb(values).items()}
    dark = {f"Main.Ambient.{name}": plane for name, plane in rare.rgb(values / np.float32(9)).items()}
    (tmp_path / "a.exr").write_bytes(rare.exr({**dark, **layers}))
    assert linear(tmp_path / "a.exr") == pytest.approx(values, rel=1e-3, abs=5e-6)


def test_exr_without_a_picture_and_half_tiff_are_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.exr").write_bytes(rare.exr({"Z": scene()[..., 0]}))
    with pytest.raises(InputError, match=r"a\.exr holds no flat channels R, G and B, or Y, but only Z\."):
        read_picture(tmp_path / "a.exr")
    (tmp_path / "a.exr").write_bytes(rare.exr({"Z": scene()[..., 0]}).replace(b"Z\0", b"\x01\0", 1))
    with pytest.raises(InputError, match=r"but only \\x01\."):
        read_picture(tmp_path / "a.exr")
    with (tmp_path / "a.tif").open("wb") as file:
        stored = StoredPixels(Picture(np.full((8, 8, 3), 99, np.uint8)), 16, 3, floating=True)
        encode_tiff([(stored, Metadata())], file)
    with pytest.raises(InputError, match=r"a\.tif stores floating point in an unusual way\."):
        read_picture(tmp_path / "a.tif")
    with pytest.raises(UsageError, match="png does not hold 32 bits per channel"):
        WriteOptions(by_name("png"), depth=32)
    with pytest.raises(UsageError, match="exr does not hold 8 bits per channel"):
        WriteOptions(by_name("exr"), depth=8)


def test_a_profile_of_another_curve_is_not_written(tmp_path: Path) -> None:
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Picture(np.full((8, 8, 3), 99, np.uint8), metadata=Metadata(icc=srgb))
    notices = write_image(picture, tmp_path / "a.tif", WriteOptions(by_name("tiff"), depth=32))
    assert [notice.text for notice in notices] == ["tiff does not hold this picture's ICC profile: dropped."]


def test_workers_hand_over_light(tmp_path: Path) -> None:
    (tmp_path / "a.exr").write_bytes(rare.exr(rare.rgb(scene())))
    with Decoders() as decoders:
        picture = decoders.read_image(tmp_path / "a.exr")
    assert isinstance(picture, Picture)
    assert picture.light is not None
    assert picture.light.peak == pytest.approx(40)
    assert picture_header(tmp_path / "a.exr").size == (24, 30)


def test_measures_take_light_as_displays_show_it(tmp_path: Path) -> None:
    values = np.full((12, 12, 3), 0.5, np.float32)
    values[:6] = 30
    (tmp_path / "a.exr").write_bytes(rare.exr(rare.rgb(values)))
    shown = read_rgb8(tmp_path / "a.exr")
    assert shown[0, 0].tolist() == [255] * 3
    assert shown[11, 11].tolist() == [188] * 3


def test_tiles_parts_and_windows_of_exr_are_read(tmp_path: Path) -> None:
    import OpenEXR

    values, tiles = scene(), OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    tiled = {"type": OpenEXR.tiledimage, "tiles": tiles}
    window = {name: (np.array(first, "i4"), np.array(last, "i4")) for name, first, last in WINDOWS}
    content = BytesIO()
    layers = [
        OpenEXR.Part({"name": "a"}, rare.rgb(values), "a"),
        OpenEXR.Part({"name": "b"}, rare.rgb(values / np.float32(2)), "b"),
    ]
    OpenEXR.File(layers).write(content)
    files = {"tiles": rare.exr(rare.rgb(values), **tiled), "window": rare.exr(rare.rgb(values), **window)}
    told = {"tiles": (), "window": ("Of the display window only the data window was read.",)}
    for name, data in {**files, "parts": content.getvalue()}.items():
        (tmp_path / name).write_bytes(data)
        assert linear(tmp_path / name) == pytest.approx(values, rel=1e-3, abs=5e-6)
        unread = read_picture(tmp_path / name).metadata.unread
        assert unread == told.get(name, ("Of several parts only the first was read.",))
