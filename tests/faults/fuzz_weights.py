"""Hostile weights files, put through what a user does with them: opened, recognised, built, run on a picture.

    python tests/faults/fuzz_weights.py --soak 50000

Every input follows from its number. None may run code, crash, end in a traceback, or take too long or too much memory.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from soak import Soak, Use, refused

from upscale_cli import UpscaleError, Upscaler
from upscale_cli.networks import ARCHITECTURES, build

PICTURE = np.full((12, 12, 3), 90, np.uint8)

State = dict[str, Any]


class Call:
    """Pickled, it is a call of ``function`` when it is opened."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def base(rng: random.Random) -> State:
    """The tensors of a small network of a random architecture."""
    torch.manual_seed(rng.randrange(10**6))
    spec = rng.choice(rng.choice(ARCHITECTURES).examples)
    return {key: tensor.detach().clone() for key, tensor in build(spec).state_dict().items()}


def in_wrapper(rng: random.Random, state: Any) -> Any:
    wrapper = rng.choice(["", "params", "params_ema", "state_dict"])
    return {wrapper: state} if wrapper else state


def store(rng: random.Random, state: Any, path: Path) -> None:
    torch.save(in_wrapper(rng, state), path, _use_new_zipfile_serialization=rng.random() < 0.7)


# Bytes: what a bad disk or a broken download leaves.


def flipped(rng: random.Random, path: Path, mark: Path) -> None:
    state = base(rng)
    store(rng, state, path) if rng.random() < 0.6 else path.write_bytes(save(state))
    content = bytearray(path.read_bytes())
    end = len(content) if rng.random() < 0.3 else min(len(content), 4000)
    for _ in range(rng.choice([1, 3, 30])):
        content[rng.randrange(end)] = rng.randrange(256)
    path.write_bytes(content)


def truncated(rng: random.Random, path: Path, mark: Path) -> None:
    state = base(rng)
    store(rng, state, path) if rng.random() < 0.6 else path.write_bytes(save(state))
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))] + rng.randbytes(rng.choice([0, 0, 100])))


# Pickles: what an attacker writes.


def calling(rng: random.Random, path: Path, mark: Path) -> None:
    calls = [
        Call(os.mkdir, str(mark)),
        Call(os.system, f"mkdir {mark}"),
        Call(eval, f"__import__('os').mkdir({str(mark)!r})"),
        Call(exec, f"import os; os.mkdir({str(mark)!r})"),
        Call(subprocess.call, ["mkdir", str(mark)]),
        Call(getattr, "x", "join"),
        Call(bytearray, 2 * 10**10),
        Call(torch.Tensor, 10**6, 10**6),
        Call(torch.load, str(path)),
    ]
    evil, protocol = rng.choice(calls), rng.choice([0, 2, 4])
    content = rng.choice([{"params": base(rng), "x": evil}, {"params": evil}, evil])
    if rng.random() < 0.6:
        torch.save(content, path, _use_new_zipfile_serialization=rng.random() < 0.7, pickle_protocol=max(protocol, 2))
    else:
        path.write_bytes(pickle.dumps(content if isinstance(content, Call) else {"a": evil}, protocol))


def containing_itself(rng: random.Random, path: Path, mark: Path) -> None:
    content: Any = {}
    for name in rng.sample(["params", "state_dict", "model", "generator"], rng.randint(1, 4)):
        content[name] = content if rng.random() < 0.7 else [content, {name: content}]
    content["facts"] = content
    torch.save(content, path)


def exploding(rng: random.Random, path: Path, mark: Path) -> None:
    """Objects that share their parts, so that a walk through them, or a hash of them, never ends; and deep ones."""
    depth = rng.choice([40, 900, 30_000])
    kind = rng.choice([b"\x86", b"\x86", b"\x85", b"]"])  # TUPLE2, TUPLE1, EMPTY_LIST
    if kind == b"]":
        nested = b"]" * depth + b"a" * (depth - 1)
    else:
        nested = b"K\x01" + b"".join(
            b"r" + struct.pack("<I", i) + (b"j" + struct.pack("<I", i) if kind == b"\x86" else b"") + kind
            for i in range(depth)
        )
    as_key = b"}" + nested + b"K\x02s" if kind != b"]" else nested
    repack(rng, path, lambda pickled: b"\x80\x02" + as_key + b".")


