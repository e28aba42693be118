"""The halo of tiles: the receptive radius where that is affordable, else a policy."""

from __future__ import annotations

from upscale_cli.networks.architecture import SHORT_HALO, UNBOUNDED, NetworkSpec


def test_networks_that_see_far_get_a_short_halo_on_their_own_grid() -> None:
    assert NetworkSpec("near", 4, 3, 3, receptive_radius=34).tile_halo == 34
    assert NetworkSpec("far", 4, 3, 3, receptive_radius=349).tile_halo == SHORT_HALO
    assert NetworkSpec("far", 2, 3, 3, receptive_radius=698, size_multiple=2).tile_halo == 2 * SHORT_HALO


def test_an_architecture_may_have_a_policy_of_its_own() -> None:
    assert NetworkSpec("own", 4, 3, 3, receptive_radius=UNBOUNDED, halo=16).tile_halo == 16
