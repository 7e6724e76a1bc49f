"""The result store: the only file IO of results, and the owner of every path.

    <root>/<job>/job.yaml
    <root>/<job>/{cells,curves,training,metrics,trajectories,trials}/part-[merged-]<uuid>.parquet
    <root>/<job>/.live.json                            what its run is doing, and how the last one ended; see `live`
    <root>/<job>/logs/pack-<sequence>-<n>.jsonl        what happened to each execution of a pack
    <root>/snapshots/<sha256>.safetensors              generators of a pack at one epoch; its metadata says whose
    <root>/.states/state-<run_id>-<n>-<sha256>.safetensors    of a search's run that is to go on, while it is
    <root>/.features/<identity>-<sha256>.safetensors   a network that was trained for its features
    <root>/<job>/.checkpoints/state-<run_id>-<n>-<sha256>.safetensors    of a run under way, every few minutes

A file is complete or absent, and a row of `cells` is the one sign that a cell is done: the store *is* the state.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.fs
from filelock import FileLock, Timeout

from ..errors import StoreError
from ..identity import SnapshotKey
from . import lease
from .parts import Part, among, damage, foreign, mergeable, merged, merged_name, opened
from .place import Place, warn
from .records import OF_DISCRIMINATORS, TABLES, CellKey, Columns, StoredCell
from .snapshots import FOLDER as SNAPSHOTS
from .writer import FEATURES, LOGS, MARKERS, STATES, StoreWriter

if TYPE_CHECKING:
    import pyarrow.dataset

_READS_AT_ONCE = 16
_WAY_OUT = "delete it and the file of its name in cells, and run the job again for what they held"
_WAYS_OUT = {
    "cells": "delete it, and run the job again for what it held",
    "training": "delete it; what it held is lost until its runs are trained again",
    "trials": "delete it; the study has what it held",
}

_OF_A_JOB = ("job.yaml", ".lock", *TABLES)
"""What a job's folder has, of which one is there from its beginning."""


