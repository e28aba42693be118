"""Blur kernels: their convention, their files, and shrinking with them."""

from __future__ import annotations

import json
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.errors import InputError, UsageError
from upscale_cli.images.read import read_picture
from upscale_cli.kernels import blur_kernel, mat_file
from upscale_cli.kernels.blur_kernel import BlurKernel, centred
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.kernels.files import read_kernel, read_kernels, write_kernel
from upscale_cli.kernels.values import Values, covariance
from upscale_cli.resize import matlab_bicubic


def gaussian(size: int, center: float, variance: float = 1.0) -> Values:
    row = np.exp(-((np.arange(size) - center) ** 2) / (2 * variance))
    return np.outer(row, row)


@given(
    values=st.lists(st.floats(0.01, 1), min_size=25, max_size=25),
    scale=st.integers(1, 8),
)
def test_kernels_sum_to_one_and_are_centred_for_their_scale(values: list[float], scale: int) -> None:
    kernel = centred(np.array(values).reshape(5, 5), scale)
    rows, columns = np.indices(kernel.values.shape)
    target = kernel.size // 2 + (scale - 1) / 2
    assert kernel.size % 2 == 1
    assert kernel.values.sum() == pytest.approx(1)
    assert (kernel.values * rows).sum() == pytest.approx(target, abs=0.05)
    assert (kernel.values * columns).sum() == pytest.approx(target, abs=0.05)


@pytest.mark.parametrize("size", [8, 9])
def test_moving_keeps_the_covariance(size: int) -> None:
    stretched = np.outer(np.exp(-((np.arange(size) - 4) ** 2) / 4), np.exp(-((np.arange(size) - 3.2) ** 2)))
    before, after = covariance(stretched), covariance(centred(stretched, 4).values)
    np.testing.assert_allclose(after, before, atol=0.01)


def test_a_centred_kernel_stays_as_it_is() -> None:
    values = gaussian(11, 5.5)
    np.testing.assert_allclose(centred(values, 2).values, values / values.sum(), rtol=1e-12)


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".json"])
def test_files_give_back_what_was_written(suffix: str, tmp_path: Path) -> None:
    kernel = centred(gaussian(13, 7.5, 3), 4)
    write_kernel(tmp_path / f"k{suffix}", kernel)
    again = read_kernel(tmp_path / f"k{suffix}")
    assert again.scale == 4
    np.testing.assert_allclose(again.values, kernel.values, atol=1e-15)


def test_other_names_are_refused(tmp_path: Path) -> None:
    kernel = blur_kernel.bicubic(2)
    with pytest.raises(UsageError, match="no name of a kernel file"):
        write_kernel(tmp_path / "k.txt", kernel)
    (tmp_path / "k.txt").write_text("[]")
    with pytest.raises(InputError, match=r"does not end in \.npy"):
        read_kernel(tmp_path / "k.txt")


def test_a_folder_is_read_in_order(tmp_path: Path) -> None:
    for index, suffix in enumerate((".json", ".npy", ".mat")):
        write_kernel(tmp_path / f"{index}{suffix}", centred(gaussian(11, 5.5, 1 + index), 2))
    variances = [covariance(kernel.values)[0, 0] for kernel in read_kernels(tmp_path)]
    assert variances == sorted(variances)
    assert len(variances) == 3
    assert len(read_kernels(tmp_path / "1.npy")) == 1


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no kernels in"):
        read_kernels(tmp_path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.ones((3, 4)), "3 x 4, not square"),
        (np.ones(9), "not square"),
        (np.ones((2, 2)), "size is 2"),
        (np.ones((128, 128)), "size is 128"),
        (-np.ones((5, 5)), "sum is -25"),
        (np.zeros((5, 5)), "sum is 0"),
        (np.full((5, 5), np.nan), "not finite"),
        (np.diag([1, np.inf, 1]), "not finite"),
        (np.ones((5, 5), complex), "no real numbers"),
        (np.array([["a"] * 3] * 3), "no real numbers"),
    ],
)
def test_what_is_no_kernel_is_refused(values: Values, reason: str, tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", values)
    with pytest.raises(InputError, match=reason):
        read_kernel(tmp_path / "k.npy")


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".json"])
@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"MATLAB 7.3 MAT-file", b"\x93NUMPY\x01\x00", b"[[1, 2], [3]]", b"{}"]
)
def test_damaged_files_are_refused(suffix: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / f"k{suffix}").write_bytes(data)
    with pytest.raises(InputError, match="is no kernel"):
        read_kernel(tmp_path / f"k{suffix}")


def test_objects_in_a_file_are_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="is no kernel"):
        read_kernel(tmp_path / "k.npy")


def test_a_cut_off_matlab_file_is_refused(tmp_path: Path) -> None:
    whole = mat_file.write_matrices({"Kernel": gaussian(11, 5)})
    for length in range(128, len(whole), 37):
        (tmp_path / "k.mat").write_bytes(whole[:length])
        with pytest.raises(InputError, match="is no kernel"):
            read_kernel(tmp_path / "k.mat")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot read"):
        read_kernel(tmp_path / "k.npy")


