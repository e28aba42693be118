"""Weights files: opened without running anything in them, whatever they are wrapped in."""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from upscale_cli.errors import WeightsError
from upscale_cli.weights.state_dict import open_state, save_state, unwrapped

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2, dtype=torch.float16)}


class Malicious:
    """What an attacker would pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_was_saved_is_opened(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save_state(path, STATE, {"alpha": "0.8"})
    opened = open_state(path)
    assert same(opened.tensors, STATE)
    assert opened.facts == {"alpha": "0.8"}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_content_decides_not_the_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "a.bin"
    save_state(tmp_path / f"a{suffix}", STATE, {})
    (tmp_path / f"a{suffix}").rename(path)
    assert same(open_state(path).tensors, STATE)


@given(
    st.lists(st.sampled_from(["params_ema", "params", "state_dict", "generator"]), max_size=2),
    st.lists(st.sampled_from(["module.", "generator."]), max_size=2, unique=True),
)
def test_wrappers_and_prefixes_come_off(wrappers: list[str], prefixes: list[str]) -> None:
    order = [p for p in ("module.", "generator.") if p in prefixes]
    content: Any = {"".join(order) + key: tensor for key, tensor in STATE.items()}
    for wrapper in wrappers:
        content = {wrapper: content, "epoch": 3, "optimizer": {"lr": 1e-4}}
    assert same(unwrapped(content, Path("x")), STATE)


def test_the_averaged_weights_are_preferred() -> None:
    content = {"params": {"a": torch.zeros(1)}, "params_ema": {"a": torch.ones(1)}}
    assert unwrapped(content, Path("x"))["a"].item() == 1


def test_a_discriminator_beside_the_generator_is_left_out() -> None:
    content = {"state_dict": {"generator.a": torch.ones(1), "discriminator.b": torch.ones(1)}}
    assert list(unwrapped(content, Path("x"))) == ["a"]


@pytest.mark.parametrize("facts", ["text", ["a"], {"a": 1}, {1: "a"}])
def test_facts_that_are_no_texts_by_name_are_left_out(tmp_path: Path, facts: object) -> None:
    torch.save({"params": STATE, "facts": facts}, tmp_path / "a.pth")
    opened = open_state(tmp_path / "a.pth")
    assert same(opened.tensors, STATE)
    assert opened.facts == {}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run_it(tmp_path: Path, protocol: int) -> None:
    mark, path = tmp_path / "it-ran", tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"params": Malicious(mark)}, protocol))
    with pytest.raises(WeightsError, match=r"evil\.pth contain more than tensors, possibly code"):
        open_state(path)
    zipped = tmp_path / "zipped.pth"
    torch.save({"params": STATE, "extra": Malicious(mark)}, zipped)
    with pytest.raises(WeightsError, match="contain more than tensors, possibly code"):
        open_state(zipped)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save_state(path, {"a": torch.rand(100, 100)}, {})
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(WeightsError, match="damaged"):
        open_state(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\x96\0\0\0\0\0\0\0\x01", "damaged"),
        (b"", "empty"),
        (b"<html>404</html>", "damaged"),
        (b"\x89PNG\r\n\x1a\n" * 9, "damaged"),
    ],
)
def test_other_files_are_no_weights(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=complaint):
        open_state(path)


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_our_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.pth"
    path.write_bytes(content)
    with contextlib.suppress(WeightsError):
        open_state(path)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {}, {"params": {"a": "text"}}, torch.ones(2)])
def test_what_holds_no_tensors_by_name_is_no_network(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds no network weights"):
        open_state(tmp_path / "a.pth")


def test_a_folder_and_a_missing_file_are_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.pth"):
        with pytest.raises(WeightsError, match="Cannot read the weights"):
            open_state(path)


def test_bf16_survives(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    assert open_state(tmp_path / "a.safetensors").tensors["a"].dtype == torch.bfloat16