class Store(StoreWriter):
    """Results below a root: a folder, or any URI pyarrow.fs knows (``s3://``, ``gs://``).

    Args:
      root: Where it is.
      patience_seconds: How long a remote store that does not answer is asked again.

    Attributes:
      place: The files.
      snapshots, states, networks: See `StoreWriter`, which has what workers do.

    Raises:
      StoreError: If there is no such place. So does whatever is asked of it, if it cannot be had.
    """

    def __init__(self, root: str | Path, *, patience_seconds: float = 0.0) -> None:
        self.place = Place(root, patience_seconds=patience_seconds)
        super().__init__(self.place)

    @property
    def root(self) -> str:
        """As it was given."""
        return self.place.root

    @property
    def absolute_root(self) -> str:
        """The root under a name that holds in any working directory of this machine."""
        return self.place.absolute_root

    # --- writing

    def compact(self, job: str) -> dict[str, tuple[int, int]]:
        """Merges the small parts of a job's tables; how many files each table had, and has.

        The next call deletes what an interrupted one has left.
        """
        counts = {}
        for table in TABLES:
            current, replaced = self._parts(job, table)
            self.place.delete(map(self.place.name, replaced))
            for group in mergeable(current):
                if len(sound := self.sound(table, group)) < 2:
                    continue
                self.place.put(f"{job}/{table}/{merged_name()}", merged(sound, table, self.place.files))
                self.place.delete(self.place.name(part.path) for part in sound)
            if current:
                counts[table] = (len(current) + len(replaced), len(self._parts(job, table)[0]))
        return counts

    def write_job(self, job: str, text: str) -> None:
        """Keeps the text of the job file with its results."""
        self.place.put(f"{job}/job.yaml", text.encode())

    def write_text(self, job: str, name: str, text: str) -> str:
        """Keeps a text beside a job's results; its path."""
        self.place.put(f"{job}/{name}", text.encode())
        return self.place.address(f"{job}/{name}")

    @contextlib.contextmanager
    def locked(self, job: str) -> Iterator[None]:
        """Keeps other processes of this machine from working on a job; where the store is no folder, of any machine.

        Raises:
          StoreError: If another process does.
        """
        if self.place.folder is None:
            with lease.held(self.place, f"{job}/.lease", what=f"{job} in {self.root}"):
                yield
            return
        folder = self.place.folder / job
        self._check_alone_with_its_name(job)
        lock, holder = FileLock(folder / ".lock"), folder / ".lock-holder"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)  # the system releases it however this process ends
            holder.write_text(f"{os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        except Timeout:
            raise StoreError(
                f"{job}: another process works on it in {self.root}{_described(holder)}; wait for it, or end it, and "
                "run this again"
            ) from None
        except OSError as error:
            lock.release()
            raise StoreError(f"--results {self.root}: cannot be written to: {error}") from error
        try:
            yield
        finally:
            holder.unlink(missing_ok=True)  # before the release, after which it may be another's
            lock.release()

    def lock_holder(self, job: str) -> str | None:
        """Who holds a job's lock: ``17 on host``, or ``""`` where it has not said so yet; None where nobody does.

        It asks for a share of the lock, which it gives back, and writes nothing. None where the store is no folder.
        """
        if self.place.folder is None:
            return None
        import fcntl  # as filelock does; where there is none, there is no harness either

        folder = self.place.folder / job
        try:
            with (folder / ".lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            return _name_of(folder / ".lock-holder")
        except OSError as error:
            raise StoreError(f"--results {self.root}: cannot be read: {error}") from error
        return None

    def _check_alone_with_its_name(self, job: str) -> None:
        """Refuses a name that some disks take for another job's."""
        alike = [name for name in self.place.names("") if name.casefold() == job.casefold() and name != job]
        if alike:
            raise StoreError(
                f"{job}: {self.root} has the results of {alike[0]}; names that differ in upper and lower case alone "
                "are one on some disks, so choose another"
            )

    @contextlib.contextmanager
    def marked(self) -> Iterator[str]:
        """Keeps a file in the store by whose name a worker tells that its store is this one; gives the name."""
        marker = uuid.uuid4().hex
        self.place.put(f"{MARKERS}/{marker}", b"")
        try:
            yield marker
        finally:
            self.place.delete([f"{MARKERS}/{marker}"])

    # --- reading

    def logs(self, job: str) -> Iterator[list[dict[str, Any]]]:
        """What happened to packs of a job: the lines of each file, in the order in which executions were begun."""
        names = sorted(name for name in self.place.names(f"{job}/{LOGS}") if name.endswith(".jsonl"))
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            contents = pool.map(lambda name: self.place.content(f"{job}/{LOGS}/{name}"), names)
            for name, content in zip(names, contents, strict=True):
                try:
                    yield [json.loads(line) for line in (content or b"").decode().splitlines()]
                except ValueError:
                    warn(f"{self.place.path(f'{job}/{LOGS}/{name}')}: is damaged, and passed over; delete it")

    def snapshots_among(self, keys: Collection[SnapshotKey]) -> frozenset[SnapshotKey]:
        """Those of the generators that are there."""
        return self.snapshots.among(keys)

    def jobs(self) -> list[str]:
        """Names of the jobs that have results, or are being worked on; a folder that is a store itself is none."""
        names = set(self.place.folders()) - {SNAPSHOTS, MARKERS, STATES, FEATURES}
        folder = self.place.folder
        if folder is not None:
            names = {name for name in names if any((folder / name / own).exists() for own in _OF_A_JOB)}
        return sorted(names)

    def parts(self, table: str, *, job: str | None = None) -> list[Part]:
        """The parts of a table, of one job or of all."""
        return [part for name in ([job] if job else self.jobs()) for part in self._parts(name, table)[0]]

    def dataset(
        self, table: str, *, job: str | None = None, of: Sequence[Part] | None = None
    ) -> pyarrow.dataset.Dataset:
        """All rows of a table, including superseded ones, of one job or of all or of some parts; see `query`."""
        return opened(self.parts(table, job=job) if of is None else of, table, self.place.files)

    def read_rows(self, table: str, job: str, *, columns: Sequence[str]) -> list[dict[str, Any]]:
        """All rows of a job in a table, including superseded ones, in the order of writing."""
        return self.cursor(table, job, columns=columns).new()

    def cursor(self, table: str, job: str, *, columns: Sequence[str]) -> Cursor:
        """For a reader that follows a job: each call of `Cursor.new` gives the rows written since the last."""
        return Cursor(lambda seen: self._rows_besides(seen, table, job, columns))

    def latest_cells(self, job: str) -> Mapping[CellKey, StoredCell]:
        """The latest row at each of the grid's coordinates."""
        found = self.parts("cells", job=job)
        if not found:
            return {}
        columns = [*CellKey._fields, "cell_id", "status", "identity"]
        rows = self.read("cells", found, columns=[*columns, "sequence", "finished_at"])
        first_null = [("sequence", "ascending", "at_start"), ("finished_at", "ascending", "at_start")]
        return {
            CellKey(*(row[name] for name in CellKey._fields)): StoredCell(
                row["cell_id"], row["status"], row["identity"]
            )
            for row in rows.sort_by(first_null).select(columns).to_pylist()
        }

    def told_by_training(self, job: str, cells: Mapping[str, SnapshotKey]) -> Mapping[str, Columns]:
        """What the training of completed cells told, by cell_id, of those whose very generator is there.

        A row names its generator's file; where it does not, as earlier ones, there must be one file alone. A generator
        that was trained several times, by other jobs or on other machines, need not be the same.

        Args:
          cells: Their generators, by cell_id.
        """
        files = self.snapshots.files(set(cells.values()))
        told = {}
        for row in self.read_rows("cells", job, columns=["cell_id", "status", *OF_DISCRIMINATORS]):
            key = cells.get(row["cell_id"])
            if row["status"] != "completed" or key is None or key not in files:
                continue
            file = row["snapshot"] or (files[key][0] if len(files[key]) == 1 else None)
            if file in files[key]:
                told[row["cell_id"]] = {**{name: row[name] for name in OF_DISCRIMINATORS}, "snapshot": file}
        return told

    def last_sequence(self, job: str) -> int:
        """The largest `sequence` among a job's rows; 0 where there are none."""
        rows = self.read("cells", self.parts("cells", job=job), columns=["sequence"])
        return max((value for value in rows["sequence"].to_pylist() if value is not None), default=0)

    def read(self, table: str, parts: Sequence[Part], *, columns: Sequence[str]) -> pa.Table:
        """Columns of some parts' rows. Parts that cannot be read are named in a `StoreWarning`, and passed over.

        Raises:
          StoreError: If the store cannot be read.
        """
        if not parts:
            return TABLES[table].empty_table().select(list(columns))
        try:
            rows = self.dataset(table, of=parts).to_table(columns=list(columns))
            if "cell_id" not in columns or not rows["cell_id"].null_count:
                return rows
        except (pa.ArrowException, OSError):
            pass  # either some part is damaged, or the store does not answer
        sound = self.sound(table, parts)
        if len(sound) < len(parts):
            return self.read(table, sound, columns=columns)
        return self.place.patiently(
            lambda: self.dataset(table, of=parts).to_table(columns=list(columns)), f"cannot read {table}"
        )

    def sound(self, table: str, parts: Sequence[Part]) -> list[Part]:
        """Those of some parts that can be read; the others are named in a `StoreWarning`. All are read for it.

        Raises:
          StoreError: If the store cannot be read.
        """

        def look(part: Part) -> str | None:
            content = self.place.content(self.place.name(part.path))
            return None if content is None else damage(content, table)  # merged meanwhile

        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            found = list(pool.map(look, parts))
        for part, problem in zip(parts, found, strict=True):
            if problem:
                warn(f"{part.path}: {problem}. It is passed over; {_WAYS_OUT.get(table, _WAY_OUT)}")
        return [part for part, problem in zip(parts, found, strict=True) if not problem]

    # --- private

    def _rows_besides(
        self, seen: Collection[str], table: str, job: str, columns: Sequence[str]
    ) -> tuple[list[str], list[dict[str, Any]]]:
        """Paths of a job's parts that are not among `seen`, and their rows."""
        new = [part for part in self.parts(table, job=job) if part.path not in seen]
        if not new:
            return [], []
        new.sort(key=lambda part: part.info.mtime)
        rows = self.read(table, new, columns=columns).to_pylist()
        return [part.path for part in new], rows

    def _parts(self, job: str, table: str) -> tuple[list[Part], list[str]]:
        infos = self.place.listing(f"{job}/{table}")
        for path in foreign(infos):
            warn(f"{path}: is no part of the store, and passed over; delete it")
        return among(infos, job=job, files=self.place.files)


class Cursor:
    """Where a reader of a table stands; from `Store.cursor`."""

    def __init__(self, read: Callable[[Collection[str]], tuple[list[str], list[dict[str, Any]]]]) -> None:
        self._read = read
        self._seen: set[str] = set()  # paths of parts, which are written once and never change

    def new(self) -> list[dict[str, Any]]:
        """Rows of the parts that no earlier call has given, in the order of writing."""
        paths, rows = self._read(self._seen)
        self._seen.update(paths)
        return rows


def _described(holder: Path) -> str:
    """Who holds a lock, for a person."""
    name = _name_of(holder)
    return f" (process {name})" if name else ""


def _name_of(holder: Path) -> str:
    """Who holds a lock; nothing where it has not said so yet."""
    try:
        return holder.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