@pytest.mark.parametrize("stated", ['"2"', "2.5", "0", "99"])
def test_a_scale_that_is_none_is_refused(stated: str, tmp_path: Path) -> None:
    rows = json.dumps(gaussian(5, 2).tolist())
    (tmp_path / "k.json").write_text(f'{{"scale": {stated}, "kernel": {rows}}}')
    with pytest.raises(InputError, match="its scale is"):
        read_kernel(tmp_path / "k.json")


def element(kind: int, content: bytes, order: str) -> bytes:
    return struct.pack(order + "II", kind, len(content)) + content + bytes(-len(content) % 8)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_packed_short_and_foreign_elements_are_read(order: str, packed: bool) -> None:
    """Built by hand as MATLAB writes small whole numbers: bytes, packed, with a name inside its tag."""
    short_name = struct.pack(order + "I", (1 << 16) + 1) + b"k\x00\x00\x00"
    parts = element(6, struct.pack(order + "II", 6, 0), order) + element(5, struct.pack(order + "ii", 2, 3), order)
    matrix = element(14, parts + short_name + element(2, bytes([1, 2, 3, 4, 5, 6]), order), order)
    body = struct.pack(order + "II", 15, len(zlib.compress(matrix))) + zlib.compress(matrix) if packed else matrix
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", 0x100) + (b"IM" if order == "<" else b"MI")
    np.testing.assert_array_equal(mat_file.read_matrices(header + body)["k"], [[1, 3, 5], [2, 4, 6]])


@given(height=st.integers(3, 20), width=st.integers(3, 20), scale=st.integers(1, 4))
def test_shrinking_is_the_correlation_it_says(height: int, width: int, scale: int) -> None:
    rng = np.random.default_rng([height, width, scale])
    image, values = rng.random((height, width)), rng.random((5, 5)) + 0.1
    kernel = centred(values, scale)
    margin = kernel.size // 2
    padded = np.pad(image, margin, mode="symmetric")
    expected = [
        [(padded[y : y + kernel.size, x : x + kernel.size] * kernel.values).sum() for x in range(0, width, scale)]
        for y in range(0, height, scale)
    ]
    result = downsample(torch.from_numpy(image)[None, None], kernel, scale)[0, 0]
    np.testing.assert_allclose(result, expected, atol=1e-10)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shrinking_with_the_bicubic_kernel_is_matlabs(scale: int) -> None:
    image = torch.rand((2, 3, 12 * scale, 9 * scale), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = matlab_bicubic(image.float(), 1 / scale)
    torch.testing.assert_close(
        downsample(image, blur_kernel.bicubic(scale), scale).float(), expected, atol=1e-5, rtol=0
    )


def test_shrinking_twice_is_shrinking_with_the_kernel_applied_twice() -> None:
    kernel = centred(gaussian(11, 5.5, 1.5), 2)
    image = torch.rand((1, 1, 96, 96), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    twice = downsample(downsample(image, kernel, 2), kernel, 2)
    once = downsample(image, blur_kernel.applied_twice(kernel), 4)
    torch.testing.assert_close(once[..., 4:-4, 4:-4], twice[..., 4:-4, 4:-4], atol=1e-3, rtol=0)


def test_the_same_blur_serves_another_scale() -> None:
    kernel = BlurKernel(gaussian(11, 5.5) / gaussian(11, 5.5).sum(), 2)
    ramp = torch.arange(24.0, dtype=torch.float64).expand(1, 1, 24, 24)
    shrunk = downsample(ramp, kernel, 3)[0, 0, 4, 2:-2]
    torch.testing.assert_close(shrunk, torch.arange(7.0, 17, 3, dtype=torch.float64), atol=0.02, rtol=0)


@pytest.mark.shared
@pytest.mark.parametrize("number", [3, 14, 24, 30])
def test_div2krk_was_shrunk_as_we_shrink(number: int, shared: Path) -> None:
    """Its authors cut the moved kernel off, without normalising, and rounded down, so that mean levels differ."""
    folder = shared / "data" / "DIV2KRK_10"
    kernel = read_kernel(folder / "gt_k_x2" / f"kernel_{number}.mat")
    hr, lr = (
        torch.from_numpy(read_picture(folder / place / f"im_{number}.png").color).permute(2, 0, 1)[None].double()
        for place in ("gt", "lr_x2")
    )
    hr, lr = hr[..., :512, :512], lr[..., :256, :256]
    shrunk = downsample(hr, kernel, 2)[..., 8:-8, 8:-8].flatten()
    given = lr[..., 8:-8, 8:-8].flatten()
    gain = (shrunk @ given) / (shrunk @ shrunk)
    error = (gain * shrunk - given).var().item()
    assert 10 * math.log10(255**2 / error) > 54
