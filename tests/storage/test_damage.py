"""Damaged and foreign files: named with the way out, passed over, and nothing else suffers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import harness
from harness.errors import QueryError, SnapshotsLostError, StoreWarning
from harness.job.job import Job
from harness.storage.query import Results
from harness.storage.records import TABLES
from harness.storage.store import Store
from tests.snapshots import snapshots
from tests.storage.test_store import cell

JobMaker = Callable[..., Job]


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def of_other_columns(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"loss": ["minimax"] * 3, "epoch": [1, 2, 3]}), sink)
    return bytes(sink.getvalue().to_pybytes())


def of_other_types(content: bytes) -> bytes:
    rows = pq.read_table(pa.BufferReader(content))
    sink = pa.BufferOutputStream()
    place = rows.schema.get_field_index("seed")
    pq.write_table(rows.set_column(place, "seed", pa.array(["zero"] * len(rows))), sink)
    return bytes(sink.getvalue().to_pybytes())


DAMAGES = [truncated, of_other_columns, of_other_types, lambda _: b"", lambda _: b"PAR1"]


def two_jobs(store: Store) -> Path:
    """A store of two jobs, and the path of one of the three parts of the first."""
    for seed in range(3):
        store.write_part("one", "cells", [cell(seed=seed, w1=float(seed))], part=f"p{seed}")
    store.write_part("two", "cells", [cell()], part="q")
    return next((Path(store.root) / "one" / "cells").glob("part-p1-*"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_part_that_cannot_be_read_is_named_and_passed_over(store: Store, damage: Callable[[bytes], bytes]) -> None:
    path = two_jobs(store)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(StoreWarning, match=rf"{path}: .*delete it, and run the job again"):
        assert {key.seed for key in store.latest_cells("one")} == {0, 2}
    with pytest.warns(StoreWarning, match=str(path)):
        answer = Results(store.root).query("SELECT job, seed, w1 FROM cells ORDER BY job, seed")
    assert answer.to_pylist() == [
        {"job": "one", "seed": 0, "w1": 0.0},
        {"job": "one", "seed": 2, "w1": 2.0},
        {"job": "two", "seed": 0, "w1": None},
    ]


def test_a_flipped_bit_is_noticed(store: Store) -> None:
    """In the last byte of the numbers of w1, where nothing but a checksum tells."""
    path = two_jobs(store)
    place = TABLES["cells"].get_field_index("w1")
    column = pq.ParquetFile(path).metadata.row_group(0).column(place)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    with pytest.warns(StoreWarning, match=rf"{path}: is damaged: .*"):
        answer = Results(store.root).query("SELECT w1 FROM cells WHERE job = 'one' ORDER BY w1")
    assert answer["w1"].to_pylist() == [0.0, 2.0]


def test_a_damaged_part_of_another_job_is_not_even_opened(store: Store, recwarn: pytest.WarningsRecorder) -> None:
    path = two_jobs(store)
    path.write_bytes(b"")
    assert len(store.latest_cells("two")) == 1
    assert Results(store.root).query("SELECT job FROM cells WHERE job = 'two'").to_pylist() == [{"job": "two"}]
    assert not recwarn.list


def test_a_file_of_another_name_is_no_part(store: Store) -> None:
    two_jobs(store)
    stranger = Path(store.root) / "one" / "cells" / "forged.parquet"
    pq.write_table(pa.Table.from_pylist([cell(seed=9)], schema=TABLES["cells"]), stranger)
    with pytest.warns(StoreWarning, match=rf"{stranger}: is no part of the store"):
        assert {key.seed for key in store.latest_cells("one")} == {0, 1, 2}
    with pytest.warns(StoreWarning, match=str(stranger)):
        assert Results(store.root).query("SELECT count(*) AS n FROM cells").to_pylist() == [{"n": 4}]


def test_a_mistake_in_a_statement_reads_no_files(store: Store, recwarn: pytest.WarningsRecorder) -> None:
    two_jobs(store).write_bytes(b"")
    with pytest.raises(QueryError, match="colour"):
        Results(store.root).query("SELECT colour FROM cells")
    assert not recwarn.list


def test_compaction_leaves_a_damaged_part_where_it_is(store: Store) -> None:
    path = two_jobs(store)
    path.write_bytes(truncated(path.read_bytes()))
    with pytest.warns(StoreWarning, match=str(path)):
        store.compact("one")
    assert path.exists()
    with pytest.warns(StoreWarning, match=str(path)):
        assert {key.seed for key in store.latest_cells("one")} == {0, 2}


def test_what_a_damaged_part_held_is_computed_again(train_job: JobMaker, store: Store) -> None:
    job = train_job(grid={"epoch": [1]})
    harness.run(job, results=store.root, executor="serial")
    before = Results(store.root).query("SELECT cell_id, w1, bound_best FROM cells ORDER BY cell_id")
    path = min((Path(store.root) / "tiny" / "cells").iterdir())
    path.write_bytes(truncated(path.read_bytes()))
    with pytest.warns(StoreWarning, match=str(path)):
        outcome = harness.run(job, results=store.root, executor="serial")
    assert outcome.num_computed == 4
    assert outcome.is_complete
    with pytest.warns(StoreWarning, match=str(path)):
        assert Results(store.root).query("SELECT cell_id, w1, bound_best FROM cells ORDER BY cell_id") == before


# --- snapshots


@pytest.mark.parametrize("damage", [truncated, lambda content: content[:-1] + bytes([content[-1] ^ 1]), lambda _: b"x"])
def test_a_damaged_file_of_snapshots_is_deleted_and_named(store: Store, damage: Callable[[bytes], bytes]) -> None:
    store.snapshots.write(snapshots([("run", 3), ("twin", 3)]))
    (path,) = (Path(store.root) / "snapshots").iterdir()
    assert store.snapshots_among([("run", 3)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SnapshotsLostError, match=rf"{path}: was damaged, and is deleted") as lost:
        store.snapshots.read(store.snapshots.chosen([("run", 3)]))
    assert lost.value.keys == {("run", 3), ("twin", 3)}
    assert not path.exists()
    assert store.snapshots_among([("run", 3), ("twin", 3)]) == frozenset()


def test_a_file_that_holds_no_snapshots_is_named_and_passed_over(store: Store) -> None:
    store.snapshots.write(b"not a safetensors file")
    store.snapshots.write(snapshots([("run", 3)]))
    with pytest.warns(StoreWarning, match=r"snapshots/.*\.safetensors: holds no snapshots. It is passed over"):
        assert store.snapshots_among([("run", 1), ("run", 3)]) == {("run", 3)}


@pytest.mark.parametrize("damage", [truncated, lambda content: content[:-1] + bytes([content[-1] ^ 1])])
def test_runs_whose_snapshots_are_damaged_are_trained_again(
    probe_job: JobMaker, store: Store, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    harness.run(probe_job(grid={"loss": ["minimax"]}), results=store.root, executor="serial")
    for path in (Path(store.root) / "snapshots").iterdir():
        path.write_bytes(damage(path.read_bytes()))
    outcome = harness.run(probe_job(), results=store.root, executor="serial")
    assert outcome.is_complete
    undisturbed = harness.run(probe_job(), results=tmp_path / "undisturbed", executor="serial")
    assert undisturbed.is_complete
    numbers = "SELECT cell_id, d_loss, grad_norm, w1, bound_best FROM cells ORDER BY cell_id"
    assert Results(store.root).query(numbers) == Results(tmp_path / "undisturbed").query(numbers)
