"""SQL over a store: the views `cells`, `curves`, `training`, `metrics`, `trajectories` and `trials`, by DuckDB."""

from __future__ import annotations

import itertools
from pathlib import Path

import duckdb
import pyarrow as pa

from ..errors import QueryError
from .records import TABLES, CellKey
from .store import Store

_VIEWS = {
    # a cell computed again, or with other settings, supersedes the earlier row at its place in the grid
    "cells": f"""
        SELECT * FROM all_cells
        QUALIFY row_number() OVER (PARTITION BY job, {", ".join(CellKey._fields)} ORDER BY finished_at DESC) = 1""",
    # a killed pack may have left curves without cells
    "curves": "SELECT * FROM all_curves SEMI JOIN cells USING (job, cell_id, part)",
    "metrics": "SELECT * FROM all_metrics SEMI JOIN cells USING (job, cell_id, part)",
    "trajectories": "SELECT * FROM all_trajectories SEMI JOIN cells USING (job, cell_id, part)",
    # a run trained again after a kill repeats its rows
    "training": """
        SELECT * FROM all_training
        QUALIFY row_number() OVER (PARTITION BY job, run_id, step ORDER BY part) = 1""",
    "trials": """
        SELECT * FROM all_trials
        QUALIFY row_number() OVER (PARTITION BY job, trial ORDER BY finished_at DESC) = 1""",
}


class Results:
    """The results below a root, for queries.

    >>> import harness
    >>> harness.open_results("results").query("SELECT loss, avg(w1) FROM cells GROUP BY loss")  # doctest: +SKIP
    """

    def __init__(self, root: str | Path = "results") -> None:
        self.store = Store(root)
        self._connection = duckdb.connect()
        for table in TABLES:
            self._connection.register(f"all_{table}", self.store.dataset(table))
        for name, sql in _VIEWS.items():
            self._connection.execute(f"CREATE VIEW {name} AS {sql}")

    def query(self, sql: str) -> pa.Table:
        """The answer to an SQL statement, as an Arrow table.

        Raises:
          QueryError: If the statement is wrong; the text is DuckDB's, which points at the place.
        """
        try:
            relation = self._connection.sql(sql)
            return pa.table({}) if relation is None else _with_distinct_names(relation.to_arrow_table())
        except duckdb.Error as error:
            raise QueryError(f"{error}\n  Tables: {', '.join(TABLES)}; columns: DESCRIBE cells") from error

    def table(self, name: str, *, job: str | None = None) -> pa.Table:
        """A whole view, of one job or of all.

        Raises:
          QueryError: If there is no such table.
        """
        if name not in TABLES:
            raise QueryError(f"no table '{name}'. Valid: {', '.join(TABLES)}")
        view = self._connection.view(name)
        if job is not None:
            view = view.filter(duckdb.ColumnExpression("job") == duckdb.ConstantExpression(job))
        return view.to_arrow_table()


def _with_distinct_names(table: pa.Table) -> pa.Table:
    """A table whose repeated column names (of ``SELECT *`` over a join) are numbered."""
    names: list[str] = []
    for name in table.column_names:
        numbered = (name if count == 0 else f"{name}_{count}" for count in itertools.count())
        names.append(next(candidate for candidate in numbered if candidate not in names))
    return table.rename_columns(names)


def open_results(root: str | Path = "results") -> Results:
    """Opens the results below a root, a folder or any pyarrow.fs URI."""
    return Results(root)