def colliding(rng: random.Random, path: Path, mark: Path) -> None:
    """A dictionary whose keys have one hash."""
    pairs = (b"\x8a\x0c" + ((2**61 - 1) * i).to_bytes(12, "little") + b"K\x01s" for i in range(40_000))
    repack(rng, path, lambda pickled: b"\x80\x02}" + b"".join(pairs) + b".")


def altered(rng: random.Random, path: Path, mark: Path) -> None:
    """A right pickle in which numbers and opcodes were changed."""

    def alter(pickled: bytes) -> bytes:
        content = bytearray(pickled)
        for _ in range(rng.choice([1, 2, 8])):
            place = rng.randrange(len(content))
            content[place : place + rng.choice([0, 1, 1, 2])] = rng.choice(
                [
                    b"J\xff\xff\xff\x7f",
                    b"K\x00",
                    b"\x8a\x08" + b"\xff" * 8,
                    b"(",
                    b"t",
                    b"0",
                    b"q\x01",
                    rng.randbytes(1),
                ]
            )
        return bytes(content)

    repack(rng, path, alter)


def repack(rng: random.Random, path: Path, change: Callable[[bytes], bytes]) -> None:
    """Store a network with its pickle changed, in either format."""
    torch.save(in_wrapper(rng, base(rng)), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith("/data.pkl"))
    members[name] = change(members[name])
    if rng.random() < 0.3:
        path.write_bytes(members[name])
        return
    with zipfile.ZipFile(path, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def zip_bomb(rng: random.Random, path: Path, mark: Path) -> None:
    torch.save(base(rng), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        large = rng.choice(sorted(members))
        for name, content in members.items():
            archive.writestr(name, content + bytes(100_000_000) if name == large else content)


def doubled_members(rng: random.Random, path: Path, mark: Path) -> None:
    torch.save(base(rng), path)
    with zipfile.ZipFile(path, "a") as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        archive.writestr(rng.choice([name, name.upper()]), pickle.dumps(Call(os.mkdir, str(mark)), 2))


# State dicts: what fits no network, or nearly one.


def misshapen(rng: random.Random, path: Path, mark: Path) -> None:
    state = base(rng)
    for key in rng.sample(sorted(state), min(len(state), rng.choice([1, 2, 5]))):
        tensor = state[key]
        state[key] = rng.choice(MISSHAPEN)(rng, tensor)
    store(rng, state, path)


MISSHAPEN: list[Callable[[random.Random, torch.Tensor], Any]] = [
    lambda rng, tensor: torch.zeros([rng.choice([0, 1, 2, 7]) for _ in range(rng.randrange(7))]),
    lambda rng, tensor: torch.zeros(1).expand(rng.choice([10**5, 10**9]), 10**5, 3, 3),
    lambda rng, tensor: torch.zeros(()).expand(tensor.shape),
    lambda rng, tensor: (
        torch.full_like(tensor, rng.choice([float("nan"), float("inf")])).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor + 1
    ),
    lambda rng, tensor: tensor.to(rng.choice([torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])),
    lambda rng, tensor: tensor.to("meta"),
    lambda rng, tensor: tensor.to_sparse(),
    lambda rng, tensor: tensor.flatten(),
    lambda rng, tensor: tensor.transpose(0, -1) if tensor.ndim else tensor,
    lambda rng, tensor: tensor * 1e30,
    lambda rng, tensor: torch.nn.Parameter(tensor) if tensor.is_floating_point() else tensor,
    lambda rng, tensor: [tensor],
]


def other_keys(rng: random.Random, path: Path, mark: Path) -> None:
    state = base(rng)
    keys = sorted(state)
    for key in rng.sample(keys, rng.randint(1, min(3, len(keys)))):
        tensor = state.pop(key)
        digits = [part for part in key.split(".") if part.isdigit()]
        number = rng.choice(["999999999", "-1", "1e9", "9" * 5000, "٣", "../../x", "\x1b[2J", ""])
        renamed = key.replace(f"{digits[0]}.", f"{number}.", 1) if digits else f"{number}{key}"
        state.update({renamed: tensor} if rng.random() < 0.8 else {})
    store(rng, state, path)


def thousands_of_keys(rng: random.Random, path: Path, mark: Path) -> None:
    state, extra = base(rng), torch.zeros(1)
    pattern = rng.choice([*sorted(state), "x.0.weight", "body.0.rdb1.conv1.weight"])
    start, _, end = pattern.partition("0") if "0" in pattern else (pattern, "", "")
    state.update({f"{start}{number}{end}": extra.clone() for number in range(rng.choice([2000, 5000]))})
    path.write_bytes(save(state)) if rng.random() < 0.5 else store(rng, state, path)


def no_state_dict(rng: random.Random, path: Path, mark: Path) -> None:
    store(rng, rng.choice([{}, [], None, 3, "x", {1: torch.ones(1)}, {(1, 2): torch.ones(1)}, torch.ones(3)]), path)


# Safetensors: headers that lie.


def lying_header(rng: random.Random, path: Path, mark: Path) -> None:
    content = save(base(rng), {"a": "b"})
    size = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    for key in rng.sample(sorted(header), min(len(header), rng.choice([1, 2]))):
        entry = header[key]
        lie: dict[str, Any] = rng.choice(
            [
                {"data_offsets": [0, len(data)]},
                {"data_offsets": [rng.randrange(-9, 99), 2**63]},
                {"data_offsets": [8, 4]},
                {"shape": [2**62, 4]},
                {"shape": [0, 2**60]},
                {"shape": [-1]},
                {"shape": [1] * 3000},
                {"dtype": rng.choice(["F8_E4M3", "BOOL", "F64", "C64", "X"])},
                {"x": [[[]]]},
            ]
        )
        header[key] = entry | lie if isinstance(entry, dict) else lie
    text = json.dumps(header).encode()
    text = rng.choice([text, text, text, b"[" * 50_000, b'{"a":' * 50_000, text[:-5] + b"\xff\xfe", text + b" " * 9999])
    length = rng.choice([len(text)] * 6 + [0, 2**63, 2**31, len(text) - 1])
    path.write_bytes(struct.pack("<Q", length) + text + data)


MUTATIONS: tuple[Callable[[random.Random, Path, Path], None], ...] = (
    flipped,
    truncated,
    calling,
    containing_itself,
    exploding,
    colliding,
    altered,
    zip_bomb,
    doubled_members,
    misshapen,
    other_keys,
    thousands_of_keys,
    no_state_dict,
    lying_header,
    altered,
    misshapen,
    other_keys,
    lying_header,
)


def make(number: int, folder: Path) -> tuple[str, Use]:
    """Write the file of that number into ``folder``."""
    mutation, rng = MUTATIONS[number % len(MUTATIONS)], random.Random(number)
    path, mark = folder / rng.choice(["x.pth", "x.safetensors"]), folder / "it-ran"
    mutation(rng, path, mark)

    def use() -> str:
        try:
            Upscaler(path, device="cpu").upscale(PICTURE)
            outcome = "enlarged"
        except UpscaleError as error:
            outcome = refused(error)
        assert not mark.exists(), "code ran"
        path.unlink()
        return outcome

    return mutation.__name__, use


SOAK = Soak(__file__, make, seconds=5, megabytes=1500)  # PyTorch alone takes 400 MB

if __name__ == "__main__":
    raise SystemExit(SOAK.main(__doc__))
