"""Running a job: `run`, and the session of workers behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..job.parts.problem import Problem
from ..job.parts.settings import Resources
from ..job.reading import AnyJob, dump_job
from ..planning.plan import Plan, make_plan
from ..storage.store import Store
from ..worker.messages import WorkerSettings
from ..worker.provenance import Provenance, git_commit, versions_json
from .driver import Driver, Observer, PackSource, State
from .executor import Executor

ExecutorName = Literal["ray", "serial"]


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
    with store.locked(job.name):
        plan = make_plan(job, store, slots=1, retry=retry)
        if not plan.missing:
            return Outcome(plan, plan.difference.done, num_computed=0, seconds=0.0, executor="")
        store.write_job(job.name, dump_job(job))
        with session(
            job.problem,
            job.resources,
            store=store,
            executor=executor,
            address=address,
            announce=announce,
            num_tasks=len(plan.missing),
        ) as opened:
            return opened.run(plan, observer=observer)


@dataclass(frozen=True)
class Session:
    """Workers that are ready for jobs of one problem and resources, one after another."""

    driver: Driver
    executor: Executor

    def run(self, plan: Plan, *, observer: Observer | None = None) -> Outcome:
        """Computes what a plan lacks, in packs that keep all of these workers busy."""
        plan = plan.for_slots(self.executor.num_slots)
        state = State.of(plan)
        self.driver.run(plan.job.name, plan.packs, state=state, observer=observer)
        return Outcome(plan, state.statuses, len(plan.missing), state.seconds, self.executor.description)

    def work_through(self, name: str, source: PackSource) -> None:
        """Executes packs of the job of this name as they are supplied, until there are no more."""
        self.driver.run(name, (), state=State(num_cells=0, statuses={}, work_total=0.0), source=source)


@contextmanager
def session(
    problem: Problem,
    resources: Resources,
    *,
    store: Store,
    executor: ExecutorName,
    address: str | None,
    announce: Callable[[str], None] | None,
    num_tasks: int,
) -> Iterator[Session]:
    """Starts the workers, no more than `num_tasks`; they end with the block."""
    with _opened(executor, resources, address) as running, store.marked() as marker:
        settings = WorkerSettings(
            results=store.absolute_root,
            marker=marker,
            provenance=Provenance(versions_json(), git_commit()),
            num_threads=running.threads_per_slot,
            allow_gpu=running.uses_gpus,
            timeout_seconds=resources.timeout_seconds,
        )
        running.open(settings, problem, num_tasks=num_tasks)
        if announce is not None:
            announce(running.description)
        yield Session(Driver(store, running, settings.provenance, retries=resources.retries), running)


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
        from .serial import SerialExecutor

        return SerialExecutor(resources)
    from . import ray_environment

    ray_environment.prepare(address or os.environ.get("RAY_ADDRESS"))
    from .ray import RayExecutor

    return RayExecutor(resources, address=address)
