"""Running a job: the queue of packs, their attempts and failures. Holds ids and counters only.

The driver decides *what* runs next and what becomes of a failure; an executor decides where.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, cast

from .executors.base import Executor
from .job import Resources
from .jobfile import AnyJob, dump_job
from .messages import (
    CellsWritten,
    Event,
    PackDone,
    PackFailed,
    Progress,
    Provenance,
    SnapshotImpossible,
    SnapshotWritten,
    Task,
    WorkerDied,
    WorkerSettings,
)
from .plan import AnyCell, Pack, Plan, ProbePack, SnapshotKey, TrainingPack, make_plan
from .problems.specs import ProblemSpec
from .records import Status
from .rows import cell_row, versions_json
from .store import Store, new_part

ExecutorName = Literal["ray", "serial"]


@dataclass
class State:
    """Where a job stands; what the progress display shows.

    Attributes:
      num_cells: Cells of the job.
      statuses: Cells with a row, by status: those found in the store and those of this run.
      num_running: Packs under way.
      work_done, work_total: Expected seconds of the packs of this run.
      seconds: Since the first pack started.
    """

    num_cells: int
    statuses: dict[str, int]
    work_total: float
    num_running: int = 0
    work_done: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @staticmethod
    def of(plan: Plan) -> State:
        """Where a job stands before anything of its plan is done."""
        work = sum(pack.seconds for pack in plan.packs)
        return State(num_cells=len(plan.cells), statuses=dict(plan.difference.done), work_total=work)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def num_ended(self) -> int:
        return sum(self.statuses.values())

    @property
    def seconds_left(self) -> float | None:
        """Remaining time, from the work done so far; None before there is any."""
        if self.work_done <= 0:
            return None
        return self.seconds * max(0.0, self.work_total / self.work_done - 1)


Observer = Callable[[State], None]


class Supply(Protocol):
    """Packs that depend on what came of earlier ones."""

    @property
    def is_finished(self) -> bool:
        """Whether there will be no more packs."""
        ...

    def packs(self, *, num_free: int) -> Sequence[Pack]:
        """Packs for so many free workers; none if what is under way has to be waited for."""
        ...

    def note(self, statuses: Mapping[str, Status]) -> None:
        """Told that rows of these cells are in the store, with these statuses."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What `run` did.

    Attributes:
      plan: What was wanted and what was missing.
      statuses: All cells of the job, by status.
      num_computed: Cells computed by this call.
      seconds: Time of computing, set-up aside.
      executor: What computed them, for a person; empty where nothing was missing.
    """

    plan: Plan
    statuses: Mapping[str, int]
    num_computed: int
    seconds: float
    executor: str

    @property
    def is_complete(self) -> bool:
        """Whether every cell completed."""
        return self.statuses.get("completed", 0) == len(self.plan.cells)


def run(
    job: AnyJob,
    *,
    results: str | Path = "results",
    executor: ExecutorName = "ray",
    address: str | None = None,
    retry: Iterable[str] = (),
    observer: Observer | None = None,
    announce: Callable[[str], None] | None = None,
) -> Outcome:
    """Computes the cells of a job that the store does not have yet.

    Calling it again after a crash, or after values were added to the grid, does what is missing.

    Args:
      job: From `load_job`.
      results: Root of the store: a folder, or any pyarrow.fs URI.
      executor: ``ray``, or ``serial`` for one pack at a time in this process.
      address: Of an existing Ray cluster; RAY_ADDRESS counts too. Without either, Ray is started on this machine.
      retry: Statuses to compute again: ``failed``, ``diverged``, ``timeout``, ``lost``.
      observer: Called whenever something happened.
      announce: Told, once, what is going to run where.

    Returns:
      An `Outcome`; its `is_complete` is False if any cell did not complete.

    Raises:
      HarnessError: If the data, the store or the cluster is not usable.
    """
    store = Store(results)
    retry = tuple(retry)
    plan = make_plan(job, store, slots=1, retry=retry)
    if not plan.missing:
        return Outcome(plan, plan.difference.done, num_computed=0, seconds=0.0, executor="")
    store.write_job(job.name, dump_job(job))
    with session(
        job.problem,
        job.resources,
        results=results,
        executor=executor,
        address=address,
        announce=announce,
        num_tasks=len(plan.missing),
    ) as opened:
        return opened.run(job, retry=retry, observer=observer)


@dataclass(frozen=True)
class Session:
    """Workers that are ready for jobs of one problem and resources, one after another."""

    resources: Resources
    store: Store
    executor: Executor
    provenance: Provenance

    def run(self, job: AnyJob, *, retry: Iterable[str] = (), observer: Observer | None = None) -> Outcome:
        """`run` on these workers."""
        plan = make_plan(job, self.store, slots=self.executor.num_slots, retry=tuple(retry))
        if not plan.missing:
            return Outcome(plan, plan.difference.done, num_computed=0, seconds=0.0, executor="")
        state = State.of(plan)
        Driver(self, job.name, plan.packs, state=state, observer=observer).run()
        return Outcome(plan, state.statuses, len(plan.missing), state.seconds, self.executor.description)

    def work_through(self, name: str, supply: Supply) -> None:
        """Executes packs of the job of this name as they are supplied, until there are no more."""
        Driver(self, name, (), state=State(num_cells=0, statuses={}, work_total=0.0), supply=supply).run()


@contextmanager
def session(
    problem: ProblemSpec,
    resources: Resources,
    *,
    results: str | Path,
    executor: ExecutorName,
    address: str | None,
    announce: Callable[[str], None] | None,
    num_tasks: int,
) -> Iterator[Session]:
    """Starts the workers, no more than `num_tasks`; they end with the block."""
    store = Store(results)
    with _opened(executor, resources, address) as running:
        settings = WorkerSettings(
            results=store.absolute_root,
            provenance=Provenance(versions_json(), git_commit()),
            num_threads=running.threads_per_slot,
            allow_gpu=running.uses_gpus,
            timeout_seconds=resources.timeout_seconds,
        )
        running.open(settings, problem, num_tasks=num_tasks)
        if announce is not None:
            announce(running.description)
        yield Session(resources, store, running, settings.provenance)


class Driver:
    """Brings packs to their ends: given ones, and those that a supply makes of what came of others."""

    def __init__(
        self,
        session: Session,
        job: str,
        packs: Sequence[Pack],
        *,
        state: State,
        observer: Observer | None = None,
        supply: Supply | None = None,
    ) -> None:
        self._store, self._executor, self._provenance = session.store, session.executor, session.provenance
        self._job, self._retries = job, session.resources.retries
        self._observer, self._supply = observer, supply
        self._queue = [Task(job, pack, attempt=1) for pack in packs]
        self._running: list[Task] = []
        self._ended: set[str] = set()
        required = {key for pack in packs for key in pack.requires}
        self._snapshots: set[SnapshotKey] = {key for key in required if self._store.has_snapshot(*key)}
        self.state = state

    def run(self) -> None:
        """Works until every cell of the packs has a row."""
        self._start_what_can_start()
        while self._queue or self._running or not (self._supply is None or self._supply.is_finished):
            assert self._running or not self._executor.num_free, "packs wait for snapshots that nothing makes"
            self._report()
            for task, event in self._executor.wait():
                self._handle(task, event)
                self._report()
            self._start_what_can_start()

    def _start_what_can_start(self) -> None:
        self._start_queued()
        if self._supply is not None and self._executor.num_free:
            packs = self._supply.packs(num_free=self._executor.num_free)
            self._queue += [Task(self._job, pack, attempt=1) for pack in packs]
            self._start_queued()

    def _start_queued(self) -> None:
        for task in list(self._queue):
            if not self._executor.num_free:
                return
            if task.pack.requires <= self._snapshots:
                self._queue.remove(task)
                self._running.append(task)
                self._executor.start(task)

    def _handle(self, task: Task, event: Event) -> None:
        match event:
            case Progress():
                self.state.work_done += event.member_steps / task.pack.member_steps * task.pack.seconds
            case SnapshotWritten():
                self._snapshots.add((event.run_id, event.epoch))
            case SnapshotImpossible():
                self._give_up_snapshot(event)
            case CellsWritten():
                self._count(event.statuses)
            case PackDone():
                self._running.remove(task)
            case PackFailed():
                self._running.remove(task)
                if task.pack.is_divisible:
                    self._split(task)  # to find the member at fault
                else:
                    self._give_up(task, event.status, event.error)
            case WorkerDied():
                self._running.remove(task)
                self._after_death(task, event)

    def _after_death(self, task: Task, event: WorkerDied) -> None:
        if event.preempted:
            self._requeue(task.pack, task.attempt)
        elif task.attempt <= self._retries:
            self._requeue(task.pack, task.attempt + 1)
        elif task.pack.is_divisible:
            self._split(task)  # it may have been too large
        else:
            self._learn_what_was_written(task.pack)
            self._give_up(task, "lost", event.error)

    def _split(self, task: Task) -> None:
        for half in task.pack.split():
            self._requeue(half, attempt=1)

    def _requeue(self, pack: Pack, attempt: int) -> None:
        """Puts a pack in front of the queue, without what it has already written."""
        rest = pack.without(self._ended, self._snapshots)
        if rest is not None:
            self._queue.insert(0, Task(self._job, rest, attempt))

    def _learn_what_was_written(self, pack: Pack) -> None:
        """Asks the store: a worker may die between writing its rows and saying so."""
        stored = self._store.latest_cells(self._job)
        for cell in pack.cells:
            row = stored.get(cell.coordinates)
            if cell.cell_id not in self._ended and row is not None and row.cell_id == cell.cell_id:
                self._count({cell.cell_id: cast(Status, row.status)})
        if isinstance(pack, TrainingPack):
            self._snapshots |= {key for key in pack.snapshots if self._store.has_snapshot(*key)}

    def _give_up(self, task: Task, status: Status, error: str) -> None:
        """Writes rows for the cells a failed pack leaves, and for those that waited for its snapshots."""
        pack = task.pack
        left = [cell for cell in pack.cells if cell.cell_id not in self._ended]
        self._write_failures(left, status, error, attempt=task.attempt)
        if isinstance(pack, TrainingPack):
            for run_id, epoch in pack.snapshots - self._snapshots:
                reason = f"its reference run {run_id} ended as {status}:\n{error}"
                self._give_up_snapshot(SnapshotImpossible(run_id, epoch, status, reason))

    def _give_up_snapshot(self, event: SnapshotImpossible) -> None:
        key = (event.run_id, event.epoch)
        for task in list(self._queue):
            if isinstance(task.pack, ProbePack) and key in task.pack.requires:
                hopeless = [cell for cell in task.pack.cells if (cell.run.run_id, cell.epoch) == key]
                self._write_failures(hopeless, event.status, event.error, attempt=task.attempt)
                self._queue.remove(task)
                rest = task.pack.without(self._ended, self._snapshots)
                if rest is not None:
                    self._queue.append(Task(self._job, rest, task.attempt))

    def _write_failures(self, cells: Iterable[AnyCell], status: Status, error: str, *, attempt: int) -> None:
        rows = [cell_row(cell, self._provenance, status=status, error=error, attempt=attempt) for cell in cells]
        self._store.write_part(self._job, "cells", rows, part=new_part())
        self._count({row["cell_id"]: status for row in rows})

    def _count(self, statuses: Mapping[str, Status]) -> None:
        self._ended |= set(statuses)
        if self._supply is not None:
            self._supply.note(statuses)
        for status in statuses.values():
            self.state.statuses[status] = self.state.statuses.get(status, 0) + 1

    def _report(self) -> None:
        self.state.num_running = len(self._running)
        if self._observer is not None:
            self._observer(self.state)


@contextmanager
def _opened(name: ExecutorName, resources: Resources, address: str | None) -> Iterator[Executor]:
    executor = make_executor(name, resources, address=address)
    try:
        yield executor
    finally:
        executor.close()


def make_executor(name: ExecutorName, resources: Resources, *, address: str | None = None) -> Executor:
    """An executor by name; Ray is imported only if it is asked for."""
    if name == "serial":
        from .executors.serial import SerialExecutor

        return SerialExecutor(resources)
    from . import ray_environment

    ray_environment.prepare(address or os.environ.get("RAY_ADDRESS"))
    from .executors.ray import RayExecutor

    return RayExecutor(resources, address=address)


def git_commit() -> str | None:
    """The commit of the checkout this package runs from; None where it is installed otherwise."""
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "log", "-1", "--format=%H", "--", str(folder)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
