"""What rows beside the cells say of their cells and runs, so that nobody has to join."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

import harness
from harness.errors import QueryError
from harness.planning.grid import expand
from harness.storage.query import BESIDE_CELLS, Results
from harness.storage.records import CELLS, TABLES, VIEWS
from harness.storage.store import Store
from tests.storage.test_store import cell

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
OF_CELLS = ("loss", "penalty", "learning_rate", "schedule", "sigma", "epoch", "seed")


def files(table: str) -> str:
    """The store's files as DuckDB reads them by itself, without the harness."""
    return f"read_parquet('{REFERENCE}/figures/{table}/*.parquet')"


def test_curves_say_what_a_join_by_hand_of_the_files_says() -> None:
    names = ", ".join(OF_CELLS)
    by_hand = duckdb.connect().sql(
        f"""SELECT u.cell_id, u.iteration, u.d_loss, {", ".join(f"c.{name}" for name in OF_CELLS)}
            FROM {files("curves")} u JOIN {files("cells")} c USING (job, cell_id, part) ORDER BY ALL"""
    )
    answer = Results(REFERENCE).query(f"SELECT cell_id, iteration, d_loss, {names} FROM curves ORDER BY ALL")
    assert [tuple(row.values()) for row in answer.to_pylist()] == by_hand.fetchall()


def test_training_of_probes_is_the_reference_runs() -> None:
    answer = Results(REFERENCE).query(
        "SELECT DISTINCT protocol, loss, penalty, schedule, sigma, learning_rate, batch_norm, noise FROM training"
    )
    # jobs/figures.yaml: reference {loss: non_saturating, sigma: 0}; the optimiser is the loss's default
    expected = {"protocol": "probe", "loss": "non_saturating", "penalty": "none", "schedule": "0", "sigma": 0.0}
    expected |= {"learning_rate": 2e-4, "batch_norm": "separate", "noise": "truncated"}
    assert answer.to_pylist() == [expected]


SIGMAS: list[Any] = [
    *(0, 0.25, {"schedule": "linear", "start": 1.0, "end": 0.5}, {"sigma": 0.1, "noise": "gaussian"}),
    {"sigma": 0.1, "noise": "gaussian", "noise_on": "discriminator"},
]


def job(**changes: Any) -> Any:
    text = {"name": "j", "protocol": "probe", "problem": "ring", "networks": "mlp", "training": {"steps_per_epoch": 1}}
    grid = {"loss": ["minimax"], "sigma": [0.3], "epoch": [1], "seed": [7]}
    return harness.load_job({**text, "grid": grid, **changes})


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("penalty", [None, "none", "r1", {"name": "gradient_penalty", "weight": 3}])
def test_a_reference_run_is_told_as_the_cells_of_its_training_would_be(store: Store, sigma: Any, penalty: Any) -> None:
    reference = {"loss": "hinge", "sigma": sigma, **({"penalty": penalty} if penalty else {})}
    (probed,) = expand(job(reference=reference))
    grid = {
        "loss": ["hinge"],
        "sigma": [sigma],
        "epoch": [1],
        "seed": [7],
        **({"penalty": [penalty]} if penalty else {}),
    }
    (trained,) = expand(job(protocol="train", grid=grid))
    assert probed.run.run_id == trained.run.run_id
    store.write_part("j", "cells", [{**probed.columns(), "status": "completed"}], part="p")
    store.write_part("j", "training", [{"run_id": probed.run.run_id, "step": 1}], part="p")
    told = ("loss", "penalty", "learning_rate", "batch_norm", "schedule", "noise", "seed")
    answer = Results(store.root).query(f"SELECT {', '.join(told)} FROM training").to_pylist()
    assert answer == [{name: trained.columns()[name] for name in told}]


