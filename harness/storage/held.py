"""Rows of one job's cells in memory, for questions that follow one another."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from .query import Results


class HeldCells:
    """The latest rows of a job, as the view ``cells`` of an SQL statement.

    The view of a store finds out with every question which row at each place of the grid is the latest: of 100,000 rows
    that takes seconds.

    Args:
      results: The store.
      job: Whose rows.
      columns: SQL of the columns that are held, by name.
    """

    def __init__(self, results: Results, job: str, columns: Mapping[str, str]) -> None:
        held = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
        name = job.replace("'", "''")
        self._connection = duckdb.connect(config={"enable_external_access": "false"})
        self._connection.register("cells", results.query(f"SELECT {held} FROM cells WHERE job = '{name}'"))

    def query(self, sql: str) -> pa.Table:
        """The answer to an SQL statement over ``cells``."""
        return self._connection.sql(sql).to_arrow_table()
