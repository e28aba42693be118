"""The options of ``--ray``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from upscale_cli.errors import UsageError

if TYPE_CHECKING:
    from upscale_cli.upscaling.ray_options import RayOptions

FOUND = "found"  # by Ray's own rules, or started
ADDRESS = re.compile(r"found|auto|local|(ray://)?[\w.\[\]:-]+:\d+")
NAMES = ("ray", "ray_actors", "ray_gpus", "ray_cpus")


def parse_address(text: str | bool) -> str | None:
    """Return the address of a cluster; of True and False, which a file of defaults may hold, FOUND and None."""
    if isinstance(text, bool):
        return FOUND if text else None
    if not ADDRESS.fullmatch(text):
        raise UsageError(f"{text!r} is no address of a Ray cluster.", "Use auto, host:6379 or ray://host:10001.")
    return text


def with_address(arguments: Sequence[str]) -> Iterator[str]:
    """Yield ``arguments`` with the address of a --ray that is followed by something else."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        alone = argument == "--ray" and not ADDRESS.fullmatch(following)
        yield f"--ray={FOUND}" if alone else argument


def ray_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets them as ``cluster``: None without --ray."""

    @wraps(function)
    def command(*, ray: str | None, **given: Any) -> None:
        function(cluster=_cluster(ray, *(given.pop(name) for name in NAMES[1:])), **given)

    for option in (
        click.option("--ray-cpus", type=float, help="Cores of a worker.  [default: 4; beside a GPU 1]"),
        click.option("--ray-gpus", type=float, help="GPUs of a worker, 0.5 too.  [default: 1 where there are any]"),
        click.option("--ray-actors", type=int, help="Workers at once.  [default: as many as the cluster holds]"),
        click.option(
            "--ray",
            type=parse_address,
            metavar="[ADDRESS]",
            help="Enlarge pictures and clips on the Ray cluster that is found or started here, or on that of ADDRESS:"
            " auto, local, host:6379 or ray://host:10001.",
        ),
    ):
        command = option(command)
    return command


def _cluster(address: str | None, actors: int | None, gpus: float | None, cpus: float | None) -> RayOptions | None:
    from upscale_cli.upscaling.ray_options import RayOptions

    given = {"--ray-actors": actors, "--ray-gpus": gpus, "--ray-cpus": cpus}
    if address is None:
        for option, value in given.items():
            if value is not None:
                raise UsageError(f"{option} is for runs on a cluster.", "Add --ray.")
        return None
    return RayOptions(None if address == FOUND else address, actors, gpus, cpus)
