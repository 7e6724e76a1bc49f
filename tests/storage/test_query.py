"""Queries: what they may reach, and what is said of a store that is not there."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from harness.errors import QueryError, StoreError
from harness.storage.query import Results, open_results
from harness.storage.store import Store
from harness.storage.writer import new_part
from tests.storage.test_store import cell

SECRET = pa.table({"a": [1]})  # what a statement must not find by its name


@pytest.fixture
def filled(store: Store) -> Store:
    store.write_part("job", "cells", [{"cell_id": "c", "status": "completed", "loss": "minimax"}], part=new_part())
    return store


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "COPY cells TO '{folder}/out.parquet' (FORMAT parquet)",
        "COPY cells TO 'out.csv'",
        "COPY cells TO '.tmp/out.csv'",
        "SELECT 1; COPY cells TO '{folder}/out.csv'",
        "EXPORT DATABASE '{folder}/out'",
        "IMPORT DATABASE '{folder}'",
        "ATTACH '{folder}/out.db'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM '{folder}/in.csv'",
        "SELECT * FROM read_csv('.tmp/in.csv')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM parquet_scan('{folder}/in.parquet')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('http://127.0.0.1:9/a.csv')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "LOAD '{folder}/x.duckdb_extension'",
        "CREATE SECRET (TYPE s3)",
        "SET enable_external_access = true",
        "RESET enable_external_access",
        "SET lock_configuration = false",
        "SET temp_directory = '{folder}'",
        "SET python_enable_replacements = true",
        "PRAGMA enable_profiling",
        "SELECT * FROM SECRET",
    ],
)
def test_a_query_reads_the_store_and_nothing_else(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    folder = tmp_path / "outside"
    (folder / ".tmp").mkdir(parents=True)  # where DuckDB would spill to
    for name in ("in.csv", ".tmp/in.csv"):
        (folder / name).write_text("a\n1\n")
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    results = Results(filled.root)
    with pytest.raises(QueryError):
        results.query(sql.format(folder=folder))
    assert sorted(folder.rglob("*")) == before
    assert results.query("SELECT loss FROM cells").to_pylist() == [{"loss": "minimax"}]
    assert results.table("cells", job="job").num_rows == 1


def test_the_same_statements_work_in_a_connection_that_is_not_locked(tmp_path: Path) -> None:
    """So that what refuses them is the lock, and not a mistake in them."""
    connection = duckdb.connect()
    connection.sql(f"COPY (SELECT 1) TO '{tmp_path}/out.csv'")
    assert connection.sql("SELECT content FROM read_text('/etc/passwd')").fetchall()
    assert connection.sql("SELECT * FROM SECRET").fetchall() == [(1,)]
    connection.sql("SET enable_external_access = false")


def test_a_refused_file_comes_with_the_way_out(filled: Store) -> None:
    with pytest.raises(QueryError, match=r"(?s)/etc/passwd.*harness query -o FILE writes one"):
        open_results(filled.root).query("SELECT * FROM read_csv('/etc/passwd')")


def test_a_statement_that_is_no_text_is_a_query_error(filled: Store) -> None:
    with pytest.raises(QueryError):
        Results(filled.root).query("SELECT '\ud800'")


@pytest.mark.parametrize("open_", [Results, open_results])
def test_a_store_that_is_not_there_is_said_to_be_missing_and_those_near_it_are_named(
    filled: Store, tmp_path: Path, open_: type[Results]
) -> None:
    with pytest.raises(StoreError) as raised:
        open_(tmp_path / "reslts")
    assert f"--results {tmp_path}/reslts: there is no such folder. Did you mean '{filled.root}'?" in str(raised.value)
    with pytest.raises(StoreError, match=f"Stores near it: {filled.root}$"):
        open_(tmp_path / "no" / "such" / "place")


def test_a_folder_without_results_is_said_to_hold_none(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "empty" / "folder").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"empty: holds no results\.(?s:.)*Stores near it: .*results"):
        Results(tmp_path / "empty")
    inner = Store(tmp_path / "empty" / "inner")
    inner.write_part("job", "cells", [{"cell_id": "c"}], part=new_part())
    with pytest.raises(StoreError, match="empty/inner"):  # a store within is no job
        Results(tmp_path / "empty")


def test_names_near_are_given_as_the_place_was(filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"--results reslts: .* Did you mean 'results'\?\n  Stores near it: results$"):
        Results("reslts")


def test_where_nothing_is_near_the_way_out_is_a_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="harness run JOB makes some"):
        Results(tmp_path / "results")


def test_of_a_uri_only_that_it_holds_nothing_can_be_known(tmp_path: Path, store: Store) -> None:
    uri = f"file://{tmp_path}/results"
    with pytest.raises(StoreError, match="holds no results, or there is no such place"):
        Results(uri)
    store.write_part("job", "cells", [{"cell_id": "c"}], part=new_part())
    assert Results(uri).table("cells").num_rows == 1


def test_a_job_that_has_only_begun_has_no_rows_yet(store: Store) -> None:
    store.write_job("job", "name: job\n")
    assert Results(store.root).table("cells").num_rows == 0


def test_a_place_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        Results(tmp_path / "results")
    assert not list(tmp_path.iterdir())


def test_the_results_of_one_job_are_those_rows_and_read_no_other_files(store: Store) -> None:
    store.write_part("one", "cells", [cell(w1=1.0, cell_id="a"), cell("hinge", w1=2.0, cell_id="b")], part="p1")
    store.write_part("one", "cells", [cell(w1=3.0, cell_id="c", minutes=1)], part="p2")  # supersedes the first
    store.write_part("one", "metrics", [{"cell_id": "b", "name": "m", "value": 7.0}], part="p1")
    store.write_part("two", "cells", [cell(w1=9.0, cell_id="d")], part="p3")
    results = Results(store.root)
    for part in (Path(store.root) / "two" / "cells").iterdir():
        part.unlink()
    own = results.of_job("one")
    for _ in range(2):  # the second is of memory
        assert own.query("SELECT loss, w1 FROM cells ORDER BY w1").to_pylist() == [
            {"loss": "hinge", "w1": 2.0},
            {"loss": "minimax", "w1": 3.0},
        ]
    assert own.query("SELECT loss, value FROM metrics").to_pylist() == [{"loss": "hinge", "value": 7.0}]
    assert own.cells("one")["identity"].null_count == 2
