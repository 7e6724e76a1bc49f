"""The store: complete or absent, latest rows win, nothing half-written is ever read."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.cli.printing.rendering import to_text
from harness.errors import QueryError, StoreError
from harness.storage.query import Results
from harness.storage.records import TABLES
from harness.storage.store import Store
from harness.storage.writer import new_part
from tests.snapshots import snapshots

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def cell(loss: str = "minimax", *, minutes: int = 0, **columns: Any) -> dict[str, Any]:
    return {
        "cell_id": "a" * 20,
        "status": "completed",
        "loss": loss,
        "penalty": "none",
        "schedule": "0.1",
        "learning_rate": 1e-3,
        "epoch": 1,
        "seed": 0,
        "identity": "{}",
        "finished_at": NOW + timedelta(minutes=minutes),
        **columns,
    }


def test_rows_come_back_as_they_were_written(store: Store) -> None:
    row = cell(w1=0.1 + 0.2, grad_norm=None, bound_holds=True)
    store.write_part("j", "cells", [row], part="p")
    (found,) = Results(store.root).table("cells").to_pylist()
    assert {key: found[key] for key in row} == row
    assert found["job"] == "j"
    assert found["d_loss"] is None


def test_every_field_says_what_it_means_and_the_file_has_a_schema_version(store: Store) -> None:
    store.write_part("j", "cells", [cell()], part="p")
    (path,) = (Path(store.root) / "j" / "cells").iterdir()
    schema = pq.read_schema(path)
    assert schema.metadata[b"schema_version"] == b"1"
    for table in TABLES.values():
        assert all(field.metadata[b"meaning"] for field in table)
    assert schema.field("w1").metadata[b"unit"] == b"data units"
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_column_the_schema_lacks_is_an_error(store: Store) -> None:
    with pytest.raises(KeyError, match="colour"):
        store.write_part("j", "cells", [cell(colour="red")], part="p")


def test_a_store_of_a_job_without_rows_answers_with_no_rows(store: Store) -> None:
    store.write_job("j", "name: j")
    for name in TABLES:
        assert Results(store.root).table(name).num_rows == 0


def test_the_latest_row_of_a_place_in_the_grid_wins(store: Store) -> None:
    store.write_part("j", "cells", [cell(minutes=5, w1=2.0)], part="p2")
    store.write_part("j", "cells", [cell(minutes=1, w1=1.0, cell_id="old")], part="p1")
    (row,) = Results(store.root).table("cells").to_pylist()
    assert row["w1"] == 2.0
    (stored,) = store.latest_cells("j").values()
    assert stored.cell_id == "a" * 20


def test_curves_of_an_execution_that_never_finished_are_not_shown(store: Store) -> None:
    curve = {"cell_id": "a" * 20, "iteration": 1, "d_loss": 0.5}
    store.write_part("j", "curves", [curve], part="killed")
    assert Results(store.root).table("curves").num_rows == 0
    store.write_part("j", "curves", [{**curve, "d_loss": 0.7}], part="finished")
    store.write_part("j", "cells", [cell()], part="finished")
    (row,) = Results(store.root).table("curves").to_pylist()
    assert row["d_loss"] == 0.7


def test_training_rows_repeated_after_a_kill_count_once(store: Store) -> None:
    row = {"run_id": "r", "epoch": 1, "step": 10, "sigma": 0.0, "d_loss": 1.0, "g_loss": 1.0}
    for part in ("a", "b"):
        store.write_part("j", "training", [row, {**row, "step": 20}], part=part)
    assert Results(store.root).table("training").num_rows == 2


def test_leftovers_of_an_interrupted_write_are_ignored(store: Store) -> None:
    store.write_part("j", "cells", [cell()], part="p")
    folder = Path(store.root) / "j" / "cells"
    (folder / ".part-x.parquet.123.tmp").write_bytes(b"PAR1 half")
    assert Results(store.root).table("cells").num_rows == 1


def test_a_failing_write_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(StoreError, match=r"cannot write j/cells/.*disk full"):
        store.write_part("j", "cells", [cell()], part="p")
    monkeypatch.undo()
    assert Results(store.root).table("cells").num_rows == 0
    assert not list((Path(store.root) / "j" / "cells").iterdir())


def test_snapshots_are_shared_by_all_jobs(store: Store) -> None:
    assert store.snapshots_among([("run", 3)]) == frozenset()
    other = Store(store.root)
    content = snapshots([("run", 3), ("twin", 3)])
    store.snapshots.write(content)
    store.snapshots.write(snapshots([("run", 5)]))
    for reader in (store, other):
        assert reader.snapshots_among([("run", 3), ("run", 4), ("run", 5)]) == {("run", 3), ("run", 5)}
        files = reader.snapshots.chosen([("twin", 3), ("run", 3)])
        assert list(reader.snapshots.read(files).values()) == [content]
        assert len(set(reader.snapshots.chosen([("twin", 3), ("run", 5)]).values())) == 2
    assert store.jobs() == []
    with pytest.raises(StoreError, match="no snapshot of run run at epoch 4"):
        store.snapshots.chosen([("run", 4)])


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file; name a folder"):
        Store(tmp_path / "file")


def test_an_unknown_kind_of_root_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Store("nosuch://bucket/x")


def test_queries_span_jobs(store: Store) -> None:
    store.write_part("one", "cells", [cell()], part=new_part())
    store.write_part("two", "cells", [cell()], part=new_part())
    results = Results(store.root)
    assert results.query("SELECT job FROM cells ORDER BY job").to_pydict() == {"job": ["one", "two"]}
    assert results.table("cells", job="two").num_rows == 1


def test_repeated_column_names_are_numbered(store: Store) -> None:
    store.write_job("j", "name: j")
    answer = Results(store.root).query("SELECT 1 AS a, 2 AS a, 3 AS a_1, 't' AS t")
    assert answer.to_pylist() == [{"a": 1, "a_1": 2, "a_1_1": 3, "t": "t"}]


def test_a_wrong_statement_gets_duckdbs_answer_and_the_tables(store: Store) -> None:
    store.write_job("j", "name: j")
    with pytest.raises(QueryError, match=r"(?s)nosuch.*Tables: cells, curves, training, metrics, trajectories, trials"):
        Results(store.root).query("SELECT nosuch FROM cells")
    with pytest.raises(QueryError, match="no table 'cell'"):
        Results(store.root).table("cell")


def test_infinity_in_json_is_a_number_that_readers_take_for_it(store: Store) -> None:
    row = {**cell(), "kl_real_fake": math.inf, "kl_fake_real": -math.inf, "error": "Infinity"}
    store.write_part("j", "cells", [row], part=new_part())
    answer = Results(store.root).query("SELECT kl_real_fake, kl_fake_real, error FROM cells")
    text = to_text(answer, form="json")
    assert json.loads(text, parse_constant=pytest.fail) == [
        {"kl_real_fake": math.inf, "kl_fake_real": -math.inf, "error": "Infinity"}
    ]


@pytest.mark.parametrize("root", ["s3://KEY:a-secret@bucket/x", "gs://somebody:a-secret@bucket/x?scheme=http"])
def test_a_password_in_the_address_is_refused_and_not_repeated(root: str) -> None:
    with pytest.raises(StoreError, match="keys belong in the environment") as refused:
        Store(root)
    assert "a-secret" not in str(refused.value)
