"""What driver and workers tell each other: settings and tasks one way, events (ids and counters only) the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..identity import SnapshotKey
from ..planning.packs import Pack
from ..storage.records import Status
from ..training.progress import Progress
from .provenance import Provenance


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker of a session is told.

    Attributes:
      results: Root of the store.
      marker: What the driver wrote there; a worker that does not see it is on another store.
      num_threads: CPU threads of torch.
      allow_gpu: Whether the worker owns a GPU, or a share of one.
      timeout_seconds: Longest time a pack may take.
      checkpoint_seconds: After which training keeps where it stands; None for never.
      memory_bytes: Most of the machine's memory that a process of its own may take; None for 80 % of the machine.
    """

    results: str
    marker: str
    provenance: Provenance
    num_threads: int
    allow_gpu: bool
    timeout_seconds: float | None
    checkpoint_seconds: float | None
    memory_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """One attempt at a pack of a job; each is itself alone, whatever its pack.

    Attributes:
      attempt: Counted from 1.
      sequence: Larger than that of any earlier task of the job, which decides between rows of one cell: clocks of
        workers differ.
      num_preempted: How often machines were taken away under earlier tasks of this attempt.
    """

    job: str
    pack: Pack
    attempt: int
    sequence: int
    num_preempted: int = 0


@dataclass(frozen=True)
class PackStarted:
    """A worker has begun with the pack: where it is."""

    hostname: str
    pid: int
    device: str


@dataclass(frozen=True)
class SnapshotsWritten:
    """Snapshots are in the store, so their probes can start."""

    keys: frozenset[SnapshotKey]


@dataclass(frozen=True)
class SnapshotImpossible:
    """A run ended before this epoch, so its probes can never start."""

    run_id: str
    epoch: int
    status: Status
    error: str


@dataclass(frozen=True)
class SnapshotsLost:
    """Snapshots that the pack was to probe are damaged or gone, so it has ended without rows.

    Attributes:
      error: Which file, for a person.
    """

    keys: frozenset[SnapshotKey]
    error: str


@dataclass(frozen=True)
class Extreme:
    """The cell with the least or the greatest value of a column."""

    cell_id: str
    value: float


@dataclass(frozen=True)
class CellsWritten:
    """Rows of these cells are in the store, with these statuses.

    Attributes:
      errors: The last lines of those that did not complete, by cell.
      least, greatest: Among those that completed, by the column that tells first how a cell came out.
    """

    statuses: Mapping[str, Status]
    errors: Mapping[str, str] = field(default_factory=dict)
    least: Extreme | None = None
    greatest: Extreme | None = None


@dataclass(frozen=True)
class PackFailed:
    """The pack ended early; what it had written stays.

    Attributes:
      worker_is_sound: False after an error that leaves the device unusable for this process.
      is_logged: False where its worker was ended, so that it has written no log.
    """

    status: Status
    error: str
    worker_is_sound: bool = True
    is_logged: bool = True


@dataclass(frozen=True)
class PackDone:
    """The pack ran to its end."""


@dataclass(frozen=True)
class WorkerDied:
    """The worker is gone, and what it was doing may or may not have been written.

    Attributes:
      error: In a sentence, for the rows of its cells.
      preempted: The machine was taken away, which is not the pack's fault.
      details: What else is known, for the log.
    """

    error: str
    preempted: bool = False
    details: str = ""


Event = (
    PackStarted
    | Progress
    | SnapshotsWritten
    | SnapshotImpossible
    | SnapshotsLost
    | CellsWritten
    | PackFailed
    | PackDone
    | WorkerDied
)

Last = SnapshotsLost | PackFailed | PackDone | WorkerDied
"""What the last event of a task is."""
