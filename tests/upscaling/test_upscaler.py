"""One picture, enlarged: sizes, channels, depths, transparency; and tiles against the whole for every network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from upscale_cli import networks
from upscale_cli.errors import UsageError, WeightsError
from upscale_cli.images.picture import Metadata, Picture, Pixels
from upscale_cli.networks import NetworkSpec, build
from upscale_cli.upscaling.runner import NetworkRunner
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.state_dict import save_state

CPU = torch.device("cpu")
RRDB = {"features": 8, "blocks": 1, "growth": 4, "doublings": 2}
NETWORKS = [
    NetworkSpec("compact", 4, 3, 3, 5, hyperparameters={"features": 6, "convolutions": 3}),
    NetworkSpec("rrdbnet", 4, 3, 3, 19, hyperparameters=RRDB | {"unshuffle": 1}),
    NetworkSpec("rrdbnet", 2, 3, 3, 38, 2, RRDB | {"unshuffle": 2}),
    NetworkSpec("rrdbnet", 1, 3, 3, 76, 4, RRDB | {"unshuffle": 4}),
    NetworkSpec("srresnet", 4, 3, 3, 12, 1, {"features": 6, "blocks": 2, "doublings": 2, "slopes": 1, "tanh": 1}),
    NetworkSpec("msrresnet", 4, 3, 3, 7, 1, {"features": 6, "blocks": 2, "steps": 2, "factor": 2}),
]


def made(spec: NetworkSpec, folder: Path) -> Path:
    path = folder / f"{spec.architecture}-x{spec.scale}-{spec.in_channels}.safetensors"
    torch.manual_seed(3)
    save_state(path, build(spec).state_dict(), {})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module")
def upscaler(folder: Path) -> Upscaler:
    return Upscaler(
        made(NetworkSpec("compact", 2, 3, 3, 3, 1, {"features": 4, "convolutions": 1}), folder), device="cpu"
    )


def pixels(*shape: int, dtype: Any = np.uint8) -> Pixels:
    smooth = np.random.default_rng(1).random(shape)
    return (smooth if dtype is np.float32 else smooth * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda s: f"{s.architecture}-x{s.scale}")
@settings(max_examples=15)
@given(st.integers(1, 61), st.integers(1, 61), st.integers(17, 64))
def test_tiles_give_the_whole_picture_within_a_level(spec: NetworkSpec, height: int, width: int, tile: int) -> None:
    torch.manual_seed(3)
    network = build(spec)
    image = np.random.default_rng(tile).integers(0, 256, (height, width, 3), np.uint8)
    whole, tiled = (NetworkRunner(network, spec, devices_used=[CPU], tile=side).run(image) for side in (0, tile))
    assert np.abs(whole.astype(int) - tiled).max() <= 1


@pytest.mark.shared
@pytest.mark.parametrize("tile", [17, 33, 64])
@pytest.mark.parametrize("name", ["realesr-animevideov3", "srgan_x2"])
def test_real_networks_show_no_seams(shared: Path, name: str, tile: int) -> None:
    weights = shared / "weights" / f"{name}.pth"
    image = pixels(51, 67, 3)
    whole = Upscaler(weights, device="cpu", tile=0).upscale(image)
    tiled = Upscaler(weights, device="cpu", tile=tile).upscale(image)
    assert np.abs(whole.astype(int) - tiled.astype(int)).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 2), (9, 7, 3), (9, 7, 4), (1, 1, 3)])
def test_arrays_keep_their_kind_and_channels(upscaler: Upscaler, shape: tuple[int, ...], dtype: type) -> None:
    result = upscaler.upscale(pixels(*shape, dtype=dtype), scale=2)
    assert result.dtype == dtype
    assert result.shape == (shape[0] * 2, shape[1] * 2, *shape[2:])


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(1, 20), st.floats(0.1, 9))
def test_any_scale_gives_exactly_that_size(upscaler: Upscaler, height: int, width: int, scale: float) -> None:
    result = upscaler.upscale(pixels(height, width, 3), scale=scale)
    assert result.shape[:2] == (max(1, round(height * scale)), max(1, round(width * scale)))


def test_passes_are_chained_above_the_networks_scale(upscaler: Upscaler) -> None:
    image = pixels(6, 5, 3, dtype=np.uint16)
    assert np.array_equal(upscaler.upscale(image, 4), upscaler.upscale(upscaler.upscale(image, 2), 2))


def test_eight_and_sixteen_bits_agree(upscaler: Upscaler) -> None:
    image = pixels(9, 8, 3)
    fine: Pixels = upscaler.upscale(image.astype(np.uint16) * 257, 2)
    assert np.abs(fine / 257 - upscaler.upscale(image, 2)).max() <= 0.51


def test_gray_is_the_gray_of_its_colour_picture(upscaler: Upscaler) -> None:
    gray = pixels(9, 8, 1, dtype=np.float32)
    colour = upscaler.upscale(np.repeat(gray, 3, 2), 2)
    inside = ((colour > 0) & (colour < 1)).all(2)  # each colour is clamped by itself
    assert inside.mean() > 0.5
    assert np.abs(upscaler.upscale(gray, 2)[..., 0] - colour.mean(2))[inside].max() < 2 / 65535


def test_transparency_takes_the_road_that_was_asked_for(upscaler: Upscaler, folder: Path) -> None:
    picture = Picture(pixels(8, 8, 3), np.kron(np.eye(2, dtype=np.uint8) * 255, np.ones((4, 4), np.uint8)))
    by_network = upscaler.upscale_picture(picture, Size(scale=2))
    bicubic = Upscaler(folder / "compact-x2-3.safetensors", device="cpu", alpha_upsampler="bicubic")
    by_resizing = bicubic.upscale_picture(picture, Size(scale=2))
    assert by_network.alpha is not None
    assert by_resizing.alpha is not None
    assert np.array_equal(by_network.color, by_resizing.color)
    assert not np.array_equal(by_network.alpha, by_resizing.alpha)
    assert by_resizing.alpha[0, 0] == 255


def test_metadata_travel_with_the_picture(upscaler: Upscaler) -> None:
    metadata = Metadata(b"icc", b"exif", b"xmp")
    assert upscaler.upscale_picture(Picture(pixels(4, 4, 3), None, metadata), Size(width=7)).metadata == metadata


def test_networks_for_gray_do_each_channel(folder: Path) -> None:
    spec = NetworkSpec("compact", 2, 1, 1, 3, 1, {"features": 4, "convolutions": 1})
    gray_network = Upscaler(made(spec, folder), device="cpu")
    image = pixels(6, 7, 3)
    result = gray_network.upscale(image, 2)
    assert np.array_equal(result[..., 1], gray_network.upscale(image[..., 1], 2))


def test_a_network_that_does_not_enlarge_says_so_when_asked_to(folder: Path) -> None:
    restoring = Upscaler(made(NETWORKS[3], folder), device="cpu")
    assert restoring.upscale(pixels(9, 9, 3), 1).shape == (9, 9, 3)
    with pytest.raises(UsageError, match="without enlarging"):
        restoring.upscale(pixels(9, 9, 3), 2)


def test_networks_of_other_channels_are_refused(folder: Path) -> None:
    spec = NetworkSpec("compact", 2, 4, 4, 3, 1, {"features": 4, "convolutions": 1})
    with pytest.raises(WeightsError, match="turns 4 channels into 4"):
        Upscaler(made(spec, folder), device="cpu")


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.zeros((4, 4, 5), np.uint8), "Give \\(H, W\\)"),
        (np.zeros((0, 4, 3), np.uint8), "Give \\(H, W\\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "Give \\(H, W\\)"),
        (np.zeros((4, 4), np.int64), "Use uint8"),
        (np.full((4, 4), np.nan, np.float32), "nan_to_num"),
        ([[0, 1], [2, 3]], "numpy.asarray"),
        (Image.new("RGB", (4, 4)), "numpy.asarray"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(upscaler: Upscaler, array: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        upscaler.upscale(array)


def test_the_ensemble_is_another_result_of_the_same_size(upscaler: Upscaler, folder: Path) -> None:
    ensemble = Upscaler(folder / "compact-x2-3.safetensors", device="cpu", tta=True, tile=17)
    image = pixels(30, 41, 3)
    assert ensemble.upscale(image, 2).shape == (60, 82, 3)
    assert not np.array_equal(ensemble.upscale(image, 2), upscaler.upscale(image, 2))
    assert np.array_equal(ensemble.upscale(image[::-1], 2)[::-1], ensemble.upscale(image, 2))


def test_progress_covers_all_passes_and_transparency_and_never_falls(upscaler: Upscaler, folder: Path) -> None:
    shares: list[float] = []
    details: list[str] = []

    def on_share(share: float, detail: str) -> None:
        shares.append(share)
        details.append(detail)

    tiled = Upscaler(folder / "compact-x2-3.safetensors", device="cpu", tile=16)
    tiled.upscale_picture(Picture(pixels(40, 40, 3), pixels(40, 40)), Size(scale=8), on_share)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert shares[0] < 0.01
    assert {detail.split(", ")[1] for detail in details} == {f"pass {number}/6" for number in range(1, 7)}


def test_read_only_arrays_are_enlarged_without_a_warning(upscaler: Upscaler) -> None:
    image = pixels(9, 8, 3)
    image.flags.writeable = False
    assert upscaler.upscale(image, 2).shape == (18, 16, 3)


def test_a_small_excess_is_interpolated_from_the_last_pass(upscaler: Upscaler) -> None:
    details: list[str] = []
    picture = Picture(pixels(20, 20, 3))
    larger = upscaler.upscale_picture(picture, Size(scale=2.4), lambda share, detail: details.append(detail))
    assert (larger.height, details) == (48, ["tile 1/1"])
    upscaler.upscale_picture(picture, Size(scale=2.5), lambda share, detail: details.append(detail))
    assert details[1:] == ["tile 1/1, pass 1/2", "tile 1/1, pass 2/2"]


def test_a_named_network_has_its_own_scale_where_no_size_is_given(upscaler: Upscaler, folder: Path) -> None:
    assert upscaler.upscale(pixels(6, 5, 3)).shape == (12, 10, 3)
    assert Upscaler(made(NETWORKS[3], folder), device="cpu").upscale(pixels(9, 9, 3)).shape == (9, 9, 3)


@pytest.fixture(scope="module")
def told(folder: Path) -> Path:
    """A network whose result depends on what it is told of the picture."""
    return made(networks.spec("conditioned", 2, {"features": 4, "blocks": 1}), folder)


def test_a_conditioned_network_is_told_the_quality_that_the_file_states(told: Path) -> None:
    clean, upscaler = pixels(9, 8, 3), Upscaler(told, device="cpu")
    compressed = upscaler.upscale_picture(Picture(clean, jpeg_quality=40.2)).color
    assert (compressed == Upscaler(told, device="cpu", input_quality=40).upscale(clean)).all()
    assert (compressed != upscaler.upscale(clean)).any()
    ignoring = Upscaler(told, device="cpu", input_quality="none")
    assert (ignoring.upscale_picture(Picture(clean, jpeg_quality=40.2)).color == upscaler.upscale(clean)).all()


def test_a_conditioned_network_is_told_the_noise(told: Path) -> None:
    picture = pixels(9, 8, 3)
    quiet, noisy = (Upscaler(told, device="cpu", noise=noise).upscale(picture) for noise in (0, 10))
    assert (quiet != noisy).any()


def test_noise_is_measured_and_faint_noise_taken_for_texture(told: Path) -> None:
    noise = np.random.default_rng(2).normal(0, 1, (64, 64, 3))
    faint, strong = ((128 + sigma * noise).clip(0, 255).astype(np.uint8) for sigma in (3, 12))
    measuring, quiet = Upscaler(told, device="cpu"), Upscaler(told, device="cpu", noise=0)
    assert (measuring.upscale(faint) == quiet.upscale(faint)).all()
    assert (measuring.upscale(strong) != quiet.upscale(strong)).any()


def test_only_the_first_pass_is_told_of_the_degradation(told: Path) -> None:
    picture = pixels(9, 8, 3)
    first = Upscaler(told, device="cpu", input_quality=40)
    once = first.upscale_picture(Picture(pixels(9, 8, 3)), Size(scale=2)).color
    assert abs(first.upscale(picture, 4).astype(int) - Upscaler(told, device="cpu").upscale(once)).max() <= 1


def test_a_network_that_is_told_nothing_refuses_what_would_do_nothing(folder: Path, upscaler: Upscaler) -> None:
    path = made(NetworkSpec("compact", 2, 3, 3, 3, 1, {"features": 4, "convolutions": 1}), folder)
    with pytest.raises(UsageError, match="--input-quality and --noise would do nothing"):
        Upscaler(path, device="cpu", input_quality=50, noise=3)


@pytest.mark.parametrize(("opacity", "planes"), [(255, 1), (90, 1), (0, 1), (None, 2)])
def test_transparency_that_is_the_same_everywhere_takes_no_network(opacity: int | None, planes: int) -> None:
    rng = np.random.default_rng(3)
    color = rng.integers(0, 256, (20, 24, 3), np.uint8)
    alpha = rng.integers(0, 256, (20, 24), np.uint8) if opacity is None else np.full((20, 24), opacity, np.uint8)
    upscaler, size = Upscaler("lite-x2", device="cpu"), Size(scale=2)
    assert upscaler.megapixels(Picture(color, alpha), size) == planes * upscaler.megapixels(Picture(color), size)
    enlarged = upscaler.upscale_picture(Picture(color, alpha), size)
    assert enlarged.alpha is not None
    assert opacity is None or (enlarged.alpha == opacity).all()
