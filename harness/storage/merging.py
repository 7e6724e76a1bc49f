"""Several stores in one: of every cell one row, of what belongs to it all rows, of every generator one file."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..identity import canonical_json
from .place import warn
from .query import BESIDE_CELLS, Results
from .records import TABLES, CellKey, StoredCell
from .snapshots import FOLDER as SNAPSHOTS
from .store import Store
from .writer import new_part

_JOB_FILE = re.compile(r"job(-\d+)?\.yaml")
_AXES = {
    *("epoch", "seed", "sigma", "loss", "penalty", "optimizer", "learning_rate", "batch_norm", "discriminator_steps"),
    *("updates", "horizon", "objective"),
}
"""Names in cells' identities that differ within a job."""
_CELLS_AT_ONCE = 20_000  # rows of a part; what is written is complete after each


@dataclass(frozen=True)
class Merged:
    """What became of one store's rows of a job.

    Attributes:
      num_taken: Cells whose rows were copied.
      num_there: Cells that were there already.
      num_other: Cells at whose places in the grid there are some with other settings; these stayed.
      took_trials: Whether its trials were copied; None where it has none.
    """

    job: str
    source: str
    num_taken: int
    num_there: int
    num_other: int
    took_trials: bool | None


def merge(sources: Sequence[Results], into: Store) -> Iterator[Merged]:
    """Copies what a store lacks of others, a job at a time; the others stay as they are.

    Where several have a row of a cell, one that completed counts before one that did not; of equals the store's own
    does, then the first of the sources. Cells that were computed with other settings than those that are there are left
    out: they are another experiment. It can be interrupted, and done again: what is there is not copied twice. Of a
    source that is being written to, it copies what was there when it was opened.

    Args:
      sources: In the order in which they count.
      into: Need not be there yet.

    Yields:
      What became of each job of each source.

    Raises:
      StoreError: If a store cannot be read or written, or another process works on a job of `into`.
    """
    for source in sources:
        _copy_snapshots(source.store, into)  # first, as runs do: rows are made from them
    jobs = {source: [job for job in source.store.jobs() if _has_results(source.store, job)] for source in sources}
    for job in dict.fromkeys(job for source in sources for job in jobs[source]):
        with into.locked(job):
            there = dict(into.latest_cells(job))
            for source in sources:
                if job in jobs[source]:
                    yield _merge_job(job, source, into, there)


def _has_results(store: Store, job: str) -> bool:
    """Whether a folder of a store is a job's, not one that lies there besides."""
    return not {"job.yaml", *TABLES}.isdisjoint(store.place.names(job))


def _merge_job(job: str, source: Results, into: Store, there: dict[CellKey, StoredCell]) -> Merged:
    """Copies a job's rows; `there` is kept up to date."""
    _copy_files(job, source.store, into)
    rows = _rows(source, "cells", job)
    found = _stored(rows)
    known = {_settings(cell.identity) for cell in there.values()}
    taken = {
        key: cell
        for key, cell in found.items()
        if _counts_before(cell, there.get(key)) and (not known or _settings(cell.identity) in known)
    }
    same = [
        key for key, cell in found.items() if key not in taken and key in there and cell.cell_id == there[key].cell_id
    ]
    _copy_training(job, source, into)
    _copy_cells(job, source, into, rows, taken)
    there.update(taken)
    took_trials = _copy_trials(job, source, into)
    num_other = len(found) - len(taken) - len(same)
    return Merged(job, source.store.root, len(taken), len(same), num_other, took_trials)


def _stored(rows: pa.Table) -> dict[CellKey, StoredCell]:
    """What there is at each place of the grid."""
    keys, cells = (
        zip(*(rows[name].to_pylist() for name in names._fields), strict=True) for names in (CellKey, StoredCell)
    )
    return {CellKey(*key): StoredCell(*cell) for key, cell in zip(keys, cells, strict=True)}


def _counts_before(cell: StoredCell, other: StoredCell | None) -> bool:
    if other is None:
        return True
    return cell.cell_id == other.cell_id and cell.status == "completed" != other.status


def _settings(identity: str) -> str:
    """What all cells of a job have in common, of a cell's identity: everything but the axes of its grids."""

    def without_axes(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: without_axes(inner) for name, inner in value.items() if name not in _AXES}

    return canonical_json(without_axes(json.loads(identity)))


