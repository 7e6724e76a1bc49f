"""Running a job: the queue of packs, their attempts and failures. Holds ids and counters only.

The driver decides *what* runs next and what becomes of a failure; an executor decides where.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Protocol, cast

from ..identity import SnapshotKey
from ..planning.difference import AnyCell
from ..planning.packs import Pack
from ..storage.records import Status
from ..storage.store import Store
from ..storage.writer import new_part
from ..training.progress import Progress
from ..worker.messages import (
    CellsWritten,
    Event,
    PackDone,
    PackFailed,
    PackStarted,
    SnapshotImpossible,
    SnapshotsLost,
    SnapshotsWritten,
    Task,
    WorkerDied,
)
from ..worker.provenance import Provenance
from ..worker.rows import cell_row
from .executor import Executor
from .queue import PackQueue
from .state import Standing, State

_MAX_PREEMPTED = 10
"""How often the loss of a machine is not held against the pack that it ran, which may be what takes machines down."""

Observer = Callable[[State], None]


class PackSource(Protocol):
    """Packs that depend on what came of earlier ones."""

    @property
    def is_finished(self) -> bool:
        """Whether there will be no more packs."""
        ...

    @property
    def num_to_come(self) -> int:
        """About how many packs there may yet be."""
        ...

    def packs(self, *, num_free: int) -> Sequence[Pack]:
        """Packs for so many free workers; none if what is under way has to be waited for."""
        ...

    @property
    def seconds_to_come(self) -> float:
        """Expected seconds of work in these."""
        ...

    @property
    def standing(self) -> Standing:
        """How far it is, for whoever watches."""
        ...

    def note(self, statuses: Mapping[str, Status]) -> None:
        """Told that rows of these cells are in the store, with these statuses."""
        ...


class Driver:
    """Runs packs of one job until all have ended: given ones, and those that a source makes of what came of others.

    Work is O(1) per pack, and one look at the store's snapshots.

    Args:
      store: Where workers write, and where failures are written.
      executor: Runs the packs.
      provenance: Of the rows of failures.
      retries: How often a pack is tried again whose worker died.
    """

    def __init__(self, store: Store, executor: Executor, provenance: Provenance, *, retries: int) -> None:
        self._store, self._executor, self._provenance, self._retries = store, executor, provenance, retries

    def run(
        self,
        job: str,
        packs: Sequence[Pack],
        *,
        state: State,
        observer: Observer | None = None,
        source: PackSource | None = None,
    ) -> list[str]:
        """Works until every cell of the packs has a row, and the source is finished; keeps `state` up to date.

        Returns:
          What was lost of the snapshots that were there, for a person: probes of these have no rows yet.
        """
        self._job, self._state, self._observer, self._source = job, state, observer, source
        self._given_seconds = 0.0
        self._ended: set[str] = set()
        self._lost: dict[str, None] = {}
        required = {key for pack in packs for key in pack.requires}
        self._snapshots: set[SnapshotKey] = set(self._store.snapshots_among(required))
        self._queue = PackQueue(self._snapshots)
        self._sequence = self._store.last_sequence(job)
        for pack in packs:
            self._queue.append(self._task(pack, attempt=1))
        self._start_what_can_start()
        while self._queue or state.running or not (self._source is None or self._source.is_finished):
            assert state.running or not self._executor.num_free, "packs wait for snapshots that nothing makes"
            self._executor.provide(len(self._queue) + (self._source.num_to_come if self._source is not None else 0))
            self._report()
            for task, event in self._executor.wait():
                self._state.note_heard(task)
                self._handle(task, event)
                self._report()
            self._state.note_silence()
            self._start_what_can_start()
        return list(self._lost)

    def _start_what_can_start(self) -> None:
        self._start_queued()
        if self._source is not None and self._executor.num_free:
            for pack in self._source.packs(num_free=self._executor.num_free):
                self._queue.append(self._task(pack, attempt=1))
                self._given_seconds += pack.seconds
            self._start_queued()

    def _task(self, pack: Pack, *, attempt: int, num_preempted: int = 0) -> Task:
        return Task(self._job, pack, attempt, self._next_sequence(), num_preempted)

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def _start_queued(self) -> None:
        while self._executor.num_free and (task := self._queue.pop()) is not None:
            self._state.note_start(task)
            self._executor.start(task)

    def _handle(self, task: Task, event: Event) -> None:
        match event:
            case PackStarted():
                self._state.note_where(task, event)
            case Progress():
                self._state.work_done += event.member_steps / task.pack.member_steps * task.pack.training_seconds
            case SnapshotsWritten():
                self._note_snapshots(event.keys)
            case SnapshotImpossible():
                self._give_up_snapshot(event)
            case SnapshotsLost():
                del self._state.running[task]
                self._lost[event.error] = None
                self._store.snapshots.forget(event.keys)
            case CellsWritten():
                self._note_rows(task.pack.cells, event)
                measuring = task.pack.seconds - task.pack.training_seconds
                self._state.work_done += measuring * len(event.statuses) / max(1, len(task.pack.cells))
            case PackDone():
                del self._state.running[task]
            case PackFailed():
                del self._state.running[task]
                if not event.is_logged:
                    self._log_end(task, event.status, event.error)
                if task.pack.is_divisible:
                    self._split(task)  # to find the member at fault
                else:
                    self._give_up(task, event.status, event.error)
            case WorkerDied():
                del self._state.running[task]
                self._after_death(task, event)

    def _after_death(self, task: Task, event: WorkerDied) -> None:
        self._log_end(
            task, "preempted" if event.preempted else "worker died", f"{event.error}\n{event.details}".rstrip()
        )
        if event.preempted and task.num_preempted < _MAX_PREEMPTED:
            self._requeue(task.pack, task.attempt, num_preempted=task.num_preempted + 1)
        elif task.attempt <= self._retries:
            self._requeue(task.pack, task.attempt + 1)
        elif task.pack.is_divisible:
            self._split(task)  # it may have been too large
        else:
            self._learn_what_was_written(task.pack)
            self._give_up(task, "lost", event.error)

    def _log_end(self, task: Task, event: str, error: str) -> None:
        """Keeps what the worker could not: that it has ended."""
        line = {
            "time": datetime.now(UTC).isoformat(),
            "event": event,
            "attempt": task.attempt,
            "sequence": task.sequence,
            "cells": [cell.cell_id for cell in task.pack.cells],
            "error": error,
        }
        self._store.write_log(task.job, f"{json.dumps(line)}\n", sequence=task.sequence)

    def _split(self, task: Task) -> None:
        for half in task.pack.split():
            self._requeue(half, attempt=1)

    def _requeue(self, pack: Pack, attempt: int, *, num_preempted: int = 0) -> None:
        """Puts a pack in front of the queue, without what it has already written."""
        rest = pack.without(self._ended, self._snapshots)
        if rest is not None:
            self._queue.append_first(self._task(rest, attempt=attempt, num_preempted=num_preempted))

    def _learn_what_was_written(self, pack: Pack) -> None:
        """Asks the store: a worker may die between writing its rows and saying so."""
        stored = self._store.latest_cells(self._job)
        for cell in pack.cells:
            row = stored.get(cell.key)
            if cell.cell_id not in self._ended and row is not None and row.cell_id == cell.cell_id:
                self._note_rows([cell], CellsWritten({cell.cell_id: cast(Status, row.status)}))
        self._note_snapshots(self._store.snapshots_among(pack.snapshots))

    def _give_up(self, task: Task, status: Status, error: str) -> None:
        """Writes rows for the cells a failed pack leaves, and for those that waited for its snapshots."""
        pack = task.pack
        left = [cell for cell in pack.cells if cell.cell_id not in self._ended]
        self._write_failures(left, status, error, attempt=task.attempt)
        for run_id, epoch in pack.snapshots - self._snapshots:
            reason = f"its reference run {run_id} ended as {status}:\n{error}"
            self._give_up_snapshot(SnapshotImpossible(run_id, epoch, status, reason))

    def _give_up_snapshot(self, event: SnapshotImpossible) -> None:
        key = (event.run_id, event.epoch)
        for task in self._queue.take_waiting_for(key):
            hopeless = [cell for cell in task.pack.cells if cell.generator == key]
            self._write_failures(hopeless, event.status, event.error, attempt=task.attempt)
            rest = task.pack.without(self._ended, self._snapshots)
            if rest is not None:
                self._queue.append(self._task(rest, attempt=task.attempt))

    def _note_snapshots(self, keys: Set[SnapshotKey]) -> None:
        self._snapshots |= keys
        self._queue.note_snapshots(keys)

    def _write_failures(self, cells: Sequence[AnyCell], status: Status, error: str, *, attempt: int) -> None:
        sequence = self._next_sequence()
        rows = [
            cell_row(cell, self._provenance, status=status, error=error, attempt=attempt, sequence=sequence)
            for cell in cells
        ]
        self._store.write_part(self._job, "cells", rows, part=new_part())
        statuses: dict[str, Status] = {row["cell_id"]: status for row in rows}
        self._note_rows(cells, CellsWritten(statuses, errors=dict.fromkeys(statuses, error)))

    def _note_rows(self, cells: Sequence[AnyCell], event: CellsWritten) -> None:
        self._ended |= set(event.statuses)
        if self._source is not None:
            self._source.note(event.statuses)
        self._state.note_rows(cells, event)

    def _report(self) -> None:
        self._state.awaited = self._executor.awaited
        if self._source is not None:
            self._state.standing = self._source.standing
            self._state.work_total = self._given_seconds + self._source.seconds_to_come
        if self._observer is not None:
            self._observer(self._state)
