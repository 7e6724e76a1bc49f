"""Tasks that wait for a worker, those apart whose snapshots are not there yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ..identity import SnapshotKey
from ..worker.messages import Task


class PackQueue:
    """Tasks in the order in which they are to start; O(1) per task and snapshot.

    Args:
      snapshots: Those that are in the store already.
    """

    def __init__(self, snapshots: Iterable[SnapshotKey]) -> None:
        self._snapshots = set(snapshots)
        self._ready: deque[Task] = deque()
        self._missing: dict[Task, set[SnapshotKey]] = {}  # of tasks that cannot start yet
        self._waiting: dict[SnapshotKey, dict[Task, None]] = {}  # a dictionary keeps their order

    def __len__(self) -> int:
        return len(self._ready) + len(self._missing)

    def append(self, task: Task) -> None:
        """Adds a task at the end."""
        if self._may_start(task):
            self._ready.append(task)

    def append_first(self, task: Task) -> None:
        """Adds a task that is to start before all others."""
        if self._may_start(task):
            self._ready.appendleft(task)

    def pop(self) -> Task | None:
        """Takes the next task that can start; None if there is none."""
        return self._ready.popleft() if self._ready else None

    def note_snapshots(self, keys: Iterable[SnapshotKey]) -> None:
        """Told that snapshots are in the store: tasks that lack no other can start."""
        for key in keys:
            self._snapshots.add(key)
            for task in self._waiting.pop(key, ()):
                self._missing[task].discard(key)
                if not self._missing[task]:
                    del self._missing[task]
                    self._ready.append(task)

    def take_waiting_for(self, key: SnapshotKey) -> list[Task]:
        """Removes the tasks that wait for a snapshot which will never be there."""
        tasks = list(self._waiting.get(key, ()))
        for task in tasks:
            for other in self._missing.pop(task):
                self._waiting[other].pop(task)
        return tasks

    def _may_start(self, task: Task) -> bool:
        missing = set(task.pack.requires) - self._snapshots
        if missing:
            self._missing[task] = missing
            for key in missing:
                self._waiting.setdefault(key, {})[task] = None
        return not missing
