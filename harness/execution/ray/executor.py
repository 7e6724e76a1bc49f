"""The Ray executor: long-lived actors, one per GPU (or share of one) or CPU slot, as many as there are nodes for.

Ray is told to restart and retry nothing: the driver owns attempts, a dead actor is replaced by a fresh one, and a
pack that was under way is simply done again, which is safe because its rows appear all at once or not at all.

On a cluster more actors are asked for than it has room for, as long as packs wait: whichever node joins takes them, and
an autoscaler starts nodes for them.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray import exceptions

from ...errors import ClusterError, HarnessError, UnseenStoreError
from ...job.parts.problem import Problem
from ...job.parts.settings import Resources
from ...worker.messages import Event, Last, PackFailed, Task, WorkerDied, WorkerSettings
from ..durations import duration
from ..executor import Executor
from . import cluster
from .actor import LOOK_SECONDS, Actor
from .calls import Call, Location, Starting, Worker
from .capacity import Node, Shape, shape_with_gpus, shape_without_gpus, too_small
from .loading import Loading
from .relay import Relay, start_keeper

_MAX_FAILED_STARTS = 5
_NODE_DIED = "its node has died"
"""In Ray's words for an actor whose node has gone, which no attribute of the error says."""
_ASKED_AT_ONCE = 8
"""Actors asked for beyond those at work, or as many again: so nodes are started by the dozen, and few requests wait."""
_AUTOSCALER_SECONDS = 20.0
"""After which an autoscaler, which looks every 5 s, would be starting a node for an actor that fits none."""
_IDLE_SECONDS = 60.0
"""After which an actor that no pack will need leaves its node to others, or to the autoscaler."""
_HEAD_SECONDS = 10.0
"""After which a head that does not answer is gone."""
_SAID_SECONDS = 10.0
"""Between words about what is waited for."""


