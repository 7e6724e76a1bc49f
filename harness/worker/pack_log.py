"""What happened to a pack, as lines of JSON that are kept beside the results: one file for each attempt at a pack."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import torch

from . import devices
from .messages import (
    CellsWritten,
    Event,
    PackDone,
    PackFailed,
    SnapshotImpossible,
    SnapshotsLost,
    SnapshotsWritten,
    Task,
    WorkerDied,
)
from .provenance import Provenance


class PackLog:
    """The events of one attempt at a pack, as its worker sees them; progress is left out.

    Every line has ``time`` (UTC), ``seconds`` since the attempt began, and ``event``. The first says what the pack is,
    where it runs, and what made it.
    """

    def __init__(self, task: Task, provenance: Provenance, device: torch.device) -> None:
        self._device, self._started = device, time.monotonic()
        self._lines: list[Mapping[str, Any]] = []
        self._add(
            "started",
            job=task.job,
            pack=task.pack.phase,
            attempt=task.attempt,
            sequence=task.sequence,
            cells=[cell.cell_id for cell in task.pack.cells],
            snapshots=sorted(task.pack.snapshots),
            requires=sorted(task.pack.requires),
            hostname=socket.gethostname(),
            pid=os.getpid(),
            device=devices.describe(device),
            versions=json.loads(provenance.versions),
            git_commit=provenance.git_commit,
        )

    @property
    def text(self) -> str:
        """The lines so far."""
        return "".join(f"{json.dumps(line)}\n" for line in self._lines)

    def note(self, event: Event) -> None:
        """Adds an event."""
        match event:
            case SnapshotsWritten():
                self._add("snapshots written", snapshots=sorted(event.keys))
            case SnapshotImpossible():
                self._add("no snapshot", run_id=event.run_id, epoch=event.epoch, error=event.error)
            case CellsWritten():
                self._add("cells written", statuses=dict(event.statuses))
            case SnapshotsLost():
                self._end("snapshots lost", error=event.error)
            case PackFailed():
                self._end(event.status, error=event.error)
            case WorkerDied():
                self._end("preempted" if event.preempted else "worker died", error=event.error)
            case PackDone():
                self._end("done")

    def _end(self, event: str, **fields: Any) -> None:
        self._add(event, peak_memory_bytes=devices.peak_memory_bytes(self._device), **fields)

    def _add(self, event: str, **fields: Any) -> None:
        seconds = round(time.monotonic() - self._started, 3)
        self._lines.append({"time": datetime.now(UTC).isoformat(), "seconds": seconds, "event": event, **fields})
