"""RCAN (Zhang et al. 2018, arXiv:1807.02758): groups of residual blocks whose channels are weighted by their mean.

The mean is that of the whole picture: tiles have one of their own, and differ a little (docs/tiling.md).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from upscale_cli.networks.architecture import (
    UNBOUNDED,
    Architecture,
    NetworkSpec,
    Positive,
    Sizes,
    StateDict,
    affordable_halo,
    convolution,
    count,
)
from upscale_cli.networks.edsr import HeadBodyTail, basicsr, described, ends
from upscale_cli.networks.upsamplers import factors_of


class ChannelAttention(nn.Module):
    """Every channel weighted by a function of all channels' means."""

    def __init__(self, features: int, squeezed: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(features, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, features, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``."""
        weighted: Tensor = x * self.conv_du(x.mean((2, 3), keepdim=True))
        return weighted


class Residual(nn.Module):
    """Layers and a residual around them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``."""
        total: Tensor = x + self.body(x)
        return total


def _group(features: int, blocks: int, squeezed: int) -> Residual:
    def convolve() -> nn.Module:
        return nn.Conv2d(features, features, 3, padding=1)

    inner = (Residual(convolve(), nn.ReLU(), convolve(), ChannelAttention(features, squeezed)) for _ in range(blocks))
    return Residual(*inner, convolve())


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state under the authors' keys, also from BasicSR's."""
    if "body.0.residual_group.0.rcab.0.weight" not in state or "conv_first.weight" not in state:
        return dict(state)
    blocks = count(state, r"^body\.0\.residual_group\.(\d+)\.")
    group = r"^body\.(\d+)\.residual_group\.(\d+)\.rcab\."
    rules = (
        (rf"{group}3\.attention\.1\.", r"body.\1.body.\2.body.3.conv_du.0."),
        (rf"{group}3\.attention\.3\.", r"body.\1.body.\2.body.3.conv_du.2."),
        (rf"{group}(\d)\.", r"body.\1.body.\2.body.\3."),
        (r"^body\.(\d+)\.conv\.", rf"body.\1.body.{blocks}."),
    )
    return basicsr(state, rules)


def _detect(state: StateDict) -> bool:
    return "body.0.body.0.body.3.conv_du.0.weight" in state and "tail.1.weight" in state


def _spec(state: StateDict) -> NetworkSpec:
    channels, factors, unshuffle, value_range = ends(state)
    squeezed, features = convolution(state, "body.0.body.0.body.3.conv_du.0.weight")
    return _described(
        channels,
        factors,
        unshuffle,
        value_range,
        features=features,
        groups=count(state, r"^body\.(\d+)\.body\.0\.body\.0\.weight$"),
        blocks=count(state, r"^body\.0\.body\.(\d+)\.body\.0\.weight$"),
        squeezed=squeezed,
    )


def _described(
    channels: int,
    factors: tuple[int, ...],
    unshuffle: int,
    value_range: int,
    features: int,
    groups: int,
    blocks: int,
    squeezed: int,
) -> NetworkSpec:
    sizes = {"features": features, "groups": groups, "blocks": blocks, "squeezed": squeezed}
    radius = groups * (2 * blocks + 1)
    spec = described("rcan", channels, radius, factors, unshuffle, value_range, **sizes)
    halo = unshuffle * affordable_halo(spec.receptive_radius // unshuffle)
    return replace(spec, receptive_radius=UNBOUNDED, halo=halo)


def _module(spec: NetworkSpec) -> nn.Module:
    sizes = dict(spec.hyperparameters)
    groups, blocks, squeezed = (sizes.pop(name) for name in ("groups", "blocks", "squeezed"))
    body = [_group(sizes["features"], blocks, squeezed) for _ in range(groups)]
    return HeadBodyTail(spec.in_channels, blocks=body, **sizes)


class RcanSizes(Sizes, frozen=True):
    """``squeezed``: features of the channel attention. ``norm``: whether the mean colour is subtracted."""

    features: Positive = 64
    groups: Positive = 10
    blocks: Positive = 20
    squeezed: Positive = 4
    norm: bool = True

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes; the scale is 3 or a power of two."""
        sizes = {name: getattr(self, name) for name in ("features", "groups", "blocks", "squeezed")}
        return _described(channels, factors_of(scale), 1, 255 if self.norm else 0, **sizes)


_SMALL = RcanSizes(features=8, groups=1, blocks=2, squeezed=2)
RCAN = Architecture(
    name="rcan",
    canonical=_canonical,
    detect=_detect,
    spec=_spec,
    module=_module,
    sizes=RcanSizes,
    examples=(
        *map(_SMALL.spec, (1, 2, 3, 4, 8)),
        _described(3, (2, 2), 2, 0, features=8, groups=2, blocks=1, squeezed=2),
        _described(3, (2, 2), 4, 1, features=8, groups=1, blocks=1, squeezed=2),
        RcanSizes(features=8, groups=1, blocks=1, squeezed=1, norm=False).spec(2, channels=1),
    ),
)
