"""Workers and what they are at: where each is, since when, and when it has been at it for too long. No Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...worker.messages import Task, WorkerSettings
from ..durations import duration

_GRACE_SECONDS = 30.0
_LOST = (3600.0, 200.0)
"""A pack without an event for so many seconds, and for so many times its expected time, is ended, unless the job has a
limit of its own."""


@dataclass(frozen=True)
class Location:
    """Where an actor is."""

    node: str
    host: str
    pid: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class Starting:
    """An actor that is on its way.

    Attributes:
      settings: What it is told.
      is_relayed: Whether it does not see the driver's folder, so that its files travel.
    """

    actor: Any
    settings: WorkerSettings
    is_relayed: bool = False


@dataclass(frozen=True)
class Worker:
    """An actor that is ready, and where it is."""

    actor: Any
    place: Location


@dataclass
class Call:
    """A task on a worker, when it started, and when something was last heard of it."""

    worker: Worker
    task: Task
    started: float
    heard: float

    def __str__(self) -> str:
        cells = self.task.pack.cells
        what = f"{len(cells)} cells, the first {cells[0].cell_id}" if cells else "a training run"
        return f"{self.worker.place} ({what})"

    def overdue(self, now: float, limit: float | None) -> str:
        """Why the pack is to be ended, if it is."""
        if limit is not None and now - self.started > limit + _GRACE_SECONDS:
            return f"the pack did not end {_GRACE_SECONDS:g} s after resources.timeout_seconds = {limit:g}"
        seconds, times = _LOST
        if limit is None and now - self.heard > max(seconds, times * self.task.pack.seconds):
            return (
                f"nothing was heard of {self} for {duration(now - self.heard)}; resources.timeout_seconds sets another "
                "limit"
            )
        return ""
