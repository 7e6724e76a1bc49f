"""Where a job stands while it runs: what the progress display shows, and what is told to whoever else looks."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from ..job.job import Job
from ..planning.difference import AnyCell
from ..planning.naming import Headline, brief, headline, last_line, pack_brief, varying_axes
from ..planning.plan import Plan
from ..storage.records import Status
from ..worker.messages import CellsWritten, Extreme, PackStarted, Task
from .durations import duration

MAX_FAILURES = 10
"""Failures that are named one by one; further ones are counted."""
SILENT_SECONDS = 60.0
"""A pack without an event for so long is named, once."""
_MEASURING_TIMES = 3.0
"""So many times the expected time of measuring, in which there are no events, may pass before."""
_PLANNED_SECONDS = 10.0
"""How long the plan's rate of work outweighs the measured one."""
_MAX_PACKS = 100
"""Packs under way that `as_dict` tells of."""


@dataclass(frozen=True)
class Failure:
    """A cell that did not complete: which, how, and the last line of why."""

    cell_id: str
    cell: str
    status: Status
    error: str


@dataclass(frozen=True)
class Found:
    """A cell with the value of its headline's column."""

    value: float
    cell_id: str
    cell: str


@dataclass(frozen=True)
class Standing:
    """How far a search is.

    Attributes:
      num_done, num_wanted, num_pruned: Trials.
      best: Of the objective, with its schedule and trial; None before the first trial.
    """

    num_done: int
    num_wanted: int
    num_pruned: int = 0
    objective: str = ""
    best: float | None = None
    best_schedule: str = ""
    best_trial: int | None = None


@dataclass
class RunningPack:
    """A pack under way: since when, when something was last heard of it, and where it is, as far as it has said."""

    task: Task
    started: float
    heard: float
    where: PackStarted | None = None
    is_named: bool = False

    def is_silent(self, now: float) -> bool:
        """Whether nothing has been heard for so long that it should be said."""
        silence, pack = now - self.heard, self.task.pack
        return silence > SILENT_SECONDS and silence > _MEASURING_TIMES * (pack.seconds - pack.training_seconds)


@dataclass
class State:
    """Where a job stands.

    Attributes:
      num_cells: Cells of the job.
      statuses: Cells with a row, by status: those found in the store and those of this run.
      work_done, work_total: Expected seconds of the packs of this run.
      planned_rate: Expected seconds of work that are done in a second.
      name: Of the job.
      axes: By which its cells are told apart.
      phase: What of a search this is; empty for a grid.
      machine: What computes, for a person.
      awaited: What is waited for while no pack is under way.
      started: When the job did, `first_start` when its first pack did; both as `time.monotonic` has it.
      running: Packs under way, those that were heard of longest ago first.
      headline, least, greatest: The extreme cells of this run so far, by the column that tells first.
      failures: The first of this run, of `num_failed`.
      notices: Sentences for whoever watches, each to be said once.
      standing: Of a search.
    """

    num_cells: int
    statuses: dict[str, int]
    work_total: float
    planned_rate: float = 1.0
    name: str = ""
    axes: Collection[str] = ()
    phase: str = ""
    machine: str = ""
    awaited: str = "a worker"
    work_done: float = 0.0
    started: float = field(default_factory=time.monotonic)
    first_start: float | None = None
    num_found: int = 0
    running: dict[Task, RunningPack] = field(default_factory=dict)
    headline: Headline | None = None
    least: Found | None = None
    greatest: Found | None = None
    failures: list[Failure] = field(default_factory=list)
    num_failed: int = 0
    notices: list[str] = field(default_factory=list)
    standing: Standing | None = None

    @staticmethod
    def of(plan: Plan, *, phase: str = "", machine: str = "") -> State:
        """Where a job stands before anything of its plan is done."""
        work = sum(pack.seconds for pack in plan.packs)
        shape = plan.job.problem.info().shape if isinstance(plan.job, Job) else ()
        return State(
            num_cells=len(plan.cells),
            statuses=dict(plan.difference.done),
            num_found=sum(plan.difference.done.values()),
            work_total=work,
            planned_rate=work / plan.expected_seconds if plan.packs else 1.0,
            name=plan.job.name,
            axes=varying_axes(plan.job),
            phase=phase,
            machine=machine,
            headline=headline(plan.job.protocol, shape),
        )

    @property
    def seconds(self) -> float:
        """Since the job started."""
        return time.monotonic() - self.started

    @property
    def num_ended(self) -> int:
        """Cells with a row."""
        return sum(self.statuses.values())

    @property
    def num_running(self) -> int:
        """Packs under way."""
        return len(self.running)

    @property
    def seconds_left(self) -> float:
        """Remaining time.

        At first it is the plan's estimate; the longer the work has lasted, the more it is what the rate so far says.
        """
        elapsed = 0.0 if self.first_start is None else time.monotonic() - self.first_start
        rate = (self.work_done + _PLANNED_SECONDS * self.planned_rate) / (elapsed + _PLANNED_SECONDS)
        return max(0.0, self.work_total - self.work_done) / rate

    @property
    def cells_per_second(self) -> float | None:
        """Rows of this run over the time since its first pack started; None before the first row."""
        num = self.num_ended - self.num_found
        if self.first_start is None or num <= 0:
            return None
        return num / max(1e-9, time.monotonic() - self.first_start)

    # --- what the driver tells

    def note_start(self, task: Task) -> None:
        """Told that a pack starts."""
        now = time.monotonic()
        self.running[task] = RunningPack(task, started=now, heard=now)
        if self.first_start is None:
            self.first_start = now

    def note_heard(self, task: Task) -> None:
        """Told that something was heard of a pack; it moves behind all others."""
        pack = self.running.pop(task)
        pack.heard = time.monotonic()
        self.running[task] = pack

    def note_where(self, task: Task, where: PackStarted) -> None:
        """Told where a pack is."""
        self.running[task].where = where

    def note_rows(self, cells: Iterable[AnyCell], event: CellsWritten) -> None:
        """Told of rows in the store, of a pack with these cells."""
        for status in event.statuses.values():
            self.statuses[status] = self.statuses.get(status, 0) + 1
        extremes = {found.cell_id for found in (event.least, event.greatest) if found is not None}
        concerned = extremes | {cell_id for cell_id, status in event.statuses.items() if status != "completed"}
        named = {cell.cell_id: cell for cell in cells if cell.cell_id in concerned}
        if event.least is not None and (self.least is None or event.least.value < self.least.value):
            self.least = self._found(event.least, named)
        if event.greatest is not None and (self.greatest is None or event.greatest.value > self.greatest.value):
            self.greatest = self._found(event.greatest, named)
        for cell_id, status in event.statuses.items():
            if status != "completed":
                self._note_failure(named.get(cell_id), status, event.errors.get(cell_id, ""))

    def note_silence(self) -> None:
        """Names packs of which nothing has been heard for long, each once; costs one look if there are none."""
        now = time.monotonic()
        for pack in self.running.values():
            if not pack.is_silent(now) and not pack.is_named:
                break  # those behind it were heard of later
            if not pack.is_named and pack.is_silent(now):
                pack.is_named = True
                what = pack_brief(pack.task.pack, self.axes)
                self.notices.append(
                    f"nothing heard for {duration(now - pack.heard)} of {_place(pack)} ({what}); it goes on"
                )

    def _found(self, extreme: Extreme, named: Mapping[str, AnyCell]) -> Found:
        cell = named.get(extreme.cell_id)
        return Found(extreme.value, extreme.cell_id, "" if cell is None else self._brief(cell))

    def _note_failure(self, cell: AnyCell | None, status: Status, error: str) -> None:
        self.num_failed += 1
        if self.num_failed <= MAX_FAILURES and cell is not None:
            failure = Failure(cell.cell_id, self._brief(cell), status, last_line(error))
            self.failures.append(failure)
            self.notices.append(f"{status}: {failure.cell}: {failure.error}")
        elif self.num_failed == MAX_FAILURES + 1:
            self.notices.append("further cells that do not complete are counted, not named")

    def _brief(self, cell: AnyCell) -> str:
        return brief(cell.key._asdict(), self.axes)


