"""The cluster: joining or starting it, its room for workers, and the workers that run."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from upscale_cli.errors import DeviceError
from upscale_cli.notices import Notify, warning
from upscale_cli.upscaling.engines.ray_worker import AT_ONCE, Assignment, Fault, Worker
from upscale_cli.upscaling.job import Job
from upscale_cli.upscaling.ray_options import CLIENT, RayOptions

CORES = 4  # of a worker without a GPU, where a node has as many
LOOK_EVERY = 2.0  # seconds between looks at the nodes
REACHED_WITHIN = 10.0  # seconds
PATIENCE = 20.0  # seconds without any worker before that is said
LEAVING = 30.0  # seconds for what is being written when a run ends early
MOST_FALSE_STARTS = 3


@contextmanager
def connected(asked: RayOptions) -> Iterator[Any]:
    """Yield Ray, connected to the cluster that is asked for; what was connected before stays so.

    Nothing of Ray's reaches the terminal, and no statistics are sent. Raises DeviceError.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns of it
    import ray

    if ray.is_initialized():
        yield ray
        return
    main = threading.current_thread() is threading.main_thread()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        _require_reachable(asked.address or os.environ.get("RAY_ADDRESS", ""))
        _quietly_init(ray, asked.address)
        if main:
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own would end without a word
        yield ray
    finally:
        ray.shutdown()


def _require_reachable(address: str) -> None:
    """Raise DeviceError where nothing answers at ``address``, for which Ray would wait minutes."""
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACHED_WITHIN).close()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DeviceError(f"There is no Ray cluster at {address}: {reason}.", "Check the address.") from error


def _quietly_init(ray: Any, address: str | None) -> None:
    ray._private.worker._worker_logs_enabled = False  # reports on workers that died would go to stdout
    try:
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
    except SystemExit as error:  # Ray's answer to SIGTERM from within its start on
        raise KeyboardInterrupt from error
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"at {address}" if address else "to be joined or started"
        first = str(error).strip().split("\n")[0].rstrip(".")
        hint = "Check the address, or `ray status`. A cluster that wants a token needs RAY_AUTH_MODE=token here too."
        raise DeviceError(f"There is no Ray cluster {where}: {first}.", hint) from error


class Fleet:
    """The workers of a run: as many as wanted, each one that dies replaced. ``loads``: how full each is."""

    def __init__(self, ray: Any, asked: RayOptions, assignment: Assignment, notify: Notify) -> None:
        self._ray, self._asked, self._notify = ray, asked, notify
        self._needs = needs(ray.nodes(), asked)
        most = AT_ONCE + 1  # calls at once, one of them to watch; groups of calls are unknown to Ray's client
        self._kind = ray.remote(max_restarts=0, max_concurrency=most)(Worker)
        self._assignment = ray.put(assignment)
        self._starting: dict[Any, Any] = {}  # by what tells that it is ready
        self.loads: dict[Any, int] = {}
        self._false_starts, self._last_ready = 0, time.monotonic()
        self._wanted, self._looked = 0, 0.0

    def keep_up(self) -> None:
        """Start the workers that are missing."""
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._wanted = self._asked.actors or room(self._ray.nodes(), *self._needs)
            self._looked = time.monotonic()
        for _ in range(self._wanted - len(self.loads) - len(self._starting)):
            cpus, gpus = self._needs
            worker = self._kind.options(num_cpus=cpus, num_gpus=gpus).remote()
            self._starting[worker.prepare.remote(self._assignment)] = worker
        if not self.loads and time.monotonic() - self._last_ready > PATIENCE:
            cpus, gpus = self._needs
            each = f"{cpus:g} cores" + (f" and {gpus:g} GPUs" if gpus else "")
            self._notify(warning(f"Waiting for the cluster: no node has {each} free for a worker."))
            self._last_ready = float("inf")

    @property
    def waiting(self) -> list[Any]:
        """What tells that workers are ready."""
        return list(self._starting)

    def take(self, ready: Any) -> None:
        """Take in the worker that ``ready`` tells of. Raises its fault, or DeviceError where workers do not come up."""
        worker = self._starting.pop(ready)
        try:
            fault = self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            self._false_starts += 1
            self._end(worker)
            if self._false_starts >= MOST_FALSE_STARTS:
                reason = str(getattr(error, "cause", None) or error).strip().split("\n")[-1]
                hint = "Install upscale-cli on every node, and see the logs of Ray."
                raise DeviceError(f"The cluster's workers do not start: {reason}", hint) from error
            return
        if isinstance(fault, Fault):
            raise fault.error
        self._false_starts, self._last_ready = 0, time.monotonic()
        self.loads[worker] = 0

    def drop(self, worker: Any) -> None:
        """Let go of a worker that is lost; whatever is left of it ends."""
        if self.loads.pop(worker, None) is not None:
            self._last_ready = time.monotonic()
        self._end(worker)

    def _end(self, worker: Any) -> None:
        self._ray.kill(worker)

    def free(self, most: int = AT_ONCE) -> Any | None:
        """Return the worker with the fewest jobs, None where all have ``most``."""
        worker = min(self.loads, key=self.loads.__getitem__, default=None)
        return worker if worker is not None and self.loads[worker] < most else None

    def give(self, worker: Any, job: Job, load: int) -> Any:
        """Return what tells of the end of ``job``, which ``worker`` begins with ``load`` of its room."""
        self.loads[worker] += load
        return worker.do.remote(job)

    def relieve(self, worker: Any, load: int) -> None:
        """Take ``load`` off ``worker``."""
        if worker in self.loads:
            self.loads[worker] -= load

    def how_far(self) -> list[Any]:
        """Return what brings the Progress of each worker that has jobs."""
        return [worker.reached.remote() for worker, load in self.loads.items() if load]

    def disband(self, under_way: list[Any]) -> None:
        """End all workers, once what they write is whole; ``under_way``: what tells of their jobs."""
        for worker in self.loads:
            worker.stop.remote()
        if under_way:
            self._ray.wait(under_way, num_returns=len(under_way), timeout=LEAVING)
        closing = [worker.close.remote() for worker in self.loads]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=LEAVING)
        for worker in (*self.loads, *self._starting.values()):
            self._end(worker)
        self.loads.clear()
        self._starting.clear()


def needs(nodes: list[dict[str, Any]], asked: RayOptions) -> tuple[float, float]:
    """Return the cores and GPUs of a worker: by default a GPU, or four cores, or as many as the largest node has."""
    has = [node["Resources"] for node in nodes if node["Alive"]]
    most_cpus = max((each.get("CPU", 0.0) for each in has), default=0.0)
    has_gpus = any(each.get("GPU", 0.0) for each in has)
    gpus = asked.gpus if asked.gpus is not None else 1.0 if has_gpus else 0.0
    cpus = asked.cpus or (1.0 if gpus else min(float(CORES), most_cpus) or CORES)
    return cpus, gpus


def room(nodes: list[dict[str, Any]], cpus: float, gpus: float) -> int:
    """Return how many workers of ``cpus`` and ``gpus`` the living ``nodes`` hold: at least one is wanted."""
    each = {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}
    living = [node["Resources"] for node in nodes if node["Alive"]]
    return max(1, sum(int(min(has.get(kind, 0.0) / needed for kind, needed in each.items())) for has in living))
