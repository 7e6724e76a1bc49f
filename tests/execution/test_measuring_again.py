"""Generators whose snapshots are there are measured in another way without being trained again."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

import harness
from harness.job.job import Job
from harness.planning import cells
from harness.storage.query import Results
from harness.storage.records import OF_DISCRIMINATORS
from harness.storage.store import Store
from harness.training.snapshots import encode
from harness.worker import worker
from tests.in_process import harness as command

JobMaker = Callable[..., Job]
CIRCUMSTANCES = {
    *("attempt", "sequence", "seconds", "peak_memory_bytes", "started_at", "finished_at", "part", "job", "git_commit"),
}


def run(job: Job, store: Store, **arguments: Any) -> harness.Outcome:
    return harness.run(job, results=store.root, executor="serial", **arguments)


def rows(store: Store) -> dict[str, dict[str, Any]]:
    found = Results(store.root).query("SELECT * FROM cells").to_pylist()
    return {row["cell_id"]: {name: row[name] for name in row if name not in CIRCUMSTANCES} for row in found}


@pytest.fixture
def measured_before(train_job: JobMaker, store: Store, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose rows are of an earlier version of the measures."""
    job = train_job()
    with monkeypatch.context() as earlier:
        earlier.setattr(cells, "METRIC_VERSION", cells.METRIC_VERSION - 1)
        assert run(job, store).is_complete
    return job


def forbid_training(patch: pytest.MonkeyPatch) -> None:
    def train(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("something is trained")

    patch.setattr(worker, "train", train)


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value, rel=1e-5, abs=1e-9) if isinstance(value, float) else value), name


