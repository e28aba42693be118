"""Networks: recognised from their tensors alone, rebuilt exactly, and never mistaken for one another."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from upscale_cli import networks
from upscale_cli.errors import WeightsError
from upscale_cli.networks import ARCHITECTURES, Architecture, NetworkSpec, build, draw, foreign, recognise
from upscale_cli.networks.architecture import UNBOUNDED

EXAMPLES = [spec for architecture in ARCHITECTURES for spec in architecture.examples]


@pytest.fixture(autouse=True)
def _own_networks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "installed", lambda: False)


def name_of(spec: NetworkSpec) -> str:
    return f"{spec.architecture}-x{spec.scale}-{spec.in_channels}ch"


each_example = pytest.mark.parametrize("spec", EXAMPLES, ids=name_of)


def side_for(spec: NetworkSpec) -> int:
    """LR pixels that every network takes."""
    return -(-16 // spec.size_multiple) * spec.size_multiple


def state_of(spec: NetworkSpec) -> dict[str, Tensor]:
    """Weights in which every tensor matters: BatchNorm statistics are no identity."""
    torch.manual_seed(1)
    state = build(spec).state_dict()
    for key, tensor in state.items():
        if "running_mean" in key:
            tensor.uniform_(-0.1, 0.1)
        elif "running_var" in key:
            tensor.uniform_(0.5, 2)
    return state


def output(state: dict[str, Tensor]) -> Tensor:
    spec, canonical = recognise(state)
    side = side_for(spec)
    image = torch.rand(1, spec.in_channels, side, side, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        result: Tensor = build(spec, canonical)(image)
    return result


def example(name: str, scale: int, **sizes: object) -> NetworkSpec:
    """The example of that architecture and scale whose hyper-parameters include ``sizes``."""
    return next(
        spec
        for spec in EXAMPLES
        if (spec.architecture, spec.scale) == (name, scale) and sizes.items() <= spec.hyperparameters.items()
    )


def test_every_architecture_has_examples_of_its_own() -> None:
    assert all(architecture.examples for architecture in ARCHITECTURES)
    assert {spec.architecture for spec in EXAMPLES} == {architecture.name for architecture in ARCHITECTURES}


@each_example
def test_the_spec_is_read_back_from_the_tensors(spec: NetworkSpec) -> None:
    recognised, canonical = recognise(state_of(spec))
    assert recognised == spec
    build(recognised, canonical)


@each_example
def test_exactly_one_architecture_claims_a_network_in_any_layout(spec: NetworkSpec) -> None:
    state = state_of(spec)
    for layout in (state, draw(spec).state_dict(), networks.published(spec, state)):
        claiming = [a.name for a in ARCHITECTURES if a.detect(a.canonical(layout))]
        assert claiming == [spec.architecture]


@each_example
def test_canonical_keys_stay_as_they_are(spec: NetworkSpec) -> None:
    architecture = next(a for a in ARCHITECTURES if a.name == spec.architecture)
    state = state_of(spec)
    assert list(architecture.canonical(architecture.canonical(state))) == list(state)


@each_example
def test_the_output_has_the_scale(spec: NetworkSpec) -> None:
    side = side_for(spec) * spec.scale
    assert output(state_of(spec)).shape == (1, spec.out_channels, side, side)


@each_example
def test_the_smallest_picture_is_enlarged_too(spec: NetworkSpec) -> None:
    side = spec.size_multiple
    with torch.inference_mode():
        result = build(spec)(torch.rand(1, spec.in_channels, side, side))
    assert result.shape == (1, spec.out_channels, side * spec.scale, side * spec.scale)


@pytest.mark.parametrize("spec", [spec for spec in EXAMPLES if spec.receptive_radius == UNBOUNDED], ids=name_of)
def test_a_network_that_sees_the_whole_picture_says_how_far_a_tile_must_see(spec: NetworkSpec) -> None:
    assert spec.halo is not None


@pytest.mark.parametrize("spec", [spec for spec in EXAMPLES if spec.receptive_radius < UNBOUNDED], ids=name_of)
def test_the_receptive_radius_is_the_one_measured_by_gradients(spec: NetworkSpec) -> None:
    network = build(spec).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().div_(10)  # all paths add up, no activation is dead or saturated
    unit = spec.size_multiple
    middle = -(-spec.receptive_radius // unit) * unit + unit
    side = 2 * middle + unit
    image = torch.rand(1, spec.in_channels, side, side, dtype=torch.float64, requires_grad=True)
    cell = slice(middle * spec.scale, (middle + unit) * spec.scale)  # what one unit of the network's grid becomes
    (gradient,) = torch.autograd.grad(network(image)[..., cell, cell].sum(), image)
    touched = gradient[0].abs().sum((0, 1)).nonzero().flatten()
    before, behind = middle - int(touched.min()), int(touched.max()) - (middle + unit - 1)
    assert max(before, behind) == spec.receptive_radius


def leftthomas(key: str, blocks: int, doublings: int) -> str:
    """Key of leftthomas/SRGAN: every part is a numbered block, the last convolution ends the block of the doublings."""
    key = re.sub(r"^first", "block1", key)
    key = re.sub(r"^blocks\.(\d+)", lambda m: f"block{int(m[1]) + 2}", key)
    key = re.sub(r"^trunk", f"block{blocks + 2}", key)
    key = re.sub(r"^upsample", f"block{blocks + 3}", key)
    return re.sub(r"^last", f"block{blocks + 3}.{doublings}", key)


LAYOUTS: dict[str, tuple[NetworkSpec, Callable[[str], str]]] = {
    "rrdbnet of the ESRGAN repository": (
        networks.spec("rrdbnet", 4, {"features": 8, "blocks": 2, "growth": 4}),
        lambda key: (
            re.sub(r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", key)
            .replace("conv_body", "trunk_conv")
            .replace("conv_up", "upconv")
            .replace("conv_hr", "HRconv")
        ),
    ),
    "srresnet of leftthomas, x2": (example("srresnet", 2, tanh=True), lambda key: leftthomas(key, 2, 1)),
    "srresnet of leftthomas, x4": (example("srresnet", 4, tanh=True), lambda key: leftthomas(key, 2, 2)),
    "msrresnet of OpenMMLab": (
        example("msrresnet", 4),
        lambda key: re.sub(r"^upconv(\d)", r"upsample\1.upsample_conv", key.replace("body.", "trunk_net.")),
    ),
    "msrresnet of KAIR": (
        example("msrresnet", 4),
        lambda key: key.replace("body.", "recon_trunk.").replace("conv_hr", "HRconv"),
    ),
}


def first_generation(key: str, doublings: int) -> str:
    """Key of the oldest layout: one triple of enlargement, convolution and activation per doubling, all numbered."""
    key = re.sub(r"^conv_first", "model.0", key)
    key = re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0", key)
    key = re.sub(r"^conv_body", "model.1.sub.1", key)
    key = re.sub(r"^conv_up(\d)", lambda m: f"model.{3 * int(m[1])}", key)
    last_up = 3 * doublings
    return re.sub(r"^conv_last", f"model.{last_up + 4}", re.sub(r"^conv_hr", f"model.{last_up + 2}", key))


for doublings in range(5):
    LAYOUTS[f"rrdbnet of the first generation, x{2**doublings}"] = (
        example("rrdbnet", 2**doublings, unshuffle=1),
        lambda key, doublings=doublings: first_generation(key, doublings),  # type: ignore[misc]
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_picture(layout: str) -> None:
    spec, rename = LAYOUTS[layout]
    state = state_of(spec)
    renamed = {rename(key): tensor for key, tensor in state.items()}
    assert set(renamed) != set(state)
    assert recognise(renamed)[0] == spec
    assert torch.equal(output(renamed), output(state))


def lornatang(state: dict[str, Tensor], names: tuple[str, str, str]) -> dict[str, Tensor]:
    """The same network as Lornatang/SRGAN-PyTorch stores it: no biases before BatchNorm, output in [0, 1]."""
    parts = {"conv1": 0, "bn1": 1, "prelu": 2, "conv2": 3, "bn2": 4, "conv": 0}
    layers = {"first": names[0], "trunk": names[1], "last": names[2]}
    stored = {}
    for key, tensor in state.items():
        key = re.sub(r"^(first|trunk|last)\.", lambda m: f"{layers[m[1]]}.", key)
        key = re.sub(r"^blocks\.(\d+)\.(\w+)\.", lambda m: f"trunk.{m[1]}.rcb.{parts[m[2]]}.", key)
        key = re.sub(r"^upsample\.(\d+)\.conv\.", r"upsampling.\1.upsample_block.0.", key)
        key = re.sub(r"^upsample\.(\d+)\.prelu\.", r"upsampling.\1.upsample_block.2.", key)
        if not re.search(r"rcb\.[03]\.bias", key) and key != f"{names[1]}.0.bias":
            stored[key] = tensor
    stored[f"{names[2]}.weight"] = state["last.weight"] / 2
    stored[f"{names[2]}.bias"] = (state["last.bias"] + 1) / 2
    return stored


@pytest.mark.parametrize(
    "names", [("conv1", "conv2", "conv3"), ("conv_block1", "conv_block2", "conv_block3")], ids=["later", "earlier"]
)
def test_a_network_without_biases_trained_for_zero_to_one_gives_the_same_picture(names: tuple[str, str, str]) -> None:
    state = state_of(example("srresnet", 4, tanh=False))
    for key, tensor in state.items():
        if re.match(r"(blocks\.\d\.conv\d|trunk\.0)\.bias", key):
            tensor.zero_()
    assert torch.allclose(output(lornatang(state, names)), output(state), atol=1e-6)


def test_one_missing_bias_is_damage_and_not_a_network_without_biases() -> None:
    state = state_of(example("srresnet", 4, tanh=False))
    del state["blocks.1.conv2.bias"]
    with pytest.raises(WeightsError, match=r"lack the tensor blocks\.1\.conv2\.bias"):
        output(state)


def test_an_unknown_file_is_refused_with_its_first_keys_and_what_is_known() -> None:
    with pytest.raises(WeightsError, match=r"first keys: a\.b, c\.d") as caught:
        recognise({"a.b": torch.zeros(1), "c.d": torch.zeros(1)})
    assert all(architecture.name in caught.value.hint for architecture in ARCHITECTURES)


def test_two_networks_in_one_file_are_refused() -> None:
    compact, span = (state_of(example(name, 4)) for name in ("compact", "span"))
    with pytest.raises(WeightsError, match="under student, teacher"):
        recognise({f"teacher.{k}": t for k, t in span.items()} | {f"student.{k}": t for k, t in compact.items()})
    with pytest.raises(WeightsError, match="look like span and plksr at once"):
        recognise(state_of(example("plksr", 4)) | span)


PAIRS = list(combinations([architecture.examples[0] for architecture in ARCHITECTURES], 2))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0].architecture}-{pair[1].architecture}")
def test_layouts_of_two_architectures_in_one_file_are_refused(pair: tuple[NetworkSpec, NetworkSpec]) -> None:
    first, second = map(state_of, pair)
    for mixed, keys in ((first | second, second.keys()), (second | first, first.keys())):
        # HAT has all keys of SwinIR, a conditioned network those of a compact one: these are whole networks.
        if mixed.keys() == keys or {spec.architecture for spec in pair} == {"compact", "conditioned"}:
            continue
        with pytest.raises(WeightsError, match=r"^The (weights|tensor) [^\n]*\.$"):
            build(*recognise(mixed))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.name)
def test_a_teacher_beside_a_student_is_refused(architecture: Architecture) -> None:
    student = state_of(architecture.examples[0])
    teacher = {f"teacher.{key}": tensor for key, tensor in student.items()}
    with pytest.raises(WeightsError, match="inside a larger file, under student, teacher"):
        recognise(teacher | {f"student.{key}": tensor for key, tensor in student.items()})
    with pytest.raises(WeightsError, match=r"unexpected tensor teacher\.|inside a larger file, under teacher"):
        build(*recognise(student | teacher))


@each_example
def test_a_missing_a_superfluous_and_a_misshapen_tensor_are_named(spec: NetworkSpec) -> None:
    state = state_of(spec)
    last = [key for key in state if not key.endswith("num_batches_tracked")][-1]
    with pytest.raises(WeightsError, match=f"lack the tensor {re.escape(last)}"):
        build(spec, {key: tensor for key, tensor in state.items() if key != last})
    with pytest.raises(WeightsError, match=r"unexpected tensor extra\.weight"):
        build(spec, state | {"extra.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=rf"{re.escape(last)} has the shape \(7,\)"):
        build(spec, state | {last: torch.zeros(7)})


@pytest.mark.parametrize(
    ("key", "damage", "reason"),
    [
        ("body.0.weight", lambda tensor: tensor.to(torch.int64), "no plain floating-point one"),
        ("body.0.weight", lambda tensor: tensor.to_sparse(), "no plain floating-point one"),
        ("body.2.weight", lambda tensor: tensor[:0], "body.2.weight is empty"),
        ("body.8.weight", lambda tensor: tensor[:47], "does not fit any scale"),
        ("body.8.weight", lambda tensor: tensor.flatten(), "body.8.weight of shape .* is no convolution"),
    ],
)
def test_a_strange_tensor_is_named(key: str, damage: Callable[[Tensor], Tensor], reason: str) -> None:
    state = state_of(example("compact", 4))
    with pytest.raises(WeightsError, match=reason):
        build(*recognise(state | {key: damage(state[key])}))


def test_a_result_that_the_enlarged_input_cannot_be_added_to_is_refused() -> None:
    state = state_of(example("msrresnet", 2))
    gray = {key: tensor[:1] if key.startswith("conv_last") else tensor for key, tensor in state.items()}
    with pytest.raises(WeightsError, match="3 channels go in and 1 come out"):
        recognise(gray)


def test_a_number_of_slopes_that_fits_no_activation_is_refused() -> None:
    state = state_of(example("srresnet", 8))
    with pytest.raises(WeightsError, match="5 slopes for 6 features"):
        recognise({key: tensor[:5] if tensor.shape == (6,) else tensor for key, tensor in state.items()})


@each_example
def test_every_weight_of_a_drawn_network_learns(spec: NetworkSpec) -> None:
    torch.manual_seed(0)
    network = draw(spec)
    side = 2 * side_for(spec)
    result = network(torch.rand(2, spec.in_channels, side, side))
    assert result.shape == (2, spec.out_channels, side * spec.scale, side * spec.scale)
    result.square().mean().backward()
    unmoved = [key for key, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert unmoved == []
    assert recognise(network.state_dict())[0] == spec


# Parameters that the papers state, in thousands.
PUBLISHED: list[tuple[str, dict[str, Any], int]] = [
    ("span", {}, 426),
    ("span", {"features": 52}, 498),
    ("plksr", {}, 7386),
    ("plksr", {"blocks": 12, "kernel": 13, "attention": False}, 2371),
    ("rcan", {"norm": False}, 15592),
    ("edsr", {}, 1518),
    ("edsr", {"features": 256, "blocks": 32}, 43090),
    ("swinir", {}, 11900),
    ("dat", {}, 14802),
    ("dat", {"window": [8, 16], "hidden": 360}, 11212),
    ("hat", {}, 20773),
]


@pytest.mark.parametrize(("name", "sizes", "thousands"), PUBLISHED)
def test_published_sizes_have_as_many_parameters_as_published(name: str, sizes: dict[str, Any], thousands: int) -> None:
    with torch.device("meta"):
        network = build(networks.spec(name, 4, sizes))
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1000) == thousands


@given(st.sampled_from(EXAMPLES), st.data())
def test_damaged_state_dicts_raise_nothing_but_our_error(spec: NetworkSpec, data: st.DataObject) -> None:
    state: dict[str, Tensor] = dict(build(spec).state_dict())
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from(sorted(state)))
        tensor = state.pop(key)
        match data.draw(st.sampled_from(["drop", "rename", "reshape", "empty", "flat", "whole", "short", "scalar"])):
            case "rename":
                state[key.replace("0", "5") + "x"] = tensor
            case "reshape":
                state[key] = torch.zeros(*tensor.shape, 2)
            case "empty":
                state[key] = torch.zeros(0)
            case "flat":
                state[key] = tensor.flatten()
            case "whole":
                state[key] = tensor.to(torch.int64)
            case "short":
                state[key] = tensor[1:] if tensor.ndim else tensor
            case "scalar":
                state[key] = torch.tensor(1.0)
    with contextlib.suppress(WeightsError):
        recognised, canonical = recognise(state)
        side = recognised.size_multiple * 4
        build(recognised, canonical)(torch.zeros(1, recognised.in_channels, side, side))  # what loads also runs
