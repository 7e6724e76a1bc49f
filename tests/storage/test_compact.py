"""Merged parts: every row once, at any moment, and few files at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.storage.place import Place
from harness.storage.query import Results
from harness.storage.store import Store
from tests.in_process import harness
from tests.storage.test_store import cell


def fill(store: Store, num: int, *, start: int = 0) -> None:
    """Executions with a cell and two points of its curve each."""
    for index in range(start, start + num):
        name = f"{index:020}"
        curve = [{"cell_id": name, "iteration": step, "d_loss": index + step / 2} for step in (1, 2)]
        store.write_part("j", "curves", curve, part=f"p{index}")
        store.write_part("j", "cells", [cell(cell_id=name, seed=index, w1=float(index))], part=f"p{index}")


def rows(store: Store) -> dict[str, list[dict[str, Any]]]:
    """What queries see."""
    queries = {
        "cells": "SELECT * FROM cells ORDER BY seed",
        "curves": "SELECT * FROM curves ORDER BY cell_id, iteration",
    }
    return {name: Results(store.root).query(sql).to_pylist() for name, sql in queries.items()}


def files(store: Store, table: str) -> list[str]:
    return sorted(path.name for path in (Path(store.root) / "j" / table).iterdir())


def test_merged_parts_answer_as_the_many_did_and_new_ones_join_them(store: Store) -> None:
    fill(store, 7)
    before = rows(store)
    assert len(before["curves"]) == 14
    assert store.compact("j") == {"cells": (7, 1), "curves": (7, 1)}
    assert len(files(store, "cells")) == len(files(store, "curves")) == 1
    assert rows(store) == before
    assert len(store.latest_cells("j")) == 7
    fill(store, 2, start=7)
    assert len(rows(store)["curves"]) == 18
    assert store.compact("j")["cells"] == (3, 1)
    assert len(rows(store)["curves"]) == 18
    assert store.compact("j") == {"cells": (1, 1), "curves": (1, 1)}


@pytest.mark.parametrize("deletions", [0, 1, 5, 8])
def test_an_interrupted_compaction_shows_every_row_once_and_is_ended_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch, deletions: int
) -> None:
    fill(store, 6)
    before = rows(store)
    plain, left = Place.delete, [deletions]

    def interrupted(self: Place, names: list[str]) -> None:
        for name in names:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            plain(self, [name])

    monkeypatch.setattr(Place, "delete", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.compact("j")
    monkeypatch.undo()
    assert rows(store) == before
    store.compact("j")
    assert rows(store) == before
    assert len(files(store, "cells")) == len(files(store, "curves")) == 1


def test_parts_are_merged_up_to_a_size(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.storage import parts as module

    fill(store, 6)
    size = max(path.stat().st_size for path in (Path(store.root) / "j" / "curves").iterdir())
    monkeypatch.setattr(module, "_MERGED_BYTES", int(2.5 * size))
    assert store.compact("j")["curves"] == (6, 3)
    assert len(rows(store)["curves"]) == 12


def test_the_command_says_how_many_files_became_how_many(store: Store) -> None:
    fill(store, 3)
    answer = harness("compact", "j", "--results", store.root)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["cells", "3", "files", "->", "1", "curves", "3", "files", "->", "1"]
    wrong = harness("compact", "k", "--results", store.root)
    assert wrong.returncode == 2
    assert "no job 'k'" in wrong.stderr
    assert "Valid: j" in wrong.stderr


def test_a_job_that_is_worked_on_is_left_alone(store: Store) -> None:
    fill(store, 3)
    with store.locked("j"):
        answer = harness("compact", "j", "--results", store.root)
    assert answer.returncode == 2
    assert "another process works on it" in answer.stderr
    assert len(files(store, "cells")) == 3
