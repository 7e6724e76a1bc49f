"""Planning and running a job: `plan`, `run`, and the session of workers behind it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from ..errors import StoreError
from ..job.extensions import own_packages
from ..job.parts.settings import Resources
from ..job.reading import AnyJob, Source, dump_job, load_grid
from ..job.tune import TuneJob
from ..planning.plan import Plan, make_plan
from ..storage.live import told
from ..storage.place import PATIENCE_SECONDS
from ..storage.store import Store
from ..worker.messages import WorkerSettings
from ..worker.provenance import Provenance, git_commit, versions_json
from .driver import Driver, Observer, PackSource
from .durations import duration
from .executor import Executor
from .executors import check_executor, make_executor
from .progress import ProgressDisplay
from .ray.capacity import GB
from .state import State, as_dict

_MAX_ROUNDS = 4  # of work; snapshots that one finds lost are trained again by the next


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items())) or "no cells"
        return f"Outcome({self.plan.job.name}: {statuses}; {self.num_computed} computed in {duration(self.seconds)})"

    @property
    def is_complete(self) -> bool:
        """Whether every cell completed."""
        return self.statuses.get("completed", 0) == len(self.plan.cells)


def plan(
    job: Source,
    *,
    results: str | Path = "results",
    retry: Iterable[str] = (),
    slots: int | None = None,
) -> Plan:
    """What a run of a job would do.

    Args:
      job: From `load_job`, or what that takes: a file or a dictionary.
      results: Root of the store; it need not be there yet.
      retry: Statuses to compute again: ``failed``, ``diverged``, ``timeout``, ``lost``.
      slots: Actors that work at once; None for what this machine would hold without GPUs.

    Raises:
      JobError: If the job has mistakes, or is a search.
      StoreError: If the store cannot be read.
    """
    checked = load_grid(job)
    slots = local_slots(checked.resources) if slots is None else slots
    return make_plan(checked, Store(results), slots=slots, retry=retry)


def local_slots(resources: Resources) -> int:
    """Actors this machine would hold without GPUs."""
    cpus = 1.0 if resources.cpus_per_actor == "auto" else resources.cpus_per_actor
    fitting = max(1, int((os.cpu_count() or 1) / cpus))
    return fitting if resources.actors == "auto" else min(fitting, resources.actors)


def run(
    job: Source,
    *,
    results: str | Path = "results",
    executor: str = "ray",
    address: str | None = None,
    retry: Iterable[str] = (),
    progress: bool = False,
    observer: Observer | None = None,
) -> Outcome:
    """Computes the cells of a job that the store does not have yet.

    Calling it again after a crash, or after values were added to the grid, does what is missing.

    Args:
      job: From `load_job`, or what that takes: a file or a dictionary.
      results: Root of the store: a folder, or any pyarrow.fs URI.
      executor: ``ray``, ``serial`` for one pack at a time in this process, or that of an installed package.
      address: Of an existing Ray cluster; RAY_ADDRESS counts too. Without either, Ray is started on this machine.
      retry: Statuses to compute again: ``failed``, ``diverged``, ``timeout``, ``lost``.
      progress: Whether to show what runs where and how far it is, on standard error.
      observer: Called whenever something happened.

    Returns:
      An `Outcome`; its `is_complete` is False if any cell did not complete.

    Raises:
      HarnessError: If the data, the store or the cluster is not usable.
    """
    checked = load_grid(job)
    check_executor(executor)
    store, retry = Store(results), tuple(retry)
    display = ProgressDisplay(Console(stderr=True, highlight=False)) if progress else None
    if display is None:
        return _run(checked, store, executor, address, retry, observer, announce=None)

    def observe(state: State) -> None:
        display(state)
        if observer is not None:
            observer(state)

    with display:
        return _run(
            checked,
            store,
            executor,
            address,
            retry,
            observe,
            announce=lambda text: display.say(f"{checked.name}: {text}"),
        )


def _run(
    job: AnyJob,
    store: Store,
    executor: str,
    address: str | None,
    retry: Sequence[str],
    observer: Observer | None,
    announce: Callable[[str], None] | None,
) -> Outcome:
    with store.locked(job.name):
        plan = make_plan(job, store, slots=1, retry=retry)
        if not plan.missing:
            return Outcome(plan, plan.difference.done, num_computed=0, seconds=0.0, executor="")
        store.write_job(job.name, dump_job(job))
        with session(
            job,
            store=store,
            executor=executor,
            address=address,
            announce=announce,
            num_tasks=len(plan.missing),
        ) as opened:
            if (again := len(plan.difference.kept)) and announce is not None:
                announce(f"{again} of {len(plan.missing)} cells are measured again from their snapshots, not trained")
            return opened.run(plan, observer=observer)


@dataclass(frozen=True)
class Session:
    """Workers that are ready for jobs of one problem and resources, one after another.

    Attributes:
      tell: Keeps in the store where the job stands, for whoever watches.
    """

    driver: Driver
    executor: Executor
    store: Store
    announce: Callable[[str], None]
    tell: Observer

    def run(self, plan: Plan, *, phase: str = "", observer: Observer | None = None) -> Outcome:
        """Computes what a plan lacks, in packs that keep all of these workers busy; what came of it says the store.

        Args:
          plan: Of the job.
          phase: What of a search this is, for whoever watches.
          observer: Called whenever something happened.

        Raises:
          StoreError: If the store lacks rows that workers have reported.
        """
        left = plan = plan.for_slots(self.executor.num_slots)
        started = time.monotonic()
        for _ in range(_MAX_ROUNDS):
            state = replace(State.of(left, phase=phase, machine=self.executor.description), started=started)
            lost = self.driver.run(plan.job.name, left.packs, state=state, observer=self._telling(observer))
            left = left.renewed(self.store)
            if not (lost and left.missing):
                break
            for text in lost:
                self.announce(f"{text}; to be trained again")
        if left.missing:
            problem = "; ".join(lost) or "its workers have reported them as written"
            raise StoreError(
                f"{self.store.root}: {len(left.missing)} cells of {plan.job.name} are not there: {problem}"
            )
        return Outcome(plan, left.difference.done, len(plan.missing), state.seconds, self.executor.description)

    def work_through(self, name: str, source: PackSource, *, phase: str = "", observer: Observer | None = None) -> None:
        """Executes packs of the job of this name as they are supplied, until there are no more."""
        state = State(
            num_cells=0,
            statuses={},
            work_total=source.seconds_to_come,
            planned_rate=self.executor.num_slots,
            name=name,
            axes=("loss", "penalty", "schedule", "epoch", "seed"),
            phase=phase,
            machine=self.executor.description,
            standing=source.standing,
        )
        self.driver.run(name, (), state=state, observer=self._telling(observer), source=source)

    def _telling(self, observer: Observer | None) -> Observer:
        def observe(state: State) -> None:
            self.tell(state)
            if observer is not None:
                observer(state)

        return observe


@contextmanager
def session(
    job: AnyJob | TuneJob,
    *,
    store: Store,
    executor: str,
    address: str | None,
    announce: Callable[[str], None] | None,
    num_tasks: int,
) -> Iterator[Session]:
    """Starts the workers for jobs of this problem and resources, no more than `num_tasks`; they end with the block.

    Whoever calls this holds the job's lock, by which a reader of the store sees that it is at work.
    """
    resources, store.place.patience_seconds = job.resources, PATIENCE_SECONDS
    say = announce or (lambda text: None)
    with (
        told(store, job.name, as_dict) as tell,
        _opened(executor, job, address) as running,
        store.marked() as marker,
    ):
        running.announce = say
        settings = WorkerSettings(
            results=store.absolute_root,
            marker=marker,
            provenance=Provenance(versions_json(), git_commit()),
            num_threads=running.threads_per_slot,
            allow_gpu=running.uses_gpus,
            timeout_seconds=resources.timeout_seconds,
            checkpoint_seconds=None if resources.checkpoint_minutes is None else 60 * resources.checkpoint_minutes,
            memory_bytes=None if resources.memory_gb == "auto" else int(resources.memory_gb * GB),
        )
        running.open(settings, job.problem, num_tasks=num_tasks)
        say(running.description)
        driver = Driver(store, running, settings.provenance, retries=resources.retries)
        yield Session(driver, running, store, say, tell)


@contextmanager
def _opened(name: str, job: AnyJob | TuneJob, address: str | None) -> Iterator[Executor]:
    executor = make_executor(name, job.resources, address=address, packages=own_packages(job))
    try:
        yield executor
    finally:
        executor.close()