def as_dict(state: State) -> dict[str, Any]:
    """A state as a small object of JSON: some kB, however large the job is.

    Times are UTC as ISO texts; ``packs`` has those first that were heard of longest ago.
    """
    now, clock = time.monotonic(), datetime.now(UTC)

    def at(moment: float) -> str:
        return (clock - timedelta(seconds=now - moment)).isoformat()

    return {
        "job": state.name,
        "phase": state.phase,
        "machine": state.machine,
        "time": clock.isoformat(),
        "started_at": at(state.started),
        "seconds": round(state.seconds, 1),
        "seconds_left": round(state.seconds_left, 1),
        "cells": state.num_cells,
        "ended": state.num_ended,
        "statuses": dict(state.statuses),
        "cells_per_second": state.cells_per_second,
        "share_of_work": min(1.0, state.work_done / state.work_total) if state.work_total else 1.0,
        "awaited": None if state.running else state.awaited,
        "num_packs": len(state.running),
        "packs": [
            {
                "what": pack_brief(pack.task.pack, state.axes),
                "attempt": pack.task.attempt,
                "host": pack.where and pack.where.hostname,
                "pid": pack.where and pack.where.pid,
                "device": pack.where and pack.where.device,
                "started_at": at(pack.started),
                "heard_at": at(pack.heard),
                "is_silent": pack.is_silent(now),
            }
            for pack in islice(state.running.values(), _MAX_PACKS)
        ],
        "num_failed": state.num_failed,
        "failures": [
            {"cell_id": found.cell_id, "cell": found.cell, "status": found.status, "error": found.error}
            for found in state.failures
        ],
        "headline": state.headline and state.headline.column,
        "least": _found_as_dict(state.least),
        "greatest": _found_as_dict(state.greatest),
        "search": state.standing
        and {
            "done": state.standing.num_done,
            "wanted": state.standing.num_wanted,
            "pruned": state.standing.num_pruned,
            "objective": state.standing.objective,
            "best": state.standing.best,
            "best_trial": state.standing.best_trial,
            "best_schedule": state.standing.best_schedule,
        },
    }


def _found_as_dict(found: Found | None) -> dict[str, Any] | None:
    return None if found is None else {"value": found.value, "cell_id": found.cell_id, "cell": found.cell}


def _place(pack: RunningPack) -> str:
    where = pack.where
    return "a pack" if where is None else f"process {where.pid} on {where.hostname}"
