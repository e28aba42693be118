"""What tells variants of one architecture apart, and layouts of the same network."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.errors import WeightsError
from upscale_cli.networks import build, draw, recognise
from upscale_cli.networks.architecture import NetworkSpec
from upscale_cli.networks.edsr import EDSR, EdsrSizes, MeanShift
from upscale_cli.networks.mosr import MOSR
from upscale_cli.networks.plksr import PLKSR
from upscale_cli.networks.rcan import RCAN
from upscale_cli.networks.upsamplers import DySample, dysample_sizes


def state_of(spec: NetworkSpec) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return draw(spec).state_dict()


def output(state: dict[str, Tensor]) -> Tensor:
    spec, canonical = recognise(state)
    image = torch.rand(1, spec.in_channels, 16, 16, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        result: Tensor = build(spec, canonical)(image)
    return result


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_dysample_begins_as_bilinear_enlargement(scale: int) -> None:
    x = torch.rand(1, 12, 7, 9)
    layer = DySample(12, 0, scale, groups=4)
    nn.init.zeros_(layer.offset.weight)
    assert layer.offset.bias is not None
    nn.init.zeros_(layer.offset.bias)
    bilinear = F.interpolate(x, scale_factor=float(scale), mode="bilinear", align_corners=False)
    assert torch.allclose(layer(x), bilinear, atol=1e-5)


def test_dysample_keeps_its_positions_in_half_precision_on_a_wide_picture() -> None:
    layer, x = DySample(12, 0, 2, groups=4), torch.rand(1, 12, 2, 900)
    assert torch.allclose(layer.bfloat16()(x.bfloat16()).float(), layer.float()(x), atol=0.02)


def test_dysample_of_no_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="7 values fits no scale"):
        dysample_sizes({"to_img.init_pos": torch.zeros(1, 7, 1, 1)}, "to_img")


def test_sparse_large_kernels_are_refused() -> None:
    state = {key.replace("lk.conv", "lk.convs.0"): tensor for key, tensor in state_of(PLKSR.examples[0]).items()}
    with pytest.raises(WeightsError, match="large kernels are sparse"):
        recognise(state)


def test_published_weights_of_gated_blocks_are_narrow() -> None:
    state = state_of(MOSR.examples[0])
    assert float(state["gblocks.1.fc1.weight"].std()) == pytest.approx(0.02, rel=0.2)
    assert state["gblocks.1.fc1.bias"].count_nonzero() == 0
    assert state["gblocks.0.bias"].count_nonzero() > 0


def edsr_of_basicsr(key: str) -> str:
    return re.sub(r"^body\.(\d)\.body\.([02])", lambda m: f"body.{m[1]}.conv{int(m[2]) // 2 + 1}", key)


def rcan_of_basicsr(key: str) -> str:
    key = re.sub(r"^body\.0\.body\.2\.", "body.0.conv.", key)
    key = re.sub(r"^body\.(\d)\.body\.(\d)\.body\.", r"body.\1.residual_group.\2.rcab.", key)
    return key.replace("conv_du.0", "attention.1").replace("conv_du.2", "attention.3")


BASICSR: dict[str, tuple[NetworkSpec, Callable[[str], str], str]] = {
    "edsr": (EDSR.examples[3], edsr_of_basicsr, "body.2."),
    "rcan": (RCAN.examples[3], rcan_of_basicsr, "body.1."),
}


@pytest.mark.parametrize("name", BASICSR)
def test_basicsr_keeps_the_same_network_under_other_keys_and_the_mean_in_its_code(name: str) -> None:
    spec, rename, last = BASICSR[name]
    state = state_of(spec)
    plain = {
        rename(key)
        .replace("head.0.", "conv_first.")
        .replace(last, "conv_after_body.")
        .replace("tail.0.", "upsample.")
        .replace("tail.1.", "conv_last."): tensor
        for key, tensor in state.items()
        if "_mean" not in key
    }
    assert recognise(plain)[0] == spec
    assert torch.equal(output(plain), output(state))


def test_the_mean_shift_tells_the_range_inside() -> None:
    state = state_of(EDSR.examples[2])
    assert recognise(state)[0].hyperparameters["value_range"] == 255
    small = state | {key: tensor / 255 for key, tensor in state.items() if key.endswith("_mean.bias")}
    assert recognise(small)[0].hyperparameters["value_range"] == 1


def test_the_mean_shift_is_not_trained() -> None:
    assert not list(MeanShift(255).parameters())
    assert not any("mean" in key for key, _ in draw(EdsrSizes().spec(2)).named_parameters())


def test_only_wide_residuals_are_scaled() -> None:
    narrow, wide = (draw(EdsrSizes(features=features, blocks=1).spec(2)) for features in (64, 256))
    assert narrow.get_submodule("body.0").scale == 1
    assert wide.get_submodule("body.0").scale == 0.1
