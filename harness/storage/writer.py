"""What a worker does with a store: adds rows, keeps and reads generators, and where runs stand."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ..errors import StoreError, UnseenStoreError
from .files import Files
from .parts import as_parquet, file_name
from .records import to_table
from .snapshots import Networks, Snapshots, States

MARKERS, STATES, FEATURES, LOGS = ".markers", ".states", ".features", "logs"


class StoreWriter:
    """Writes results, wherever its files are.

    Attributes:
      snapshots: Trained generators, of all jobs.
      states: Of runs that are to go on.
      networks: Of feature spaces, of all jobs.

    Raises:
      StoreError: From every method, if what is asked cannot be had.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.snapshots, self.states = Snapshots(files), States(files, STATES)
        self.networks = Networks(files, FEATURES)

    def checkpoints(self, job: str) -> States:
        """Of runs under way, so that a kill costs minutes."""
        return States(self._files, f"{job}/.checkpoints")

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
            self._put(job, table, columns, part=part, suffix=suffix or uuid.uuid4().hex[:8])

    def write_rows(self, job: str, table: str, rows: pa.Table, *, part: str, suffix: str) -> None:
        """Adds rows that another store has; their column `part` becomes this one's."""
        if len(rows):
            place = rows.schema.get_field_index("part")
            named = rows.set_column(place, rows.schema.field(place), pa.array([part] * len(rows), pa.string()))
            self._put(job, table, named, part=part, suffix=suffix)

    def _put(self, job: str, table: str, rows: pa.Table, *, part: str, suffix: str) -> None:
        self._files.put(f"{job}/{table}/{file_name(part, suffix=suffix)}", as_parquet(rows))

    def write_cells(
        self, job: str, cells: list[dict[str, Any]], beside: Mapping[str, list[dict[str, Any]]], *, part: str
    ) -> None:
        """Adds rows of cells; what belongs to them in other tables comes first, in files of the same name."""
        suffix = uuid.uuid4().hex[:8]
        for table, rows in {**beside, "cells": cells}.items():
            self.write_part(job, table, rows, part=part, suffix=suffix)

    def write_log(self, job: str, text: str, *, sequence: int) -> None:
        """Keeps what happened to one execution of a pack, in lines of JSON; several may be of one sequence."""
        self._files.put(f"{job}/{LOGS}/pack-{sequence:06}-{uuid.uuid4().hex[:8]}.jsonl", text.encode())

    def check_marker(self, marker: str) -> None:
        """Refuses a store that is not the one in which the driver wrote a marker (`Store.marked`), or is read-only.

        Raises:
          UnseenStoreError: If the marker is not there, or nothing can be written beside it.
        """
        if not self._files.has(f"{MARKERS}/{marker}"):
            raise UnseenStoreError(
                f"worker on {socket.gethostname()}: {self._files.root} is not the driver's store, so its results would "
                "be lost; give --results a folder that all nodes share, or a URI such as s3://bucket/prefix"
            )
        own = f"{MARKERS}/{marker}.{uuid.uuid4().hex}"
        try:
            self._files.put(own, b"")
            self._files.delete([own])
        except StoreError as error:
            raise UnseenStoreError(f"worker on {socket.gethostname()}: {error}") from error


def new_part() -> str:
    """A fresh name for what one pack execution writes."""
    return uuid.uuid4().hex
