"""Weights files that are built to run code, to stall or to exhaust the memory: each refused at once."""

from __future__ import annotations

import os
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from terminal import Terminal

from upscale_cli.errors import WeightsError
from upscale_cli.weights.resolve import resolve
from upscale_cli.weights.state_dict import open_state

STATE = {"a.weight": torch.ones(2)}


def pickled(path: Path, content: bytes) -> None:
    """A file of the zip format whose pickle is ``content``."""
    torch.save(STATE, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if not name.endswith("data.pkl")}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", content)
        for name, data in members.items():
            archive.writestr(f"x/{name.split('/', 1)[1]}", data)


def containing_itself(path: Path) -> None:
    content: dict[str, Any] = {}
    content["params"] = content
    torch.save(content, path)


def zip_bomb(path: Path) -> None:
    """3 GB in 3 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        with archive.open("x/data/0", "w", force_zip64=True) as member:
            for _ in range(12):
                member.write(bytes(2**28))


def hash_without_end(path: Path) -> None:
    """A key of tuples of tuples, each of which holds the one before it twice: 2^60 steps to hash."""
    twice = b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
    pickled(path, b"\x80\x02}K\x01" + twice + b"K\x02s.")


def stack_overflow(path: Path) -> None:
    """A key of 300,000 nested tuples, whose hash would overflow the stack of the process."""
    pickled(path, b"\x80\x02}K\x01" + b"\x85" * 300_000 + b"K\x02s.")


def colliding_keys(path: Path) -> None:
    keys = b"".join(b"\x8a\x0c" + ((2**61 - 1) * i).to_bytes(12, "little") + b"K\x01s" for i in range(40_000))
    pickled(path, b"\x80\x02}" + keys + b".")


def large_allocation(path: Path) -> None:
    """bytearray(20 GB): PyTorch allows the call."""
    pickled(path, b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + struct.pack("<Q", 20 * 10**9)[:5] + b"\x85R.")


def two_pickles_of_one_name(path: Path) -> None:
    torch.save(STATE, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/DATA.PKL", b"\x80\x02}.")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (containing_itself, "holds no network weights"),
        (zip_bomb, "built to exhaust memory or time"),
        (hash_without_end, "built to exhaust memory or time"),
        (stack_overflow, "built to exhaust memory or time"),
        (colliding_keys, "built to exhaust memory or time"),
        (large_allocation, "possibly code"),
        (two_pickles_of_one_name, "built to exhaust memory or time"),
    ],
)
def test_a_file_that_is_built_to_stall_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], complaint: str
) -> None:
    make(tmp_path / "a.pth")
    started = time.process_time()
    with pytest.raises(WeightsError, match=complaint):
        open_state(tmp_path / "a.pth")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("tensor", "complaint"),
    [
        (torch.ones(2, device="meta"), "a.weight of .* does not hold plain numbers"),
        (torch.ones(2).to_sparse(), "possibly code"),
        (torch.ones(2, dtype=torch.complex64), r"plain numbers \(complex64, strided, cpu\)"),
        (torch.ones(1).expand(10**9, 10**3), "a.weight of .* is larger than the file"),
        (torch.tensor([1, float("nan")]), "a.weight of .* has values that are not finite"),
        (torch.tensor([1, float("-inf")]).half(), "a.weight of .* has values that are not finite"),
    ],
)
def test_tensors_that_are_no_plain_finite_numbers_are_refused(
    tmp_path: Path, tensor: torch.Tensor, complaint: str
) -> None:
    torch.save({"a.weight": tensor}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=complaint):
        open_state(tmp_path / "a.pth")


def test_info_refuses_tensors_without_values(terminal: Terminal, network: str, tmp_path: Path) -> None:
    state = {key: tensor.to("meta") for key, tensor in open_state(Path(network)).tensors.items()}
    torch.save({"params": state}, tmp_path / "meta.pth")
    said = terminal("models", "info", "meta.pth")
    assert said.code == 5
    assert "meta.pth" in said.err


def test_many_views_of_one_tensor_are_not_multiplied_in_memory(tmp_path: Path) -> None:
    shared = torch.ones(10**6)
    torch.save({f"a.{number}": shared for number in range(100)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="larger than the file"):
        open_state(tmp_path / "a.pth")


def test_a_network_that_lacks_a_tensor_is_named(network: str, tmp_path: Path) -> None:
    state = open_state(Path(network)).tensors
    del state["body.2.bias"]
    torch.save(state, tmp_path / "incomplete.pth")
    with pytest.raises(WeightsError, match=r"incomplete: The weights lack the tensor body\.2\.bias"):
        resolve(tmp_path / "incomplete.pth")


def test_a_network_of_thousands_of_layers_is_refused(tmp_path: Path) -> None:
    state = {f"body.{number}.weight": torch.ones(1) for number in range(5000)}
    state |= {"body.0.weight": torch.ones(4, 3, 3, 3), "body.4999.weight": torch.ones(12, 4, 3, 3)}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="5000 layers of one kind are more than any network has"):
        resolve(tmp_path / "a.pth")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="it is not a file"):
        open_state(tmp_path / "a.pth")


def test_a_torchscript_program_is_named_as_one(tmp_path: Path) -> None:
    pickled(tmp_path / "a.pt", b"\x80\x02}.")
    with zipfile.ZipFile(tmp_path / "a.pt", "a") as archive:
        archive.writestr("x/constants.pkl", b"\x80\x02).")
    with pytest.raises(WeightsError, match="is a TorchScript program"):
        open_state(tmp_path / "a.pt")


def test_control_characters_of_names_and_facts_do_not_reach_the_terminal(tmp_path: Path) -> None:
    torch.save({"params": STATE, "facts": {"al\x1b[2Jpha": "0.8\x1b]0;x\x07\n"}}, tmp_path / "a.pth")
    assert open_state(tmp_path / "a.pth").facts == {"al[2Jpha": "0.8]0;x\n"}
    torch.save({"a\x1b[2J": torch.ones(1)}, tmp_path / "b.pth")
    with pytest.raises(WeightsError, match="holds no network weights"):
        open_state(tmp_path / "b.pth")


def test_a_pickle_under_the_name_of_a_safetensors_file_is_inspected_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    assert open_state(path).tensors["a.weight"].tolist() == [1, 1]
    stack_overflow(path)
    with pytest.raises(WeightsError, match="built to exhaust"):
        open_state(path)
