"""A Ray cluster as its drivers see it: the way in, its nodes, and whether more of them are on their way."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import exceptions
from ray.experimental import internal_kv

from ...errors import ClusterError
from .capacity import Node

LOCAL = "local"
WORKER_GONE = (
    exceptions.RayActorError,
    exceptions.OutOfMemoryError,
    exceptions.NodeDiedError,
    exceptions.WorkerCrashedError,
    exceptions.LocalRayletDiedError,
    exceptions.TaskCancelledError,
)
"""What Ray raises when a worker, or its node, has gone."""
NO_ACTOR = (exceptions.ActorUnschedulableError, exceptions.RuntimeEnvSetupError)
"""What it raises when it cannot have one."""
_CONNECT_SECONDS = 5.0
_WAYS_IN = (
    "\n  Start one with 'ray start --head', or use this machine by leaving out --address and unsetting RAY_ADDRESS"
)
_SOCKET_PATH_BYTES = 107
_SHORT_FOLDER = "/tmp/ray"
_AUTOSCALER_STATUS = "__autoscaling_status"


def connect(address: str, packages: Sequence[Path]) -> None:
    """Makes this process a driver of the cluster at an address, or of one of its own (`LOCAL`).

    Raises:
      ClusterError: If no cluster answers there.
    """
    is_own = address == LOCAL
    options: dict[str, Any] = {"runtime_env": _runtime_env(packages)}
    if is_own:
        options = {"include_dashboard": False, "_temp_dir": _short_folder()}
    on_termination = signal.getsignal(signal.SIGTERM)
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and not is_reachable(host, int(port)):  # Ray would try for minutes
        raise ClusterError(f"nothing answers at {address} within {_CONNECT_SECONDS:g} s.{_WAYS_IN}")
    said: list[str] = []
    _quieten_raylet()
    try:
        with _native_errors(said):
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, RuntimeError, ValueError, exceptions.RayError) as error:
        if isinstance(error, exceptions.AuthenticationError) or "Unauthenticated" in f"{error}{said}":
            raise ClusterError(
                f"the Ray cluster at {address} does not accept the token, or asks for one.\n"
                "  Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what 'ray get-auth-token' prints on its head"
            ) from error
        if is_own:
            raise ClusterError(f"Ray does not start on this machine: {str(error).splitlines()[0]}") from error
        raise ClusterError(f"no Ray cluster answers at {address}: {str(error).splitlines()[0]}.{_WAYS_IN}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_termination)  # Ray has put its own in place, which ends without a word


def _short_folder() -> str | None:
    """Where Ray's own folder is to be if the usual one makes the paths of its sockets longer than the system allows."""
    usual = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    longest = f"{usual}/ray/session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"
    return None if len(os.fsencode(longest)) <= _SOCKET_PATH_BYTES else _SHORT_FOLDER


def _quieten_raylet() -> None:
    """Ray prints what befalls its processes on standard output, at length and in colour, whatever it is told.

    Its own log files have it too, and what matters of it is said by us.
    """
    worker = ray._private.worker
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


@contextlib.contextmanager
def _native_errors(said: list[str]) -> Iterator[None]:
    """Has what is written to standard error meanwhile, by Ray's C++ too, go into a list, in one piece."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said.append(file.read().decode(errors="replace"))


@dataclass(frozen=True)
class Listed:
    """A node, where its daemon listens, and whether it is about to be taken away."""

    node: Node
    host: str
    port: int
    is_leaving: bool

    @property
    def answers(self) -> bool:
        """Whether the daemon does; the cluster notices the end of a node some ten seconds later."""
        return is_reachable(self.host, self.port)


def nodes() -> dict[str, Listed]:
    """The nodes that are alive as far as the cluster knows, by their ids; those about to go are there without room."""
    leaving = draining_nodes()
    return {
        node["NodeID"]: Listed(
            _node_of({} if node["NodeID"] in leaving else node["Resources"]),
            node["NodeManagerAddress"],
            node["NodeManagerPort"],
            node["NodeID"] in leaving,
        )
        for node in ray.nodes()
        if node["Alive"]
    }


def _node_of(resources: Mapping[str, float]) -> Node:
    return Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0), resources.get("memory", 0.0))


def draining_nodes() -> frozenset[str]:
    """Ids of nodes that the cluster has been told will be taken away (``ray drain-node``, an autoscaler, a cloud)."""
    return frozenset(ray._private.state.state.get_draining_nodes())  # what Ray Train asks


def head_answers() -> bool:
    """Whether the cluster's head does; without it nothing can be started or ended."""
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    return is_reachable(host, int(port))


def is_reachable(host: str, port: int) -> bool:
    """Whether something listens at an address."""
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def num_nodes_starting() -> int:
    """Nodes that an autoscaler is about to start; 0 where there is no autoscaler."""
    content = internal_kv._internal_kv_get(_AUTOSCALER_STATUS)  # what `ray status` reads
    if content:
        report = json.loads(content).get("autoscaler_report") or {}
        launches: dict[str, int] = report.get("pending_launches") or {}
        return sum(launches.values()) + len(report.get("pending_nodes") or ())
    from ray.autoscaler.v2.sdk import get_cluster_status

    status = get_cluster_status(ray.get_runtime_context().gcs_address)
    return sum(int(launch.count) for launch in status.pending_launches) + len(status.pending_nodes)


def _runtime_env(packages: Sequence[Path]) -> Mapping[str, Any]:
    """This very code and the user's own for the cluster's workers; a submitted job has brought them already."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {}
    return {"py_modules": [str(path) for path in (Path(__file__).resolve().parents[2], *packages)]}