def _copy_files(job: str, source: Store, into: Store) -> None:
    """A job's file, a further one beside the first if it differs; the best schedule of a search; logs."""
    text = source.place.content(f"{job}/job.yaml")
    names = [name for name in into.place.names(job) if _JOB_FILE.fullmatch(name)]
    if text is not None and all(into.place.content(f"{job}/{name}") != text for name in names):
        into.place.put(f"{job}/{f'job-{len(names) + 1}.yaml' if names else 'job.yaml'}", text)
    for folder, wanted in (("", "best.yaml"), ("logs/", "")):
        there = set(into.place.names(f"{job}/{folder}"))
        for name in source.place.names(f"{job}/{folder}"):
            if name not in there and (name == wanted or (folder and name.endswith(".jsonl"))):
                into.place.put(f"{job}/{folder}{name}", source.place.content(f"{job}/{folder}{name}") or b"")


def _copy_cells(job: str, source: Results, into: Store, cells: pa.Table, taken: Mapping[CellKey, StoredCell]) -> None:
    """Rows of cells, after those of other tables that belong to them, some thousand at once."""
    if not taken:
        return
    keys = zip(*(cells[name].to_pylist() for name in CellKey._fields), strict=True)
    cells = cells.filter(pa.array([CellKey(*key) in taken for key in keys], pa.bool_()))
    beside = {table: _rows(source, table, job) for table in BESIDE_CELLS}
    sequence = into.last_sequence(job) + 1
    for start in range(0, len(cells), _CELLS_AT_ONCE):
        chunk = cells.slice(start, _CELLS_AT_ONCE)
        place = chunk.schema.get_field_index("sequence")
        chunk = chunk.set_column(place, chunk.schema.field(place), pa.array([sequence] * len(chunk), pa.int64()))
        ids = pc.unique(chunk["cell_id"])
        part, suffix = new_part(), uuid.uuid4().hex[:8]
        for table, rows in beside.items():
            into.write_rows(job, table, rows.filter(pc.is_in(rows["cell_id"], ids)), part=part, suffix=suffix)
        into.write_rows(job, "cells", chunk, part=part, suffix=suffix)


def _copy_training(job: str, source: Results, into: Store) -> None:
    """Rows of runs' epochs that are not there."""
    rows = _rows(source, "training", job)
    there = into.read("training", into.parts("training", job=job), columns=["run_id", "step"])
    known = set(zip(there["run_id"].to_pylist(), there["step"].to_pylist(), strict=True))
    keys = zip(rows["run_id"].to_pylist(), rows["step"].to_pylist(), strict=True)
    new = rows.filter(pa.array([key not in known for key in keys], pa.bool_()))
    into.write_rows(job, "training", new, part=new_part(), suffix=uuid.uuid4().hex[:8])


def _copy_trials(job: str, source: Results, into: Store) -> bool | None:
    """A search's trials and its study, unless there are some: their numbers mean other trials in each study."""
    rows = _rows(source, "trials", job)
    if not len(rows):
        return None
    if into.parts("trials", job=job) or into.place.has(f"{job}/study.db"):
        return False
    if study := source.store.place.content(f"{job}/study.db"):
        into.place.put(f"{job}/study.db", study)
    into.write_rows(job, "trials", rows, part=new_part(), suffix=uuid.uuid4().hex[:8])
    return True


def _copy_snapshots(source: Store, into: Store) -> None:
    """Generators' files with any that is not there yet; their names are their content's hashes."""
    there = {key for keys in into.snapshots.contents().values() for key in keys}
    for name, keys in source.snapshots.contents().items():
        if there.issuperset(keys):
            continue
        content = source.place.content(f"{SNAPSHOTS}/{name}")
        if content is None or hashlib.sha256(content).hexdigest() != name.removesuffix(".safetensors"):
            warn(f"{source.place.path(f'{SNAPSHOTS}/{name}')}: is damaged, and not copied")
            continue
        into.place.put(f"{SNAPSHOTS}/{name}", content)


def _rows(source: Results, table: str, job: str) -> pa.Table:
    """The rows of a job that count."""
    return source.table(table, job=job).select(TABLES[table].names).cast(TABLES[table])