def test_a_row_of_training_stays_one_row_however_many_cells_its_run_has(store: Store) -> None:
    cells = [cell(cell_id=f"c{epoch}", epoch=epoch, sigma=1 / epoch) for epoch in (1, 2, 3)]
    store.write_part("j", "cells", [{**row, "run_id": "r", "protocol": "train"} for row in cells], part="p")
    rows = [{"run_id": run, "epoch": epoch, "step": epoch, "sigma": 10.0 * epoch} for run in "rs" for epoch in (1, 2)]
    store.write_part("j", "training", rows, part="p")
    answer = Results(store.root).query("SELECT run_id, epoch, sigma, loss, seed FROM training ORDER BY ALL").to_pylist()
    # epoch and sigma are the row's own; run s has no cells
    assert [tuple(row.values()) for row in answer] == [
        *(("r", epoch, 10.0 * epoch, cells[0]["loss"], cells[0]["seed"]) for epoch in (1, 2)),
        *(("s", epoch, 10.0 * epoch, None, None) for epoch in (1, 2)),
    ]


def test_rows_of_one_cell_at_two_places_are_not_doubled(store: Store) -> None:
    """As a grid with `discriminator_steps: [1]` and one without the axis have them."""
    places = [cell(cell_id="c"), {**cell(cell_id="c"), "discriminator_steps": 1}]
    metrics = [{"cell_id": "c", "name": "modes", "value": 8.0}]
    store.write_cells("j", places, {"metrics": metrics}, part="p")
    results = Results(store.root)
    assert results.query("SELECT count(*) AS num FROM cells").to_pylist() == [{"num": 2}]
    assert results.query("SELECT name, loss FROM metrics").to_pylist() == [{"name": "modes", "loss": places[0]["loss"]}]


def test_a_cell_computed_again_with_other_settings_tells_its_own_curves(store: Store) -> None:
    for part, minutes, rate in (("p", 1, 0.1), ("q", 2, 0.2)):
        row = {**cell(cell_id=part, minutes=minutes), "sigma": rate}
        store.write_cells("j", [row], {"curves": [{"cell_id": part, "iteration": 1}]}, part=part)
    answer = Results(store.root).query("SELECT cell_id, sigma FROM curves").to_pylist()
    assert answer == [{"cell_id": "q", "sigma": 0.2}]


def test_a_join_by_hand_that_is_ambiguous_gets_the_way_out() -> None:
    results = Results(REFERENCE)
    with pytest.raises(QueryError, match=r"(?s)Ambiguous reference.*have these columns of cells already: leave out"):
        results.query("SELECT loss, iteration FROM curves JOIN cells USING (job, cell_id)")
    by_hand = results.query("SELECT cells.loss FROM curves JOIN cells USING (job, cell_id) WHERE status = 'completed'")
    assert len(by_hand) == results.query("SELECT count(*) AS num FROM curves").to_pylist()[0]["num"]


def test_joined_columns_come_last_and_are_those_of_cells() -> None:
    for table in (*BESIDE_CELLS, "training"):
        names = VIEWS[table].names
        assert names[: len(TABLES[table].names)] == TABLES[table].names
        assert len(set(names)) == len(names)
        assert {"loss", "penalty", "learning_rate", "schedule", "sigma", "epoch", "seed"} <= set(names)
        assert all(VIEWS[table].field(name).type == CELLS.field(name).type for name in names if name in CELLS.names)


@pytest.mark.parametrize("table", VIEWS)
def test_views_have_the_columns_that_are_listed(table: str) -> None:
    results = Results(REFERENCE)
    assert results.query(f"SELECT column_name FROM (DESCRIBE {table})")["column_name"].to_pylist() == VIEWS[table].names
    assert results.table(table).schema.names == VIEWS[table].names


def test_a_published_table_says_it_too(tmp_path: Path) -> None:
    from harness.storage.publication import publish

    publish(Results(REFERENCE), "figures", tmp_path / "out")
    answer = duckdb.connect().sql(f"SELECT count(*), count(loss), count(seed) FROM '{tmp_path}/out/curves.parquet'")
    (counts,) = answer.fetchall()
    assert len(set(counts)) == 1
    assert counts[0] == duckdb.connect().sql(f"SELECT count(*) FROM {files('curves')}").fetchall()[0][0]


def test_identities_of_other_versions_do_not_matter_to_what_is_not_asked_for(store: Store) -> None:
    store.write_part("j", "cells", [{**cell(cell_id="c"), "protocol": "probe", "identity": json.dumps({})}], part="p")
    assert Results(store.root).query("SELECT count(*) AS num FROM curves").to_pylist() == [{"num": 0}]
