"""What belongs to cells counts where their rows do, whichever files it is in; most files need no comparison for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreWarning
from harness.storage.query import Results
from harness.storage.store import Store
from tests.storage.test_store import cell


def curve(cell_id: str, d_loss: float) -> list[dict[str, Any]]:
    return [{"cell_id": cell_id, "iteration": step, "d_loss": d_loss} for step in (1, 2)]


def write(store: Store, seed: int, *, part: str, d_loss: float, minutes: int = 0) -> None:
    """A cell and its curve, as one execution of a pack writes them."""
    row = cell(cell_id=f"c{seed}", seed=seed, minutes=minutes)
    store.write_cells("j", [row], {"curves": curve(f"c{seed}", d_loss), "metrics": []}, part=part)


def losses(store: Store) -> list[float]:
    answer = Results(store.root).query("SELECT DISTINCT d_loss FROM curves ORDER BY d_loss")
    return [float(value) for value in answer["d_loss"].to_pylist()]


def compares(store: Store) -> bool:
    """Whether the view looks at the rows of cells."""
    (plan,) = Results(store.root).query("EXPLAIN SELECT d_loss FROM curves")["explain_value"].to_pylist()
    return "Join Type: SEMI" in plan


@pytest.mark.parametrize("compact", [False, True])
def test_files_written_with_their_cells_need_no_comparison(store: Store, compact: bool) -> None:
    for seed in range(3):
        write(store, seed, part=f"p{seed // 2}", d_loss=seed)  # two of them by one execution
    if compact:
        store.compact("j")
    assert losses(store) == [0.0, 1.0, 2.0]
    assert not compares(store)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("part", ["p0", "p1"])
def test_what_a_killed_execution_left_without_cells_does_not_count(store: Store, compact: bool, part: str) -> None:
    write(store, 0, part="p0", d_loss=0)
    store.write_part("j", "curves", curve("c1", 1.0), part=part)  # of an execution that wrote cells before, or none
    if compact:
        store.compact("j")
    assert losses(store) == [0.0]
    assert compares(store)


@pytest.mark.parametrize("compact", [False, True])
def test_of_a_cell_computed_again_only_the_latest_counts(store: Store, compact: bool) -> None:
    write(store, 0, part="p0", d_loss=0, minutes=1)
    write(store, 1, part="p0", d_loss=1, minutes=1)
    write(store, 0, part="p1", d_loss=7, minutes=2)
    if compact:
        store.compact("j")
    assert losses(store) == [1.0, 7.0]
    assert compares(store)


def test_jobs_do_not_mix_and_are_told_by_their_folders(store: Store) -> None:
    write(store, 0, part="p0", d_loss=0)
    store.write_cells("k", [cell(cell_id="c0", seed=0)], {"curves": curve("c0", 5.0)}, part="p0")
    results = Results(store.root)
    answer = results.query("SELECT job, avg(d_loss) AS loss FROM curves GROUP BY job ORDER BY job")
    assert answer.to_pylist() == [{"job": "j", "loss": 0.0}, {"job": "k", "loss": 5.0}]
    assert results.query("SELECT count(*) AS num FROM curves WHERE job = 'k'").to_pylist() == [{"num": 2}]
    assert results.query("SELECT count(*) AS num FROM cells WHERE job = 'k'").to_pylist() == [{"num": 1}]


def test_a_copy_of_a_job_without_its_cells_has_no_curves(store: Store) -> None:
    write(store, 0, part="p0", d_loss=0)
    shutil.copytree(Path(store.root) / "j" / "curves", Path(store.root) / "k" / "curves")
    store.write_cells("k", [cell(cell_id="c5", seed=5)], {}, part="p9")
    answer = Results(store.root).query("SELECT job, count(*) AS num FROM curves GROUP BY job")
    assert answer.to_pylist() == [{"job": "j", "num": 2}]


def test_only_the_files_of_the_job_asked_for_are_opened(store: Store, recwarn: pytest.WarningsRecorder) -> None:
    write(store, 0, part="p0", d_loss=0)
    store.write_cells("k", [cell(cell_id="c0", seed=0)], {"curves": curve("c0", 5.0)}, part="p0")
    results = Results(store.root)
    for part in results.store.parts("cells", job="j"):
        Path(part.path).write_bytes(b"x" * 100)  # no longer Parquet: named, were it opened
    assert results.query("SELECT seed FROM cells WHERE job = 'k'").num_rows == 1
    assert not recwarn.list
    with pytest.warns(StoreWarning, match="Parquet magic bytes not found"):
        assert results.query("SELECT seed FROM cells WHERE job = 'j'").num_rows == 0
