"""RCAN (Zhang et al. 2018, arXiv:1807.02758): groups of residual blocks whose channels are weighted by their mean.

The mean is that of the whole picture: tiles have one of their own, and differ a little (docs/tiling.md).
"""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import (
    UNBOUNDED,
    Architecture,
    NetworkSpec,
    Positive,
    Sizes,
    StateDict,
    affordable_halo,
)
from upscale_cli.networks.edsr import Ends, HeadBodyTail, basicsr, described, ends_of, new_ends
from upscale_cli.networks.layers import Residual, Weighted, squeeze_and_excite

_ATTENTION = "body.0.body.0.body.3.conv_du"


def _group(features: int, blocks: int, squeezed: int) -> nn.Module:
    def convolve() -> nn.Module:
        return nn.Conv2d(features, features, 3, padding=1)

    def block() -> nn.Module:
        attention = nn.Sequential(*squeeze_and_excite(features, squeezed))
        weighted = Weighted(mean=nn.AdaptiveAvgPool2d(1), conv_du=attention)
        return Residual(body=nn.Sequential(convolve(), nn.ReLU(), convolve(), weighted))

    return Residual(body=nn.Sequential(*(block() for _ in range(blocks)), convolve()))


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state under the authors' keys, also from BasicSR's."""
    if "body.0.residual_group.0.rcab.0.weight" not in state or "conv_first.weight" not in state:
        return dict(state)
    blocks = keys.count(state, r"^body\.0\.residual_group\.(\d+)\.")
    group = r"^body\.(\d+)\.residual_group\.(\d+)\.rcab\."
    rules = (
        (rf"{group}3\.attention\.1\.", r"body.\1.body.\2.body.3.conv_du.0."),
        (rf"{group}3\.attention\.3\.", r"body.\1.body.\2.body.3.conv_du.2."),
        (rf"{group}(\d)\.", r"body.\1.body.\2.body.\3."),
        (r"^body\.(\d+)\.conv\.", rf"body.\1.body.{blocks}."),
    )
    return basicsr(state, rules)


def _spec(state: StateDict) -> NetworkSpec:
    squeezed, features = keys.convolution(state, f"{_ATTENTION}.0.weight")
    return _described(
        ends_of(state),
        features=features,
        groups=keys.count(state, r"^body\.(\d+)\.body\.0\.body\.0\.weight$"),
        blocks=keys.count(state, r"^body\.0\.body\.(\d+)\.body\.0\.weight$"),
        squeezed=squeezed,
    )


def _described(ends: Ends, groups: int, blocks: int, **features: int) -> NetworkSpec:
    radius = groups * (2 * blocks + 1)
    spec = described("rcan", ends, radius, groups=groups, blocks=blocks, **features)
    halo = ends.unshuffle * affordable_halo(spec.receptive_radius // ends.unshuffle)
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
        sizes = asdict(self)
        return _described(new_ends(scale, channels, sizes.pop("norm")), **sizes)


RCAN = Architecture(
    name="rcan",
    canonical=_canonical,
    detect=keys.holds(f"{_ATTENTION}.0.weight", "tail.1.weight"),
    spec=_spec,
    module=_module,
    sizes=RcanSizes,
    examples=(
        *map(RcanSizes(features=8, groups=1, blocks=2, squeezed=2).spec, (1, 2, 3, 4, 8)),
        _described(Ends(3, (2, 2), unshuffle=2), features=8, groups=2, blocks=1, squeezed=2),
        _described(Ends(3, (2, 2), unshuffle=4, value_range=1), features=8, groups=1, blocks=1, squeezed=2),
        RcanSizes(features=8, groups=1, blocks=1, squeezed=1, norm=False).spec(2, channels=1),
    ),
)
