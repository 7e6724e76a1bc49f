"""The result store: the only file IO of results, and the owner of every path.

    <root>/<job>/job.yaml
    <root>/<job>/{cells,curves,training,metrics,trajectories,trials}/part-[merged-]<uuid>.parquet
    <root>/snapshots/<sha256>.safetensors              generators of a pack at one epoch; its metadata says whose
    <root>/snapshots/<run_id>/state-<n>.safetensors    of a run that is to go on, while it is

A file is complete or absent, and a row of `cells` is the one sign that a cell is done: the store *is* the state.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import socket
import time
import uuid
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.fs
from filelock import FileLock, Timeout

from ..errors import SnapshotsLostError, StoreError, StoreWarning, printable
from ..identity import SnapshotKey
from . import lease
from .parts import Part, among, as_parquet, damage, file_name, foreign, mergeable, merged, merged_name, opened
from .records import TABLES, CellKey, StoredCell, to_table

if TYPE_CHECKING:
    import pyarrow.dataset

SNAPSHOTS = "snapshots"
MARKERS = ".markers"
_READS_AT_ONCE = 16
PATIENCE_SECONDS = 300.0
"""How long a run waits for a remote store that does not answer."""
_FINAL = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_", "SIGNATURE_DOES_NOT_MATCH", "UNRECOGNIZED_CLIENT", "403")
"""In errors of remote stores that no waiting mends."""

T = TypeVar("T")


class Store:
    """Results below a root: a folder, or any URI pyarrow.fs knows (``s3://``, ``gs://``).

    Args:
      root: Where it is.
      patience_seconds: How long a remote store that does not answer is asked again.

    Raises:
      StoreError: If there is no such place.
    """

    def __init__(self, root: str | Path, *, patience_seconds: float = 0.0) -> None:
        self.root = str(root)
        self.patience_seconds = patience_seconds
        try:
            if "://" in self.root:
                self._files, self._base = pyarrow.fs.FileSystem.from_uri(self.root)
            else:
                self._files, self._base = pyarrow.fs.LocalFileSystem(), str(Path(self.root).absolute())
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"--results {self.root}: cannot be opened: {error}") from error
        self._snapshots: dict[SnapshotKey, str] = {}  # known so far, with their files
        self._known: set[str] = set()
        info = self._patiently(lambda: self._files.get_file_info(self._base), "cannot be read")
        if info.type == pyarrow.fs.FileType.File:
            raise StoreError(f"--results {self.root}: is a file; name a folder or a URI such as s3://bucket/prefix")

    @property
    def absolute_root(self) -> str:
        """The root under a name that holds in any working directory of this machine."""
        return self.root if "://" in self.root else self._base

    # --- writing

    def write_part(self, job: str, table: str, rows: list[dict[str, Any]], *, part: str, suffix: str = "") -> None:
        """Adds rows to a table, all or none.

        Args:
          job: Whose they are.
          table: Its name.
          rows: Without the columns `job` and `part`.
          part: Of the execution of a pack, which may write more than once.
          suffix: Tells what it writes apart; a fresh one by default.
        """
        if rows:
            columns = to_table(table, [{**row, "job": job, "part": part} for row in rows])
            name = file_name(part, suffix=suffix or uuid.uuid4().hex[:8])
            self._put(f"{job}/{table}/{name}", as_parquet(columns))

    def write_cells(
        self, job: str, cells: list[dict[str, Any]], beside: Mapping[str, list[dict[str, Any]]], *, part: str
    ) -> None:
        """Adds rows of cells; what belongs to them in other tables comes first, in files of the same name."""
        suffix = uuid.uuid4().hex[:8]
        for table, rows in {**beside, "cells": cells}.items():
            self.write_part(job, table, rows, part=part, suffix=suffix)

    def compact(self, job: str) -> dict[str, tuple[int, int]]:
        """Merges the small parts of a job's tables; how many files each table had, and has.

        The next call deletes what an interrupted one has left.
        """
        counts = {}
        for table in TABLES:
            current, replaced = self._parts(job, table)
            self._delete(replaced)
            for group in mergeable(self.sound(table, current)):
                self._put(f"{job}/{table}/{merged_name()}", merged(group, table, self._files))
                self._delete(part.path for part in group)
            if current:
                counts[table] = (len(current) + len(replaced), len(self._parts(job, table)[0]))
        return counts

    def write_job(self, job: str, text: str) -> None:
        """Keeps the text of the job file with its results."""
        self._put(f"{job}/job.yaml", text.encode())

    def write_text(self, job: str, name: str, text: str) -> str:
        """Keeps a text beside a job's results; its path."""
        self._put(f"{job}/{name}", text.encode())
        return f"{self.root}/{job}/{name}"

    def write_snapshots(self, content: bytes) -> None:
        """Keeps generators: a safetensors file whose metadata name them (`training/snapshots.py`)."""
        self._put(f"{SNAPSHOTS}/{_snapshot_name(content)}", content)

    def write_state(self, run_id: str, epoch: int, content: bytes) -> None:
        """Keeps all that a run needs to go on from an epoch."""
        self._put(_state(run_id, epoch), content)

    def delete_states(self, run_id: str, epochs: Iterable[int]) -> None:
        """Forgets where a run stood, which no training will go on from."""
        self._delete(f"{self._base}/{_state(run_id, epoch)}" for epoch in epochs)

    @contextlib.contextmanager
    def locked(self, job: str) -> Iterator[None]:
        """Keeps other processes of this machine from working on a job; where the store is no folder, of any machine.

        Raises:
          StoreError: If another process does.
        """
        if not isinstance(self._files, pyarrow.fs.LocalFileSystem):
            name = f"{job}/.lease"
            with lease.held(
                lambda: self._content(name),
                lambda content: self._put(name, content),
                lambda: self._delete([f"{self._base}/{name}"]),
                what=f"{job} in {self.root}",
                warn=_warn,
            ):
                yield
            return
        folder = Path(self._base) / job
        folder.mkdir(parents=True, exist_ok=True)
        lock, holder = FileLock(folder / ".lock"), folder / ".lock-holder"
        try:
            lock.acquire(blocking=False)  # the system releases it however this process ends
        except Timeout:
            raise StoreError(
                f"{job}: another process works on it in {self.root}{_described(holder)}; wait for it, or end it, and "
                "run this again"
            ) from None
        try:
            holder.write_text(f"{os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)  # before the release, after which it may be another's
            lock.release()

    @contextlib.contextmanager
    def marked(self) -> Iterator[str]:
        """Keeps a file in the store by whose name a worker tells that its store is this one; gives the name."""
        marker = uuid.uuid4().hex
        self._put(f"{MARKERS}/{marker}", b"")
        try:
            yield marker
        finally:
            self._delete([f"{self._base}/{MARKERS}/{marker}"])

    def check_marker(self, marker: str) -> None:
        """Refuses a store that is not the one in which `marked` wrote.

        Raises:
          StoreError: If the marker is not there.
        """
        if not self._has(f"{MARKERS}/{marker}"):
            raise StoreError(
                f"worker on {socket.gethostname()}: {self.root} is not the driver's store, so its results would be "
                "lost; give --results a folder that all nodes share, or a URI such as s3://bucket/prefix"
            )

    # --- reading

    def read_snapshots(self, keys: Collection[SnapshotKey]) -> list[bytes]:
        """The files that hold these generators, each once.

        Raises:
          SnapshotsLostError: If one is not there, or its content is not what was written; it is deleted then.
        """
        missing = set(keys) - self.snapshots_among(keys)
        if missing:
            run_id, epoch = min(missing)
            raise SnapshotsLostError(f"{self.root}: no snapshot of run {run_id} at epoch {epoch}", frozenset(missing))
        files = dict.fromkeys(self._snapshots[key] for key in keys)
        return [self._read_snapshots(name) for name in files]

    def snapshots_among(self, keys: Collection[SnapshotKey]) -> frozenset[SnapshotKey]:
        """Those of the generators that are there.

        It costs at most a listing, and a look at each file that is new since the last.
        """
        if not all(key in self._snapshots for key in keys):
            new = [name for name in self.names(SNAPSHOTS) if name.endswith(".safetensors") and name not in self._known]
            with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
                for name, found in zip(new, pool.map(self._keys_in, new), strict=True):
                    self._known.add(name)
                    for key in found:
                        self._snapshots.setdefault(key, name)
        return frozenset(key for key in keys if key in self._snapshots)

    def read_state(self, run_id: str, epoch: int) -> bytes:
        """All that a run needs to go on from an epoch."""
        return self._get(_state(run_id, epoch), f"state of run {run_id} at epoch {epoch}")

    def has_state(self, run_id: str, epoch: int) -> bool:
        """Whether a run can go on from an epoch."""
        return self._has(_state(run_id, epoch))

    def jobs(self) -> list[str]:
        """Names of the jobs that have results."""
        return sorted(
            info.base_name
            for info in self._listing("")
            if info.type == pyarrow.fs.FileType.Directory and info.base_name not in (SNAPSHOTS, MARKERS)
        )

    def names(self, folder: str) -> list[str]:
        """Names of what is in a folder of the store; none where there is no such folder."""
        return [info.base_name for info in self._listing(folder)]

    def parts(self, table: str, *, job: str | None = None) -> list[Part]:
        """The parts of a table, of one job or of all."""
        return [part for name in ([job] if job else self.jobs()) for part in self._parts(name, table)[0]]

    def dataset(
        self, table: str, *, job: str | None = None, of: Sequence[Part] | None = None
    ) -> pyarrow.dataset.Dataset:
        """All rows of a table, including superseded ones, of one job or of all or of some parts; see `query`."""
        return opened(self.parts(table, job=job) if of is None else of, table, self._files)

    def read_rows(self, table: str, job: str, *, columns: Sequence[str]) -> list[dict[str, Any]]:
        """All rows of a job in a table, including superseded ones, in the order of writing."""
        return self.cursor(table, job, columns=columns).new()

    def cursor(self, table: str, job: str, *, columns: Sequence[str]) -> Cursor:
        """For a reader that follows a job: each call of `Cursor.new` gives the rows written since the last."""
        return Cursor(lambda seen: self._rows_besides(seen, table, job, columns))

    def latest_cells(self, job: str) -> Mapping[CellKey, StoredCell]:
        """The latest row at each of the grid's coordinates."""
        columns = [*CellKey._fields, "cell_id", "status", "identity", "sequence", "finished_at"]
        rows = self.read("cells", self.parts("cells", job=job), columns=columns)
        first_null = [("sequence", "ascending", "at_start"), ("finished_at", "ascending", "at_start")]
        return {
            CellKey(*(row[name] for name in CellKey._fields)): StoredCell(
                row["cell_id"], row["status"], row["identity"]
            )
            for row in rows.sort_by(first_null).to_pylist()
        }

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
        return self._patiently(
            lambda: self.dataset(table, of=parts).to_table(columns=list(columns)), f"cannot read {table}"
        )

    def sound(self, table: str, parts: Sequence[Part]) -> list[Part]:
        """Those of some parts that can be read; the others are named in a `StoreWarning`. All are read for it.

        Raises:
          StoreError: If the store cannot be read.
        """

        def look(part: Part) -> str | None:
            content = self._content(part.path.removeprefix(f"{self._base}/"))
            return None if content is None else damage(content, table)  # merged meanwhile

        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            found = list(pool.map(look, parts))
        for part, problem in zip(parts, found, strict=True):
            if problem:
                _warn(f"{part.path}: {problem}. It is passed over; delete it, and run the job again for what it held")
        return [part for part, problem in zip(parts, found, strict=True) if not problem]

    # --- private

    def _keys_in(self, name: str) -> list[SnapshotKey]:
        """Which generators a file holds, from its header."""
        path = f"{self._base}/{SNAPSHOTS}/{name}"

        def read() -> bytes:
            with self._files.open_input_file(path) as file:
                length = int.from_bytes(file.read(8), "little")
                return bytes(file.read(min(length, file.size())))

        try:
            header = json.loads(self._patiently(read, "cannot read snapshots"))
            return [(run_id, epoch) for run_id, epoch in json.loads(header["__metadata__"]["snapshots"])]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError):
            _warn(f"{path}: holds no snapshots. It is passed over; delete it. What it should hold is trained again")
            return []

    def _read_snapshots(self, name: str) -> bytes:
        path = f"{self._base}/{SNAPSHOTS}/{name}"
        keys = frozenset(key for key, file in self._snapshots.items() if file == name)
        content = self._content(f"{SNAPSHOTS}/{name}")
        if content is None:
            self.forget_snapshots(keys)
            raise SnapshotsLostError(f"{path}: is gone", keys)
        if name != _snapshot_name(content):
            self._delete([path])
            self.forget_snapshots(keys)
            raise SnapshotsLostError(f"{path}: was damaged, and is deleted", keys)
        return content

    def forget_snapshots(self, keys: Collection[SnapshotKey]) -> None:
        """Told that generators are not there, whatever was seen before."""
        for name in {self._snapshots.pop(key) for key in keys if key in self._snapshots}:
            self._known.discard(name)

    def _get(self, name: str, what: str) -> bytes:
        content = self._content(name)
        if content is None:
            raise StoreError(f"{self.root}: no {what}")
        return content

    def _content(self, name: str) -> bytes | None:
        """Of a file; None where there is none."""

        def read() -> bytes | None:
            try:
                with self._files.open_input_stream(f"{self._base}/{name}") as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

        return self._patiently(read, f"cannot read {name}")

    def _has(self, name: str) -> bool:
        info = self._patiently(lambda: self._files.get_file_info(f"{self._base}/{name}"), f"cannot look for {name}")
        return bool(info.type == pyarrow.fs.FileType.File)

    def _patiently(self, ask: Callable[[], T], problem: str) -> T:
        """What the store answers, which is asked again for a while if it does not.

        Raises:
          StoreError: If it refuses, or has not answered in that time.
        """
        pause, deadline = 0.5, time.monotonic() + self.patience_seconds
        while True:
            try:
                return ask()
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, FileNotFoundError):
                    raise
                is_over = time.monotonic() + pause > deadline or any(word in str(error) for word in _FINAL)
                if isinstance(self._files, pyarrow.fs.LocalFileSystem) or is_over:
                    raise StoreError(f"--results {self.root}: {problem}: {_first_line(error)}") from error
                if pause == 0.5:
                    _warn(f"{self.root} does not answer ({_first_line(error)}); asking again")
            time.sleep(pause)
            pause = min(2 * pause, 10.0)

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
        infos = self._listing(f"{job}/{table}")
        for path in foreign(infos):
            _warn(f"{path}: is no part of the store, and passed over; delete it")
        return among(infos, job=job, files=self._files)

    def _delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                self._patiently(functools.partial(self._files.delete_file, path), f"cannot delete {path}")

    def _listing(self, folder: str) -> list[pyarrow.fs.FileInfo]:
        selector = pyarrow.fs.FileSelector(f"{self._base}/{folder}".rstrip("/"), allow_not_found=True)
        return self._patiently(lambda: list(self._files.get_file_info(selector)), "cannot be read")

    def _put(self, name: str, content: bytes) -> None:
        """Writes a file complete or not at all, and overwrites nothing half way."""
        path = f"{self._base}/{name}"

        def write() -> None:
            if isinstance(self._files, pyarrow.fs.LocalFileSystem):
                _put_locally(Path(path), content)
                return
            with self._files.open_output_stream(path) as file:
                file.write(content)

        self._patiently(write, f"cannot write {name}")


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


def new_part() -> str:
    """A fresh name for what one pack execution writes."""
    return uuid.uuid4().hex


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _snapshot_name(content: bytes) -> str:
    """By which a reader tells whether a file is what was written."""
    return f"{hashlib.sha256(content).hexdigest()}.safetensors"


def _warn(text: str) -> None:
    warnings.warn(printable(text), StoreWarning, stacklevel=2)


def _state(run_id: str, epoch: int) -> str:
    return f"{SNAPSHOTS}/{run_id}/state-{epoch}.safetensors"


def _described(holder: Path) -> str:
    """Who holds a lock; nothing where it has not said so yet."""
    try:
        return f" (process {holder.read_text(encoding='utf-8')})"
    except FileNotFoundError:
        return ""


def _put_locally(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
