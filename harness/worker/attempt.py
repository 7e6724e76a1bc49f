"""One attempt at a pack: what its rows have in common, and its time."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import torch

from ..identity import SnapshotKey
from ..storage.records import Columns
from ..storage.writer import StoreWriter, new_part
from . import devices
from .messages import Task


class PackTimeoutError(Exception):
    """A pack took longer than the job allows."""


class PreemptedError(Exception):
    """The worker's machine is about to be taken away, and where the pack stands is kept."""


class Attempt:
    """One attempt at a pack: its rows share the column `part`, its cells their time.

    Attributes:
      files: Of the generators that it has written or read.
    """

    def __init__(self, task: Task, store: StoreWriter, device: torch.device) -> None:
        self._task, self._store, self._device = task, store, device
        self._part = new_part()
        self.files: dict[SnapshotKey, str] = {}
        self._started, self._started_at = time.monotonic(), datetime.now(UTC)

    @property
    def job(self) -> str:
        """Whose the task is."""
        return self._task.job

    def write(self, table: str, rows: Sequence[Columns]) -> None:
        """Adds rows to a table of the task's job, all or none."""
        self._store.write_part(self._task.job, table, list(rows), part=self._part)

    def write_cells(self, cells: Sequence[Columns], **beside: Sequence[Columns]) -> None:
        """Adds rows of cells, the sign that all of them is there; what belongs to them in other tables comes first."""
        before = {table: list(rows) for table, rows in beside.items()}
        self._store.write_cells(self._task.job, list(cells), before, part=self._part)

    def circumstances(self) -> Columns:
        """Columns of ``cells`` that say when, where and at which attempt a row was computed."""
        return {
            "attempt": self._task.attempt,
            "sequence": self._task.sequence,
            "peak_memory_bytes": devices.peak_memory_bytes(self._device),
            "device": devices.describe(self._device),
            "hostname": socket.gethostname(),
            "started_at": self._started_at,
        }

    def seconds_per_cell(self) -> float:
        """Each cell's share of the time so far."""
        return self._elapsed() / len(self._task.pack.cells)

    def check_time(self, limit: float | None) -> None:
        """Raises `PackTimeoutError` if the attempt has taken longer than `limit` seconds."""
        if limit is not None and self._elapsed() > limit:
            raise PackTimeoutError(f"the pack took {self._elapsed():.0f} s, resources.timeout_seconds is {limit:g}")

    def _elapsed(self) -> float:
        return time.monotonic() - self._started
