"""MSRResNet (BasicSR, OpenMMLab, KAIR): SRResNet without BatchNorm, plus a bilinear enlargement of the input."""

from __future__ import annotations

import torch.nn.functional as F
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, Sizes, StateDict
from upscale_cli.networks.layers import draw_scaled_he, residual_block
from upscale_cli.networks.upsamplers import doublings, shuffle_scale, shuffled_radius

SLOPE = 0.1
INITIAL_SCALE = 0.1


class MSRResNet(nn.Module):
    """Residual blocks at LR size, then a convolution and a pixel shuffle by ``factor``, ``steps`` times."""

    def __init__(self, channels: int, features: int, blocks: int, steps: int, factor: int) -> None:
        super().__init__()
        self.steps, self.factor = steps, factor
        self.conv_first = nn.Conv2d(channels, features, 3, padding=1)
        self.body = nn.Sequential(*(residual_block(features) for _ in range(blocks)))
        for number in range(1, steps + 1):
            setattr(self, f"upconv{number}", nn.Conv2d(features, features * factor**2, 3, padding=1))
        self.shuffle: nn.Module = nn.PixelShuffle(factor)
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, channels, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, C, factor^steps·H, factor^steps·W) of ``lr``, (N, C, H, W) in [0, 1]."""
        features: Tensor = self.body(F.leaky_relu(self.conv_first(lr), SLOPE, inplace=True))
        for number in range(1, self.steps + 1):
            features = self.shuffle(getattr(self, f"upconv{number}")(features))
            features = F.leaky_relu(features, SLOPE, inplace=True)
        features = F.leaky_relu(self.conv_hr(features), SLOPE, inplace=True)
        residual: Tensor = self.conv_last(features)
        enlarged = F.interpolate(lr, scale_factor=float(self.factor**self.steps), mode="bilinear", align_corners=False)
        return residual + enlarged


_OTHER_LAYOUTS = (
    (r"^(?:trunk_net|recon_trunk)\.(\d+)\.", r"body.\1."),
    (r"^upsample(\d+)\.upsample_conv\.", r"upconv\1."),
    (r"^HRconv\.", "conv_hr."),
)


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state under BasicSR's keys, from OpenMMLab's (``trunk_net``) and KAIR's (``recon_trunk``)."""
    return keys.renamed(state, _OTHER_LAYOUTS)


def _spec(state: StateDict) -> NetworkSpec:
    features, channels = keys.features_and_channels(state, "conv_first.weight", "conv_last.weight")
    blocks = keys.count(state, r"^body\.(\d+)\.conv1\.weight$")
    factor = shuffle_scale(state, "upconv1.weight", features)
    return MSRResNetSizes(features=features, blocks=blocks).described(
        channels, keys.count(state, r"^upconv(\d+)\.weight$"), factor
    )


class MSRResNetSizes(Sizes, frozen=True):
    """``blocks``: residual ones, of two convolutions each."""

    features: Positive = 64
    blocks: Positive = 16

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes; the scale is 3 or a power of two."""
        steps, factor = (1, 3) if scale == 3 else (doublings(scale), 2)
        return self.described(channels, steps, factor)

    def described(self, channels: int, steps: int, factor: int) -> NetworkSpec:
        """Return the network of these sizes that enlarges by ``factor``, ``steps`` times."""
        return NetworkSpec(
            "msrresnet",
            factor**steps,
            channels,
            channels,
            receptive_radius=1 + 2 * self.blocks + shuffled_radius((factor,) * steps, last=2),
            hyperparameters={**asdict(self), "steps": steps, "factor": factor},
        )


_SMALL = MSRResNetSizes(features=6, blocks=2)
MSRRESNET = Architecture(
    name="msrresnet",
    canonical=_canonical,
    detect=keys.holds("body.0.conv1.weight", "conv_first.weight", "upconv1.weight"),
    spec=_spec,
    module=lambda spec: MSRResNet(spec.in_channels, **spec.hyperparameters),
    sizes=MSRResNetSizes,
    examples=(*map(_SMALL.spec, (4, 3)), MSRResNetSizes(features=6, blocks=1).spec(2)),
    initialise=lambda module: draw_scaled_he(module, INITIAL_SCALE),
)
