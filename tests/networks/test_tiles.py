"""Tiles and whole: the same picture wherever the halo covers the receptive radius."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from upscale_cli.networks import ARCHITECTURES, NetworkSpec, build, draw, recognise
from upscale_cli.networks.dat import DAT
from upscale_cli.upscaling.runner import NetworkRunner

CPU = torch.device("cpu")
EXACT = [spec for a in ARCHITECTURES for spec in a.examples if spec.receptive_radius <= spec.tile_halo]


def runner(spec: NetworkSpec, tile: int) -> NetworkRunner:
    torch.manual_seed(0)
    return NetworkRunner(build(*recognise(draw(spec).state_dict())), spec, devices_used=[CPU], tile=tile)


@pytest.mark.parametrize("spec", EXACT, ids=lambda spec: f"{spec.architecture}-x{spec.scale}-{spec.in_channels}ch")
def test_tiles_are_the_whole_where_the_halo_covers_the_radius(spec: NetworkSpec) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (61, 83, spec.in_channels), dtype=np.uint8)
    whole, tiled = (runner(spec, tile).run(pixels, np.uint16).astype(int) for tile in (0, 24))
    assert whole.shape == (61 * spec.scale, 83 * spec.scale, spec.out_channels)
    assert np.abs(whole - tiled).max() <= 2  # levels of 65535


def test_a_network_that_takes_any_size_sees_no_continued_picture() -> None:
    spec = DAT.examples[0]
    seen: list[torch.Size] = []
    module = build(*recognise(draw(spec).state_dict()))
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2:]))
    pixels = np.zeros((13, 22, 3), np.uint8)
    assert NetworkRunner(module, spec, devices_used=[CPU], tile=0).run(pixels).shape == (26, 44, 3)
    assert seen[-1] == (13, 22)