def test_what_a_new_version_measures_is_what_training_again_would_give(
    measured_before: Job, store: Store, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        forbid_training(patch)
        outcome = run(measured_before, store)
    assert outcome.is_complete
    assert outcome.num_computed == 16
    afresh = Store(tmp_path / "afresh")
    run(measured_before, afresh)
    expected = rows(afresh)
    assert rows(store).keys() == expected.keys()
    for cell_id, row in rows(store).items():
        same(row, expected[cell_id])


def test_a_metric_more_needs_no_training(train_job: JobMaker, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run(train_job(), store)
    before = rows(store)
    forbid_training(monkeypatch)
    assert run(train_job(evaluation={"metrics": ["modes", "energy_distance"]}), store).is_complete
    after = rows(store)
    assert not before.keys() & after.keys()
    assert sorted(row["d_loss"] for row in before.values()) == sorted(row["d_loss"] for row in after.values())
    metrics = Results(store.root).query("SELECT name, count(*) AS n FROM metrics GROUP BY name ORDER BY name")
    assert metrics.to_pydict() == {"name": ["energy_distance", "modes"], "n": [16, 16]}


def test_it_is_said_before_and_while_it_is_done(measured_before: Job, store: Store) -> None:
    planned = harness.plan(measured_before, results=store.root)
    assert len(planned.difference.kept) == 16
    assert {type(pack).__name__ for pack in planned.packs} == {"MeasuringPack"}
    said = io.StringIO()
    with redirect_stderr(said):
        run(measured_before, store, progress=True)
    assert "16 of 16 cells are measured again from their snapshots, not trained" in " ".join(said.getvalue().split())


def test_other_held_out_samples_are_another_question_to_discriminators(train_job: JobMaker, store: Store) -> None:
    run(train_job(), store)
    planned = harness.plan(train_job(evaluation={"samples": 70}), results=store.root)
    assert (len(planned.missing), len(planned.difference.kept)) == (16, 0)


def test_a_generator_that_is_gone_is_trained_again(measured_before: Job, store: Store) -> None:
    """Its neighbours' are measured; one file of snapshots has the generators of a pack at an epoch."""
    (name, keys), *others = sorted(store.snapshots.contents().items())
    assert others
    assert store.place.folder is not None
    (store.place.folder / "snapshots" / name).unlink()
    planned = harness.plan(measured_before, results=store.root)
    assert len(planned.difference.kept) == 16 - len(keys)
    assert run(measured_before, store).is_complete
    assert len(rows(store)) == 16


def test_a_generator_that_turns_out_damaged_is_trained_again(measured_before: Job, store: Store) -> None:
    name = min(store.snapshots.contents())
    assert store.place.folder is not None
    path = store.place.folder / "snapshots" / name
    path.write_bytes(path.read_bytes()[:-8])
    assert run(measured_before, store).is_complete
    assert len(rows(store)) == 16


def test_rows_of_an_earlier_schema_are_read_and_measured_again(measured_before: Job, store: Store) -> None:
    """Parquet files that lack the columns of a later version, as that version wrote them."""
    added = ["w1_minus_floor", "real_w1_sd", "jsd_mixture_half", "bound_sharp_best_upper"]
    for part in store.parts("cells"):
        table = pa.parquet.read_table(store.place.folder / part.path if store.place.folder else part.path)
        pa.parquet.write_table(table.drop_columns(added), store.place.folder / part.path if store.place.folder else "")
    assert all(row[name] is None for row in rows(store).values() for name in added)
    answer = command(
        "query",
        "SELECT count(w1_minus_floor) AS n, count(*) AS m FROM cells",
        "--results",
        store.root,
        "--format",
        "csv",
    )
    assert "0,16" in answer.stdout
    assert run(measured_before, store).is_complete
    assert all(row["w1_minus_floor"] is not None for row in rows(store).values())


def test_a_row_is_measured_by_the_generator_of_its_own_training(
    train_job: JobMaker, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run of another machine need not have the same weights: its file is in the store too, and comes first."""
    job = train_job()
    run(job, store)
    before = rows(store)
    other = Store(tmp_path / "other")
    with monkeypatch.context() as patch:  # a machine that rounds otherwise
        patch.setattr(worker, "encode", lambda generator, weights, keys: encode(generator, weights * 1.5, keys))
        run(job, other)
    ours, theirs = (set(which.snapshots.contents()) for which in (store, other))
    assert ours.isdisjoint(theirs)
    for name in theirs:
        content = other.place.content(f"snapshots/{name}")
        assert content is not None
        store.snapshots.write(content)
    assert run(train_job(evaluation={"metrics": ["modes"]}), store).is_complete
    after = {(row["run_id"], row["epoch"]): row for row in rows(store).values()}
    for row in before.values():
        assert row["snapshot"] in ours
        now = after[row["run_id"], row["epoch"]]
        assert (now["snapshot"], now["w1"]) == (row["snapshot"], pytest.approx(row["w1"], rel=1e-5))


def test_an_early_row_whose_generator_was_trained_twice_is_trained_again(
    measured_before: Job, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not name its file, and two hold a generator of its name."""
    for part in store.parts("cells"):
        assert store.place.folder is not None
        table = pa.parquet.read_table(store.place.folder / part.path)
        pa.parquet.write_table(table.drop_columns(["snapshot"]), store.place.folder / part.path)
    assert len(harness.plan(measured_before, results=store.root).difference.kept) == 16
    (name, keys), *_ = sorted(store.snapshots.contents().items())
    content = store.place.content(f"snapshots/{name}")
    assert content is not None
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length] + b" " * 8  # the same generators in a file of another name
    store.snapshots.write(len(header).to_bytes(8, "little") + header + content[8 + length :])
    assert len(harness.plan(measured_before, results=store.root).difference.kept) == 16 - len(keys)


def test_kept_columns_are_those_that_samples_do_not_tell() -> None:
    assert {"d_loss", "accuracy", "jsd_discriminator", "grad_norm", "sigma", "iterations"} <= set(OF_DISCRIMINATORS)
    assert not {"w1", "jsd_mixture", "bound_best", "tv"} & set(OF_DISCRIMINATORS)
