"""The Ray executor: long-lived actors, one per GPU (or share of one) or CPU slot.

Ray is told to restart and retry nothing: the driver owns attempts, a dead actor is replaced by a fresh one, and a
pack that was under way is simply done again, which is safe because its rows appear all at once or not at all.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions

from ..errors import ClusterError, HarnessError
from ..job.parts.problem import Problem
from ..job.parts.settings import Resources
from ..worker.messages import Event, PackDone, PackFailed, Task, WorkerDied, WorkerSettings
from .executor import Executor

if TYPE_CHECKING:
    from ..problems.sources import Samples

_WORKER_GONE = (
    exceptions.RayActorError,
    exceptions.OutOfMemoryError,
    exceptions.NodeDiedError,
    exceptions.WorkerCrashedError,
    exceptions.LocalRayletDiedError,
    exceptions.TaskCancelledError,
)
_NO_ACTOR = (exceptions.ActorUnschedulableError, exceptions.RuntimeEnvSetupError)
_MAX_FAILED_STARTS = 5
_GRACE_SECONDS = 30.0


class RayExecutor(Executor):
    """Runs packs on the actors of a Ray cluster.

    Args:
      resources: What one actor holds, and how many there may be.
      address: Of an existing cluster; without one (and without RAY_ADDRESS) a cluster of this machine is started
        and ended with the executor.
      packages: Sent to the workers of an existing cluster; those of this machine import what the driver imports.
    """

    def __init__(self, resources: Resources, *, address: str | None = None, packages: Sequence[Path] = ()) -> None:
        super().__init__(resources, address=address, packages=packages)
        self._resources, self._address = resources, address or os.environ.get("RAY_ADDRESS") or "local"
        self._owns_cluster = not ray.is_initialized()
        if self._owns_cluster:
            _connect(self._address, packages)
        total = ray.cluster_resources()
        shape = actor_shape(resources, cpus=total.get("CPU", 0.0), gpus=total.get("GPU", 0.0))
        self.num_slots, self._cpus, self._gpus = shape
        self.uses_gpus = self._gpus > 0
        self.threads_per_slot = max(1, int(self._cpus))
        self._starting: dict[Any, Any] = {}  # the reference an actor answers when it is ready -> the actor
        self._idle: list[Any] = []
        self._failed_starts = 0
        self._samples: Any = None  # a reference
        self._running: dict[Any, _Call] = {}  # the stream of events -> what it belongs to

    @property
    def description(self) -> str:
        return describe_actors(
            self.num_slots,
            cpus=self._cpus,
            gpus=self._gpus,
            wanted_gpus=self._resources.gpus_per_actor,
            is_own_machine=self._address == "local",
        )

    @property
    def num_free(self) -> int:
        return len(self._idle)

    def open(self, settings: WorkerSettings, problem: Problem, *, num_tasks: int) -> None:
        self._settings, self._samples = settings, None
        pending = []
        if problem.has_samples:
            # loaded once by a task; actors of a node share the object store's copy without copying it again
            load = ray.remote(_load).options(num_cpus=0, num_returns=2)
            self._samples, checked = load.remote(problem)
            pending.append(checked)
        for _ in range(min(self.num_slots, num_tasks)):  # they start while the data load
            self._start_actor()
        try:
            ray.get(pending)
        except exceptions.RayTaskError as error:
            raise HarnessError(f"problem {problem.name}: {error.cause}") from error
        except _NO_ACTOR as error:
            raise ClusterError(f"the cluster cannot load the data: {error}") from error

    def start(self, task: Task) -> None:
        actor = self._idle.pop()
        stream = actor.execute.options(num_returns="streaming").remote(task)
        self._running[stream] = _Call(actor, task, time.monotonic())

    def wait(self) -> Sequence[tuple[Task, Event]]:
        pending = [*self._running, *self._starting]
        ready, _ = ray.wait(pending, num_returns=1, timeout=1.0, fetch_local=False)
        if ready:  # whatever else has happened, too: a wait takes time in proportion to the workers, an event does not
            ready, _ = ray.wait(pending, num_returns=len(pending), timeout=0, fetch_local=False)
        events = []
        for reference in ready:
            if reference in self._starting:
                self._welcome(reference)
            else:
                events.append(self._next_event(reference))
        return [*events, *self._overdue()]

    def close(self) -> None:
        for actor in [*self._starting.values(), *self._idle, *(call.actor for call in self._running.values())]:
            ray.kill(actor)
        self._starting.clear()
        self._idle.clear()
        self._running.clear()
        if self._owns_cluster:
            ray.shutdown()

    def _start_actor(self) -> None:
        actor = (
            ray.remote(_Actor)
            .options(num_cpus=self._cpus, num_gpus=self._gpus, max_restarts=0, max_task_retries=0)
            .remote()
        )
        self._starting[actor.prepare.remote(self._settings, self._samples)] = actor

    def _welcome(self, reference: Any) -> None:
        """An actor has got its resources and is ready, or will never be."""
        actor = self._starting.pop(reference)
        try:
            ray.get(reference)
        except (*_NO_ACTOR, *_WORKER_GONE, exceptions.RayTaskError) as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, HarnessError):  # a store that is not the driver's: no other start would help
                raise cause from error
            self._failed_starts += 1
            if self._failed_starts > _MAX_FAILED_STARTS:
                raise ClusterError(f"actors of {self.description} do not start: {error}") from error
            self._start_actor()
        else:
            self._failed_starts = 0
            self._idle.append(actor)

    def _next_event(self, stream: Any) -> tuple[Task, Event]:
        call = self._running[stream]
        try:
            event: Event = ray.get(next(stream))
        except _WORKER_GONE as error:
            event = WorkerDied(str(error), preempted=bool(getattr(error, "preempted", False)))
        except StopIteration:
            event = WorkerDied("the worker's events ended without a last one")
        if isinstance(event, (PackDone, PackFailed, WorkerDied)):
            del self._running[stream]
            if isinstance(event, PackDone) or (isinstance(event, PackFailed) and event.worker_is_sound):
                self._idle.append(call.actor)
            else:
                self._replace(call.actor)
        return call.task, event

    def _overdue(self) -> list[tuple[Task, Event]]:
        """Ends workers that are past their time and do not notice, in one long operation or for ever."""
        limit = self._settings.timeout_seconds
        if limit is None:
            return []
        late = [s for s, call in self._running.items() if time.monotonic() - call.started > limit + _GRACE_SECONDS]
        events: list[tuple[Task, Event]] = []
        for stream in late:
            call = self._running.pop(stream)
            self._replace(call.actor)
            error = f"the pack did not end {_GRACE_SECONDS:g} s after resources.timeout_seconds = {limit:g}"
            events.append((call.task, PackFailed("timeout", error)))
        return events

    def _replace(self, actor: Any) -> None:
        ray.kill(actor)
        self._start_actor()


@dataclass(frozen=True)
class _Call:
    """A task on an actor, and when it started."""

    actor: Any
    task: Task
    started: float


def actor_shape(resources: Resources, *, cpus: float, gpus: float) -> tuple[int, float, float]:
    """How many actors a cluster holds, and the CPUs and GPUs of each.

    Raises:
      ClusterError: If it cannot hold what the job asks for.
    """
    if 0 < gpus < resources.gpus_per_actor:
        raise ClusterError(
            f"the cluster has {gpus:g} GPUs, resources.gpus_per_actor asks for {resources.gpus_per_actor:g}"
        )
    per_actor = resources.gpus_per_actor if gpus else 0.0
    by_gpu = math.inf if per_actor == 0 else gpus // per_actor if per_actor >= 1 else int(gpus) * round(1 / per_actor)
    wanted = math.inf if resources.actors == "auto" else resources.actors
    if resources.cpus_per_actor != "auto":
        cpus_each = resources.cpus_per_actor
    elif per_actor == 0:
        cpus_each = 1.0
    else:
        cpus_each = min(1.0, math.floor(1e4 * cpus / min(by_gpu, wanted)) / 1e4)
    fitting = min(by_gpu, math.floor(cpus / cpus_each + 1e-9))
    if fitting < 1 or (resources.actors != "auto" and fitting < resources.actors):
        raise ClusterError(
            f"the cluster has {cpus:g} CPUs and {gpus:g} GPUs, room for {int(fitting)} actors of {cpus_each:g} CPU and "
            f"{per_actor:g} GPU; the job asks for {resources.actors} (resources.actors, cpus_per_actor, gpus_per_actor)"
        )
    return int(min(fitting, wanted)), cpus_each, per_actor


def describe_actors(num: int, *, cpus: float, gpus: float, wanted_gpus: float, is_own_machine: bool) -> str:
    """What runs the packs, for a person; `gpus` and `wanted_gpus` are what an actor has and should have.

    A cluster somebody has paid for and that has no GPU is worth a warning: Ray starts workers for actors that wait, but
    we ask only for what is there.
    """
    each = f"{gpus:g} GPU and {cpus:g} CPU" if gpus else f"{cpus:g} CPU"
    if gpus or not wanted_gpus:
        note = ""
    elif is_own_machine:
        note = " (no GPU here)"
    else:
        note = (
            f" (no GPU in the cluster: CPUs compute, though resources.gpus_per_actor is {wanted_gpus:g}; GPU workers "
            "must be up before the job starts, see min_workers)"
        )
    return f"{num} Ray actor{'s' if num > 1 else ''}, {each} each{note}"


class _Actor:
    """A worker in a process of its own. It alone imports torch, and does while the data load."""

    def __init__(self) -> None:
        from ..worker.worker import Worker

        self._make = Worker

    def prepare(self, settings: WorkerSettings, samples: Samples | None) -> bool:
        """Makes the worker here, where an error reaches the driver as what it is."""
        self._worker = self._make(settings, samples)
        return True

    def execute(self, task: Task) -> Iterator[Event]:
        yield from self._worker.execute(task)


def _load(problem: Problem) -> tuple[Samples | None, bool]:
    return problem.load(), True


def _connect(address: str, packages: Sequence[Path]) -> None:
    is_own = address == "local"
    options: dict[str, Any] = {"include_dashboard": False} if is_own else {"runtime_env": _runtime_env(packages)}
    on_termination = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError, exceptions.RayError) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address}: {error}\n"
            "  Start one with 'ray start --head', or use this machine by "
            "leaving out --address and unsetting RAY_ADDRESS"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_termination)  # Ray has put its own in place, which ends without a word


def _runtime_env(packages: Sequence[Path]) -> Mapping[str, Any]:
    """This very code and the user's own for the cluster's workers; a submitted job has brought them already."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {}
    return {"py_modules": [str(path) for path in (Path(__file__).resolve().parents[1], *packages)]}
