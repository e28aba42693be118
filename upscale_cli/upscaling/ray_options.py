"""What can be asked of a Ray cluster, and whether Ray is installed; loads nothing of Ray."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from upscale_cli.errors import UsageError

CLIENT = "ray://"


@dataclass(frozen=True)
class RayOptions:
    """Where and how pictures are enlarged on a cluster.

    ``address``: of the cluster (auto, local, host:port or ray://host:port), None for what Ray finds or starts.
    ``actors``: workers that run at once (None: as many as the cluster has room for); each takes ``cpus`` cores (None:
    four, or one beside a GPU) and ``gpus`` GPUs, of which shares are allowed (None: one where the cluster has any).

    Raises UsageError where a number is not positive, or where Ray or its client is not installed.
    """

    address: str | None = None
    actors: int | None = None
    gpus: float | None = None
    cpus: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("actors", 1), ("cpus", 0), ("gpus", 0)):
            value = getattr(self, name)
            if value is not None and (value < least or (name == "cpus" and value == 0)):
                raise UsageError(f"--ray-{name} {value:g} is too little for a worker.", "Give more, or leave it out.")
        if self.gpus is not None and self.gpus > 1 and self.gpus % 1:
            raise UsageError(f"Ray gives no {self.gpus:g} GPUs to a worker.", "Use a share of one, or whole ones.")
        if find_spec("ray") is None:
            raise UsageError("--ray needs an extra.", "Run: pip install 'upscale-cli[ray]'")
        if self.address is not None and self.address.startswith(CLIENT) and find_spec("grpc") is None:
            raise UsageError(f"{CLIENT} addresses need Ray's client.", "Run: pip install 'upscale-cli[ray]'")
