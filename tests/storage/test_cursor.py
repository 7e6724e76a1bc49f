"""A reader that follows a job's table gets every row once, in the order of writing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness.storage.store import Store
from harness.storage.writer import new_part


def write(store: Store, *trials: int, job: str = "search") -> None:
    rows: list[dict[str, Any]] = [
        {"trial": trial, "state": "complete", "family": "linear", "parameters": "{}"} for trial in trials
    ]
    known = set(Path(store.root).rglob("*.parquet"))
    store.write_part(job, "trials", rows, part=new_part())
    (path,) = set(Path(store.root).rglob("*.parquet")) - known
    os.utime(path, ns=(0, 1_000_000_000 * (len(known) + 1)))  # a second after the last, however coarse the disk's clock


def read(rows: list[dict[str, Any]]) -> list[int]:
    assert all(row.keys() == {"trial"} for row in rows)
    return [row["trial"] for row in rows]


def test_a_cursor_gives_every_row_once(store: Store) -> None:
    cursor = store.cursor("trials", "search", columns=["trial"])
    assert cursor.new() == []
    write(store, 3, 1)
    write(store, 2)
    write(store, 7, job="other")
    assert read(cursor.new()) == [3, 1, 2]
    assert cursor.new() == []
    write(store, 0)
    assert read(cursor.new()) == [0]
    assert read(store.cursor("trials", "search", columns=["trial"]).new()) == [3, 1, 2, 0]


def test_rows_are_read_in_the_order_of_writing_and_again(store: Store) -> None:
    write(store, 5)
    write(store, 4)
    write(store, 5)
    for _ in range(2):
        assert read(store.read_rows("trials", "search", columns=["trial"])) == [5, 4, 5]
    assert store.read_rows("trials", "nothing", columns=["trial"]) == []
