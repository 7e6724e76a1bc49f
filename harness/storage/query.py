"""SQL over a store: the views `cells`, `curves`, `training`, `metrics`, `trajectories` and `trials`, by DuckDB."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from ..errors import QueryError, StoreError, suggest
from .parts import Part
from .records import JOINED, TABLES, CellKey
from .references import reference_runs
from .store import Store

if TYPE_CHECKING:
    import pandas

BESIDE_CELLS = ("curves", "metrics", "trajectories")
_PLACE = ", ".join(("job", *CellKey._fields))
_NEWEST_FIRST = f"row_number() OVER (PARTITION BY {_PLACE} ORDER BY sequence DESC NULLS LAST, finished_at DESC)"
_KNOWN = "CASE WHEN cell_id IS NULL THEN error('rows of cells without cell_id') ELSE true END"
_VIEWS = {
    # a cell computed again, or with other settings, supersedes the earlier row at its place in the grid
    "cells": f"SELECT * FROM all_cells WHERE {_KNOWN} QUALIFY {_NEWEST_FIRST} = 1",
    "trials": """
        SELECT * FROM all_trials
        QUALIFY row_number() OVER (PARTITION BY job, trial ORDER BY finished_at DESC) = 1""",
}
# what rows of other tables say of their cells
_PLACES = f"""
    CREATE OR REPLACE TEMP TABLE places AS
    SELECT job, cell_id, part, run_id, {", ".join(field.name for field in JOINED["curves"])}, {_NEWEST_FIRST} AS age
    FROM all_cells WHERE {_KNOWN}"""
_OF_RUNS = ", ".join(("job", "run_id", *(field.name for field in JOINED["training"])))
_RUNS = f"""
    (SELECT {_OF_RUNS} FROM places WHERE protocol IS DISTINCT FROM 'probe'
     UNION ALL SELECT {_OF_RUNS} FROM reference_runs)"""
# a cell of each run that is probed
_PROBED = """
    SELECT job, run_id, any_value(seed) AS seed, any_value(identity) AS identity FROM all_cells
    WHERE protocol = 'probe' AND identity IS NOT NULL GROUP BY job, run_id"""
# a run trained again after a kill repeats its rows
_TRAINING = """
    SELECT * FROM all_training
    QUALIFY row_number() OVER (PARTITION BY job, run_id, step ORDER BY part) = 1"""

# A statement reads the views and nothing else: no file, no address, no variable of the caller, no extension. Nothing
# is spilled either, as DuckDB would let statements use the folder it spills to.
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    # it would take a table of unknown length for a short one, and hold curves in memory to look cells up in them
    "disabled_optimizers": "build_side_probe_side",
    "lock_configuration": "true",
}


class Results:
    """The results below a root, for queries, which can neither read nor write files.

    Raises:
      StoreError: If there is no store at that place, or one that holds no results.

    >>> import harness
    >>> results = harness.open_results("results")  # doctest: +SKIP
    >>> results.query("SELECT loss, avg(w1) FROM cells GROUP BY loss ORDER BY loss")  # doctest: +SKIP
    """

    def __init__(self, root: str | Path = "results") -> None:
        self.store = Store(root)
        _check_holds_results(self.store)
        self._connection = duckdb.connect(config=_SETTINGS)
        self._parts = {table: self.store.parts(table) for table in TABLES}
        self._held: pa.Table | None = None
        self._show_all()

    def of_job(self, job: str) -> Results:
        """The results of one job, for many questions: no other job's files are read, and those of its cells once.

        The view ``cells`` finds out with every question which row at each place of the grid is the latest: of 100,000
        rows that takes seconds. Here it is a table in memory, in which `identity`, by far the longest column, is null.
        """
        other = copy.copy(self)
        other._connection = duckdb.connect(config=_SETTINGS)
        other._parts = {table: self.store.parts(table, job=job) for table in TABLES}
        other._held = None
        other._show_all()
        other._held = other._answer("SELECT * REPLACE (NULL AS identity) FROM cells")
        other._show_held()
        return other

    def query(self, sql: str) -> pa.Table:
        """The answer to an SQL statement, as an Arrow table.

        Raises:
          QueryError: If the statement is wrong, or reaches beyond the store's tables; the text is DuckDB's, which
            points at the place.
        """
        try:
            relation = self._answer(sql)
            return pa.table({}) if relation is None else _with_distinct_names(relation)
        except (duckdb.Error, UnicodeError) as error:  # a lone surrogate is no text for DuckDB
            way_out = f"Tables: {', '.join(TABLES)}; columns: DESCRIBE cells"
            if "Ambiguous reference" in str(error):
                way_out = f"{', '.join(JOINED)} have these columns of cells already: leave out the join, or say whose"
            if isinstance(error, duckdb.PermissionException):
                way_out = f"A query reads the store's tables and no files; harness query -o FILE writes one. {way_out}"
            raise QueryError(f"{error}\n  {way_out}") from error

    def cells(self, job: str | None = None) -> pa.Table:
        """The latest row at each place of the grid, of one job or of all."""
        return self.table("cells", job=job)

    def df(self, what: str = "cells", *, job: str | None = None) -> pandas.DataFrame:
        """A table by its name, or the answer to an SQL statement, as a pandas table.

        Raises:
          QueryError: If there is no such table, the statement is wrong, or pandas is not installed.
        """
        try:
            import pandas  # noqa: F401 - Arrow needs it
        except ImportError as error:
            raise QueryError("pandas is not installed: pip install 'gan-noise-harness[pandas]'") from error
        answer = self.table(what, job=job) if what in TABLES else self.query(what)
        return answer.to_pandas()

    def __repr__(self) -> str:
        jobs = self.store.jobs()
        shown = ", ".join(jobs[:5]) + (f" and {len(jobs) - 5} more" if len(jobs) > 5 else "")
        return f"Results({self.store.root!r}: jobs {shown})"

    def table(self, name: str, *, job: str | None = None) -> pa.Table:
        """A whole view, of one job or of all.

        Raises:
          QueryError: If there is no such table.
        """
        if name not in TABLES:
            raise QueryError(f"no table '{name}'. Valid: {', '.join(TABLES)}")
        try:
            return self._answer(f"FROM {name}", job=job)
        except duckdb.Error as error:
            raise QueryError(str(error)) from error

    def _answer(self, sql: str, *, job: str | None = None) -> pa.Table | None:
        """The answer to a statement, of one job's rows alone if its name is given; None where there is none.

        What cannot be read is passed over: where a statement fails and there is such a part, it is tried again without.
        """
        try:
            return self._tried(sql, job)
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException):
            raise
        except duckdb.Error:
            sound = {table: self.store.sound(table, parts) for table, parts in self._parts.items()}
            if sound == self._parts:
                raise
            self._parts = sound
            self._show_all()
            return self._tried(sql, job)

    def _tried(self, sql: str, job: str | None) -> pa.Table | None:
        self._see_to_views(sql)
        relation = self._connection.sql(sql)
        if relation is not None and job is not None:
            relation = relation.filter(duckdb.ColumnExpression("job") == duckdb.ConstantExpression(job))
        return None if relation is None else relation.to_arrow_table()

    def _show_all(self) -> None:
        """Makes the views; those that say what their rows belong to are seen to again when they are asked for."""
        self._has_places = self._has_references = False
        for table in ("cells", "training", "trials"):
            self._connection.register(f"all_{table}", self.store.dataset(table, of=self._parts[table]))
        for table, sql in _VIEWS.items():
            self._connection.execute(f"CREATE OR REPLACE VIEW {table} AS {sql}")
        self._connection.execute(f"{_PLACES} LIMIT 0")
        self._connection.register("reference_runs", reference_runs(()))
        self._join("training", _TRAINING, _RUNS, key=("job", "run_id"))
        for table in BESIDE_CELLS:
            self._show(table, (), self._parts[table])
        self._show_held()

    def _show_held(self) -> None:
        if self._held is not None:
            self._connection.register("held_cells", self._held)
            self._connection.execute("CREATE OR REPLACE VIEW cells AS FROM held_cells")

    def _see_to_views(self, sql: str) -> None:
        """Before the first statement that asks for what belongs to cells or runs, finds out what these are."""
        asked_for = sql.lower()
        if not self._has_places and any(table in asked_for for table in JOINED):
            self._has_places = True
            self._connection.execute(_PLACES)
            self._compare()
        if not self._has_references and "training" in asked_for:
            self._has_references = True
            self._connection.register(
                "reference_runs", reference_runs(self._connection.sql(_PROBED).to_arrow_table().to_pylist())
            )

    def _compare(self) -> None:
        """Finds out which files of what belongs to cells need no comparison with these.

        Rows count where the row of their cell does: a killed pack may have left some without cells, and a cell computed
        again has them again. Most files hold only such rows: those of their cells were written after them under the
        same name, and none of these is superseded.
        """
        repeated = self._connection.sql(f"SELECT list(part) FROM places GROUP BY {_PLACE} HAVING count(*) > 1")
        superseded = {part for (parts,) in repeated.fetchall() for part in parts}  # and what supersedes them
        self._connection.execute("DELETE FROM places WHERE age > 1")
        with_cells = {(part.job, name) for part in self._parts["cells"] for name in part.written_as}
        for table in BESIDE_CELLS:
            current: list[Part] = []
            other: list[Part] = []
            for part in self._parts[table]:
                has_cells = all((part.job, name) in with_cells for name in part.written_as)
                is_current = has_cells and superseded.isdisjoint(part.executions)
                (current if is_current else other).append(part)
            self._show(table, current, other)

    def _show(self, table: str, current: Sequence[Part], other: Sequence[Part]) -> None:
        """Makes the view of a table of what belongs to cells, whose other parts are compared with them row by row."""
        self._connection.register(f"current_{table}", self.store.dataset(table, of=current))
        self._connection.register(f"other_{table}", self.store.dataset(table, of=other))
        sql = f"SELECT * FROM current_{table}"
        if other:
            sql += f" UNION ALL SELECT * FROM other_{table} SEMI JOIN places USING (job, cell_id, part)"
        self._join(table, sql, "places", key=("job", "cell_id", "part"))

    def _join(self, table: str, sql: str, owners: str, *, key: Sequence[str]) -> None:
        """Makes the view of a table's rows, with columns of what they belong to, which are null where it is not there.

        The owners are grouped by the key, so that no row is doubled, and DuckDB knows it: where a statement aggregates
        other columns alone, it joins nothing.
        """
        names = [field.name for field in JOINED[table]]
        on = ", ".join(key)
        self._connection.execute(
            f"""CREATE OR REPLACE VIEW {table} AS SELECT rows.*, {", ".join(f"owners.{name}" for name in names)}
                FROM ({sql}) rows LEFT JOIN (
                  SELECT {on}, {", ".join(f"first({name}) AS {name}" for name in names)} FROM {owners} GROUP BY {on}
                ) owners USING ({on})"""
        )


def _with_distinct_names(table: pa.Table) -> pa.Table:
    """A table whose repeated column names (of ``SELECT *`` over a join) are numbered."""
    names: list[str] = []
    for name in table.column_names:
        numbered = (name if count == 0 else f"{name}_{count}" for count in itertools.count())
        names.append(next(candidate for candidate in numbered if candidate not in names))
    return table.rename_columns(names)


def open_results(root: str | Path = "results") -> Results:
    """Opens the results below a root, a folder or any pyarrow.fs URI.

    Raises:
      StoreError: If there is no store at that place, or one that holds no results.
    """
    return Results(root)


def _check_holds_results(store: Store) -> None:
    """Refuses a place where there is nothing to read, and names the stores near it.

    A job whose first cell is still being computed has a folder already, and counts.
    """
    if any({"job.yaml", *TABLES}.intersection(store.place.names(job)) for job in store.jobs()):
        return
    if "://" in store.root:  # a prefix without objects is nothing: whether it was ever made cannot be known
        raise StoreError(f"--results {store.root}: holds no results, or there is no such place")
    place = Path(store.absolute_root)
    problem = "holds no results" if place.is_dir() else "there is no such folder"
    near = _stores_near(place, relative=not Path(store.root).is_absolute())
    hint = suggest(store.root, near).replace("Valid:", "Stores near it:") if near else ""
    raise StoreError(f"--results {store.root}: {problem}.{hint or ' harness run JOB makes some.'}")


def _stores_near(place: Path, *, relative: bool) -> list[str]:
    """Stores in a folder, or else in the nearest one that exists, with its neighbours and itself."""
    start = next(folder for folder in (place, *place.parents) if folder.is_dir())
    found: set[Path] = set()
    for folder in dict.fromkeys((start, place.parent)):
        for table in TABLES:
            # <store>/<job>/<table>/part-<uuid>.parquet
            found |= {file.parents[2] for depth in ("", "*/") for file in folder.glob(f"{depth}*/{table}/*.parquet")}
    return [os.path.relpath(path) if relative else str(path) for path in sorted(found)]
