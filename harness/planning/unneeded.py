"""What a store holds that none of its jobs needs any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import HarnessError, JobError
from ..identity import SnapshotKey
from ..job.dirac import DiracJob
from ..job.job import Job
from ..job.reading import parse_job
from ..job.tune import TuneJob
from ..storage.place import PRIVATE
from ..storage.query import Results
from ..storage.records import STATUSES, TABLES
from ..storage.store import Store
from ..storage.writer import FEATURES, LOGS, MARKERS, STATES
from .difference import difference_from_store
from .grid import expand


@dataclass(frozen=True)
class Unneeded:
    """Files of one kind that nobody needs.

    Attributes:
      what: What they are, for a person.
      names: Theirs, in the store.
      num_bytes: Of all together.
    """

    what: str
    names: tuple[str, ...]
    num_bytes: int


def find_unneeded(results: Results) -> list[Unneeded]:
    """Generators that no row and no job file of a store names, states that no training goes on from, and scraps.

    Nobody may be at work on a job of the store meanwhile. It reads each job's file and coordinates, and the header of
    each file of generators.

    Raises:
      HarnessError: If a job's file cannot be read, so that what it needs is not known.
    """
    store = results.store
    files = store.snapshots.contents()  # before the jobs: what begins meanwhile is not among them
    needed, kept = set[SnapshotKey](), set[str]()  # generators; folders of jobs whose states may be gone on from
    unfinished: set[str] = set()  # runs
    has_searches = False
    for name in store.jobs():
        job = _job_of(name, store)
        if isinstance(job, Job):
            cells = expand(job)
            needed |= {cell.generator for cell in cells}
            difference = difference_from_store(cells, name, store, frozenset(STATUSES) - {"completed", "diverged"})
            missing = {cell.cell_id for cell in difference.missing}
            unfinished |= {cell.run.run_id for cell in cells if cell.cell_id in missing}
        elif not isinstance(job, DiracJob):  # a search, or what one has not described yet
            kept.add(name)
            has_searches |= isinstance(job, TuneJob) or bool(store.parts("trials", job=name))
    rows = results.query("SELECT DISTINCT run_id, epoch FROM cells WHERE run_id IS NOT NULL").to_pylist()
    needed |= {(row["run_id"], row["epoch"]) for row in rows}
    snapshots = {name for name, keys in files.items() if needed.isdisjoint(keys)}
    found = [
        _among(store, "generators of runs that no job has", "snapshots", lambda name: name in snapshots),
        *(
            _among(
                store,
                f"states of training that has ended ({job})",
                f"{job}/.checkpoints",
                lambda name: name.startswith(PRIVATE) and name.split("-")[1] not in unfinished,
            )
            for job in store.jobs()
            if job not in kept
        ),
        _among(store, "states of searches that are gone", STATES, lambda name: not has_searches),
        _among(store, "marks of runs that were killed", MARKERS, lambda name: True, after_days=1),
        *(
            _among(
                store,
                f"files that were never completed ({folder})",
                folder,
                lambda name: name.endswith(".tmp"),
                after_days=1,
            )
            for folder in _folders(store)
        ),
    ]
    return [kind for kind in found if kind.names]


def _job_of(name: str, store: Store) -> object:
    """The job whose results are in a folder; None where it has no file."""
    text = store.place.content(f"{name}/job.yaml")
    try:
        return None if text is None else parse_job(text.decode(), source=f"{store.root}/{name}/job.yaml")
    except JobError as error:
        raise HarnessError(f"{error}\n  What {name} needs is not known, so nothing is deleted") from error


def _folders(store: Store) -> Iterator[str]:
    """Where files of results are."""
    yield from ("snapshots", STATES, FEATURES)
    for job in store.jobs():
        yield job
        yield from (f"{job}/{name}" for name in (*TABLES, LOGS, ".checkpoints"))


def _among(
    store: Store, what: str, folder: str, is_unneeded: Callable[[str], bool], *, after_days: float = 0.0
) -> Unneeded:
    """Files of a folder; after some days those alone that are as old, which no process can be at any more."""
    latest = time.time() - 86_400 * after_days
    infos = [
        info
        for info in store.place.listing(folder)
        if info.is_file and is_unneeded(info.base_name) and (not after_days or (info.mtime_ns or 0) < 1e9 * latest)
    ]
    return Unneeded(what, tuple(f"{folder}/{info.base_name}" for info in infos), sum(info.size or 0 for info in infos))