class RayExecutor(Executor):
    """Runs packs on the actors of a Ray cluster.

    Args:
      resources: What one actor holds, and how many there may be.
      address: Of an existing cluster; without one (and without RAY_ADDRESS) a cluster of this machine is started
        and ended with the executor.
      packages: Sent to the workers of an existing cluster; those of this machine import what the driver imports.

    Raises:
      ClusterError: If no cluster answers, or this machine does not hold what the job asks for.
    """

    def __init__(self, resources: Resources, *, address: str | None = None, packages: Sequence[Path] = ()) -> None:
        super().__init__(resources, address=address, packages=packages)
        address = address or os.environ.get("RAY_ADDRESS") or cluster.LOCAL
        self._is_own_machine = address == cluster.LOCAL
        self._owns_cluster = not ray.is_initialized()
        if self._owns_cluster:
            cluster.connect(address, packages)
        self._limit = None if resources.actors == "auto" else resources.actors
        self._grows = False  # whether nodes are on their way, as far as is known
        self._starting: dict[Any, Starting] = {}  # the reference an actor answers when it is ready -> the actor
        self._idle: dict[Worker, float] = {}  # since when
        self._running: dict[Any, Call] = {}  # the stream of events -> what it belongs to
        self._failed_starts = 0
        self._loading: Loading | None = None
        self._checked = self._answered = time.monotonic()
        self._head_is_gone = False
        self._keeper: Any = None  # of the driver's folder, for workers that do not see it
        self._said_of: set[str] = set()
        self._look()
        self._take_shape(_first_shape(resources, self._nodes, is_own_machine=self._is_own_machine))

    @property
    def description(self) -> str:
        wanted = self.resources.gpus_per_actor
        if self._shape.gpus or not wanted:
            note = ""
        elif self._is_own_machine:
            note = " (no GPU here)"
        else:
            note = f" (no GPU in the cluster: CPUs compute, though resources.gpus_per_actor is {wanted:g})"
        if self._is_own_machine:
            return f"{self.num_slots} Ray actor{'s' if self.num_slots > 1 else ''}, {self._shape} each{note}"
        room = self._limited(self._shape.room(self._nodes))
        more = ", more as nodes join" if self._limit is None or room < self._limit else ""
        return f"{room} Ray actor{'s' if room != 1 else ''}, {self._shape} each{more}{note}"

    @property
    def num_free(self) -> int:
        return len(self._idle)

    @property
    def awaited(self) -> str:
        if self._shape.room(self._nodes):
            return "actors to start" if self._starting else "a worker"
        return f"a node with {self._shape}{', being started' if self._grows else ''}"

    def open(self, settings: WorkerSettings, problem: Problem, *, num_tasks: int) -> None:
        self._settings = settings
        self._loading = Loading(problem)
        self.provide(num_tasks)  # actors start while the data load
        opened = said = time.monotonic()
        while not (self._has_loaded() and self._has_nodes(num_tasks, since=opened)):
            now, is_loading = time.monotonic(), self._loading.is_under_way
            if settings.timeout_seconds is not None and now - opened > settings.timeout_seconds and is_loading:
                raise HarnessError(
                    f"problem {problem.name}: loading the data takes longer than resources.timeout_seconds = "
                    f"{settings.timeout_seconds:g}"
                )
            if now - said > _SAID_SECONDS:
                said = now
                what = f"loading the data of problem {problem.name}" if is_loading else f"waiting for {self.awaited}"
                self.announce(f"{what}, {duration(now - opened)}")

    def provide(self, num_tasks: int) -> None:
        if not self._head_answers():  # whatever is asked of it then, Ray waits for an answer for a minute
            return
        now = time.monotonic()
        if not self._is_own_machine and now - self._looked > LOOK_SECONDS:
            self._look()
            self._end_idle([worker for worker in self._idle if self._is_leaving(worker)])
        here = len(self._running) + len(self._idle)
        wanted = self._limited(len(self._running) + num_tasks)
        room = self._shape.room(self._nodes)
        if not self._is_own_machine and not room:
            self._grows = cluster.num_nodes_starting() > 0
        allowed = room if self._is_own_machine else max(room, here + max(_ASKED_AT_ONCE, here))
        for _ in range(min(wanted, allowed) - here - len(self._starting)):
            self._start_actor()
        for reference in list(reversed(self._starting))[: max(0, here + len(self._starting) - wanted)]:
            ray.kill(self._starting.pop(reference).actor)
        if not self._is_own_machine:
            overlong = [worker for worker, since in self._idle.items() if now - since > _IDLE_SECONDS]
            self._end_idle(overlong[: max(0, here - wanted)])

    def start(self, task: Task) -> None:
        worker, _ = self._idle.popitem()
        stream = worker.actor.execute.options(num_returns="streaming").remote(task)
        self._running[stream] = Call(worker, task, started=time.monotonic(), heard=time.monotonic())

    def wait(self) -> Sequence[tuple[Task, Event]]:
        pending = [*self._running, *self._starting]
        if not pending:
            time.sleep(0.1)  # all workers are gone, and `provide` is asked for others
            return []
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
        if self._head_is_gone:
            return
        if self._loading is not None:
            self._loading.cancel()
        workers = [*self._idle, *(call.worker for call in self._running.values())]
        for actor in [*(begun.actor for begun in self._starting.values()), *(worker.actor for worker in workers)]:
            ray.kill(actor)
        if self._keeper is not None:
            ray.kill(self._keeper)
        self._starting.clear()
        self._idle.clear()
        self._running.clear()
        if self._owns_cluster:
            ray.shutdown()

    # --- nodes

    def _head_answers(self) -> bool:
        """Whether the cluster's head does, of the last second. Without it Ray itself ends the process after a minute.

        Raises:
          ClusterError: If it has not answered for a while.
        """
        now = time.monotonic()
        if now - self._checked < 1.0:
            return self._answered == self._checked
        self._checked = now
        if cluster.head_answers():
            self._answered = now
        elif now - self._answered > _HEAD_SECONDS:
            self._head_is_gone = True
            raise ClusterError(
                f"the head of the Ray cluster has not answered for {duration(now - self._answered)}. What was written "
                "stays; when there is a cluster again, the same command goes on where it was"
            )
        return self._answered == now

    def _look(self) -> None:
        """At the nodes that there are now."""
        self._listed = cluster.nodes()
        self._nodes: Sequence[Node] = [listed.node for listed in self._listed.values()]
        self._looked = time.monotonic()

    def _is_leaving(self, worker: Worker) -> bool:
        """Whether a worker's node is about to be taken away."""
        listed = self._listed.get(worker.place.node)
        return listed is not None and listed.is_leaving

    def _limited(self, num: int) -> int:
        return num if self._limit is None else min(num, self._limit)

    def _take_shape(self, shape: Shape) -> None:
        self._shape = shape
        room = shape.room(self._nodes)
        self.num_slots = self._limited(room if self._is_own_machine or room else _ASKED_AT_ONCE)
        self.uses_gpus = shape.gpus > 0
        self.threads_per_slot = max(1, int(shape.cpus))

    def _has_loaded(self) -> bool:
        assert self._loading is not None
        self._loading.look()
        return not self._loading.is_under_way

    def _has_nodes(self, num_tasks: int, *, since: float) -> bool:
        """Whether a node holds an actor, or one is being started that may.

        Raises:
          ClusterError: If there will be none.
        """
        if self._is_own_machine or self._shape.room(self._nodes) or self._grows:
            return True
        time.sleep(1.0)
        self._look()
        self._grows = cluster.num_nodes_starting() > 0
        if not self._shape.room(self._nodes) and not self._grows and time.monotonic() - since > _AUTOSCALER_SECONDS:
            has_gpus = any(node.gpus for node in self._nodes)
            if not self._shape.gpus or has_gpus or self.resources.gpus == "required":
                raise too_small(self._shape, self.resources, self._nodes, where="the cluster, which starts no node,")
            self._go_on_without_gpus(num_tasks)
        return bool(self._shape.room(self._nodes)) or self._grows

    def _go_on_without_gpus(self, num_tasks: int) -> None:
        self._drop_starting()
        self._take_shape(shape_without_gpus(self.resources))
        if not self._shape.room(self._nodes):
            raise too_small(self._shape, self.resources, self._nodes, where="the cluster, which starts no node,")
        self.provide(num_tasks)

    # --- actors

    def _drop_starting(self) -> None:
        for reference in list(self._starting):
            ray.kill(self._starting.pop(reference).actor)

    def _start_actor(self) -> None:
        shape = shape_with_gpus(self.resources, self._nodes) if self._shape.gpus else self._shape
        settings = dataclasses.replace(self._settings, num_threads=max(1, int(shape.cpus)), allow_gpu=shape.gpus > 0)
        actor = (
            ray.remote(Actor)
            .options(
                num_cpus=shape.cpus,
                num_gpus=shape.gpus,
                memory=shape.memory or None,
                max_restarts=0,
                max_task_retries=0,
            )
            .remote()
        )
        self._prepare(Starting(actor, settings))

    def _prepare(self, begun: Starting) -> None:
        root = begun.settings.results
        assert self._loading is not None, "open() comes first"
        files = Relay(root, self._keeper) if begun.is_relayed else None
        self._starting[begun.actor.prepare.remote(begun.settings, self._loading.samples, files)] = begun

    def _welcome(self, reference: Any) -> None:
        """An actor has got its resources and is ready, or will never be."""
        begun = self._starting.pop(reference)
        try:
            place = ray.get(reference)
        except (*cluster.NO_ACTOR, *cluster.WORKER_GONE, exceptions.RayTaskError) as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, UnseenStoreError) and not begun.is_relayed and "://" not in begun.settings.results:
                if self._keeper is None:
                    self._keeper = start_keeper(begun.settings.results)
                self._prepare(dataclasses.replace(begun, is_relayed=True))
                return
            if isinstance(cause, HarnessError):  # a store that is not to be had: no other start would help
                raise cause from error
            if _NODE_DIED in str(error):  # with all that were on their way to it
                return
            self._failed_starts += 1
            if self._failed_starts > _MAX_FAILED_STARTS:
                raise ClusterError(f"actors of {self._shape} do not start: {error}") from error
        else:
            self._failed_starts = 0
            self._say_where_results_go(place, begun)
            self._idle[Worker(begun.actor, place)] = time.monotonic()

    def _say_where_results_go(self, place: Location, begun: Starting) -> None:
        """Once for each host whose results travel, and once for those that write themselves."""
        host = place.host if begun.is_relayed else ""
        if self._is_own_machine or host in self._said_of:
            return
        self._said_of.add(host)
        root = begun.settings.results
        self.announce(
            f"{host} does not see {root}: its results travel through Ray to this node"
            if host
            else f"workers write to {root} themselves"
        )

    def _next_event(self, stream: Any) -> tuple[Task, Event]:
        call = self._running[stream]
        call.heard = time.monotonic()
        try:
            event: Event = ray.get(next(stream))
        except cluster.WORKER_GONE as error:
            event = self._death(call.worker, error)
        except exceptions.RayTaskError as error:  # beside the pack, which turns its own into events
            event = WorkerDied(f"{call.worker.place}: {type(error.cause).__name__}: {error.cause}", details=str(error))
        except StopIteration:
            event = WorkerDied("the worker's events ended without a last one")
        if isinstance(event, Last):
            del self._running[stream]
            is_spent = isinstance(event, WorkerDied) or (isinstance(event, PackFailed) and not event.worker_is_sound)
            if is_spent or self._is_leaving(call.worker):
                ray.kill(call.worker.actor)  # `provide` starts another
            else:
                self._idle[call.worker] = time.monotonic()
        return call.task, event

    def _death(self, worker: Worker, error: Exception) -> WorkerDied:
        """What became of a worker, in a sentence instead of Ray's many."""
        listed = self._listed.get(worker.place.node)
        if listed is None or _NODE_DIED in str(error) or not listed.answers:
            return WorkerDied(f"the node of {worker.place} is gone", preempted=True, details=str(error))
        if isinstance(error, exceptions.OutOfMemoryError):
            said = f"its node was short of memory, so Ray ended {worker.place}; resources.memory_gb limits an actor"
        else:
            said = f"{worker.place} has ended in the middle of the pack: it was killed, or code in it ended it"
        return WorkerDied(said, preempted=bool(getattr(error, "preempted", False)), details=str(error))

    def _end_idle(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            del self._idle[worker]
            ray.kill(worker.actor)

    def _overdue(self) -> list[tuple[Task, Event]]:
        """Ends workers that are past their time and do not notice, in one long operation or for ever."""
        now = time.monotonic()
        events: list[tuple[Task, Event]] = []
        for stream, call in list(self._running.items()):
            problem = call.overdue(now, self._settings.timeout_seconds)
            if problem:
                del self._running[stream]
                ray.kill(call.worker.actor)
                events.append((call.task, PackFailed("timeout", problem, is_logged=False)))
        return events


def _first_shape(resources: Resources, nodes: Sequence[Node], *, is_own_machine: bool) -> Shape:
    """What an actor is to hold, as far as can be told at once: on a cluster nodes with GPUs may be yet to come.

    Raises:
      ClusterError: If this machine does not hold it.
    """
    with_gpus = resources.gpus_per_actor > 0
    if is_own_machine and with_gpus and not any(node.gpus for node in nodes):
        if resources.gpus == "required":
            raise ClusterError("this machine has no GPU, and resources.gpus is required; see --address")
        with_gpus = False
    shape = shape_with_gpus(resources, nodes) if with_gpus else shape_without_gpus(resources)
    wanted = 1 if resources.actors == "auto" else resources.actors
    if is_own_machine and shape.room(nodes) < wanted:
        raise too_small(shape, resources, nodes, where="this machine")
    return shape
