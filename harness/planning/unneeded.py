"""What a store holds that none of its jobs needs any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import HarnessError, JobError
from ..identity import SnapshotKey
from ..job.job import Job
from ..job.reading import parse_job
from ..storage.query import Results
from ..storage.records import TABLES
from ..storage.store import Store
from ..storage.writer import MARKERS
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
    rows = results.query("SELECT DISTINCT run_id, epoch FROM cells WHERE run_id IS NOT NULL").to_pylist()
    needed: set[SnapshotKey] = {(row["run_id"], row["epoch"]) for row in rows}
    unfinished: set[str] = set()  # runs
    has_searches = False
    for name in store.jobs():
        job = _job_of(name, store)
        has_searches |= bool(store.parts("trials", job=name)) or not (job is None or isinstance(job, Job))
        if isinstance(job, Job):
            cells = expand(job)
            needed |= {cell.generator for cell in cells}
            missing = {cell.cell_id for cell in difference_from_store(cells, name, store, frozenset()).missing}
            unfinished |= {cell.run.run_id for cell in cells if cell.cell_id in missing}
    kept = _files_of(needed, store)
    found = [
        _among(store, "generators of runs that no job has", "snapshots", lambda name: name not in kept),
        *(
            _among(
                store,
                f"states of training that has ended ({job})",
                f"{job}/.checkpoints",
                lambda name: name.startswith("state-") and name.split("-")[1] not in unfinished,
            )
            for job in store.jobs()
        ),
        _among(store, "states of searches that are gone", ".states", lambda name: not has_searches),
        _among(store, "marks of runs that were killed", MARKERS, lambda name: True),
        *(
            _among(store, f"files that were never completed ({folder})", folder, lambda name: name.endswith(".tmp"))
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


def _files_of(needed: set[SnapshotKey], store: Store) -> set[str]:
    """Files with the generators that are needed, of several with the same one the first."""
    kept, had = set[str](), set[SnapshotKey]()
    for name, keys in store.snapshots.contents().items():
        if needed.intersection(keys) - had:
            kept.add(name)
            had.update(keys)
    return kept


def _folders(store: Store) -> Iterator[str]:
    """Where files of results are."""
    yield "snapshots"
    for job in store.jobs():
        yield job
        yield from (f"{job}/{table}" for table in TABLES)


def _among(store: Store, what: str, folder: str, is_unneeded: Callable[[str], bool]) -> Unneeded:
    infos = [info for info in store.place.listing(folder) if info.is_file and is_unneeded(info.base_name)]
    return Unneeded(what, tuple(f"{folder}/{info.base_name}" for info in infos), sum(info.size or 0 for info in infos))
